"""Rows of the store as sentences: what became of a study, and what happens next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxrd.store.schema import JobKind, JobState, StudyState
from cxrd.store.views import QueueRow, StudyView
from cxrd.web.rendering import clock, span

_DOING = {
    JobKind.INFER: "analysed",
    JobKind.BUILD: "made into objects",
    JobKind.DELIVER: "sent",
    JobKind.COMMITMENT: "asked about (storage commitment)",
    JobKind.FETCH: "fetched",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One job of a study for a person.

    Attributes
    ----------
    retry : bool
        It is dead: it waits for a person.
    """

    id: int
    name: str
    state: str
    attempts: int
    next: str
    error: str
    retry: bool


def steps(study: StudyView, lanes: Mapping[str, QueueRow], now: float) -> tuple[Step, ...]:
    """Every job of a study, with what happens next to it.

    Parameters
    ----------
    lanes : Mapping from destination to QueueRow
        Which are paused or left alone.
    now : float
        Epoch seconds of the database's clock.
    """
    return tuple(
        Step(
            id=job["id"],
            name=f"{job['kind']} {job['lane']}".strip(),
            state=job["state"],
            attempts=job["attempts"],
            next=_next(job, lanes.get(job["lane"]), now),
            error=job["err"],
            retry=job["state"] == JobState.DEAD,
        )
        for job in study.jobs
    )


def _next(job: Mapping[str, Any], lane: QueueRow | None, now: float) -> str:
    if job["state"] == JobState.DONE:
        return f"done {clock(job['finished_at'])}"
    if job["state"] == JobState.DEAD:
        return "waits for a person: correct the cause, then retry"
    if job["state"] == JobState.LEASED:
        return f"is being {_DOING[JobKind(job['kind'])]}"
    if lane is not None and lane.paused:
        return f"waits until {lane.lane} is resumed"
    if lane is not None and lane.closed_until is not None and lane.closed_until > now:
        return f"{lane.lane} does not answer; asked again in {span(lane.closed_until - now)}"
    wait = job["due"] - now
    again = "tried again" if job["attempts"] else _DOING[JobKind(job["kind"])]
    return f"will be {again} in {span(wait)}" if wait > 1 else f"will be {again} as soon as a worker is free"


def headline(study: StudyView) -> str:
    """Where a study stands, in a sentence."""
    stored = sum(row["stored_at"] is not None for row in study.deliveries)
    return {
        StudyState.RECEIVED.value: "Waits for its images to be complete, then for analysis.",
        StudyState.ANALYSED.value: "Analysed. Its objects are being made.",
        StudyState.REPORTED.value: f"{stored} of {len(study.deliveries)} deliveries have been taken.",
        StudyState.DELIVERED.value: "Every destination has taken its results.",
        StudyState.REFUSED.value: f"No image may be judged: {study.reason}.",
        StudyState.FAILED.value: f"Stopped, and waits for a person: {study.reason}.",
    }.get(study.state, f"Kept aside: {study.reason}.")
