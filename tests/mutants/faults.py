"""Each fault as a change of one line or two, and the tests that must turn red."""

from __future__ import annotations

from dataclasses import dataclass

STORE, WORK, FLOW = "tests/daemon/store", "tests/daemon/work", "tests/flow"


@dataclass(frozen=True, slots=True)
class Fault:
    """One change to the source.

    Attributes
    ----------
    drops : str
        The promise that the change breaks.
    file : str
        Below ``daemon/cxrd``.
    before, after : str
        ``before`` stands in the file exactly once.
    tests : tuple of str
        Node ids of pytest; at least one must fail.
    """

    drops: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


FAULTS = (
    Fault(
        "the fence predicate",
        "store/jobs.py",
        "_job.id == held.id, _job.fence == held.fence,",
        "_job.id == held.id,",
        (f"{STORE}/test_jobs.py::test_a_zombie_writes_nothing",),
    ),
    Fault(
        "the fence's step at the claim",
        "store/jobs.py",
        "            fence=_job.fence + 1,\n",
        "",
        (f"{STORE}/test_jobs.py::test_a_claim_that_was_given_back_is_no_claim",),
    ),
    Fault(
        "the revision case of finish",
        "store/jobs.py",
        "state=case((moved, JobState.READY.value), else_=JobState.DONE.value),",
        "state=JobState.DONE.value,",
        (f"{STORE}/test_jobs.py::test_a_late_image_opens_the_job_again_when_it_is_finished",),
    ),
    Fault(
        "the revision case of bury",
        "store/jobs.py",
        "state=case((moved, JobState.READY.value), else_=JobState.DEAD.value),",
        "state=JobState.DEAD.value,",
        (f"{STORE}/test_jobs.py::test_an_image_that_came_meanwhile_keeps_its_study_alive",),
    ),
    Fault(
        "the count of a lane's senders",
        "store/lanes.py",
        "return _busy(connection, lane) < (1 if row.fails >= FAILURES_TO_CLOSE else cap)",
        "return True",
        (f"{STORE}/test_lanes.py::test_a_lane_at_its_cap_gives_way_to_others",),
    ),
    Fault(
        "the lock under which they are counted again",
        "store/lanes.py",
        "select(schema.dest).where(_dest.name == lane).with_for_update(skip_locked=True)",
        "select(schema.dest).where(_dest.name == lane)",
        (f"{STORE}/test_lanes.py::test_a_lane_that_another_decides_on_is_passed_over",),
    ),
    Fault(
        "suspects apart from the others",
        "store/jobs.py",
        "suspects = kind is JobKind.INFER",
        "suspects = False",
        (f"{STORE}/test_jobs.py::test_suspects_are_claimed_alone",),
    ),
    Fault(
        "suspects one by one",
        "store/jobs.py",
        "            limit = 1\n            ready.append(_job.crashes > 0)",
        "            ready.append(_job.crashes > 0)",
        (f"{FLOW}/test_poison.py::test_poison_takes_nobody_with_it[out_of_memory]",),
    ),
    Fault(
        "attempts counted at the claim",
        "store/jobs.py",
        "attempts=_job.attempts + 1,",
        "attempts=_job.attempts,",
        (f"{STORE}/test_jobs.py::test_released_work_counts_no_attempt",),
    ),
    Fault(
        "the fsync of a file",
        "store/payload.py",
        "os.fsync(file.fileno())",
        "file.fileno()",
        (f"{STORE}/test_payload.py::test_bytes_are_synced_before_they_have_a_name",),
    ),
    Fault(
        "the fsync of its folder",
        "store/payload.py",
        "                sync_folder(folder)",
        "                folder.exists()",
        (f"{STORE}/test_payload.py::test_a_name_that_was_never_synced_is_synced_by_the_next_put",),
    ),
    Fault(
        "the watchdog",
        "work/heartbeat.py",
        "self._leave(EXIT_NO_HEARTBEAT)",
        "self._log.error(EXIT_NO_HEARTBEAT)",
        (f"{WORK}/test_heartbeat.py::test_it_leaves_when_the_database_hangs",),
    ),
    Fault(
        "the supervisor's look at silent roles",
        "service/supervisor.py",
        "                process.kill()\n                child.beat_seen = now",
        "                child.beat_seen = now",
        ("tests/daemon/service/test_supervisor.py::test_a_silent_role_is_killed_after_a_lease",),
    ),
    Fault(
        "the listener's bound inside a message",
        "intake/listener.py",
        "connection.socket.settimeout(self._settings.timeout_s)",
        "connection.socket.settimeout(None)",
        ("tests/daemon/intake/test_broken_connections.py::test_half_a_film_is_none[sqlite-stall]",),
    ),
    Fault(
        "the commit before the answer",
        "store/database.py",
        "            with connection.begin():\n                yield connection",
        "            with connection.begin() as transaction:\n                yield connection\n"
        "                transaction.rollback()",
        ("tests/daemon/intake/test_listener.py::test_success_means_bytes_and_rows",),
    ),
    Fault(
        "one supervisor for a database",
        "service/supervisor.py",
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        ("tests/daemon/service/test_supervisor.py::test_one_supervisor_works_on_an_embedded_database",),
    ),
    Fault(
        "the death of children with their parent",
        "watch/lifeline.py",
        "    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)\n",
        "",
        ("tests/daemon/watch/test_lifeline.py::test_a_child_dies_with_its_parent",),
    ),
    Fault(
        "the look at the bytes of a known UID",
        "store/arrivals.py",
        "if known is not None and _fits(known, arrival):",
        "if known is not None:",
        ("tests/daemon/intake/test_listener.py::test_other_bytes_under_a_known_uid_are_kept_aside",),
    ),
    Fault(
        "the hold of a study while its deliveries are counted",
        "store/results.py",
        "    studies.hold(connection, study_uid)\n",
        "",
        (f"{STORE}/test_results.py::test_the_last_of_two_destinations_ends_the_study",),
    ),
    Fault(
        "the new file for bytes that are here",
        "store/payload.py",
        "            temporary.rename(target)",
        "            temporary.unlink() if target.exists() else temporary.rename(target)",
        (
            f"{STORE}/test_payload.py::test_a_name_that_was_never_synced_is_synced_by_the_next_put",
            f"{WORK}/test_retention.py::test_a_put_that_came_first_is_seen_by_the_remover",
        ),
    ),
    Fault(
        "the look for other rows of the same bytes",
        "store/retention.py",
        "    return [digest for digest in digests if digest not in named]",
        "    return digests",
        (f"{WORK}/test_retention.py::test_bytes_that_another_row_names_stay",),
    ),
    Fault(
        "the deliveries and jobs that a study still waits for",
        "store/retention.py",
        "        ~exists().where(_job.study_uid == _study.uid, working),\n",
        "",
        (f"{WORK}/test_retention.py::test_a_study_with_a_job_that_is_not_done_keeps_everything",),
    ),
    Fault(
        "the look whether a job that is dismissed is dead",
        "store/interventions.py",
        "_locked(connection, [_job.state == JobState.DEAD, *_limits(",
        "_locked(connection, [*_limits(",
        (f"{STORE}/test_dismissal.py::test_only_what_is_dead_is_dismissed",),
    ),
    Fault(
        "the line between dismissed and delivered",
        "store/results.py",
        "whole = found.stored == found.asked and _BEFORE_DELIVERY.isdisjoint(dismissed)",
        "whole = _BEFORE_DELIVERY.isdisjoint(dismissed)",
        (f"{STORE}/test_dismissal.py::test_a_dismissed_delivery_is_waited_for_by_nobody_and_not_called_delivered",),
    ),
    Fault(
        "the bytes without which nothing dismissed is revived",
        "store/interventions.py",
        "        if lost := _lost(connection, row):",
        "        if lost := False:",
        (f"{WORK}/test_retention.py::test_a_dismissed_job_is_not_revived_without_its_bytes",),
    ),
    Fault(
        "the note before the first byte goes out",
        "delivery/courier.py",
        "results.mark_attempt(connection, self._database.now(connection), row.sop_uid, destination.name)",
        "self._database.now(connection)",
        ("tests/daemon/delivery/test_courier.py::test_a_duplicate_after_an_attempt_without_answer_is_success",),
    ),
    Fault(
        "the turn of an earlier result",
        "store/turns.py",
        "where(*_before(held), still).limit(1)",
        "where(*_before(held), still).limit(0)",
        ("tests/daemon/delivery/test_courier.py::test_an_earlier_result_never_arrives_after_a_later_one",),
    ),
    Fault(
        "the look whose each image of a study is",
        "pipeline.py",
        "if patients < 2:",
        "if patients < 3:",
        (f"{WORK}/test_infer.py::test_a_study_whose_films_name_two_patients_is_refused",),
    ),
)
