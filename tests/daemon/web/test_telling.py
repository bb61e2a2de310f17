"""Rows as sentences."""

from __future__ import annotations

from typing import Any

import pytest

from cxrd.store.schema import JobKind, JobState
from cxrd.store.views import QueueRow, StudyView
from cxrd.web.telling import steps

NOW = 1_700_000_000.0


def told(lane: QueueRow | None = None, **job: Any) -> str:
    """What happens next to one job."""
    row = {"id": 1, "kind": "deliver", "lane": "pacs", "state": "ready", "attempts": 0, "due": NOW, "err": "", **job}
    study = StudyView("1.2", "", "reported", "", "", NOW, NOW, (), (), (), (), (), ({"finished_at": NOW, **row},), ())
    (step,) = steps(study, {"pacs": lane} if lane else {}, NOW)
    return step.next


@pytest.mark.parametrize("kind", JobKind)
@pytest.mark.parametrize("state", JobState)
def test_every_job_has_a_sentence(kind: JobKind, state: JobState) -> None:
    """Whatever kinds there are."""
    assert told(kind=str(kind), state=str(state))


def test_waiting_says_for_what() -> None:
    """For time, a worker, a destination or a person."""

    def lane(*, paused: bool, closed_until: float | None) -> QueueRow:
        return QueueRow("deliver", "pacs", 0, 1, 0, 0, NOW, paused=paused, closed_until=closed_until)

    assert "will be sent as soon as a worker is free" == told()
    assert "will be tried again in 2 min 5 s" == told(due=NOW + 125, attempts=3)
    assert "waits until pacs is resumed" == told(lane(paused=True, closed_until=None))
    assert "pacs does not answer; asked again in 40 s" == told(lane(paused=False, closed_until=NOW + 40))
    assert "waits for a person: correct the cause, then retry" == told(state="dead")
