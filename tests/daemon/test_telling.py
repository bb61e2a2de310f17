"""Rows as sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cxrd.store.schema import JobKind, JobState
from cxrd.store.views import QueueRow, StudyView
from cxrd.telling import Line, explain, standing, steps

NOW = 1_700_000_000.0


def study(**job: Any) -> StudyView:
    """A study with one job."""
    row = {"id": 1, "kind": "deliver", "lane": "pacs", "state": "ready", "attempts": 0, "due": NOW, "err": "", **job}
    row = {"finished_at": NOW, "owner": "w1", **row}
    return StudyView("1.2", "", "reported", "", "", NOW, NOW, (), (), (), (), (), (row,), ())


def told(row: QueueRow | None = None, **job: Any) -> str:
    """What happens next to one job."""
    (step,) = steps(study(**job), [row] if row else [], ["pacs"], NOW, str)
    return step.next


@pytest.mark.parametrize("kind", JobKind)
@pytest.mark.parametrize("state", JobState)
def test_every_job_has_a_sentence(kind: JobKind, state: JobState) -> None:
    """Whatever kinds there are."""
    assert told(kind=str(kind), state=str(state))


def test_waiting_says_for_what() -> None:
    """For time, a worker, a destination or a person."""

    def lane(*, paused: bool, closed_until: float | None) -> QueueRow:
        return QueueRow("deliver", "pacs", 0, 1, 0, 0, 0, NOW, paused=paused, closed_until=closed_until)

    assert "will be sent as soon as a worker is free" == told()
    assert "will be tried again in 2 min 5 s" == told(due=NOW + 125, attempts=3)
    assert "waits until pacs is resumed" == told(lane(paused=True, closed_until=None))
    assert "pacs does not answer; asked again in 40 s" == told(lane(paused=False, closed_until=NOW + 40))
    assert "stopped" == told(state="dead")


def test_a_host_speaks_for_its_own_configuration_alone() -> None:
    """A destination that it does not know may be another host's, which was reloaded first."""

    def step(**of_lane: Any) -> tuple[str, str]:
        lane = QueueRow("deliver", "new", 0, 1, 0, 0, 0, NOW, **{"paused": False, "closed_until": None, **of_lane})
        (found,) = steps(study(lane="new"), [lane], ["pacs"], NOW, str)
        return found.next, found.todo

    served, todo = step(seen_at=NOW - 40)
    assert "new is not in this host's configuration, and was served 40 s ago" == served
    assert "reload" in todo
    assert "cancel" not in todo
    for seen_at in (None, NOW - 86_400):
        unserved, todo = step(seen_at=seen_at)
        assert "new is not in this host's configuration, and nobody has served it of late" == unserved
        assert "cxrd queue cancel 1" in todo
    assert "waits until new is resumed" == step(seen_at=NOW, paused=True)[0]
    assert "old is not in this host's configuration" == told(lane="old", kind="fetch")


def test_a_stage_of_a_newer_version_is_said_as_it_stands() -> None:
    """While hosts are upgraded one by one, an older one reads what a newer one has written."""
    for state in JobState:
        assert told(kind="anonymise", lane="", state=str(state))
    assert "anonymise" in told(kind="anonymise", lane="")
    story = explain(study(kind="anonymise", lane=""), [], [], NOW, str)
    assert ["next: anonymise"] == [line.about for line in story if line.about.startswith("next")]


def test_a_state_of_a_newer_version_is_no_promise() -> None:
    """Neither of a job nor of a study is anything said that only looks so."""
    assert "a newer version knows" == told(state="postponed")
    newer = replace(study(state="postponed"), state="archived")
    assert Line("study", f"archived: a newer version knows; from an unknown source, 0 image(s), the last at {NOW}") in (
        explain(newer, [], [], NOW, str)
    )
    assert "none of its objects could be filed" == standing(replace(newer, state="quarantined"))


def test_a_paused_archive_is_resumed_by_the_command_of_archives() -> None:
    """And a destination by that of destinations."""
    for kind, command in (("fetch", "cxrd backfill resume pacs"), ("deliver", "cxrd queue resume pacs")):
        lane = QueueRow(kind, "pacs", 0, 1, 0, 0, 0, NOW, paused=True, closed_until=None)
        (step,) = steps(study(kind=kind), [lane], ["pacs"], NOW, str)
        assert command == step.todo
