"""What models saw and said of each film, in a few numbers: small enough to keep, enough to see drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from cxrd.store import schema


@dataclass(frozen=True, slots=True)
class Seen:
    """One model and one film.

    Attributes
    ----------
    inputs : dict of str to float
        Statistics of what the model was fed, see :data:`cxrd.inference.reference.STATISTICS`.
    scores : dict of str to float
        Calibrated probability of each class, 0..1; empty where the film is outside the model's intended use.
    """

    model: str
    version: str
    inputs: dict[str, float]
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Observation:
    """One film of a source, as every model saw it."""

    source: str
    seen: tuple[Seen, ...]


def record(
    connection: Connection, now: float, inference_id: int, study_uid: str, films: Sequence[Sequence[Seen]]
) -> None:
    """Note the films of one analysis."""
    source = connection.execute(select(schema.study.c.source).where(schema.study.c.uid == study_uid)).scalar_one()
    rows = [
        {"inference_id": inference_id, "source": source, "at": now, "seen": [asdict(one) for one in film]}
        for film in films
    ]
    connection.execute(insert(schema.observation), rows)


def newest(connection: Connection, films: int) -> list[Observation]:
    """Return at most so many films, the newest first."""
    o = schema.observation.c
    found = connection.execute(select(o.source, o.seen).order_by(o.id.desc()).limit(films))
    return [Observation(source, tuple(Seen(**one) for one in seen)) for source, seen in found]
