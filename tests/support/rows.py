"""Rows as the daemon makes them, for tests of the store and of those who read it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from cxrd.findings import (
    Answer,
    Applicability,
    ArtefactKind,
    ClassRole,
    FilmAnalysis,
    FilmRef,
    Finding,
    ModelAnswer,
    ModelRef,
    StudyAnalysis,
    View,
)
from cxrd.store import arrivals, jobs, results
from cxrd.store.arrivals import Arrival, Received
from cxrd.store.database import Database
from cxrd.store.schema import JobKind
from cxrd.vocabulary import TERMS

STUDY = "1.2.3"
SC_CLASS, SR_CLASS = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.34"


def arrival(number: int = 1, **changes: Any) -> Arrival:
    """The ``number``-th image of a study."""
    known = {
        "sop_uid": f"{STUDY}.{number}",
        "sop_class": "1.2.840.10008.5.1.4.1.1.1",
        "study_uid": STUDY,
        "series_uid": f"{STUDY}.0",
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "sha256": f"{number:064d}",
        "size": 10,
        "source": "pacs",
        "calling_ae": "PACS",
    }
    return Arrival(**{**known, **changes})


def arrive(database: Database, *numbers: int, **changes: Any) -> list[Received]:
    """Receive images, each in a transaction of its own."""
    found = []
    for number in numbers or (1,):
        with database.write() as connection:
            found.append(arrivals.receive(connection, database.now(connection), arrival(number, **changes)))
    return found


def claim(database: Database, kind: JobKind = JobKind.INFER, **changes: Any) -> list[jobs.Claim]:
    """Claim what is due, as worker ``w1``."""
    wanted: dict[str, Any] = {"owner": "w1", "limit": 16, "lease_s": 60.0, **changes}
    with database.write() as connection:
        return jobs.claim(connection, database.now(connection) + 0.001, kind, **wanted)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query."""
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def analysis(digest: str = "a", films: int = 1) -> StudyAnalysis:
    """An analysis of a study with one present finding on each film."""
    model = ModelRef(id="tiny", version="1.0.0", digest="0" * 64)
    term = TERMS["Pneumonia"]
    finding = Finding(
        class_id="Pneumonia",
        role=ClassRole.FINDING,
        code=term.code,
        site=term.site,
        probability=0.9,
        threshold=0.5,
        answer=Answer.PRESENT,
    )
    answer = ModelAnswer(model=model, applicability=Applicability.INSIDE, findings=(finding,))
    found = tuple(
        FilmAnalysis(
            film=FilmRef(
                study_uid=STUDY,
                series_uid=f"{STUDY}.0",
                sop_uid=f"{STUDY}.{n}",
                sop_class="1.2.840.10008.5.1.4.1.1.1",
                sha256=f"{n:064d}",
                rows=100,
                columns=100,
                view=View.PA,
            ),
            answers=(answer,),
        )
        for n in range(1, films + 1)
    )
    return StudyAnalysis(
        study_uid=STUDY, films=found, input_digest=digest * 64, model_digest="m" * 64, config_digest="c" * 64
    )


def artefacts(prefix: str = "9", sha256: str = "f" * 64) -> list[results.NewArtefact]:
    """One SC and one SR."""
    return [
        results.NewArtefact(
            kind=kind, sop_class=klass, sop_uid=f"{prefix}.{number}", sha256=sha256, size=1, supersedes=None
        )
        for number, (kind, klass) in enumerate([(ArtefactKind.SC, SC_CLASS), (ArtefactKind.SR, SR_CLASS)])
    ]


def reported(database: Database, digest: str = "a", **sends: tuple[ArtefactKind, ...]) -> int:
    """Take a received study to "reported"; the inference's id."""
    wanted = sends or {"pacs": (ArtefactKind.SR, ArtefactKind.SC)}
    with database.write() as connection:
        made = record(connection, database.now(connection), digest)
        results.record_artefacts(
            connection, database.now(connection), made, artefacts(f"9.{made}"), wanted, priority=50
        )
    return made


def record(connection: Connection, now: float, digest: str = "a") -> int:
    """Record an analysis that is new."""
    made = results.record_inference(connection, now, analysis(digest))
    assert made is not None
    return made
