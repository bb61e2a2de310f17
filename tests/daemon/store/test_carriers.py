"""A study waits for the associations that still carry it, and never for one that is gone."""

from __future__ import annotations

from threading import Thread
from typing import Any

from cxrd.store import arrivals, carriers, interventions, jobs
from cxrd.store.arrivals import Arrival
from cxrd.store.database import Database
from support.rows import rows


def come(database: Database, image: str, association: str, study: str = "1.2", **changes: Any) -> float:
    """One image over one association; the time."""
    told: dict[str, Any] = {"quiet_period_s": 2.0, "hold_s": 30.0, **changes}
    arrival = Arrival(
        sop_uid=image, sop_class="1", study_uid=study, series_uid="1", transfer_syntax="1", sha256=image, size=1,
        source="pacs", calling_ae="PACS", association=association, **told,
    )  # fmt: skip
    with database.write() as connection:
        now = database.now(connection)
        arrivals.receive(connection, now, arrival)
    return now


def close(database: Database, association: str) -> None:
    """The association ends."""
    with database.write() as connection:
        carriers.let_go(connection, database.now(connection), association)


def wait(database: Database, since: float, study: str = "1.2") -> float:
    """Seconds from ``since`` until a study's job is due."""
    due: dict[str, float] = dict(rows(database, "SELECT study_uid, due FROM job"))
    return round(due[study] - since, 1)


def test_an_open_association_holds_its_study(database: Database) -> None:
    """A pause between two images that is longer than the quiet period does not part them."""
    came = come(database, "a", "one")
    assert wait(database, came) == 30
    close(database, "one")
    assert wait(database, came) == 2


def test_the_next_study_of_an_association_lets_the_last_one_go(database: Database) -> None:
    """A PACS may keep one association open all day."""
    came = come(database, "a", "one")
    come(database, "b", "one", study="9.9")
    assert wait(database, came) == 2
    assert wait(database, came, "9.9") >= 30


def test_the_last_association_decides(database: Database) -> None:
    """Two listeners may hold one study."""
    came = come(database, "a", "one")
    come(database, "b", "two")
    close(database, "one")
    assert wait(database, came) >= 30
    close(database, "two")
    assert wait(database, came) <= 2.5


def test_associations_that_end_together_let_their_study_go(database: Database) -> None:
    """Each would see the other's row, and neither would be the last."""
    came = come(database, "a", "one")
    come(database, "b", "two")
    other = Thread(target=close, args=(database, "two"))
    with database.write() as connection:
        carriers.let_go(connection, database.now(connection), "one")
        other.start()
        other.join(timeout=2)
    other.join(timeout=30)
    assert wait(database, came) <= 5


def test_a_dead_listeners_association_ends_by_itself(database: Database) -> None:
    """Its study is due when its hold ends, with or without the chore that removes the row."""
    come(database, "a", "one", hold_s=0.001)
    with database.write() as connection:
        assert carriers.forget(connection, database.now(connection) + 60) == 1
    assert [] == rows(database, "SELECT * FROM carrier")
    close(database, "one")


def test_a_late_image_reopens_and_a_resend_does_not(database: Database) -> None:
    """The same bytes change neither the revision nor the due time."""
    come(database, "a", "one", hold_s=0, quiet_period_s=0)
    before = rows(database, "SELECT rev, due FROM job")
    come(database, "a", "two", hold_s=0, quiet_period_s=50)
    assert before == rows(database, "SELECT rev, due FROM job")
    came = come(database, "b", "two", hold_s=0, quiet_period_s=50)
    assert [(2,)] == rows(database, "SELECT rev FROM job")
    assert wait(database, came) == 50


def test_what_is_not_due_for_long_is_delayed_until_it_is_soon(database: Database) -> None:
    """The claim never walks over it; an image that comes meanwhile, or an operator, brings it back."""
    come(database, "a", "", hold_s=0, quiet_period_s=600)
    assert [("delayed",)] == rows(database, "SELECT state FROM job")
    with database.write() as connection:
        now = database.now(connection)
        assert jobs.promote(connection, now, ahead_s=60) == 0
        assert jobs.promote(connection, now + 550, ahead_s=60) == 1
    assert [("ready",)] == rows(database, "SELECT state FROM job")
    come(database, "b", "", hold_s=0, quiet_period_s=600)
    with database.write() as connection:
        assert interventions.requeue(connection, database.now(connection), study_uid="1.2", actor="ann") == 1
    assert [("ready",)] == rows(database, "SELECT state FROM job")


def test_a_clock_that_was_set_back_delays_nothing_for_long(database: Database) -> None:
    """Jobs and leases from the future are brought back; what is due by right stays."""
    come(database, "a", "", hold_s=0, quiet_period_s=50)
    come(database, "b", "", study="9.9", hold_s=0, quiet_period_s=4000)
    with database.write() as connection:
        now = database.now(connection)
        assert jobs.clamp(connection, now, longest_wait_s=600, lease_s=60) == 1
    assert wait(database, now, "9.9") == 0
    assert wait(database, now) > 40
