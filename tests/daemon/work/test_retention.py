"""What a site keeps no longer goes: never before its end, never what another row names, rows first and files later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cxrd.errors import ConfigError
from cxrd.findings import ArtefactKind, StudyAnalysis
from cxrd.settings import Retention as Keep
from cxrd.settings import Settings, load
from cxrd.store import interventions, jobs, reconciling, redelivery, results
from cxrd.store.arrivals import Received
from cxrd.store.database import Database
from cxrd.store.payload import PayloadStore
from cxrd.store.schema import JobKind
from cxrd.watch.metrics import Metrics
from cxrd.work.retention import DAY_S, Retention
from support.database import as_before, database_url
from support.rows import SR_CLASS, STUDY, analysis, arrive, claim, rows

ALL = Keep(films_days=30, results_days=30, jobs_days=30)


class Site:
    """A study that came, was analysed, reported and delivered, with real bytes of all it has."""

    def __init__(self, database: Database, payload: PayloadStore) -> None:
        self.database, self.payload = database, payload
        self.metrics = Metrics()
        self.film = payload.put(b"film")
        self.preview = payload.put(b"preview")
        self.report = payload.put(b"report")

    def run(self, keep: Keep = ALL, *, grace_s: float = 0.0, idle_s: float = 0.0) -> None:
        """Let a month pass and the chore come round; then its files, without further ado."""
        self.age(31 * DAY_S)
        chore = Retention(self.database, self.payload, Settings(retention=keep), self.metrics)
        chore()
        chore.files(grace_s=grace_s - 1, idle_s=idle_s)

    def age(self, seconds: float) -> None:
        """Make everything so much older."""
        columns = {"study": ["first_at", "last_at"], "instance": ["received_at"], "artefact": ["built_at"],
                   "job": ["due", "created_at", "finished_at"], "delivery": ["stored_at"]}  # fmt: skip
        with self.database.write() as connection:
            for table, names in columns.items():
                changes = ", ".join(f"{name} = {name} - {seconds}" for name in names)
                connection.execute(text(f"UPDATE {table} SET {changes}"))  # noqa: S608 - our own names

    def receive(self, study: str = STUDY) -> None:
        """Its film arrives."""
        arrive(self.database, sop_uid=f"{study}.1", study_uid=study, sha256=self.film, size=4)

    def analyse(self, study: str = STUDY) -> int:
        """Its film is analysed, and its report built."""
        (held,) = claim(self.database)
        (film,) = analysis().films
        shown = film.model_copy(update={"preview": self.preview})
        found = analysis().model_copy(update={"study_uid": study, "films": (shown,)})
        assert isinstance(found, StudyAnalysis)
        made = results.NewArtefact(
            kind=ArtefactKind.SR, sop_class=SR_CLASS, sop_uid=f"{study}.9", sha256=self.report, size=6
        )
        with self.database.write() as connection:
            now = self.database.now(connection)
            inference = results.record_inference(connection, now, found)
            assert inference is not None
            results.record_artefacts(connection, now, inference, [made], {"pacs": [ArtefactKind.SR]}, priority=50)
            jobs.finish(connection, now, held)
        return inference

    def deliver(self, study: str = STUDY) -> None:
        """Its report is stored."""
        (held,) = claim(self.database, JobKind.DELIVER, lane="pacs")
        with self.database.write() as connection:
            now = self.database.now(connection)
            results.mark_stored(connection, now, f"{study}.9", "pacs", 0)
            results.settle(connection, now, study)
            jobs.finish(connection, now, held)

    def finish(self, study: str = STUDY) -> None:
        """All of it."""
        self.receive(study)
        self.analyse(study)
        self.deliver(study)

    def here(self) -> tuple[bool, bool, bool]:
        """Whether film, preview and report are on disk."""
        film, preview, report = (self.payload.path(d).exists() for d in (self.film, self.preview, self.report))
        return film, preview, report

    def removed(self) -> dict[str, float]:
        """What the metric says."""
        found = {}
        for family in self.metrics.registry.collect():
            for sample in family.samples:
                if sample.name == "cxrd_retention_removed_total":
                    found[sample.labels["what"]] = sample.value
        return found


@pytest.fixture
def site(database: Database, payload: PayloadStore) -> Site:
    """On both databases."""
    return Site(database, payload)


def test_a_finished_study_gives_up_its_bytes_and_keeps_its_rows(site: Site) -> None:
    """What was found, what was delivered and the trail stay; who removed what is told and counted."""
    site.finish()
    site.run()
    assert (False, False, False) == site.here()
    assert [("received", True)] == rows(site.database, "SELECT state, removed_at IS NOT NULL FROM instance")
    assert [(True,)] == rows(site.database, "SELECT removed_at IS NOT NULL FROM artefact")
    assert [("delivered",)] == rows(site.database, "SELECT state FROM study")
    told = rows(site.database, "SELECT what, subject FROM audit WHERE what LIKE '%_removed' ORDER BY id")
    assert [("films_removed", STUDY), ("objects_removed", STUDY), ("jobs_removed", "jobs")] == told
    assert [(0,), (0,)] == rows(
        site.database, "SELECT count(*) FROM doomed UNION ALL SELECT count(*) FROM job WHERE state = 'done'"
    )
    assert {"film": 1, "preview": 1, "object": 1, "job": 2} == site.removed()
    site.run()
    assert {"film": 1, "preview": 1, "object": 1, "job": 2} == site.removed()


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (Keep(), (True, True, True)),
        (Keep(films_days=30), (False, False, True)),
        (Keep(results_days=30), (True, True, False)),
        (Keep(films_days=32, results_days=32, jobs_days=32), (True, True, True)),
    ],
)
def test_each_goes_after_its_own_days(site: Site, keep: Keep, left: tuple[bool, bool, bool]) -> None:
    """And what nobody set a term for stays for ever."""
    site.finish()
    site.run(keep)
    assert left == site.here()


def test_a_study_that_is_not_delivered_keeps_everything(site: Site) -> None:
    """However old; when the PACS takes it at last, its days begin."""
    site.receive()
    site.run()
    site.analyse()
    site.run()
    assert (True, True, True) == site.here()
    site.deliver()
    site.run(Keep(films_days=60))
    assert (True, True, True) == site.here()
    site.run()
    assert (False, False, False) == site.here()


@pytest.mark.parametrize("state", ["dead", "ready", "delayed", "leased"])
def test_a_study_with_a_job_that_is_not_done_keeps_everything(site: Site, state: str) -> None:
    """A person, a worker or a destination still wants it: a failed delivery, a commitment, a late image."""
    site.finish()
    with site.database.write() as connection:
        connection.execute(text("UPDATE job SET state = :s WHERE kind = 'deliver'"), {"s": state})
    site.run()
    assert (True, True, True) == site.here()


def give_up(site: Site) -> int:
    """Have the delivery die and a person dismiss it; the id of its job."""
    (held,) = claim(site.database, JobKind.DELIVER, lane="pacs")
    with site.database.write() as connection:
        now = site.database.now(connection)
        jobs.bury(connection, now, held, error="0xA900")
        interventions.dismiss(connection, now, actor="meier", reason="reported by hand", ids=[held.id])
    return held.id


def test_a_study_whose_rest_was_dismissed_is_finished(site: Site) -> None:
    """Its days begin when a person gave it up; the row that says so stays, or it would be missed again."""
    site.receive()
    site.analyse()
    give_up(site)
    site.run(Keep(films_days=32, results_days=32, jobs_days=32))
    assert (True, True, True) == site.here()
    site.run()
    assert (False, False, False) == site.here()
    assert [("deliver", "dismissed")] == rows(site.database, "SELECT kind, state FROM job")


def test_a_dismissed_job_is_not_revived_without_its_bytes(site: Site) -> None:
    """It would only die again; with films alone gone, its objects are still sent."""
    site.receive()
    site.analyse()
    give_up(site)
    site.run(Keep(films_days=30))
    assert (False, False, True) == site.here()
    with site.database.write() as connection:
        assert 1 == interventions.requeue(connection, site.database.now(connection), study_uid=STUDY, actor="meier")
    job = give_up(site)
    site.run(Keep(results_days=30))
    for act in (
        lambda c, now: interventions.retry(c, now, ids=[job], actor="meier"),
        lambda c, now: interventions.requeue(c, now, study_uid=STUDY, actor="meier"),
    ):
        with pytest.raises(interventions.Declined, match="retention has removed"), site.database.write() as connection:
            act(connection, site.database.now(connection))
    assert [("dismissed",)] == rows(site.database, "SELECT state FROM job WHERE kind = 'deliver'")


def test_bytes_that_another_row_names_stay(site: Site) -> None:
    """The same film, preview and report under other UIDs, in a study that is not finished."""
    site.finish()
    site.run(Keep())
    site.receive("1.2.4")
    site.analyse("1.2.4")
    site.run()
    assert [("1.2.3.1",)] == rows(site.database, "SELECT sop_uid FROM instance WHERE removed_at IS NOT NULL")
    assert (True, True, True) == site.here()
    assert [(0,)] == rows(site.database, "SELECT count(*) FROM doomed")
    site.deliver("1.2.4")
    site.run()
    assert (False, False, False) == site.here()


def test_a_file_outlives_its_rows_for_a_restore(site: Site) -> None:
    """Yesterday's backup still finds it; a removal that died between the rows and the file ends later."""
    site.finish()
    site.run(grace_s=2 * DAY_S)
    assert (True, True, True) == site.here()
    assert [(3,)] == rows(site.database, "SELECT count(*) FROM doomed")
    with site.database.write() as connection:
        connection.execute(text("UPDATE doomed SET at = at - 260000"))
    site.run(Keep(), idle_s=0)
    assert (False, False, False) == site.here()


def test_bytes_that_were_put_a_moment_ago_stay(site: Site) -> None:
    """A listener has written them and will commit the row that names them."""
    site.finish()
    site.run(idle_s=3600)
    assert (True, True, True) == site.here()


def test_a_film_that_is_sent_again_is_here_again(site: Site) -> None:
    """Acknowledged as the duplicate that it is; nothing is analysed, and its days begin anew."""
    site.finish()
    site.run()
    site.payload.put(b"film")
    assert [Received.DUPLICATE] == arrive(site.database, sha256=site.film)
    assert [(None,)] == rows(site.database, "SELECT removed_at FROM instance")
    assert [(STUDY + ".1",)] == rows(site.database, "SELECT subject FROM audit WHERE what = 'instance_restored'")
    assert [] == rows(site.database, "SELECT id FROM job")
    chore = Retention(site.database, site.payload, Settings(retention=ALL), site.metrics)
    chore()
    chore.files(grace_s=-1, idle_s=0)
    assert (True, False, False) == site.here()


def test_a_late_image_waits_for_the_films_that_are_gone(site: Site) -> None:
    """The study failed for want of them; sent again, they bring it back to work."""
    site.finish()
    site.run()
    arrive(site.database, 2)
    (held,) = claim(site.database)
    with site.database.write() as connection:
        jobs.bury(connection, site.database.now(connection), held, error="payload is missing")
    arrive(site.database, sha256=site.film)
    assert [("ready",)] == rows(site.database, "SELECT state FROM job WHERE kind = 'infer'")


def test_a_film_that_comes_again_in_another_encoding_takes_the_place_of_the_one_that_is_gone(site: Site) -> None:
    """An archive compresses, and adds its own elements: it hardly ever gives back the bytes that it got."""
    site.finish()
    site.run()
    arrive(site.database, 2)
    (held,) = claim(site.database)
    with site.database.write() as connection:
        jobs.bury(connection, site.database.now(connection), held, error="payload is missing")
    again = site.payload.put(b"film, compressed")
    assert [Received.STORED] == arrive(site.database, sha256=again, transfer_syntax="1.2.840.10008.1.2.4.70")
    assert [Received.DUPLICATE] == arrive(site.database, sha256=again)
    assert [Received.CONFLICT] == arrive(site.database, sha256=site.film)
    kept = rows(site.database, "SELECT sha256, transfer_syntax, removed_at FROM instance ORDER BY sop_uid")
    assert (again, "1.2.840.10008.1.2.4.70", None) == kept[0]
    assert [("ready",)] == rows(site.database, "SELECT state FROM job WHERE kind = 'infer'")


def test_a_removed_film_comes_back_to_its_own_study_alone(site: Site) -> None:
    """Under another study's UID it is another object, and a person should look."""
    site.finish()
    site.run()
    assert [Received.CONFLICT] == arrive(site.database, study_uid="9.9", sha256="9" * 64)
    assert [(STUDY,)] == rows(site.database, "SELECT uid FROM study")
    assert [(True,)] == rows(site.database, "SELECT removed_at IS NOT NULL FROM instance")


def test_what_is_done_can_be_asked_for_again_without_its_row(site: Site) -> None:
    """An analysis by an operator, a delivery because the destination lost it."""
    site.finish()
    ((inference,),) = rows(site.database, "SELECT id FROM inference")
    site.run(Keep(jobs_days=30))
    assert [] == rows(site.database, "SELECT id FROM job")
    sent = redelivery.Sent(STUDY, f"{STUDY}.9", inference, "pacs", stored=True)
    with site.database.write() as connection:
        now = site.database.now(connection)
        assert 1 == interventions.requeue(connection, now, study_uid=STUDY, actor="operator")
        assert 0 == interventions.requeue(connection, now, study_uid="9.9", actor="operator")
        reconciling.send_again(connection, now, sent)
    found = rows(site.database, "SELECT kind, lane, state FROM job ORDER BY kind")
    assert [("deliver", "pacs", "ready"), ("infer", "", "ready")] == found


def test_what_is_gone_is_not_missed(site: Site) -> None:
    """A reconciliation asks neither the store nor a destination for it."""
    site.finish()
    with site.database.read() as connection:
        assert 2 == len(list(reconciling.payloads(connection)))
        assert {STUDY} == set(reconciling.deliveries(connection, "pacs", since=0))
    site.run()
    with site.database.read() as connection:
        assert [] == list(reconciling.payloads(connection))
        assert {} == reconciling.deliveries(connection, "pacs", since=0)


def test_a_file_that_was_taken_away_by_a_dead_remover_is_put_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have died before it saw that somebody had put the same bytes."""

    def die(*_: object, **__: object) -> None:
        raise SystemExit

    os.utime(site.payload.path(site.film), (1, 1))
    monkeypatch.setattr(Path, "unlink", die)
    with pytest.raises(SystemExit):
        site.payload.remove(site.film, idle_s=60)
    monkeypatch.undo()
    assert not site.payload.path(site.film).exists()
    assert 0 == site.payload.sweep()
    assert 1 == site.payload.sweep(older_than_s=-1)
    assert b"film" == site.payload.get(site.film)


def test_a_remover_never_removes_what_another_one_took(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two ticks has judged a film to be old; it comes again, the second takes it, the first goes on."""
    os.utime(site.payload.path(site.film), (1, 1))
    stat, unlink = Path.stat, Path.unlink
    judged: list[Path] = []

    def first_goes_on(path: Path, **options: Any) -> os.stat_result:
        if judged and path.suffix == ".taken":
            unlink(judged.pop())
        return stat(path, **options)

    def second_comes(path: Path, **_: object) -> None:
        judged.append(path)
        site.payload.put(b"film")
        assert not site.payload.remove(site.film, idle_s=60)

    monkeypatch.setattr(Path, "stat", first_goes_on)
    monkeypatch.setattr(Path, "unlink", second_comes)
    site.payload.remove(site.film, idle_s=60)
    assert b"film" == site.payload.get(site.film)


def test_a_put_that_came_first_is_seen_by_the_remover(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that comes later finds no file and writes its own: at no moment does a row name nothing."""
    os.utime(site.payload.path(site.film), (1, 1))
    rename = Path.rename

    def put_then_rename(path: Path, target: Path) -> Path:
        if target.suffix == ".taken":
            site.payload.put(b"film")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", put_then_rename)
    assert not site.payload.remove(site.film, idle_s=60)
    assert b"film" == site.payload.get(site.film)


def test_previews_of_before_get_their_rows(database: Database, payload: PayloadStore, tmp_path: Path) -> None:
    """A database of an older version knows them only inside its analyses."""
    site = Site(database, payload)
    site.finish()
    (tmp_path / "older").mkdir()
    with database_url(database.engine.dialect.name, tmp_path / "older") as url:
        older = Database(url)
        as_before(database, older, "0008")
        older.upgrade()
        assert [(f"{STUDY}.1", site.preview)] == rows(older, "SELECT sop_uid, sha256 FROM preview")
        older.dispose()


def test_s3_and_a_term_for_bytes_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 has no touch; the configuration is refused before anything is lost."""
    monkeypatch.setenv("CXRD_STORAGE__S3", "s3://bucket")
    monkeypatch.setenv("CXRD_RETENTION__FILMS_DAYS", "30")
    with pytest.raises(ConfigError, match="films_days"):
        load()
