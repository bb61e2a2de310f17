"""What every builder ends with: films read, doubles settled, patients split, leakage looked for, tables written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from cxrd.findings import Value
from cxrd_models.data.manifest import SPLITS
from cxrd_models.data.tasks import GENERAL, OWN
from cxrd_models.dataset.leakage import Leakage, find_leakage
from cxrd_models.dataset.pictures import look_all, viewable
from cxrd_models.dataset.rows import ABOUT, TABLE, Row, columns_of, refuse_parquet, write_dataset
from cxrd_models.dataset.splits import check_classes, parse_ratios, settle
from cxrd_models.errors import DataError

NO_TASK = (
    f'no task known by name has all these labels: they are in column {GENERAL}, and a recipe with task = "{OWN}" '
    "learns them; --task and --map make them those of a known task"
)


class How(Value):
    """What all builders are told.

    Attributes
    ----------
    ratios : str
        Shares of train, val and test.
    resplit : bool
        Divide anew, whatever split the source brings.
    drop_doubled : bool
        Keep one of several files of the same bytes, none where they are labelled differently.
    force : bool
        Write over a data set that is already there.
    """

    out: Path
    ratios: str = "0.8,0.1,0.1"
    seed: int = 0
    resplit: bool = False
    drop_doubled: bool = False
    parquet: bool = False
    force: bool = False


class Draft(Value):
    """What a builder found: rows whose ``file`` is where the film lies, and what it wants remembered.

    Attributes
    ----------
    arguments : dict
        What the builder was told; no secrets.
    left_out : dict
        Number of films it left out, by reason.
    notes : tuple of str
        What a reader of the data set has to know.
    """

    builder: str
    rows: tuple[Row, ...]
    arguments: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    left_out: dict[str, int] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Built(Value):
    """A data set that was written."""

    table: Path
    rows: tuple[Row, ...]
    leakage: Leakage
    notes: tuple[str, ...]


def build(draft: Draft, how: How, advance: Callable[[], object] = lambda: None) -> Built:
    """Write the data set of a draft; ``advance`` is called after each film.

    Raises
    ------
    DataError
        A data set is there already, a film cannot be read or is doubled, or a split lacks a class.
    """
    _refuse_overwriting(how)
    if how.parquet:
        refuse_parquet(how.out)
    ratios = parse_ratios(how.ratios)
    if not draft.rows:
        raise DataError(f"{draft.builder}: no film is left to write", hint=_reasons(draft.left_out))
    where = viewable((Path(row.file) for row in draft.rows), how.out)
    pictures = look_all([where[Path(row.file)] for row in draft.rows], advance)
    seen = [
        row.model_copy(update={"sha256": p.sha256, "width": p.width, "height": p.height})
        for row, p in zip(draft.rows, pictures, strict=True)
    ]
    kept = _settle_doubles(seen, drop=how.drop_doubled)
    films = {row.file: picture for row, picture in zip(seen, pictures, strict=True)}
    chosen = [row.model_copy(update={"split": ""}) if how.resplit else row for row in kept]
    rows = settle(chosen, ratios, how.seed)
    missing = check_classes(rows)
    placed = tuple(_placed(row, where, how.out) for row in rows)
    leakage = find_leakage(placed, [films[row.file] for row in rows])
    left_out = {**draft.left_out, **({"doubled": len(seen) - len(kept)} if len(seen) > len(kept) else {})}
    general = (NO_TASK,) if any(GENERAL in row.labels for row in rows) else ()
    notes = (*draft.notes, *general, *missing)
    told = how.model_dump(mode="json", exclude={"out", "force"})
    about = {
        "builder": draft.builder,
        "arguments": {**draft.arguments, **told},
        "counts": count(placed),
        "leakage": leakage.model_dump(mode="json"),
        "notes": notes,
        "left_out": left_out,
    }
    table = write_dataset(how.out, placed, about, parquet=how.parquet)
    return Built(
        table=table,
        rows=placed,
        leakage=leakage,
        notes=(*notes, *(f"{n} left out: {why}" for why, n in left_out.items())),
    )


def _refuse_overwriting(how: How) -> None:
    if (how.out / TABLE).exists() and not how.force:
        ours = (how.out / ABOUT).exists()
        raise DataError(
            f"{how.out / TABLE} exists" + ("" if ours else ", and was not made here"),
            hint="another --out, or --force to write over it",
        )


def _reasons(left_out: Mapping[str, int]) -> str:
    return "; ".join(f"{n} left out: {why}" for why, n in left_out.items())


def _settle_doubles(rows: Sequence[Row], *, drop: bool) -> list[Row]:
    """Rows without doubles: the first of equal files stays, unless they contradict each other."""
    same: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        same[row.sha256].append(row)
    doubled = {key: found for key, found in same.items() if len(found) > 1}
    if doubled and not drop:
        first, second, *_ = next(iter(doubled.values()))
        raise DataError(
            f"{first.file} and {second.file} are the same file ({len(doubled)} films are doubled)",
            hint="--drop-doubled keeps one of each, and none where their labels differ",
        )
    kept = {key: found[0] for key, found in same.items() if all(row.labels == found[0].labels for row in found)}
    return [row for row in rows if kept.get(row.sha256) is row]


def _placed(row: Row, where: Mapping[Path, Path], out: Path) -> Row:
    """The row as ``labels.csv`` says it: paths below the data set are relative, others absolute."""
    names = {"file": _relative(where[Path(row.file)], out)}
    if row.lung_mask:
        names["lung_mask"] = _relative(Path(row.lung_mask), out)
    return row.model_copy(update=names)


def _relative(path: Path, out: Path) -> str:
    whole, base = path.parent.resolve() / path.name, out.resolve()  # a link keeps the name it is known by
    return whole.relative_to(base).as_posix() if whole.is_relative_to(base) else whole.as_posix()


def count(rows: Sequence[Row]) -> dict[str, object]:
    """Films, patients, and how often each class is in each split."""
    classes = Counter((row.split, *one) for row in rows for one in row.classes())
    return {
        "films": {split: sum(row.split == split for row in rows) for split in SPLITS},
        "patients": {split: len({row.patient_id for row in rows if row.split == split}) for split in SPLITS},
        "classes": {
            column: {
                word: {split: classes[split, column, word] for split in SPLITS}
                for word in sorted({key[2] for key in classes if key[1] == column})
            }
            for column in columns_of(rows)
        },
    }
