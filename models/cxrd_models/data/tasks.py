"""The tasks a film can be labelled for, as columns of ``labels.csv``."""

from __future__ import annotations

from typing import Literal

from cxrd.findings import Value
from cxrd_models.errors import RecipeError


class Task(Value):
    """A question about a film, and the column of ``labels.csv`` that answers it.

    Attributes
    ----------
    column : str
        Class names joined by ``|``; empty where the film does not serve the task.
    classes : tuple of str
        What a model of the task answers, in the order of its logits.
    kind : {"binary", "multiclass", "multilabel"}
        ``binary``: one class, or two that exclude each other. ``multiclass``: exactly one class is true.
        ``multilabel``: each class for itself.
    absent : str
        The word for "none of the classes"; "" where a film always shows one.
    """

    id: str
    column: str
    classes: tuple[str, ...]
    kind: Literal["binary", "multiclass", "multilabel"] = "multilabel"
    absent: str = ""

    @property
    def exclusive(self) -> bool:
        """Whether exactly one class is true of a film: a softmax, and targets that are one-hot."""
        return self.kind != "multilabel" and len(self.classes) > 1

    def parse(self, text: str) -> tuple[str, ...]:
        """Class names in one cell.

        Raises
        ------
        ValueError
            A word that is no class of the task, "absent" beside a class, or several classes that exclude
            each other.
        """
        words = tuple(text.split("|"))
        if words == (self.absent,):
            return ()
        for word in words:
            if word not in self.classes:
                raise ValueError(f"label {word!r} is not one of {self.id}: {', '.join(self.classes)}")
        if self.kind != "multilabel" and len(words) > 1:
            raise ValueError(f"{self.id} takes one label, not {text!r}")
        return words


PNEUMONIA = Task(id="pneumonia", column="label_binary", classes=("pneumonia",), kind="binary", absent="normal")
PAEDIATRIC = Task(id="paediatric", column="label_binary", classes=("normal", "pneumonia"), kind="binary")
COVID3 = Task(id="covid3", column="label_covid3", classes=("covid", "normal", "viral"), kind="multiclass")
ATEL3 = Task(id="atel3", column="label_atel3", classes=("atelectasis", "other", "none"), kind="multiclass")
NIH14 = Task(
    id="nih14",
    column="nih14",
    classes=(
        "Atelectasis",
        "Cardiomegaly",
        "Consolidation",
        "Edema",
        "Effusion",
        "Emphysema",
        "Fibrosis",
        "Hernia",
        "Infiltration",
        "Mass",
        "Nodule",
        "Pleural_Thickening",
        "Pneumonia",
        "Pneumothorax",
    ),
    absent="No Finding",
)
CONTENT = Task(
    id="content",
    column="label_content",
    classes=("frontal", "lateral", "turned", "inverted", "not_chest"),
    kind="multiclass",
)
_TASKS = {task.id: task for task in (PNEUMONIA, PAEDIATRIC, COVID3, ATEL3, NIH14, CONTENT)}


def task_of(name: str) -> Task:
    """Return the task of a recipe.

    Raises
    ------
    RecipeError
        The trainer does not know the task.
    """
    try:
        return _TASKS[name]
    except KeyError:
        raise RecipeError(f"task {name!r} is unknown", hint=f"known: {', '.join(_TASKS)}") from None


def task_with(classes: tuple[str, ...]) -> Task:
    """Return the task that asks for exactly these classes, in this order: what a package was made for.

    Raises
    ------
    RecipeError
        The trainer knows no such task.
    """
    for task in _TASKS.values():
        if task.classes == classes:
            return task
    raise RecipeError(f"no task asks for the classes {', '.join(classes)}", hint=f"known: {', '.join(_TASKS)}")
