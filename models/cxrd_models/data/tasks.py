"""The tasks a film can be labelled for, as columns of ``labels.csv``."""

from __future__ import annotations

from cxrd.findings import Value
from cxrd_models.errors import RecipeError


class Task(Value):
    """A multi-label question.

    Attributes
    ----------
    column : str
        Column of ``labels.csv``: class names joined by ``|``; empty where the film does not serve the task.
    absent : str
        The word for "none of the classes".
    """

    id: str
    column: str
    classes: tuple[str, ...]
    absent: str

    def parse(self, text: str) -> tuple[str, ...]:
        """Class names in one cell.

        Raises
        ------
        ValueError
            A word that is no class of the task, or "absent" beside a class.
        """
        words = tuple(text.split("|"))
        if words == (self.absent,):
            return ()
        for word in words:
            if word not in self.classes:
                raise ValueError(f"label {word!r} is not one of {self.id}: {', '.join(self.classes)}")
        return words


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
_TASKS = {task.id: task for task in (NIH14,)}


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
