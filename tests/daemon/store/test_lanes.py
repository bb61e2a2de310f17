"""Destinations as lanes: caps hold under concurrency, a closed or paused one holds up nobody."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from cxrd.store import jobs, lanes
from cxrd.store.database import Database
from cxrd.store.schema import JobKind
from support.rows import rows

CAPS = {"slow": 2, "quick": 2}


def queue(database: Database, lane: str, count: int, *, priority: int = 50) -> None:
    """Deliveries that are due."""
    with database.write() as connection:
        lanes.register(connection, list(CAPS))
        now = database.now(connection) - 1
        for i in range(count):
            jobs.enqueue(
                connection, now, JobKind.DELIVER, dedupe=f"{lane}{priority}{i}", study_uid=str(i), priority=priority,
                payload={}, lane=lane,
            )  # fmt: skip


def claim(database: Database, owner: str = "w", caps: Mapping[str, int] = CAPS, ahead: float = 0) -> str | None:
    """Lane of the claimed job."""
    with database.write() as connection:
        held = lanes.claim(connection, database.now(connection) + ahead, caps, owner=owner, lease_s=60)
    return held[0].lane if held else None


def test_a_lane_at_its_cap_gives_way_to_others(database: Database) -> None:
    """Two senders of one destination never keep a third from another."""
    queue(database, "slow", 9)
    queue(database, "quick", 1)
    assert sorted(str(claim(database, f"w{i}")) for i in range(4)) == ["None", "quick", "slow", "slow"]


def test_urgent_results_go_first_over_all_lanes(database: Database) -> None:
    """STAT before routine, whatever came earlier."""
    queue(database, "slow", 1)
    queue(database, "quick", 1, priority=0)
    assert claim(database) == "quick"


def test_the_cap_holds_when_many_claim_at_once(database: Database) -> None:
    """The count is repeated under the lock of the lane's row."""
    queue(database, "slow", 40)
    with ThreadPoolExecutor(8) as pool:
        taken = [lane for lane in pool.map(lambda i: claim(database, f"w{i}"), range(24)) if lane]
    assert len(taken) <= 2
    assert rows(database, "SELECT count(*) FROM job WHERE state = 'leased'")[0][0] == len(taken)


def test_a_closed_lane_opens_with_one_sender(database: Database) -> None:
    """Five failures close it; after the pause a single sender knocks, and an answer opens it for all."""
    queue(database, "slow", 5)
    with database.write() as connection:
        now = database.now(connection)
        assert [0.0] * 4 == [lanes.failed(connection, now, "slow", jitter=1) for _ in range(4)]
        until = lanes.failed(connection, now, "slow", jitter=1)
        assert until > now
        lanes.failed(connection, now, "slow", jitter=1)
        assert lanes.failed(connection, now, "slow", jitter=1) > until, "the pause grows"
    assert claim(database) is None
    assert ["slow", None] == [claim(database, ahead=700) for _ in range(2)]
    with database.read() as connection:
        assert lanes.must_knock(connection, "slow")
    with database.write() as connection:
        lanes.answered(connection, database.now(connection), "slow")
    assert claim(database) == "slow"
    told = [what for (what,) in rows(database, "SELECT what FROM audit ORDER BY id")]
    assert told == ["destination_closed", "destination_open"]


def test_a_paused_lane_waits_for_its_operator(database: Database) -> None:
    """Both words are in the audit trail, with who said them."""
    queue(database, "slow", 1)
    with database.write() as connection:
        assert lanes.pause(connection, 1.0, "slow", paused=True, actor="ann")
        assert not lanes.pause(connection, 1.0, "nowhere", paused=True, actor="ann")
    assert claim(database) is None
    with database.write() as connection:
        lanes.pause(connection, 2.0, "slow", paused=False, actor="bob")
    assert claim(database) == "slow"
    assert [("destination_paused", "ann"), ("destination_resumed", "bob")] == rows(
        database, "SELECT what, actor FROM audit ORDER BY id"
    )


def test_a_destination_of_another_host_is_no_stray(database: Database) -> None:
    """Not while a role there serves it, and not before one can have said so, whatever the configuration here names."""
    queue(database, "slow", 1)
    hour = lanes.UNSEEN_S
    with database.write() as connection:
        now = database.now(connection)
        assert lanes.bury_strays(connection, now, []) == 0, "its build role was told first"
        lanes.serve(connection, now + 10 * hour, ["slow"])
        assert lanes.bury_strays(connection, now + 10.9 * hour, []) == 0
        assert lanes.bury_strays(connection, now + 11.1 * hour, ["slow"]) == 0
        assert lanes.bury_strays(connection, now + 11.1 * hour, []) == 1


def test_a_clock_that_was_set_back_keeps_no_stray_for_long(database: Database) -> None:
    """A time from the future would be one of late for ever."""
    queue(database, "slow", 1)
    hour = lanes.UNSEEN_S
    with database.write() as connection:
        now = database.now(connection)
        lanes.serve(connection, now + 1000 * hour, ["slow"])
        assert lanes.clamp(connection, now) == 1
        assert lanes.clamp(connection, now) == 0
        assert lanes.bury_strays(connection, now + 2 * hour, []) == 1


def test_a_clock_that_was_set_back_closes_no_lane_for_long(database: Database) -> None:
    """No pause is longer than its cap."""
    queue(database, "slow", 1)
    with database.write() as connection:
        for _ in range(5):
            lanes.failed(connection, database.now(connection) + 3600, "slow", jitter=1)
        assert lanes.clamp(connection, database.now(connection)) == 1
    assert claim(database, ahead=0.1) == "slow"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_lane_that_another_decides_on_is_passed_over(database: Database) -> None:
    """Nobody waits for the row lock of a destination, and nobody counts its senders while another one does."""
    queue(database, "slow", 2)
    with database.write() as one, database.write() as two:
        assert lanes.claim(one, database.now(one), CAPS, owner="a", lease_s=60)
        assert not lanes.claim(two, database.now(two), CAPS, owner="b", lease_s=60)
