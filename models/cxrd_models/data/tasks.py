"""The tasks a film can be labelled for, as columns of ``labels.csv``: those known by name, and a data set's own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Self

from pydantic import Field, model_validator

from cxrd.findings import Value
from cxrd_models.errors import RecipeError

GENERAL = "label"
"""Column of labels that belong to no task known by name."""

OWN = "own"
"""The task of a recipe that learns whatever column `GENERAL` of a data set holds."""

NORMAL = frozenset({"normal", "no finding", "no_finding", "none", "negative", "healthy", "unremarkable"})
"""What people write, in any case, for a film that shows none of the classes."""


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
    column: str = GENERAL
    classes: tuple[str, ...] = Field(min_length=1)
    kind: Literal["binary", "multiclass", "multilabel"] = "multilabel"
    absent: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.classes)) < len(self.classes) or self.absent in self.classes:
            msg = "a class is named twice, or is the word for none of them"
            raise ValueError(msg)
        if len(self.classes) > 2 and self.kind == "binary":
            msg = "binary is one class, or two; more are multiclass or multilabel"
            raise ValueError(msg)
        if len(self.classes) == 1 and self.kind == "multiclass":
            msg = "one class is binary, with a word for its absence"
            raise ValueError(msg)
        return self

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


def tasks_in(columns: Collection[str]) -> tuple[str, ...]:
    """Names of the known tasks that a table of these columns can serve."""
    return tuple(task.id for task in _TASKS.values() if task.column in columns)


def task_of(name: str) -> Task:
    """Return the task of that name.

    Raises
    ------
    RecipeError
        The trainer does not know the task.
    """
    try:
        return _TASKS[name]
    except KeyError:
        raise RecipeError(
            f"task {name!r} is unknown", hint=f"known: {', '.join(_TASKS)}; {OWN}: the data set's own labels"
        ) from None
