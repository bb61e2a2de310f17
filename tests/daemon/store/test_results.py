"""From an analysis to objects at every destination."""

from __future__ import annotations

from threading import Thread

import pytest
from sqlalchemy import Connection

from cxrd.errors import Reason
from cxrd.findings import ArtefactKind
from cxrd.store import jobs, results, views
from cxrd.store.database import Database
from cxrd.store.schema import InstanceState, JobKind
from support.rows import STUDY, analysis, arrive, claim, record, reported, rows


def store_all(database: Database, inference_id: int, dest: str) -> bool:
    """Have a destination take everything; whether the study is delivered."""
    with database.write() as connection:
        now = database.now(connection)
        for row in results.undelivered(connection, inference_id, dest):
            results.mark_attempt(connection, now, row.sop_uid, dest)
            results.mark_stored(connection, now, row.sop_uid, dest, 0)
        return results.settle(connection, now, STUDY)


def waiting(connection: Connection, now: float) -> None:
    """Record an analysis whose objects wait to be built."""
    made = record(connection, now)
    jobs.enqueue(connection, now, JobKind.BUILD, dedupe=f"build:{made}", study_uid=STUDY, priority=50, payload={})


def test_the_same_answer_is_recorded_once(database: Database) -> None:
    """Same films, models and configuration: the second worker adds nothing."""
    arrive(database)
    with database.write() as connection:
        now = database.now(connection)
        waiting(connection, now)
        assert results.record_inference(connection, now, analysis()) is None
    assert [(1,)] == rows(database, "SELECT count(*) FROM inference")
    assert [("analysed",)] == rows(database, "SELECT state FROM study")


def test_an_answer_that_is_known_brings_back_the_state_it_had_reached(database: Database) -> None:
    """A requeue without any change ends where the study was, not before it."""
    arrive(database)
    made = reported(database)
    for number, expected in ((2, "reported"), (3, "delivered")):
        arrive(database, number)
        with database.write() as connection:
            assert results.record_inference(connection, database.now(connection), analysis()) is None
        assert [(expected,)] == rows(database, "SELECT state FROM study")
        store_all(database, made, "pacs")


def test_an_answer_that_another_one_replaced_is_given_again(database: Database) -> None:
    """Rules are changed and changed back: the newest result says what the node says now, under a digest of its own."""
    arrive(database)
    said = []
    with database.write() as connection:
        for digest in "abaabba":
            made = results.record_inference(connection, database.now(connection), analysis(digest))
            said.append((digest, made))
        kept = [results.inference(connection, number).analysis for number in range(1, 6)]
    assert [("a", 1), ("b", 2), ("a", 3), ("a", None), ("b", 4), ("b", None), ("a", 5)] == said
    assert ["a", "b", "a", "b", "a"] == [one.input_digest[0] for one in kept]
    assert 5 == len({(one.input_digest, one.config_digest) for one in kept})
    assert {analysis().films} == {one.films for one in kept}
    assert ["c" * 64] * 2 == [one.config_digest for one in kept[:2]]


def test_a_delivery_is_told_once(database: Database) -> None:
    """A resend's second analysis, and an older report that arrives last, add nothing to the trail."""
    arrive(database)
    older, newer = reported(database, "a"), reported(database, "b")
    assert store_all(database, newer, "pacs")
    store_all(database, older, "pacs")
    with database.write() as connection:
        assert results.record_inference(connection, database.now(connection), analysis("b")) is None
    assert [("delivered",)] == rows(database, "SELECT state FROM study")
    assert [(STUDY,)] == rows(database, "SELECT subject FROM audit WHERE what = 'study_delivered'")


@pytest.mark.parametrize("kind", [JobKind.INFER, JobKind.DELIVER])
def test_a_success_hides_no_failure(database: Database, kind: JobKind) -> None:
    """One destination took everything; the study still waits for a person, and says so."""
    arrive(database)
    made = reported(database, "a", pacs=(ArtefactKind.SR,), archive=(ArtefactKind.SR,))
    (held,) = claim(database, kind, **({"lane": "archive"} if kind is JobKind.DELIVER else {}))
    with database.write() as connection:
        jobs.bury(connection, database.now(connection), held, error="never")
    assert not store_all(database, made, "pacs")
    assert [("failed", "never")] == rows(database, "SELECT state, reason FROM study")


def test_a_failure_of_an_older_analysis_is_past(database: Database) -> None:
    """The newest analysis is what the study is judged by."""
    arrive(database)
    reported(database, "a")
    (held,) = claim(database, JobKind.DELIVER, lane="pacs")
    with database.write() as connection:
        jobs.bury(connection, database.now(connection), held, error="never")
    assert store_all(database, reported(database, "b"), "pacs")
    assert [("delivered", "")] == rows(database, "SELECT state, reason FROM study")


def test_the_newest_analysis_decides_how_far_a_study_is(database: Database) -> None:
    """An older report that arrives late does not make the study delivered."""
    arrive(database)
    older, newer = reported(database, "a"), reported(database, "b")
    assert [False, True] == [store_all(database, made, "pacs") for made in (older, newer)]


def test_an_analysis_without_objects_is_not_delivered(database: Database) -> None:
    """Nothing waits at a destination, because nothing was built yet."""
    arrive(database)
    with database.write() as connection:
        now = database.now(connection)
        waiting(connection, now)
        assert not results.settle(connection, now, STUDY)
    assert [("analysed",)] == rows(database, "SELECT state FROM study")


def test_a_taken_object_is_sent_no_more(database: Database) -> None:
    """The failure before it is forgotten, the status stays."""
    arrive(database)
    made = reported(database)
    with database.write() as connection:
        now = database.now(connection)
        results.mark_failed(connection, now, f"9.{made}.0", "pacs", 0xA700, "no room")
        results.mark_stored(connection, now, f"9.{made}.0", "pacs", 0xB000)
        assert [f"9.{made}.1"] == [row.sop_uid for row in results.undelivered(connection, made, "pacs")]
    stored = rows(database, "SELECT status_code, error FROM delivery WHERE stored_at IS NOT NULL")
    assert [(0xB000, "")] == stored


def test_an_analysis_comes_back_as_it_went_in(database: Database) -> None:
    """The row is the only copy that build reads."""
    arrive(database)
    with database.write() as connection:
        made = record(connection, database.now(connection))
    with database.read() as connection:
        assert analysis() == results.inference(connection, made).analysis


def test_a_refusal_is_noted_and_audited_once(database: Database) -> None:
    """However often the study is worked on."""
    arrive(database)
    for _ in range(2):
        with database.write() as connection:
            mark = (InstanceState.REFUSED, str(Reason.LATERAL), "a lateral view")
            results.mark_instances(connection, database.now(connection), {f"{STUDY}.1": mark})
    assert [("refused", "lateral", "a lateral view")] == rows(database, "SELECT state, reason, detail FROM instance")
    assert [(1,)] == rows(database, "SELECT count(*) FROM audit WHERE what = 'instance_refused'")


def test_a_study_without_any_film_is_refused_with_its_reason(database: Database) -> None:
    """Never silent."""
    arrive(database)
    with database.write() as connection:
        results.refuse_study(connection, database.now(connection), STUDY, Reason.LATERAL, "one lateral")
    assert [("refused", "lateral: one lateral")] == rows(database, "SELECT state, reason FROM study")


def test_a_refused_study_stays_so_however_far_its_report_comes(database: Database) -> None:
    """Built, sent, or asked again: its state says refused, with the reason; a film that may be judged ends that."""
    arrive(database)
    empty = analysis().model_copy(update={"films": (), "refusal": "lateral: none of 1 image(s) can be analysed"})
    refused = [("refused", empty.refusal)]
    with database.write() as connection:
        now = database.now(connection)
        assert results.refuse_study(connection, now, STUDY, Reason.LATERAL, "none of 1 image(s) can be analysed")
        made = results.record_inference(connection, now, empty)
        assert made is not None
        objects = [results.NewArtefact(kind=ArtefactKind.SR, sop_class="1", sop_uid="9.1", sha256="a" * 64, size=1)]
        results.record_artefacts(connection, now, made, objects, {"pacs": [ArtefactKind.SR]}, priority=50)
    assert refused == rows(database, "SELECT state, reason FROM study")
    store_all(database, made, "pacs")
    assert refused == rows(database, "SELECT state, reason FROM study")
    with database.write() as connection:
        assert not results.refuse_study(connection, database.now(connection), STUDY, Reason.LATERAL, "as before")
    assert refused == rows(database, "SELECT state, reason FROM study")
    reported(database, "b")
    assert [("reported", "")] == rows(database, "SELECT state, reason FROM study")


def test_a_late_refused_image_does_not_hide_an_earlier_result(database: Database) -> None:
    """What was delivered stays delivered."""
    arrive(database)
    store_all(database, reported(database), "pacs")
    with database.write() as connection:
        results.refuse_study(connection, database.now(connection), STUDY, Reason.LATERAL, "")
    assert [("delivered",)] == rows(database, "SELECT state FROM study")


def test_each_destination_gets_its_kinds_and_one_job(database: Database) -> None:
    """A viewer that shows no SR may ask for the SC alone."""
    arrive(database)
    reported(database, pacs=(ArtefactKind.SR, ArtefactKind.SC), viewer=(ArtefactKind.SC,), archive=())
    by_dest = rows(database, "SELECT dest, count(*) FROM delivery GROUP BY dest ORDER BY dest")
    assert [("pacs", 2), ("viewer", 1)] == by_dest
    lanes = rows(database, "SELECT lane, state FROM job WHERE kind = 'deliver' ORDER BY lane")
    assert [("pacs", "ready"), ("viewer", "ready")] == lanes


def test_a_study_is_delivered_when_every_destination_has_everything(database: Database) -> None:
    """Not a moment before."""
    arrive(database)
    made = reported(database, one=(ArtefactKind.SR,), two=(ArtefactKind.SR, ArtefactKind.SC))
    assert [False, True] == [store_all(database, made, dest) for dest in ("one", "two")]
    assert [("delivered",)] == rows(database, "SELECT state FROM study")
    assert [(3,)] == rows(database, "SELECT count(*) FROM audit WHERE what = 'object_delivered'")


def test_a_study_that_no_destination_asks_for_is_at_its_end(database: Database) -> None:
    """Its objects are here for who looks; nothing waits, and nothing looks as if it were late."""
    arrive(database)
    reported(database, viewer=())
    assert [("delivered", "no destination asks for its results")] == rows(database, "SELECT state, reason FROM study")
    with database.read() as connection:
        assert 0 == views.oldest_study_age_by_state(connection, database.now(connection) + 100)["reported"]


def test_captures_go_before_the_report_that_refers_to_them(database: Database) -> None:
    """A reader of the report finds its pictures."""
    arrive(database)
    made = reported(database)
    with database.read() as connection:
        assert ["sc", "sr"] == [row.kind for row in results.undelivered(connection, made, "pacs")]


def test_an_attempt_is_remembered_from_before_the_first_byte(database: Database) -> None:
    """So that a later "duplicate" can be told from somebody else's object."""
    arrive(database)
    made = reported(database)
    with database.write() as connection:
        results.mark_attempt(connection, 123.0, f"9.{made}.0", "pacs")
        results.mark_attempt(connection, 456.0, f"9.{made}.0", "pacs")
    assert [(123.0,), (None,)] == rows(database, "SELECT first_sent_at FROM delivery ORDER BY artefact_uid")
    assert {f"9.{made}.0": True, f"9.{made}.1": False} == attempts(database, made)


def attempts(database: Database, made: int) -> dict[str, bool]:
    """Whether each object may be at its destination already."""
    with database.read() as connection:
        return {row.sop_uid: row.attempted for row in results.undelivered(connection, made, "pacs")}


def test_an_answer_ends_the_doubt_unless_an_attempt_before_it_had_none(database: Database) -> None:
    """A refused object is not there; one whose answer was lost may be, whatever is answered later."""
    arrive(database)
    made = reported(database)
    refused, lost = f"9.{made}.0", f"9.{made}.1"
    for status in ({refused: 0xA700, lost: None}, {refused: 0xA700, lost: 0xA700}):
        before = attempts(database, made)
        with database.write() as connection:
            for uid, answer in status.items():
                results.mark_attempt(connection, 1.0, uid, "pacs")
                results.mark_failed(connection, 1.0, uid, "pacs", answer, "no", attempted=before[uid])
        assert {refused: False, lost: True} == attempts(database, made)


def test_the_last_of_two_destinations_ends_the_study(database: Database) -> None:
    """Both are done at the same moment: each transaction would count without the other's row."""
    arrive(database)
    made = reported(database, pacs=(ArtefactKind.SR,), archive=(ArtefactKind.SR,))
    other = Thread(target=store_all, args=(database, made, "archive"))
    with database.write() as connection:
        now = database.now(connection)
        for row in results.undelivered(connection, made, "pacs"):
            results.mark_stored(connection, now, row.sop_uid, "pacs", 0)
        results.settle(connection, now, STUDY)
        other.start()
        other.join(timeout=2)  # it waits for us, and must go on when we are done
    other.join(timeout=30)
    assert [("delivered",)] == rows(database, "SELECT state FROM study")
    assert [(1,)] == rows(database, "SELECT count(*) FROM audit WHERE what = 'study_delivered'")


def test_the_same_failure_is_audited_once(database: Database) -> None:
    """A PACS that is down for a weekend does not fill the trail."""
    arrive(database)
    made = reported(database)
    for error in ("down", "down", "refused"):
        with database.write() as connection:
            results.mark_failed(connection, database.now(connection), f"9.{made}.0", "pacs", None, error)
    assert [(2,)] == rows(database, "SELECT count(*) FROM audit WHERE what = 'object_rejected'")


def test_a_new_report_knows_the_one_before_it(database: Database) -> None:
    """The newest of an earlier analysis, and none for the first."""
    arrive(database)
    first, second = reported(database, "a"), reported(database, "b")
    with database.read() as connection:
        assert results.previous_report(connection, STUDY, ArtefactKind.SR, before=first) is None
        before = results.previous_report(connection, STUDY, ArtefactKind.SR, before=second)
        other = results.previous_report(connection, STUDY, ArtefactKind.SR_TEXT, before=second)
    assert before is not None
    assert (ArtefactKind.SR, f"9.{first}.1") == (before.kind, before.sop_uid)
    assert before == other, "a destination that now asks for another class still learns what was replaced"


def test_ages_count_from_what_waits(database: Database) -> None:
    """Monitors see the oldest result that a destination has not taken, and nothing when it has all."""
    arrive(database)
    made = reported(database)
    with database.read() as connection:
        now = database.now(connection) + 100
        assert 100 == round(views.oldest_undelivered_by_dest(connection, now)["pacs"], -1)
        assert 100 == round(views.oldest_job_age_by_kind(connection, now)["deliver"], -1)
    store_all(database, made, "pacs")
    with database.read() as connection:
        assert {} == views.oldest_undelivered_by_dest(connection, now)
