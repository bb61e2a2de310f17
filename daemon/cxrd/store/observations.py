"""What models saw and said of each film, in a few numbers: small enough to keep, enough to see drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from cxrd.inference.lifecycle import Stage
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


@dataclass(frozen=True, slots=True)
class Pair:
    """What a model that looks on gave for a film that another version of it answered."""

    film: str
    active: dict[str, float]
    shadow: dict[str, float]


def record(
    connection: Connection,
    now: float,
    inference_id: int,
    study_uid: str,
    films: Mapping[str, Sequence[Seen]],
    stage: Stage = Stage.ACTIVE,
) -> None:
    """Note the films of one analysis.

    Parameters
    ----------
    films : Mapping
        sha256 (hex) of a film's bytes to what models of ``stage`` said of it.
    """
    source = connection.execute(select(schema.study.c.source).where(schema.study.c.uid == study_uid)).scalar_one()
    same = {"inference_id": inference_id, "source": source, "at": now, "stage": str(stage)}
    rows = [{**same, "film": film, "seen": [asdict(one) for one in seen]} for film, seen in films.items()]
    connection.execute(insert(schema.observation), rows)


def newest(connection: Connection, films: int, stage: Stage = Stage.ACTIVE) -> list[Observation]:
    """Return at most so many films as models of a stage saw them, the newest first."""
    o = schema.observation.c
    found = connection.execute(select(o.source, o.seen).where(o.stage == stage).order_by(o.id.desc()).limit(films))
    return [Observation(source, tuple(Seen(**one) for one in seen)) for source, seen in found]


def pairs(connection: Connection, model: str, version: str, films: int, against: str = "") -> list[Pair]:
    """Films that a version judged as shadow beside the one that answered, the newest first, each once.

    Parameters
    ----------
    films : int
        At most so many of its observations are looked at.
    against : str
        Only films that this version answered; "" for whichever did.
    """
    shadow, active = schema.observation.alias("shadow"), schema.observation.alias("active")
    together = (active.c.inference_id == shadow.c.inference_id) & (active.c.film == shadow.c.film)
    rows = connection.execute(
        select(shadow.c.film, active.c.seen, shadow.c.seen)
        .join(active, together & (active.c.stage == Stage.ACTIVE))
        .where(shadow.c.stage == Stage.SHADOW, shadow.c.film != "")
        .order_by(shadow.c.id.desc())
        .limit(films)
    )
    found: dict[str, Pair] = {}
    for film, answered, looked_on in rows:
        theirs = [s for s in answered if s["model"] == model and against in ("", s["version"])]
        ours = [s for s in looked_on if (s["model"], s["version"]) == (model, version)]
        if theirs and ours and film not in found:
            found[film] = Pair(film, theirs[0]["scores"], ours[0]["scores"])
    return list(found.values())
