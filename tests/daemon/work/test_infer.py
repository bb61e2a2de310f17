"""Studies that are complete become findings, and one that cannot be read harms no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import cast

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import DigitalXRayImageStorageForProcessing

from cxrd.admission import RAW
from cxrd.demo.samples import samples
from cxrd.errors import InferenceError, Reason, Refused
from cxrd.inference.engine import Classifier, Outputs, load
from cxrd.pipeline import Plan
from cxrd.rules import Admission
from cxrd.settings import Settings, Work
from cxrd.store import results, views
from cxrd.store.arrivals import Received
from cxrd.store.database import Database
from cxrd.store.interventions import requeue
from cxrd.store.payload import PayloadStore
from cxrd.telling import explain
from cxrd.watch.metrics import Metrics
from cxrd.work.decoding import Decoders, Outcome
from cxrd.work.infer import InferHandler
from cxrd.work.loop import Loop
from support.datasets import DX, encoded, film
from support.packages import make_package
from support.rows import arrive, rows


@pytest.fixture
def handler(database: Database, payload: PayloadStore, tmp_path: Path) -> InferHandler:
    """A handler with one small model that decodes in this process."""
    classifier = load(make_package(tmp_path / "models"), "cpu")
    return InferHandler(database, payload, [classifier], Decoders(0, 10), Settings(), Metrics())


def receive(database: Database, data: bytes, payload: PayloadStore, study: str) -> str:
    """Receive an image of a study; its hash."""
    sha256 = payload.put(data)
    arrive(database, int(study[-1]), study_uid=study, sha256=sha256)
    return sha256


def infer(database: Database, handler: InferHandler) -> None:
    """Work on everything that is due, in one batch."""
    loop = Loop(database, handler, "w1", Work(), Event())
    while not loop.once():
        pass


def states(database: Database) -> list[tuple[str, str]]:
    """State of each infer job and its study."""
    query = (
        "SELECT j.state, s.state FROM job j JOIN study s ON s.uid = j.study_uid WHERE j.kind = 'infer' ORDER BY 1, 2"
    )
    return [(str(job), str(study)) for job, study in rows(database, query)]


def test_a_film_becomes_an_analysis_and_a_build_job(
    database: Database, payload: PayloadStore, handler: InferHandler
) -> None:
    """In the transaction that closes the claim."""
    receive(database, encoded(film()), payload, "1.2.1")
    infer(database, handler)
    assert [("done", "analysed")] == states(database)
    assert [("1.2.1",)] == rows(database, "SELECT study_uid FROM job WHERE kind = 'build'")
    assert [("admitted", "")] == rows(database, "SELECT state, reason FROM instance")


def test_a_study_without_a_readable_film_is_refused_by_name(
    database: Database, payload: PayloadStore, handler: InferHandler
) -> None:
    """It ends there; nothing is built."""
    receive(database, b"garbage" * 100, payload, "1.2.1")
    infer(database, handler)
    assert [("done", "refused")] == states(database)
    assert [(Reason.UNREADABLE,)] == rows(database, "SELECT reason FROM instance")
    assert [] == rows(database, "SELECT id FROM job WHERE kind = 'build'")


def test_films_that_no_model_judged_go_into_the_report(
    database: Database, payload: PayloadStore, handler: InferHandler
) -> None:
    """The lateral is named with its reason; a result of another node and raw pixels of the same exposure are not."""
    raw, display = raw_and_display()
    lateral = film(StudyInstanceUID=raw.StudyInstanceUID, ViewPosition="LL")
    result = film(StudyInstanceUID=raw.StudyInstanceUID, Modality="OT")
    send(database, payload, raw, display, lateral, result)
    infer(database, handler)
    refused = dict(rows(database, "SELECT sop_uid, detail FROM instance WHERE state = 'refused'"))
    assert {str(one.SOPInstanceUID) for one in (raw, lateral, result)} == refused.keys()
    with database.read() as connection:
        unread = results.inference(connection, 1).analysis.unread
    assert [(lateral.SOPInstanceUID, refused[lateral.SOPInstanceUID])] == [(x.sop_uid, x.why) for x in unread]


@pytest.mark.parametrize("asked", [True, False])
def test_a_refused_study_is_reported_where_the_site_asks_for_it(
    database: Database, payload: PayloadStore, handler: InferHandler, *, asked: bool
) -> None:
    """It stays refused; the report waits to be built. Asked again, it waits no second time."""
    handler.follow(Settings(admission=Admission(report_refused=asked)))
    lateral = film(ViewPosition="LL")
    send(database, payload, lateral)
    for _ in range(2):
        infer(database, handler)
        assert [("done", "refused")] == states(database)
        ((reason,),) = rows(database, "SELECT reason FROM study")
        assert "lateral: none of 1 image(s) can be analysed" == reason
        assert int(asked) == len(rows(database, "SELECT id FROM job WHERE kind = 'build'"))
        with database.write() as connection:
            assert requeue(connection, database.now(connection), study_uid=str(lateral.StudyInstanceUID), actor="me")
    assert {("study_refused",)} == set(rows(database, "SELECT what FROM audit WHERE what LIKE 'study_%'"))
    if asked:
        with database.read() as connection:
            kept = results.inference(connection, 1).analysis
        assert (reason, ()) == (kept.refusal, kept.films)
        assert [lateral.SOPInstanceUID] == [one.sop_uid for one in kept.unread]


def test_a_report_of_a_refusal_needs_to_know_whose_it_is(
    database: Database, payload: PayloadStore, handler: InferHandler
) -> None:
    """Not for bytes that are no DICOM object, nor for films of two patients; a hand is nobody's missing chest film."""
    handler.follow(Settings(admission=Admission(report_refused=True)))
    receive(database, b"garbage" * 100, payload, "1.2.1")
    one = film(PatientID="A")
    send(database, payload, one, film(StudyInstanceUID=one.StudyInstanceUID, PatientID="B"))
    send(database, payload, film(BodyPartExamined="HAND"))
    infer(database, handler)
    assert [("done", "refused")] * 3 == states(database)
    assert [] == rows(database, "SELECT id FROM job WHERE kind = 'build'")


def test_a_film_that_killed_its_decoder_is_opened_by_nobody_else(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """Not even for the report of its refusal: what killed one process could kill this one."""

    class Dying(Decoders):
        def prepare(self, paths: Sequence[Path], plan: Plan) -> Mapping[Path, Outcome]:
            return {path: Refused(Reason.DECODER_DIED, "its decoder died") for path in paths}

    settings = Settings(admission=Admission(report_refused=True))
    classifier = load(make_package(tmp_path / "models"), "cpu")
    handler = InferHandler(database, payload, [classifier], Dying(0, 10), settings, Metrics())
    send(database, payload, film())
    infer(database, handler)
    assert [("done", "refused")] == states(database)
    assert [] == rows(database, "SELECT id FROM job WHERE kind = 'build'")


@pytest.mark.parametrize("fault", ["missing", "altered"])
def test_a_payload_that_is_not_what_came_holds_up_its_own_study_only(
    database: Database, payload: PayloadStore, handler: InferHandler, fault: str
) -> None:
    """Its neighbours in the batch are analysed; it is not judged by other bytes, comes back later and says why."""
    lost = receive(database, encoded(film()), payload, "1.2.1")
    receive(database, encoded(film()), payload, "1.2.2")
    payload.path(lost).unlink()
    if fault == "altered":
        payload.path(lost).write_bytes(encoded(film()))
    infer(database, handler)
    assert [("done", "analysed"), ("ready", "received")] == states(database)
    ((error,),) = rows(database, "SELECT err FROM job WHERE study_uid = '1.2.1'")
    assert {"missing": "is missing", "altered": "has been altered"}[fault] in error


def test_films_of_all_studies_are_decoded_side_by_side(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """One call for the whole batch; bytes of two studies are decoded once, and lost ones hold up both."""
    asked: list[list[str]] = []

    class Counting(Decoders):
        def prepare(self, paths: Sequence[Path], plan: Plan) -> Mapping[Path, Outcome]:
            asked.append([path.name for path in paths])
            return super().prepare(paths, plan)

    classifier = load(make_package(tmp_path / "models"), "cpu")
    handler = InferHandler(database, payload, [classifier], Counting(0, 10), Settings(), Metrics())
    mine, other, bad = receive(database, encoded(film()), payload, "1.2.1"), encoded(film()), b"garbage" * 100
    for study in ("1.2.2", "1.2.3"):
        shared = receive(database, other, payload, study)
    refused = receive(database, bad, payload, "1.2.4")
    lost = payload.put(encoded(film()))
    for study in ("1.2.5", "1.2.6"):
        arrive(database, int(study[-1]), study_uid=study, sha256=lost)
    payload.path(lost).unlink()
    infer(database, handler)
    assert [mine, shared, refused, lost] == asked[0]
    assert [[lost], [lost]] == asked[1:]  # each alone, to say why it waits
    assert [("done", "analysed")] * 3 + [("done", "refused")] + [("ready", "received")] * 2 == states(database)
    assert 2 == len(rows(database, "SELECT id FROM job WHERE kind = 'infer' AND err LIKE '%is missing%'"))
    ((judged,),) = rows(database, "SELECT count(DISTINCT study_uid) FROM inference")
    assert 3 == judged


def send(database: Database, payload: PayloadStore, *films: Dataset) -> None:
    """Receive films of a study as the listener files them."""
    for number, one in enumerate(films, start=1):
        sha256 = payload.put(encoded(one))
        named = {"sop_uid": str(one.SOPInstanceUID), "study_uid": str(one.StudyInstanceUID)}
        arrive(database, number, sha256=sha256, **named)


def test_a_refused_image_that_comes_corrected_is_judged(
    database: Database, payload: PayloadStore, handler: InferHandler
) -> None:
    """As its refusal asks: corrected in the PACS, it keeps its UID. How it was before is kept aside with its reason."""
    wrong = film(ViewPosition="LL")
    send(database, payload, wrong)
    infer(database, handler)
    assert [("done", "refused")] == states(database)
    right = film(**{k: wrong[k].value for k in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")})
    before = payload.put(encoded(wrong))
    named = {"sop_uid": str(wrong.SOPInstanceUID), "study_uid": str(wrong.StudyInstanceUID)}
    assert [Received.STORED] == arrive(database, sha256=payload.put(encoded(right)), **named)
    infer(database, handler)
    assert [("done", "analysed")] == states(database)
    assert [("admitted", 2)] == rows(database, "SELECT state, rev FROM instance")
    assert [("lateral", before)] == rows(database, "SELECT reason, sha256 FROM quarantine")
    assert [Received.CONFLICT] == arrive(database, sha256=before, **named)


def test_a_study_of_two_patients_is_judged_when_one_is_corrected(
    database: Database, payload: PayloadStore, handler: InferHandler
) -> None:
    """The image that named the wrong one came again; its neighbour, refused with it, need not."""
    mine, theirs = film(PatientID="A"), film(PatientID="B", ViewPosition="LL")
    theirs.StudyInstanceUID = mine.StudyInstanceUID
    send(database, payload, mine, theirs)
    infer(database, handler)
    assert [("done", "refused")] == states(database)
    theirs.PatientID = "A"
    named = {"sop_uid": str(theirs.SOPInstanceUID), "study_uid": str(theirs.StudyInstanceUID)}
    assert [Received.STORED] == arrive(database, 2, sha256=payload.put(encoded(theirs)), **named)
    infer(database, handler)
    assert [("done", "analysed")] == states(database)


def raw_and_display() -> tuple[Dataset, Dataset]:
    """One exposure twice: as the detector gave it, and as it is meant to be seen."""
    raw = film(SOPClassUID=DigitalXRayImageStorageForProcessing, PresentationIntentType="FOR PROCESSING")
    made_from = Dataset()
    made_from.ReferencedSOPClassUID, made_from.ReferencedSOPInstanceUID = raw.SOPClassUID, raw.SOPInstanceUID
    display = film(SOPClassUID=DX, StudyInstanceUID=raw.StudyInstanceUID, SourceImageSequence=[made_from])
    return raw, display


def test_the_film_for_display_is_judged_in_place_of_raw_pixels(
    database: Database, payload: PayloadStore, handler: InferHandler
) -> None:
    """Raw pixels alone are refused; the film made from them is judged, though it comes late, and it is said."""
    raw, display = raw_and_display()
    send(database, payload, raw)
    infer(database, handler)
    assert [("done", "refused")] == states(database)
    assert [(Reason.FOR_PROCESSING,)] == rows(database, "SELECT reason FROM instance")
    send(database, payload, display)
    infer(database, handler)
    assert [("done", "analysed")] == states(database)
    detail = rows(database, "SELECT detail FROM instance WHERE state = 'refused'")
    assert [(f"{RAW}; the film made from them is judged, image {display.SOPInstanceUID}",)] == detail
    told = rows(database, "SELECT detail FROM audit WHERE what = 'instance_refused' ORDER BY id")
    assert ["send the FOR", "judged, image"] == [
        w for t in told for w in ("send the FOR", "judged, image") if w in str(t)
    ]


def test_a_study_whose_films_name_two_patients_is_refused(
    database: Database, payload: PayloadStore, handler: InferHandler
) -> None:
    """The wrong patient was chosen at the console, and corrected between two films; the study beside it is analysed."""
    wrong, other = film(PatientID="A-1"), film(PatientID="B-1")
    right = film(PatientID="B-1", StudyInstanceUID=wrong.StudyInstanceUID)
    send(database, payload, wrong, right, other)
    infer(database, handler)
    assert [("done", "analysed"), ("done", "refused")] == states(database)
    assert [(Reason.PATIENT_MISMATCH,)] * 2 == rows(database, "SELECT reason FROM instance WHERE state = 'refused'")
    with database.read() as connection:
        found = views.study(connection, wrong.StudyInstanceUID)
    assert found is not None
    told = [line for line in explain(found, [], [], 0.0, str) if line.about.startswith("image")]
    assert [("2 different patients" in line.what, "whose films" in line.todo) for line in told] == [(True, True)] * 2
    assert "A-1" not in str(rows(database, "SELECT detail FROM audit"))


def test_the_lateral_of_another_patient_makes_a_study_two_patients(
    database: Database, payload: PayloadStore, handler: InferHandler
) -> None:
    """Though no lateral is judged: its frontal film may be the other patient's. Each image is counted once."""
    frontal = film(PatientID="A-1")
    send(
        database, payload, frontal, film(PatientID="B-1", ViewPosition="LL", StudyInstanceUID=frontal.StudyInstanceUID)
    )
    infer(database, handler)
    assert [("done", "refused")] == states(database)
    assert [(Reason.PATIENT_MISMATCH,)] * 2 == rows(database, "SELECT reason FROM instance WHERE state = 'refused'")
    assert [(f"{Reason.PATIENT_MISMATCH}: none of 2 image(s) can be analysed",)] == rows(
        database, "SELECT reason FROM study"
    )
    told = {reason: handler._metrics.registry.get_sample_value("cxrd_images_refused_total", {"reason": reason})
            for reason in ("patient_mismatch", "lateral")}  # fmt: skip
    assert {"patient_mismatch": 2, "lateral": None} == told


def test_a_correction_stands_in_the_trail(database: Database, payload: PayloadStore, handler: InferHandler) -> None:
    """Beside the analysis that it belongs to, once; the study's story tells it."""
    inverted = pydicom.dcmread(BytesIO(samples("p", rows=256)["normal"]))
    inverted.PhotometricInterpretation, inverted.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    send(database, payload, inverted)
    infer(database, handler)
    with database.read() as connection:
        found = views.study(connection, inverted.StudyInstanceUID)
    assert found is not None
    (told,) = [row for row in found.audit if row["what"] == "instance_corrected"]
    assert (inverted.SOPInstanceUID, "inverted") == (told["subject"], told["detail"]["reason"])
    ((inference,),) = rows(database, "SELECT id FROM inference")
    assert inference == told["detail"]["inference"]
    story = explain(found, [], [], 0.0, str)
    assert any("shown the other way round" in line.what for line in story)


def test_a_study_that_is_requeued_under_other_rules_gets_the_answer_of_those(
    database: Database, payload: PayloadStore, tmp_path: Path
) -> None:
    """What is recorded, and so reported, is what the image's row says; the same rules again record nothing anew.

    Rules that were in force before are others too: the answer that they gave was replaced meanwhile.
    """
    models = [load(make_package(tmp_path / "models"), "cpu")]
    inverted = pydicom.dcmread(BytesIO(samples("p", rows=256)["normal"]))
    inverted.PhotometricInterpretation, inverted.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    send(database, payload, inverted)
    for inversion in ("correct", "note", "note", "correct", "correct"):
        rules = Settings(admission=Admission(inversion=inversion))
        infer(database, InferHandler(database, payload, models, Decoders(0, 10), rules, Metrics()))
        with database.write() as connection:
            now = database.now(connection)
            requeue(connection, now, study_uid=inverted.StudyInstanceUID, actor="test")
    with database.read() as connection:
        found = [
            results.inference(connection, number).analysis
            for (number,) in rows(database, "SELECT id FROM inference ORDER BY id")
        ]
    assert [True, False, True] == [study.films[0].film.inverted for study in found]
    assert [("build:1",), ("build:2",), ("build:3",)] == rows(
        database, "SELECT dedupe FROM job WHERE kind = 'build' ORDER BY id"
    )
    assert [("admitted", "the greys were inverted against the header, and are shown the other way round")] == rows(
        database, "SELECT state, detail FROM instance"
    )


class Broken:
    """A model that fails on every batch, as one with a lost GPU does."""

    def __init__(self, sound: Classifier) -> None:
        self.ref, self.manifest, self.takes_mask = sound.ref, sound.manifest, sound.takes_mask

    def at(self, _chosen: object) -> Broken:
        """The same at any operating points."""
        return self

    def run(self, *_: object) -> Outputs:
        """Fail."""
        raise InferenceError("out of memory")


def test_a_model_that_looks_on_writes_numbers_and_nothing_else(
    database: Database, payload: PayloadStore, handler: InferHandler, tmp_path: Path
) -> None:
    """Its answer is beside the active one's for the same film, and in no analysis; one that fails harms nobody."""
    active, shadow = (load(make_package(tmp_path / "models", version=v), "cpu") for v in ("1.0.0", "2.0.0"))
    handler.take([active], [cast("Classifier", Broken(shadow)), shadow])
    receive(database, encoded(film()), payload, "1.2.1")
    infer(database, handler)
    assert [("done", "analysed")] == states(database)
    told = rows(database, "SELECT stage, film FROM observation ORDER BY id")
    assert ["active", "shadow"] == [stage for stage, _ in told]
    assert 1 == len({film for _, film in told})
    ((output,),) = rows(database, "SELECT output FROM inference")
    assert "2.0.0" not in str(output)
