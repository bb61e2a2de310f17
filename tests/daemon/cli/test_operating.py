"""What an operator asks of a node that runs: why, what waits, try again, and is the trail whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from cxrd.cli import app
from cxrd.errors import ConfigError, CxrdError, Reason
from cxrd.store import audit, jobs, lanes, results
from cxrd.store.database import Database
from cxrd.store.schema import InstanceState, JobKind
from support.rows import STUDY, arrive, claim, reported, rows


class Site:
    """A configuration and its database."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder}/cxrd.db"
        self.config = folder / "cxrd.toml"
        self.config.write_text(
            f'[database]\nurl = "{url}"\n[storage]\ndir = "{folder}/payload"\n'
            '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 9\n'
        )
        self.database = Database(url)
        self.database.upgrade()

    def cxrd(self, *words: str) -> Result:
        """Run a command."""
        return CliRunner().invoke(app, [*words, "--config", str(self.config)])

    def told(self, *words: str) -> list[dict[str, Any]]:
        """Lines of a command that prints JSON."""
        done = self.cxrd(*words, "--json")
        assert 0 == done.exit_code, done.exception
        return [json.loads(line) for line in done.stdout.splitlines()]

    def why(self, about: str) -> tuple[str, str]:
        """What ``cxrd explain`` says about a matter, and what to do."""
        ((what, todo),) = [
            (line["what"], line["todo"]) for line in self.told("explain", STUDY) if line["about"].startswith(about)
        ]
        return what, todo


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A node with nothing on it."""
    return Site(tmp_path)


def buried(site: Site) -> int:
    """A reported study whose delivery was refused for good; the job's id."""
    arrive(site.database, accession="A-1")
    reported(site.database)
    (held,) = claim(site.database, JobKind.DELIVER, lane="pacs")
    with site.database.write() as connection:
        jobs.bury(connection, site.database.now(connection), held, error="0xA900 does not match")
    return held.id


def test_a_waiting_study_says_what_it_waits_for(site: Site) -> None:
    """The end of its quiet period."""
    arrive(site.database, quiet_period_s=50)
    assert "received: its images are here" in site.why("study")[0]
    assert site.why("next: infer")[0].startswith("will be analysed in ")


def test_a_refused_image_says_why_and_what_to_do(site: Site) -> None:
    """In the words of its reason."""
    arrive(site.database)
    with site.database.write() as connection:
        marks = {f"{STUDY}.1": (InstanceState.REFUSED, str(Reason.LATERAL), "the header names a lateral view")}
        results.mark_instances(connection, site.database.now(connection), marks)
    what, todo = site.why("image")
    assert ("refused, lateral: the header names a lateral view", True) == (what, "lateral" in todo)


def test_a_delivery_that_was_refused_says_how_to_try_again(site: Site) -> None:
    """And the command that it names does so, which the trail tells."""
    job = buried(site)
    assert "stopped after 1 attempt(s): 0xA900 does not match" == site.why("next: deliver")[0]
    assert f"cxrd queue retry {job}; nobody will: cxrd queue dismiss {job} --reason WHY" in site.why("next: deliver")[1]
    assert "Pneumonia 0.90 (present)" in site.why("model tiny")[0]
    assert "failed" in site.cxrd("explain", "A-1").stdout
    assert [job] == [line["id"] for line in site.told("queue", "show", "--state", "dead")]
    assert [(job, "dead")] == [(line["id"], line["state"]) for line in site.told("queue", "retry", str(job))]
    assert [("ready", 0)] == rows(site.database, "SELECT state, attempts FROM job WHERE kind = 'deliver'")
    assert [("reported", "")] == rows(site.database, "SELECT state, reason FROM study")
    assert [("operator",)] == rows(site.database, "SELECT actor FROM audit WHERE what = 'job_requeued'")
    assert "free" in site.why("next: deliver")[0]


def test_a_delivery_that_nobody_will_repair_is_dismissed(site: Site) -> None:
    """Once, with its reason; lists, the study's story and the trail tell it, and it can be had back."""
    job = str(buried(site))
    why = ("--reason", "reported by hand")
    assert 2 == site.cxrd("queue", "dismiss", job).exit_code
    assert isinstance(site.cxrd("queue", "dismiss", *why).exception, ConfigError)
    assert isinstance(site.cxrd("queue", "dismiss", "--study", "A-2", *why).exception, CxrdError)
    partly = site.cxrd("queue", "dismiss", job, "4711", *why)
    assert ("1 job(s) are dismissed\n", True) == (partly.stdout, "job 4711 (" in str(partly.exception))
    assert "job(s) are dismissed" not in site.cxrd("queue", "dismiss", "--study", "A-1", *why, "--json").stdout
    assert "none of these jobs is dead" in str(site.cxrd("queue", "dismiss", "--destination", "pacs", *why).exception)
    said = "dismissed by operator: reported by hand (0xA900 does not match)"
    assert ["infer"] == [line["kind"] for line in site.told("queue", "show")]
    assert [said] == [line["err"] for line in site.told("queue", "show", "--state", "dismissed")]
    assert [1] == [line["dismissed"] for line in site.told("queue", "ls") if line["lane"] == "pacs"]
    assert f"dismissed: a person has given up what of it could not be done ({said})" in site.why("study")[0]
    assert (said, f"cxrd queue retry {job} revives it") == site.why("deliver to pacs")
    assert said in site.cxrd("studies", "show", "A-1").stdout
    (told,) = [row for row in site.told("studies", "show", "A-1")[0]["audit"] if row["what"] == "job_dismissed"]
    assert ("operator", "reported by hand") == (told["actor"], told["detail"]["reason"])
    assert "1 job" in site.cxrd("queue", "retry", job).stdout
    assert [("reported", "")] == rows(site.database, "SELECT state, reason FROM study")


@pytest.mark.parametrize("hindrance", ["paused", "closed", "gone"])
def test_a_delivery_that_waits_says_for_whom(site: Site, hindrance: str) -> None:
    """For an operator, for the destination, or for a configuration."""
    arrive(site.database)
    reported(site.database)
    with site.database.write() as connection:
        now = site.database.now(connection)
        lanes.register(connection, ["pacs"])
        match hindrance:
            case "paused":
                lanes.pause(connection, now, "pacs", paused=True, actor="operator")
            case "closed":
                for _ in range(lanes.FAILURES_TO_CLOSE):
                    lanes.failed(connection, now, "pacs", jitter=1)
            case _:
                connection.execute(text("UPDATE job SET lane = 'old' WHERE kind = 'deliver'"))
    word = {"paused": "cxrd queue resume pacs", "closed": "repair it", "gone": "configure it again"}[hindrance]
    assert word in site.why("next: deliver")[1]


def test_a_finished_study_says_so(site: Site) -> None:
    """Who has what since when, and that nothing comes next."""
    arrive(site.database)
    made = reported(site.database)
    (held,) = claim(site.database, JobKind.DELIVER, lane="pacs")
    with site.database.write() as connection:
        now = site.database.now(connection)
        for row in results.undelivered(connection, made, "pacs"):
            results.mark_stored(connection, now, row.sop_uid, "pacs", 0)
        jobs.finish(connection, now, held)
        results.settle(connection, now, STUDY)
        connection.execute(text("UPDATE job SET state = 'done'"))
    assert site.why("study")[0].startswith("delivered: it is finished")
    assert site.why("sr ")[0].startswith("stored by pacs at ")
    assert site.why("next")[0].startswith("nothing")


def test_a_study_that_never_came_is_said_to_be(site: Site) -> None:
    """With where to look."""
    assert isinstance(site.cxrd("explain", "9.9").exception, CxrdError)


def test_a_requeue_takes_an_accession_number_and_leaves_work_alone(site: Site) -> None:
    """As its help says."""
    arrive(site.database, accession="A-1")
    assert 0 == site.cxrd("studies", "requeue", "A-1").exit_code
    claim(site.database)
    assert "being worked on" in str(site.cxrd("studies", "requeue", "A-1").exception)


def test_a_job_is_cancelled_once_and_revived(site: Site) -> None:
    """Only what waits is; what is unknown or at work is said to be."""
    arrive(site.database)
    ((job,),) = rows(site.database, "SELECT id FROM job")
    assert 0 == site.cxrd("queue", "cancel", str(job)).exit_code
    assert [("dead", "cancelled by operator")] == rows(site.database, "SELECT state, err FROM job")
    assert [("failed",)] == rows(site.database, "SELECT state FROM study")
    assert [("operator",)] == rows(site.database, "SELECT actor FROM audit WHERE what = 'job_cancelled'")
    assert "is dead" in str(site.cxrd("queue", "cancel", str(job)).exception)
    assert "no job" in str(site.cxrd("queue", "cancel", "4711").exception)
    assert "1 job" in site.cxrd("queue", "retry", "--all").stdout
    assert [("received",)] == rows(site.database, "SELECT state FROM study")
    assert [] == site.told("queue", "retry", "--kind", "build")
    assert isinstance(site.cxrd("queue", "retry").exception, ConfigError)


def test_the_trail_is_verified(site: Site) -> None:
    """Exit code 1 and the row, when one was changed."""
    arrive(site.database, 1, 2)
    with site.database.write() as connection:
        audit.seal(connection, site.database.now(connection))
    (told,) = site.told("audit", "verify")
    assert (True, 2, 1) == (told["holds"], told["rows"], told["seals"])
    assert 0 == site.cxrd("audit", "verify", "--head", told["head"]).exit_code
    with site.database.write() as connection:
        connection.execute(text("UPDATE audit SET subject = 'x' WHERE id = 2"))
    broken = site.cxrd("audit", "verify")
    assert "row 2 (instance_stored of x)" in str(broken.exception)


def test_a_period_of_the_trail_is_exported(site: Site, tmp_path: Path) -> None:
    """As JSON lines or CSV; that it was is a row of the trail itself."""
    arrive(site.database, 1, 2)
    with site.database.write() as connection:
        connection.execute(text("UPDATE audit SET at = 1790000000 WHERE id = 1"))  # 2026-09-21
    old = site.cxrd("audit", "export", "--from", "2026-09-20", "--to", "2026-09-22")
    assert [1] == [json.loads(line)["id"] for line in old.stdout.splitlines()]
    out = tmp_path / "trail.csv"
    assert 0 == site.cxrd("audit", "export", "--format", "csv", "--out", str(out)).exit_code
    with out.open() as file:
        found = list(csv.DictReader(file))
    assert ["instance_stored", "instance_stored", "trail_exported"] == [row["what"] for row in found]
    assert f"{STUDY}" == json.loads(found[0]["detail"])["study"]
    assert isinstance(site.cxrd("audit", "export", "--out", str(out)).exception, CxrdError)
    assert isinstance(site.cxrd("audit", "export", "--from", "yesterday").exception, ConfigError)


@pytest.mark.parametrize(
    "words",
    ["studies ls", "studies show 1", "studies requeue 1", "queue ls", "queue show", "queue retry --all",
     "queue cancel 1", "queue pause pacs", "explain 1", "audit verify", "audit export", "backfill ls", "cache stats",
     "reconcile", "db copy sqlite:///var/cxrd.db sqlite:///new/cxrd.db"],
)  # fmt: skip
def test_a_command_without_its_configuration_makes_no_database(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called in another folder: it says which database is not there, how to name the right one, and leaves nothing."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words.split())
    assert isinstance(done.exception, ConfigError)
    assert f"there is no database {tmp_path}/var/cxrd.db" in str(done.exception)
    assert "--config" in str(done.exception)
    assert [] == list(tmp_path.iterdir())
