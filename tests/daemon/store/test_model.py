"""Any order of arrivals, claims, ends, deaths and zombies: the store does what a model of twenty lines does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, select, text

from cxrd.store import interventions, jobs, schema
from cxrd.store.database import Database
from cxrd.store.schema import JobKind

MAX_CRASHES = 3
START = 1_000_000.0
STUDIES = st.sampled_from(["1.2.1", "1.2.2", "1.2.3", "1.2.4"])
OWNERS = st.sampled_from(["w1", "w2", "w3"])


@dataclass
class Job:
    """What the model knows of one study's job."""

    study_uid: str
    number: int
    due: float
    priority: int
    state: str = "ready"
    rev: int = 1
    attempts: int = 0
    crashes: int = 0
    owner: str = ""
    lease_until: float | None = None
    err: str = ""
    holder: int | None = field(default=None, compare=False)

    def give_back(self, **changes: object) -> None:
        """Leave the hands it was in."""
        self.holder, self.lease_until = None, None
        for name, value in changes.items():
            setattr(self, name, value)


class Queue(RuleBasedStateMachine):
    """The store beside its model; time is a number that rules move on."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        with self.database.write() as connection:
            for table in (schema.job, schema.audit):
                connection.execute(table.delete())
        self.now = START
        self.jobs: dict[str, Job] = {}
        self.handed_out: list[jobs.Claim] = []

    def write(self, act: Callable[[Connection], object]) -> object:
        """Do something in a transaction of its own."""
        with self.database.write() as connection:
            return act(connection)

    @rule(seconds=st.sampled_from([1.0, 7.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        """Leases end, quiet periods end."""
        self.now += seconds

    @rule(study=STUDIES, quiet=st.sampled_from([0.0, 5.0]), stat=st.booleans())
    def an_image_arrives(self, study: str, quiet: float, *, stat: bool) -> None:
        """The study's job moves, and stays in the hands it is in."""
        due, priority = self.now + quiet, 0 if stat else 50
        self.write(lambda c: jobs.debounce(c, self.now, study_uid=study, priority=priority, due=due))
        job = self.jobs.get(study)
        if job is None:
            self.jobs[study] = Job(study, len(self.jobs), due, priority)
            return
        job.rev, job.due, job.priority, job.crashes = job.rev + 1, due, min(job.priority, priority), 0
        if job.state != "leased":
            job.state, job.attempts = "ready", 0

    @rule(owner=OWNERS, limit=st.integers(1, 4), lease_s=st.sampled_from([5.0, 30.0]))
    def a_worker_claims(self, owner: str, limit: int, lease_s: float) -> None:
        """STAT first, then the longest due; a suspect comes alone, and clean jobs come without suspects."""
        with self.database.write() as connection:
            found = jobs.claim(connection, self.now, JobKind.INFER, owner=owner, limit=limit, lease_s=lease_s)
        due = [job for job in self.jobs.values() if job.state == "ready" and job.due <= self.now]
        due.sort(key=lambda job: (job.priority, job.due, job.number))
        if due and due[0].crashes:
            expected = [job for job in due if job.crashes][:1]
        else:
            expected = [job for job in due if not job.crashes][:limit]
        assert [job.study_uid for job in expected] == [claim.study_uid for claim in found]
        for job, claim in zip(expected, found, strict=True):
            job.state, job.owner, job.lease_until = "leased", owner, self.now + lease_s
            job.attempts += 1
            job.holder = len(self.handed_out)
            assert (job.rev, job.attempts, job.crashes) == (claim.rev, claim.attempts, claim.crashes)
            self.handed_out.append(claim)

    @precondition(lambda self: self.handed_out)
    @rule(which=st.integers(0), word=st.sampled_from(["finish", "retry", "release", "bury"]))
    def a_worker_speaks(self, which: int, word: str) -> None:
        """Whoever holds the job is heard; whoever held it once is not."""
        which %= len(self.handed_out)
        claim = self.handed_out[which]
        job = self.jobs[claim.study_uid]
        words: dict[str, Callable[[Connection], object]] = {
            "finish": lambda c: jobs.finish(c, self.now, claim),
            "retry": lambda c: jobs.retry(c, self.now, claim, delay_s=3, error="later"),
            "release": lambda c: jobs.release(c, self.now, claim),
            "bury": lambda c: jobs.bury(c, self.now, claim, error="never"),
        }
        if job.holder != which:
            with pytest.raises(jobs.Fenced):
                self.write(words[word])
            return
        self.write(words[word])
        moved = job.rev > claim.rev
        attempts = 0 if moved else job.attempts
        match word:
            case "finish":
                job.give_back(state="ready" if moved else "done", attempts=attempts, crashes=0, err="")
            case "bury":
                job.give_back(state="ready" if moved else "dead", attempts=attempts, err="never")
            case "retry":
                job.give_back(state="ready", due=self.now + 3, crashes=0, err="later")
            case "release":
                job.give_back(state="ready", due=self.now, attempts=claim.attempts - 1, crashes=0)

    @rule(dead=st.sets(OWNERS, max_size=1))
    def the_dead_are_reaped(self, dead: set[str]) -> None:
        """What they held is a suspect, or dead when it has outlived too many."""
        self.write(lambda c: jobs.reap(c, self.now, max_crashes=MAX_CRASHES, dead_owners=dead))
        for job in self.jobs.values():
            if job.lease_until is not None and (job.lease_until < self.now or job.owner in dead):
                job.give_back(crashes=job.crashes + 1)
                poison = job.crashes >= MAX_CRASHES
                job.state, job.err = ("dead", f"its worker died {job.crashes} times") if poison else ("ready", job.err)

    @rule(owner=OWNERS)
    def a_worker_beats(self, owner: str) -> None:
        """Its leases are longer, and nobody else's."""
        self.write(lambda c: jobs.renew(c, self.now, owner, 30.0))
        for job in self.jobs.values():
            if job.state == "leased" and job.owner == owner:
                job.lease_until = self.now + 30.0

    @rule()
    def a_supervisor_starts(self) -> None:
        """Every lease is void, and nobody is blamed."""
        self.write(lambda c: jobs.void_leases(c, self.now))
        for job in self.jobs.values():
            if job.state == "leased":
                job.give_back(state="ready", due=self.now)

    @rule(study=STUDIES)
    def an_operator_requeues(self, study: str) -> None:
        """Dead and dismissed work is revived; a study without any is analysed anew; nothing is taken out of hands."""
        self.write(lambda c: interventions.requeue(c, self.now, study_uid=study, actor="operator"))
        job = self.jobs.get(study)
        if job is None or job.state == "leased":
            return
        if job.state not in ("dead", "dismissed"):
            job.rev += 1
        job.give_back(state="ready", due=self.now, attempts=0, crashes=0, err="")

    @rule(study=STUDIES)
    def an_operator_dismisses(self, study: str) -> None:
        """What is dead, and nothing else."""
        self.write(lambda c: interventions.dismiss(c, self.now, study_uid=study, actor="meier", reason="why"))
        job = self.jobs.get(study)
        if job is not None and job.state == "dead":
            job.state, job.err = "dismissed", f"dismissed by meier: why ({job.err})"

    @rule(study=STUDIES, named=st.booleans())
    def an_operator_retries(self, study: str, *, named: bool) -> None:
        """What is dead, or failed and waits; what is dismissed only by its number."""
        mine = select(schema.job.c.id).where(schema.job.c.study_uid == study)

        def retry(connection: Connection) -> None:
            ids = list(connection.execute(mine).scalars()) if named else []
            interventions.retry(connection, self.now, ids=ids, study_uid=study, actor="meier")

        self.write(retry)
        job = self.jobs.get(study)
        if job is None or (job.state == "dismissed" and not named):
            return
        failed = job.state == "ready" and job.attempts > 0 and job.due > self.now
        if failed or job.state in ("dead", "dismissed"):
            job.give_back(state="ready", due=self.now, attempts=0, crashes=0, err="")

    @invariant()
    def the_store_agrees(self) -> None:
        """Row by row."""
        names = [name for name in asdict(Job("", 0, 0.0, 0)) if name not in ("number", "holder", "owner")]
        query = text(f"SELECT {', '.join(names)} FROM job ORDER BY id")  # noqa: S608 - our own column names
        with self.database.read() as connection:
            found = [tuple(row) for row in connection.execute(query)]
        assert [tuple(getattr(job, name) for name in names) for job in self.jobs.values()] == found


def test_the_store_does_what_its_model_does(database: Database) -> None:
    """PostgreSQL gets fewer examples: what the two differ in is in tests of its own."""
    examples = 20 if database.engine.dialect.name == "sqlite" else 5
    chosen = settings(
        max_examples=examples, stateful_step_count=30, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(type("Bound", (Queue,), {"database": database}), settings=chosen)
