"""An archive's past comes in, slice by slice, study by study; what does not come is named."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from cxrd.backfill.archive import fault_of
from cxrd.backfill.fetch import search
from cxrd.backfill.slices import plan
from cxrd.demo.pacs import StandInPacs
from cxrd.store import backfills, jobs, progress
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.store.schema import JobKind
from support.fetching import FIRST, LAST, Backfill, archive, listening, old_film
from support.node import free_port
from support.orthanc import orthanc
from support.rows import arrival, arrive, rows


def test_every_old_chest_film_comes_and_nothing_else(
    database: Database, payload: PayloadStore, pacs: StandInPacs
) -> None:
    """Of the range, of the modalities, and not of a hand; analysed after everything that is live."""
    two = old_film(pacs.folder)
    old_film(pacs.folder, StudyInstanceUID=two.StudyInstanceUID, SeriesInstanceUID=two.SeriesInstanceUID)
    hand = old_film(pacs.folder, BodyPartExamined="HAND")
    old_film(pacs.folder, day="20191231")
    old_film(pacs.folder, Modality="CT")
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port))
        past.run()
    expected = {two.StudyInstanceUID: ("complete", 2, 2), hand.StudyInstanceUID: ("skipped", 0, 0)}
    assert expected == past.outcomes()
    assert "done" == past.state()
    assert [(two.StudyInstanceUID, jobs.FETCH_PRIORITY)] == rows(
        database, "SELECT study_uid, priority FROM job WHERE kind = 'infer'"
    )
    told = [what for (what,) in rows(database, "SELECT what FROM audit ORDER BY id")]
    assert ["backfill_started", "backfill_searched"] == told[:2]
    assert {"study_fetched", "instance_stored"} < set(told)
    assert "backfill_done" == told[-1]


def test_what_is_here_is_not_fetched_again(database: Database, payload: PayloadStore, pacs: StandInPacs) -> None:
    """A second backfill of the same dates moves nothing."""
    one = old_film(pacs.folder)
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        Backfill(database, archive(pacs.port)).run()
        again = Backfill(database, archive(pacs.port))
        again.run()
    assert {one.SOPInstanceUID: 1} == pacs.query.moved
    assert [("complete",)] * 2 == rows(database, "SELECT state FROM backfill_study")
    assert "done" == again.state()


@pytest.mark.parametrize(("status", "known"), [(0xA700, 500), (0xFE00, 500), (0, 2), (0, 500)])
def test_an_archive_that_tells_less_than_there_is_is_asked_for_halves(
    database: Database, payload: PayloadStore, pacs: StandInPacs, status: int, known: int
) -> None:
    """It says so by its status, or stops at a limit that we know, or that we do not; within a day halves are hours."""
    films = [old_film(pacs.folder, day=f"202001{n:02d}", StudyTime="101112") for n in (3, 28)]
    films += [old_film(pacs.folder, day="20200128", StudyTime=f"{n}0000") for n in (12, 23)]
    pacs.query.limit, pacs.query.limit_status = 2, status
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port, max_matches=known, modalities=("CR",)))
        past.run()
    assert {film.StudyInstanceUID: ("complete", 1, 1) for film in films} == past.outcomes()
    assert "done" == past.state()


def test_the_newest_studies_come_first_and_all_found_before_more_are_looked_for(
    database: Database, payload: PayloadStore, pacs: StandInPacs
) -> None:
    """The queue holds one slice's studies at a time."""
    dates = ["20200102", "20200120", "20200119", "20200130"]
    films = {day: old_film(pacs.folder, day=day).StudyInstanceUID for day in dates}
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port), days=3)
        waiting = []
        while past.step():
            past.ahead_s = 1e-3
            waiting.append(sum(state == "waiting" for state, *_ in past.outcomes().values()))
    order = rows(database, "SELECT study_date FROM backfill_study ORDER BY at")
    assert ["20200130", "20200120", "20200119", "20200102"] == sorted((day for (day,) in order), reverse=True)
    assert max(waiting) <= 2
    assert set(films.values()) == past.outcomes().keys()


def test_a_film_that_is_told_of_and_never_sent_is_listed(
    database: Database, payload: PayloadStore, pacs: StandInPacs
) -> None:
    """It is asked for again, with waits, and in the end named with what the archive said; its neighbour is complete."""
    one, lost = old_film(pacs.folder), old_film(pacs.folder)
    old_film(pacs.folder, StudyInstanceUID=lost.StudyInstanceUID, SeriesInstanceUID=lost.SeriesInstanceUID)
    pacs.query.withholds = lambda uid, _n: uid == lost.SOPInstanceUID
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port))
        past.run()
        assert {one.StudyInstanceUID: ("complete", 1, 1), lost.StudyInstanceUID: ("waiting", 2, 1)} == past.outcomes()
        past.run(ahead_s=1000)
    assert {one.StudyInstanceUID: ("complete", 1, 1), lost.StudyInstanceUID: ("failed", 2, 1)} == past.outcomes()
    with database.read() as connection:
        (row,) = progress.studies(connection, past.id or 0, "failed")
    assert "1 of 2 images did not come; status 0x0000 to C-MOVE" == row["reason"]
    assert 5 == pacs.query.moved[str(lost.SOPInstanceUID)]
    assert "done" == past.state()
    assert [(lost.StudyInstanceUID,)] == rows(database, "SELECT subject FROM audit WHERE what = 'study_not_fetched'")


def test_a_film_that_comes_at_the_second_time_is_enough(
    database: Database, payload: PayloadStore, pacs: StandInPacs
) -> None:
    """A tape that was not mounted yet."""
    one = old_film(pacs.folder)
    pacs.query.withholds = lambda _uid, n: n == 1
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port))
        past.run(ahead_s=1000)
    assert {one.StudyInstanceUID: ("complete", 1, 1)} == past.outcomes()


def test_a_study_that_an_archive_cannot_tell_of_fails_alone(
    database: Database, payload: PayloadStore, pacs: StandInPacs
) -> None:
    """One broken record is no reason to stop."""
    good, broken = old_film(pacs.folder), old_film(pacs.folder)
    uid = str(broken.StudyInstanceUID)
    pacs.query.refuse = lambda asked: 0xC001 if asked.StudyInstanceUID == uid else 0
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port))
        past.run(ahead_s=1000)
    assert ("complete", 1, 1) == past.outcomes()[good.StudyInstanceUID]
    assert "failed" == past.outcomes()[uid][0]
    assert [("old answered 0xC001 to a C-FIND (ask for fewer studies (--since), or look into its log)",)] == rows(
        database, "SELECT reason FROM backfill_study WHERE state = 'failed'"
    )


def test_a_slice_that_an_archive_cannot_answer_is_taken_apart(
    database: Database, payload: PayloadStore, pacs: StandInPacs
) -> None:
    """Days beside the one that breaks it are searched; what is left of that day is in the audit trail."""
    good = old_film(pacs.folder, day="20200116")
    pacs.query.refuse = lambda asked: 0xC001 if _covers(str(asked.get("StudyDate", "")), "20200115") else 0
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port, modalities=("CR",)))
        with database.write() as connection:  # the day that breaks it, and no minute of it
            connection.exec_driver_sql("UPDATE job SET attempts = 5 WHERE kind = 'fetch'")
        for _ in range(12):
            past.ahead_s = 1000
            past.step()
            with database.write() as connection:
                connection.exec_driver_sql("UPDATE job SET attempts = 5 WHERE kind = 'fetch' AND state = 'ready'")
    assert {good.StudyInstanceUID: ("complete", 1, 1)} == past.outcomes()
    assert any(error for (error,) in rows(database, "SELECT detail FROM audit WHERE what = 'backfill_searched'"))


def _covers(dates: str, day: str) -> bool:
    first, _, last = dates.partition("-")
    return bool(first) and first <= day <= (last or first)


def test_an_archive_that_does_not_know_us_is_left_alone(
    database: Database, payload: PayloadStore, pacs: StandInPacs
) -> None:
    """Nothing fails for good: a person must tell it where we are, and then everything comes."""
    one = old_film(pacs.folder)
    past = Backfill(database, archive(pacs.port))
    past.run()
    assert {one.StudyInstanceUID: ("waiting", 0, 0)} == past.outcomes()
    ((error, attempts),) = rows(database, "SELECT err, attempts FROM job WHERE study_uid <> ''")
    assert "does not know the move destination CXRD" in error
    assert 0 == attempts
    with database.read() as connection:
        (row,) = progress.of(connection, database.now(connection))
    assert row.closed_until
    assert error == row.why
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past.run(ahead_s=1000)
    assert {one.StudyInstanceUID: ("complete", 1, 1)} == past.outcomes()


def test_an_archive_that_is_down_is_left_alone(database: Database, payload: PayloadStore, pacs: StandInPacs) -> None:
    """Five times in a row, then for a while; nothing is given up."""
    past = Backfill(database, archive(free_port()))
    past.run()
    assert [(5,)] == rows(database, "SELECT fails FROM dest")
    assert [(0,)] == rows(database, "SELECT attempts FROM job")
    assert "running" == past.state()
    assert "cannot be reached" in fault_of(archive(free_port()), "CXRD")
    assert "" == fault_of(archive(pacs.port), "CXRD")


def test_no_more_is_asked_than_the_rate_allows(database: Database, payload: PayloadStore, pacs: StandInPacs) -> None:
    """A few at once after a rest, then one by one."""
    for _ in range(12):
        old_film(pacs.folder)
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port, studies_per_minute=1))
        past.run()
        first = sum(state == "complete" for state, *_ in past.outcomes().values())
        past.run(ahead_s=61)
        second = sum(state == "complete" for state, *_ in past.outcomes().values())
    assert 1 == second - first
    assert 4 <= first <= 6


def test_an_archive_is_asked_in_its_hours_only(
    database: Database, payload: PayloadStore, pacs: StandInPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock on our wall."""
    now = time.localtime()
    here, later = now.tm_hour, (now.tm_hour + 2) % 24
    closed = Backfill(database, archive(pacs.port, hours=f"{later:02d}:00-{(later + 1) % 24:02d}:00"))
    assert not closed.step()
    with database.write() as connection:
        assert backfills.cancel(connection, 0.0, "old", actor="test")
    opened = Backfill(database, archive(pacs.port, hours=f"{here:02d}:00-{later:02d}:00"))
    assert opened.step()


def test_nothing_is_fetched_while_enough_waits_to_be_analysed(
    database: Database, payload: PayloadStore, pacs: StandInPacs
) -> None:
    """Live studies first, and no disk full of films that nobody looks at."""
    for number in range(backfills.BACKLOG):
        arrive(database, number + 1, study_uid=f"1.2.{number}")
    past = Backfill(database, archive(pacs.port))
    assert not past.step()


def test_a_live_study_overtakes_what_is_fetched(database: Database, payload: PayloadStore, pacs: StandInPacs) -> None:
    """Whenever it comes."""
    one = old_film(pacs.folder)
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        Backfill(database, archive(pacs.port)).run()
    arrive(database, 1)
    with database.write() as connection:
        now = database.now(connection) + 1000
        claimed = jobs.claim(connection, now, JobKind.INFER, owner="w", limit=9, lease_s=9)
    assert [arrival().study_uid, one.StudyInstanceUID] == [claim.study_uid for claim in claimed]


def test_it_rests_and_goes_on_and_ends_as_told(database: Database, payload: PayloadStore, pacs: StandInPacs) -> None:
    """One backfill at a time; a pause holds it, a cancel ends it and keeps what has come."""
    films = [old_film(pacs.folder) for _ in range(3)]
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port))
        assert None is Backfill(database, archive(pacs.port)).id
        assert past.step()
        past.ahead_s = 1e-3
        assert past.step()
        past.pause(paused=True)
        assert not past.step()
        with database.write() as connection:
            now = database.now(connection)
            assert backfills.resume(connection, now, "old", actor="test")
        assert past.step()
        with database.write() as connection:
            assert backfills.cancel(connection, database.now(connection), "old", actor="test")
            assert not backfills.cancel(connection, 0.0, "old", actor="test")
        assert not past.step()
        past.pause(paused=True)
        assert Backfill(database, archive(pacs.port)).step()
    with database.read() as connection:
        assert ["cancelled", "complete", "complete"] == sorted(
            row["state"] for row in progress.studies(connection, past.id or 0)
        )
    assert "cancelled" == past.state()
    assert 2 == len(rows(database, "SELECT * FROM instance"))
    assert 3 == len(films)


@pytest.mark.parametrize("what", ["searched", "halved", "study again", "away"])
def test_what_is_under_way_when_it_is_cancelled_begins_nothing_more(
    database: Database, payload: PayloadStore, pacs: StandInPacs, what: str
) -> None:
    """A search queues no study and no half, what did not come is not asked for again, and an archive is left alone."""
    for day in ("20200103", "20200128"):
        old_film(pacs.folder, day=day)
    if what == "halved":
        pacs.query.limit = 1
    pacs.query.withholds = lambda _uid, _n: True
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port))
        if what == "study again":
            assert past.step()
            past.ahead_s = 1e-3
        if what == "away":
            pacs.stop()

        def cancel() -> None:
            with database.write() as connection:
                assert backfills.cancel(connection, database.now(connection), "old", actor="test")

        assert past.step(meanwhile=cancel)
    assert [] == rows(database, "SELECT kind, state FROM job WHERE state != 'done'")
    assert {"cancelled"} >= {state for state, *_ in past.outcomes().values()}
    assert "cancelled" == past.state()


def test_a_cancel_waits_for_a_search_that_is_being_closed(database: Database, pacs: StandInPacs) -> None:
    """On PostgreSQL both may write at once; neither leaves a study in the queue."""
    old_film(pacs.folder)
    past = Backfill(database, archive(pacs.port))

    def cancel() -> None:
        with database.write() as connection:
            backfills.cancel(connection, database.now(connection), "old", actor="test")

    with ThreadPoolExecutor() as other:
        begun: list[Future[None]] = []

        def begin() -> None:
            begun.append(other.submit(cancel))
            wait(begun, 1.0)  # it waits for the lock; were there none, it would be done by now

        assert past.step(closing=begin)
        begun[0].result(30)
    assert [] == rows(database, "SELECT kind, state FROM job WHERE state != 'done'")
    assert ["cancelled"] == [state for state, *_ in past.outcomes().values()]


def test_progress_tells_when_it_may_be_done(database: Database, payload: PayloadStore, pacs: StandInPacs) -> None:
    """From the pace of the last hour, the studies that wait and the days that are not searched."""
    for day in ("20200130", "20200129"):
        old_film(pacs.folder, day=day)
    with listening(database, payload) as port:
        pacs.query.knows["CXRD"] = ("127.0.0.1", port)
        past = Backfill(database, archive(pacs.port), days=8)
        past.step()
        past.ahead_s = 1e-3
        past.step()
    with database.read() as connection:
        now = database.now(connection)
        (row,) = progress.of(connection, now)
        assert {("old", "complete"): 1, ("old", "waiting"): 1} == progress.counts(connection)
    assert (1, 1, 1, 3) == (row.waiting, row.complete, row.lately, len(row.slices))
    assert (1 + 2 / 8 * 23) * 100 == row.eta_s(row.started_at + 100, days=31, days_left=23)
    assert None is row.eta_s(now, days=31, days_left=31)


def test_a_dry_run_counts_and_fetches_nothing(database: Database, payload: PayloadStore, pacs: StandInPacs) -> None:
    """By the slices that it would search."""
    for day in ("20200103", "20200103", "20200104", "20200131"):
        old_film(pacs.folder, day=day)
    pacs.query.limit = 2
    found = {
        str(part): len(studies) for part, studies in search(archive(pacs.port), "CXRD", list(plan(FIRST, LAST, 31)))
    }
    assert 4 == sum(found.values())
    assert len(found) > 1
    assert {} == pacs.query.moved


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_past_of_a_real_pacs(database: Database, payload: PayloadStore, pacs: StandInPacs, tmp_path: Path) -> None:
    """Orthanc, which tells three studies at most: it is asked for halves, and sends every film."""
    from cxrd.delivery.sender import Outgoing, send  # noqa: PLC0415 - only here it is filled by sending

    films = [old_film(pacs.folder, day=f"202001{n:02d}") for n in range(1, 9)]
    films.append(old_film(pacs.folder, day="20200108", StudyInstanceUID=films[0].StudyInstanceUID))
    ours = free_port()
    with orthanc(tmp_path / "o", ours=ours, LimitFindResults=3) as real, listening(database, payload, ours):
        source = archive(real.port)
        assert "" == fault_of(source, "CXRD")
        list(send(source, "CXRD", [Outgoing.of(path) for path in pacs.folder.glob("*.dcm")]))
        past = Backfill(database, source)
        past.run(ahead_s=100)
    assert {("complete", 1, 1), ("complete", 2, 2)} == set(past.outcomes().values())
    assert {str(film.StudyInstanceUID) for film in films} == past.outcomes().keys()
    assert {str(film.SOPInstanceUID) for film in films} == {
        uid for (uid,) in rows(database, "SELECT sop_uid FROM instance")
    }
    assert "done" == past.state()
