"""Studies that the node analysed and a person has judged since: its own cases, back for the next training.

The node's database knows no reviewers, so their verdicts come as a table. Everything else is read from the
database, read only, and from the payload store; the tables are named here as they lie in the database, because the
trainer reuses nothing that could write to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, bindparam, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from cxrd.errors import CxrdError
from cxrd.findings import Answer, StudyAnalysis, Value
from cxrd.imaging.header import read_header
from cxrd.imaging.header import text as value_of
from cxrd_models.data.cells import read_table
from cxrd_models.data.own import made_for
from cxrd_models.data.tasks import Task, task_of
from cxrd_models.dataset.build import Draft
from cxrd_models.dataset.dicom import row_of
from cxrd_models.dataset.rows import Row
from cxrd_models.dataset.words import LATERAL
from cxrd_models.errors import DataError

SAID = {"present": True, "absent": False}
ABOUT_ANSWER = {"confirmed": True, "rejected": False}
FILMS = "SELECT sop_uid, sha256 FROM instance WHERE study_uid = :uid AND state = 'admitted' ORDER BY sop_uid"
ANSWERS = "SELECT output FROM inference WHERE study_uid = :uid ORDER BY id DESC LIMIT 1"


class Verdict(Value):
    """A reviewer's word on one class of a study: present, absent, or confirmed or rejected of the node's answer."""

    row: int
    study_uid: str
    name: str
    word: str


class Store(Value):
    """Where the node keeps what it received."""

    database: str
    payloads: Path


def read_verdicts(table: Path, task: Task) -> dict[str, list[Verdict]]:
    """Verdicts of each study.

    Raises
    ------
    DataError
        A missing column, a class the task does not know, another word, or two verdicts on the same; names the row.
    """
    found: dict[str, dict[str, Verdict]] = defaultdict(dict)
    for number, line in enumerate(read_table(table, ("study_uid", "class", "verdict")), 2):
        name, word = line["class"], line["verdict"].lower()
        if not line["study_uid"]:
            raise DataError(f"{table} row {number}: study_uid is empty")
        if name not in task.classes:
            raise DataError(f"{table} row {number}: class {name!r} is not one of {task.id}: {', '.join(task.classes)}")
        if word not in SAID | ABOUT_ANSWER:
            raise DataError(f"{table} row {number}: verdict {word!r} is not present, absent, confirmed or rejected")
        verdict = Verdict(row=number, study_uid=line["study_uid"], name=name, word=word)
        first = found[verdict.study_uid].setdefault(name, verdict)
        if first.word != word:
            raise DataError(f"{table} row {number}: study and class are in row {first.row} too, as {first.word}")
    return {uid: list(verdicts.values()) for uid, verdicts in found.items()}


def label_of(task: Task, present: Mapping[str, bool]) -> str:
    """Cell of the label column by what is known present and absent; "" where that leaves a class open."""
    true = [name for name in task.classes if present.get(name)]
    if task.exclusive:
        left = [name for name in task.classes if name not in present]
        if len(true) == 1:
            return true[0]
        return left[0] if not true and len(left) == 1 else ""  # of all classes but one it is known that they are not
    if any(name not in present for name in task.classes):
        return ""
    return "|".join(true) or task.absent


def read_feedback(store: Store, verdicts: Path, task_id: str, salt: str) -> Draft:
    """Read the admitted films of judged studies.

    Raises
    ------
    DataError
        The database or a payload cannot be read, or the verdicts cannot.
    RecipeError
        The task is unknown.
    """
    task = made_for(Path(task_id)) if Path(task_id).is_dir() else task_of(task_id)
    judged = read_verdicts(verdicts, task)
    engine = _read_only(store.database)
    left_out = dict.fromkeys(("study unknown to the database", "verdicts leave a class open", "lateral"), 0)
    rows: list[Row] = []
    try:
        with engine.connect() as connection:
            for uid, said in judged.items():
                films = _films(connection, uid)
                label = label_of(task, _present(connection, uid, said, verdicts)) if films else ""
                left_out["study unknown to the database"] += not films
                left_out["verdicts leave a class open"] += bool(films) and not label
                found = [_row(store.payloads, sha, {task.column: label}, salt) for _, sha in films if label]
                left_out["lateral"] += sum(row.view in LATERAL for row in found)
                rows += [row for row in found if row.view not in LATERAL]
    except SQLAlchemyError as fault:
        raise DataError(f"the node's database cannot be read: {type(fault).__name__}", hint="--database URL") from fault
    finally:
        engine.dispose()
    told: dict[str, str | int | float | bool | None] = {"verdicts": verdicts.name, "task": task.id}
    kept = {why: n for why, n in left_out.items() if n}
    return Draft(builder="feedback", rows=tuple(rows), arguments=told, left_out=kept)


def _read_only(url: str) -> Engine:
    """An engine that cannot write, whatever is asked of it."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, execution_options={"postgresql_readonly": True})
        path = Path(parsed.database or "")
        if not path.is_file():
            raise DataError(f"{path} does not exist", hint="--database sqlite:///path/to/cxrd.db")
        address = f"file:{quote(str(path.resolve()))}"
        return create_engine(URL.create("sqlite", database=address, query={"mode": "ro", "uri": "true"}))
    except (SQLAlchemyError, ImportError) as fault:
        raise DataError("the address of the database cannot be used", hint="as database.url of cxrd.toml") from fault


def _films(connection: Connection, uid: str) -> list[tuple[str, str]]:
    rows = connection.execute(text(FILMS).bindparams(bindparam("uid", uid)))
    return [(str(sop), str(sha)) for sop, sha in rows]


def _present(connection: Connection, uid: str, said: Sequence[Verdict], table: Path) -> dict[str, bool]:
    """Whether each judged class is there; a verdict on the node's answer is turned into one on the film."""
    about = [verdict for verdict in said if verdict.word in ABOUT_ANSWER]
    answers = _answers(connection, uid) if about else {}
    present = {verdict.name: SAID[verdict.word] for verdict in said if verdict.word in SAID}
    for verdict in about:
        if verdict.name not in answers:
            raise DataError(
                f"{table} row {verdict.row}: the node gave no single answer on {verdict.name} that could be "
                f"{verdict.word}",
                hint="say present or absent",
            )
        present[verdict.name] = answers[verdict.name] == ABOUT_ANSWER[verdict.word]
    return present


def _answers(connection: Connection, uid: str) -> dict[str, bool]:
    """Classes on which all films and models of the newest analysis agree."""
    output: Any = connection.execute(text(ANSWERS).bindparams(bindparam("uid", uid))).scalar()
    if output is None:
        return {}
    try:
        analysis = (
            StudyAnalysis.model_validate_json(output)
            if isinstance(output, str)
            else StudyAnalysis.model_validate(output)
        )
    except ValidationError as fault:
        raise DataError(f"analysis of study {uid} cannot be read: {fault.error_count()} faults") from fault
    heard: dict[str, set[Answer]] = defaultdict(set)
    for _, _, finding in analysis.findings():
        heard[finding.class_id].add(finding.answer)
    sure = {name: next(iter(words)) for name, words in heard.items() if len(words) == 1}
    return {name: word is Answer.PRESENT for name, word in sure.items() if word is not Answer.UNDETERMINED}


def _row(payloads: Path, digest: str, labels: dict[str, str], salt: str) -> Row:
    path = payloads / digest[:2] / digest[2:4] / digest
    try:
        header = read_header(path)
    except (OSError, CxrdError) as fault:
        raise DataError(f"payload {digest[:12]} cannot be read: {fault}", hint="--payloads, or a backup") from fault
    row = row_of(header, path, labels, salt)
    return row.model_copy(update={"source": f"feedback {value_of(header, 'Manufacturer')}".strip()})
