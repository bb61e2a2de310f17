"""``cxrd dataset``: one command for each kind of source, and one that checks what they wrote."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cxrd_models.console import told
from cxrd_models.dataset.build import Built, Draft, How, build
from cxrd_models.dataset.checking import built_tables, check_folder, check_tables
from cxrd_models.dataset.content import Wishes as ContentWishes
from cxrd_models.dataset.content import read_content
from cxrd_models.dataset.covid import read_covid
from cxrd_models.dataset.dicom import read_dicom
from cxrd_models.dataset.feedback import Store, read_feedback
from cxrd_models.dataset.folder import read_folder
from cxrd_models.dataset.nih import Wishes, boxes_csv, read_nih
from cxrd_models.dataset.nih_tables import read_boxes
from cxrd_models.dataset.rows import read_rows
from cxrd_models.dataset.table import Columns, read_labels
from cxrd_models.train.watch import Watch
from cxrd_models.writing import write_atomically, writing

NO_SALT = "without --salt, pseudonyms and splits are others the next time"

app = typer.Typer(help="Make labels.csv from films and tables, and check it.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="Folder for labels.csv and dataset.json.")]
Task = Annotated[str, typer.Option(help="pneumonia, paediatric, covid3, atel3 or nih14; else by the class names.")]
Map = Annotated[list[str] | None, typer.Option("--map", help="What a word means, as 'Viral Pneumonia=viral'.")]
Salt = Annotated[str, typer.Option(envvar="CXRD_SALT", help="Key of the patients' pseudonyms; else one for this run.")]
Column = Annotated[str, typer.Option(help="Name of that column; empty where the table has none.")]
Ratios = Annotated[str, typer.Option(help="Shares of train, val and test.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same splits.")]
Resplit = Annotated[bool, typer.Option("--resplit", help="Divide anew, whatever the source says.")]
Drop = Annotated[bool, typer.Option("--drop-doubled", help="Keep one of equal files.")]
Parquet = Annotated[bool, typer.Option("--parquet", help="Write labels.parquet too.")]
Force = Annotated[bool, typer.Option("--force", help="Write over a data set that is there.")]


@app.command()
def folder(  # noqa: PLR0913 - one argument for each option of the command
    films: Annotated[Path, typer.Argument(help="DIR/CLASS/film, or DIR/train/CLASS/film and so on.")],
    *,
    out: Out,
    task: Task = "",
    patient: Annotated[str, typer.Option(help="Expression that finds the patient in a film's path.")] = "",
    mapping: Map = None,
    source: Annotated[str, typer.Option(help="Name of the collection; else the folder's.")] = "",
    ratios: Ratios = "0.8,0.1,0.1",
    seed: Seed = 0,
    resplit: Resplit = False,
    drop_doubled: Drop = False,
    parquet: Parquet = False,
    force: Force = False,
) -> None:
    """Read class folders, with or without splits above them (Kermany's chest_xray, say).

    Example: cxrd dataset folder chest_xray --task pneumonia --map 'NORMAL=normal' --out data
    """
    how = How(
        out=out, ratios=ratios, seed=seed, resplit=resplit, drop_doubled=drop_doubled, parquet=parquet, force=force
    )
    _make(how, lambda: read_folder(films, task=task, patient=patient, mapping=mapping or (), source=source))


@app.command()
def nih(  # noqa: PLR0913 - one argument for each option of the command
    tables: Annotated[Path, typer.Argument(help="Folder with Data_Entry_2017*.csv, the lists and the boxes.")],
    images: Annotated[Path, typer.Option(help="Folder with the films, at any depth.")],
    *,
    out: Out,
    official: Annotated[bool, typer.Option("--official", help="Keep the published test list.")] = False,
    drop_mixed: Annotated[bool, typer.Option("--drop-mixed", help="No atelectasis beside others in atel3.")] = False,
    subset: Annotated[int, typer.Option(min=0, help="Films to keep, in all's shares of age and sex; 0 all.")] = 0,
    partial: Annotated[bool, typer.Option("--partial", help="Leave out films that are not there.")] = False,
    ratios: Ratios = "0.8,0.1,0.1",
    seed: Seed = 0,
    resplit: Resplit = False,
    drop_doubled: Drop = False,
    parquet: Parquet = False,
    force: Force = False,
) -> None:
    """Read NIH ChestX-ray14 as published: 14 findings, three classes of atelectasis, and the boxes.

    Example: cxrd dataset nih tables --images images --official --out data
    """
    how = How(
        out=out, ratios=ratios, seed=seed, resplit=resplit, drop_doubled=drop_doubled, parquet=parquet, force=force
    )
    wishes = Wishes(drop_mixed=drop_mixed, subset=subset, official=official, partial=partial, seed=seed)
    with told():
        boxes = read_boxes(tables)  # a table that cannot be read is told before a film is
        built = _make(how, lambda: read_nih(tables, images, wishes))
        if boxes or (out / "boxes.csv").exists():
            with writing(out):
                write_atomically(out / "boxes.csv", boxes_csv(boxes, built.rows))


@app.command()
def covid(  # noqa: PLR0913 - one argument for each option of the command
    films: Annotated[Path, typer.Argument(help="Folder with COVID, Normal and Viral Pneumonia.")],
    *,
    out: Out,
    ratios: Ratios = "0.8,0.1,0.1",
    seed: Seed = 0,
    drop_doubled: Drop = False,
    parquet: Parquet = False,
    force: Force = False,
) -> None:
    """Read the COVID-19 Radiography database with its lung masks.

    Example: cxrd dataset covid COVID-19_Radiography_Dataset --out data
    """
    how = How(out=out, ratios=ratios, seed=seed, drop_doubled=drop_doubled, parquet=parquet, force=force)
    _make(how, lambda: read_covid(films))


@app.command("csv")
def table(  # noqa: PLR0913 - one argument for each option of the command
    labels: Annotated[Path, typer.Argument(help="CSV that names a film and what it shows on each line.")],
    *,
    out: Out,
    images: Annotated[Path | None, typer.Option(help="Where file names start; else the table's folder.")] = None,
    task: Task = "",
    mapping: Map = None,
    file: Column = "file",
    label: Column = "label",
    patient: Column = "patient_id",
    split: Column = "",
    source: Column = "",
    view: Column = "",
    age: Column = "",
    sex: Column = "",
    ratios: Ratios = "0.8,0.1,0.1",
    seed: Seed = 0,
    resplit: Resplit = False,
    drop_doubled: Drop = False,
    parquet: Parquet = False,
    force: Force = False,
) -> None:
    """Read any table of films.

    Example: cxrd dataset csv films.csv --file path --label finding --patient id --out data
    """
    how = How(
        out=out, ratios=ratios, seed=seed, resplit=resplit, drop_doubled=drop_doubled, parquet=parquet, force=force
    )
    columns = Columns(file=file, label=label, patient=patient, split=split, source=source, view=view, age=age, sex=sex)
    _make(how, lambda: read_labels(labels, columns, images=images, task=task, mapping=mapping or ()))


@app.command()
def dicom(  # noqa: PLR0913 - one argument for each option of the command
    films: Annotated[Path, typer.Argument(help="Folder with DICOM files, at any depth.")],
    labels: Annotated[Path, typer.Option(help="CSV: label, and file, a UID or an accession number.")],
    *,
    out: Out,
    task: Task = "",
    mapping: Map = None,
    salt: Salt = "",
    ratios: Ratios = "0.8,0.1,0.1",
    seed: Seed = 0,
    drop_doubled: Drop = False,
    parquet: Parquet = False,
    force: Force = False,
) -> None:
    """Read DICOM films; they are written as pictures, and names and numbers of people stay behind.

    Example: cxrd dataset dicom export --labels findings.csv --out data
    """
    how = How(out=out, ratios=ratios, seed=seed, drop_doubled=drop_doubled, parquet=parquet, force=force)
    _make(how, lambda: _salted(salt, lambda key: read_dicom(films, labels, salt=key, task=task, mapping=mapping or ())))


@app.command()
def feedback(  # noqa: PLR0913 - one argument for each option of the command
    verdicts: Annotated[Path, typer.Argument(help="CSV: study_uid, class, verdict (present, confirmed, ...).")],
    database: Annotated[str, typer.Option(envvar="CXRD_DATABASE_URL", help="URL of the node's database.")],
    payloads: Annotated[Path, typer.Option(help="Folder of the node's payload store.")],
    task: Annotated[str, typer.Option(help="pneumonia, paediatric, covid3, atel3, nih14, or a package's folder.")],
    *,
    out: Out,
    salt: Salt = "",
    ratios: Ratios = "0.8,0.1,0.1",
    seed: Seed = 0,
    drop_doubled: Drop = False,
    parquet: Parquet = False,
    force: Force = False,
) -> None:
    """Read the node's own studies that people have judged since; the database is only read.

    Example: cxrd dataset feedback verdicts.csv --database sqlite:///var/cxrd.db --payloads var/payload --task nih14
    --out data
    """
    how = How(out=out, ratios=ratios, seed=seed, drop_doubled=drop_doubled, parquet=parquet, force=force)
    store = Store(database=database, payloads=payloads)
    _make(how, lambda: _salted(salt, lambda key: read_feedback(store, verdicts, task, key)))


@app.command()
def content(
    films: Annotated[Path, typer.Argument(help="A data set of frontal films, with a folder `ood` of what is none.")],
    *,
    out: Out,
    fold: Annotated[int, typer.Option(min=0, max=3, help="Which quarter of `ood` is never trained on.")] = 0,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Make the data of the content check: frontal films, laterals, and what is no chest film.

    Example: cxrd dataset content cxr-open --out content
    """
    how = How(out=out, seed=seed, drop_doubled=True, force=force)
    _make(how, lambda: read_content(films, out.resolve(), ContentWishes(fold=fold, seed=seed)))


@app.command()
def check(data: Annotated[Path, typer.Argument(help="Folder with a labels.csv.")]) -> None:
    """Say what a data set holds, what leaks between its splits, and what gives its labels away; 1 on a leak.

    Example: cxrd dataset check data
    """
    with told() as console:
        with Watch(console=console).bar("reading films", len(read_rows(data))) as bar:
            found = check_folder(data, bar.advance)
        for each in check_tables(found):
            Console().print(each)  # the answer is for stdout, progress for stderr
    if found.leakage.broken:
        raise typer.Exit(1)


def _salted(given: str, read: Callable[[str], Draft]) -> Draft:
    """Read with the key that was given, else with one that nobody will know, and say what follows from that."""
    draft = read(given or secrets.token_hex())
    return draft if given else draft.model_copy(update={"notes": (*draft.notes, NO_SALT)})


def _make(how: How, read: Callable[[], Draft]) -> Built:
    """Read a source, write the data set, tell what is in it, and print the table's path."""
    with told() as console:
        draft = read()
        with Watch(console=console).bar("reading films", len(draft.rows)) as bar:
            built = build(draft, how, bar.advance)
        for each in built_tables(built):
            console.print(each)
        for note in built.notes:
            console.print(f"note: {note}", highlight=False, markup=False)
        typer.echo(built.table)
    return built
