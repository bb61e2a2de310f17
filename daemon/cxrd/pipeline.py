"""The spine: bytes of a film in, findings and finished DICOM objects out.

No database, no socket, no clock: ``prepare`` runs in a decode process, ``analyse`` beside the models,
``conclude`` closes a study. ``cxrd analyse`` and the daemon's workers call the same three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cxrd import admission
from cxrd.errors import PackageError, Reason, Refused
from cxrd.findings import ClassRole, FilmAnalysis, FilmRef, ModelAnswer, ModelRef, StudyAnalysis, Subject, Unread
from cxrd.imaging.decode import decode
from cxrd.imaging.header import read_header, text
from cxrd.imaging.lungs import lung_mask, mask_on
from cxrd.imaging.preprocess import Preprocess, apply, display
from cxrd.imaging.upright import upright
from cxrd.inference.answers import answer
from cxrd.inference.remembering import Memory, Said, name_of, pack, unpack
from cxrd.rules import SHIPPED, Admission
from cxrd.settings import Settings

if TYPE_CHECKING:  # a decode process needs no ONNX Runtime in its address space
    from cxrd.inference.content import ContentCheck
    from cxrd.inference.engine import Classifier

REVISION = 2
"""Raised when the same bytes, models and settings give other pixels, notes or answers: results then get new UIDs."""

ModelRun = Callable[[ModelRef, int, float, int | None], None]
"""Told after each run of a model: which, how many films, seconds, and how many films an ensemble's second graph saw."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the loaded models need of a film, and the rules by which it is admitted.

    Attributes
    ----------
    preprocesses : tuple of Preprocess
        Each distinct one once.
    lung_grids : tuple of (int, int)
        Rows and columns of each lung mask that a model wants.
    preview_size : int
        Longer side of the preview, pixels.
    rules : Admission
        What is asked of a film.
    """

    preprocesses: tuple[Preprocess, ...]
    lung_grids: tuple[tuple[int, int], ...]
    preview_size: int
    rules: Admission = SHIPPED

    @classmethod
    def of(
        cls,
        classifiers: Iterable[Classifier],
        preview_size: int,
        rules: Admission = SHIPPED,
        check: ContentCheck | None = None,
    ) -> Plan:
        """Collect the distinct preprocesses of a model set and of the content check.

        Raises
        ------
        PackageError
            One of the models tells what a picture shows, not what a patient has.
        """
        loaded = tuple(classifiers)
        strangers = [c.ref.id for c in loaded if any(k.role is ClassRole.CONTENT for k in c.manifest.classes)]
        if strangers:
            raise PackageError(
                f"{', '.join(strangers)} is a content check, no classifier of findings",
                hint="name it in admission.content_model, and keep it out of models.dir",
            )
        grids = (_grid(c) for c in loaded if c.takes_mask)
        wanted = [c.manifest.preprocess for c in loaded] + ([check.preprocess] if check else [])
        return cls(tuple(dict.fromkeys(wanted)), tuple(dict.fromkeys(grids)), preview_size, rules)


@dataclass(frozen=True, slots=True)
class Prepared:
    """One admitted film, small enough to cross a process border.

    Attributes
    ----------
    film : FilmRef
        What it is.
    subject : Subject
        Whom it shows.
    patient : (str, str)
        Whose it is by its header, Patient ID (0010,0020) and Issuer of Patient ID (0010,0021); "" where one is blank.
    inputs : Mapping from Preprocess to float32 (1, H, W), 0..1
        Model inputs, in the orientation the models expect (never mirrored).
    lungs : Mapping from (rows, columns) to float32 (1, rows, columns), 0..1
        Lung masks, in the same orientation.
    preview : uint8 (h, w)
        Display-ready film in the *source's* orientation.
    notes : tuple of str
        What a reader of the result should know (a view that was not named, a window that was ignored).
    sources : frozenset of str
        SOP Instance UIDs of the images it says it was made from.
    seconds : Mapping from stage name to float
        Time spent in "decode" and "preprocess".
    """

    film: FilmRef
    subject: Subject
    patient: tuple[str, str]
    inputs: Mapping[Preprocess, NDArray[np.float32]]
    lungs: Mapping[tuple[int, int], NDArray[np.float32]]
    preview: NDArray[np.uint8]
    notes: tuple[str, ...]
    sources: frozenset[str]
    seconds: Mapping[str, float]


def prepare(data: bytes, digest: str, plan: Plan) -> Prepared:
    """Admit, decode and preprocess one object.

    Parameters
    ----------
    data : bytes
        The object as received, Part 10 or bare data set.
    digest : str
        sha256 (hex) of ``data``.
    plan : Plan
        What to make of it.

    Raises
    ------
    Refused
        It is not a frontal chest radiograph that can be read; the reason is coded.
    """
    header = read_header(data)
    patient = text(header, "PatientID"), text(header, "IssuerOfPatientID")
    try:
        return _prepared(data, header, patient, digest, plan)
    except Refused as refused:
        refused.patient = patient
        raise


def _prepared(data: bytes, header: Dataset, patient: tuple[str, str], digest: str, plan: Plan) -> Prepared:
    admitted = admission.judge(header, plan.rules)
    started = perf_counter()
    radiograph = decode(data)
    decoded = perf_counter()
    righted = upright(radiograph, plan.rules)
    inputs = {p: apply(p, righted.pixels) for p in plan.preprocesses}
    mask = lung_mask(righted.pixels) if plan.lung_grids else None  # once, whatever the grids
    lungs = {} if mask is None else {grid: mask_on(grid, mask) for grid in plan.lung_grids}
    preview = display(righted.shown, plan.preview_size)
    rows, columns = righted.shown.shape
    film = FilmRef(
        study_uid=str(header.StudyInstanceUID),
        series_uid=str(header.get("SeriesInstanceUID", "") or ""),
        sop_uid=str(header.SOPInstanceUID),
        sop_class=str(header.SOPClassUID),
        sha256=digest,
        rows=rows,
        columns=columns,
        view=admitted.view,
        mirrored=radiograph.mirrored,
        sided=radiograph.sided,
        inverted=righted.inverted,
    )
    seconds = {"decode": decoded - started, "preprocess": perf_counter() - decoded}
    notes = (*admitted.notes, *radiograph.notes, *righted.notes)
    return Prepared(film, subject_of(header), patient, inputs, lungs, preview, notes, admitted.sources, seconds)


def one_patient(images: Sequence[Prepared | Refused]) -> tuple[Prepared | Refused, ...]:
    """Hold the images of one study against each other: a study is one patient's (PS3.3 A.1.2).

    Where they name several, somebody chose the wrong one at a console, or filed the study wrongly, and no header tells
    which film is whose. An image that no model may judge says so as well as one that it may. A blank Patient ID names
    nobody, and contradicts nothing; the same one means two patients where its issuers are both named and differ.

    Returns
    -------
    tuple of Prepared or Refused
        One for each image, in order: all of them as they are, or each whose header could be read as PATIENT_MISMATCH.
    """
    issuers: dict[str, set[str]] = {}
    for patient, issuer in (image.patient for image in images if image.patient is not None):
        issuers.setdefault(patient, set()).add(issuer)
    patients = sum(max(1, len(named - {""})) for patient, named in issuers.items() if patient)
    if patients < 2:
        return tuple(images)
    words = f"the images of this study name {patients} different patients (Patient ID and its issuer)"
    return tuple(
        image if image.patient is None else Refused(Reason.PATIENT_MISMATCH, words, image.patient) for image in images
    )


def screen(check: ContentCheck | None, films: Sequence[Prepared], rules: Admission) -> tuple[Prepared | Refused, ...]:
    """Ask the pixels what the films show, in one batch.

    Parameters
    ----------
    check : ContentCheck or None
        None asks nothing.
    films : sequence of Prepared
        By a plan that knows the check.
    rules : Admission
        What follows.

    Returns
    -------
    tuple of Prepared or Refused
        One for each film, in order; a film may come back with a note.
    """
    if check is None or not films:
        return tuple(films)
    seen = check.look(np.stack([film.inputs[check.preprocess] for film in films]))
    return tuple(_judged(film, shown, rules) for film, shown in zip(films, seen, strict=True))


def _judged(film: Prepared, shown: Mapping[str, float], rules: Admission) -> Prepared | Refused:
    refused = admission.contradiction(shown, film.film.view, rules)
    if refused is None or rules.content == "refuse":
        return refused or film
    return replace(film, notes=(*film.notes, refused.message))


def distinct(films: Sequence[Prepared], rules: Admission) -> tuple[Prepared | Refused, ...]:
    """Look for the same pixels twice among the films of one study, in the order of their arrival.

    Returns
    -------
    tuple of Prepared or Refused
        One for each film, in order: a later copy comes back with a note, or as DUPLICATE.
    """
    first: dict[tuple[object, ...], str] = {}
    return tuple(_once(film, first, rules) for film in films)


def _once(film: Prepared, first: dict[tuple[object, ...], str], rules: Admission) -> Prepared | Refused:
    key = (film.film.rows, film.film.columns, sha256(film.preview.tobytes()).digest())
    other = first.setdefault(key, film.film.sop_uid)
    if other == film.film.sop_uid:
        return film
    words = f"the same pixels as image {other} of this study"
    if rules.duplicates == "refuse":
        return Refused(Reason.DUPLICATE, words)
    return replace(film, notes=(*film.notes, words))


def subject_of(header: Dataset) -> Subject:
    """Patient's age and sex, as far as the header tells."""
    match text(header, "PatientSex").upper():
        case "F" | "M" as sex:
            return Subject(age_years=_age_years(header), sex=sex)
        case _:
            return Subject(age_years=_age_years(header))


def _age_years(header: Dataset) -> float | None:
    """Age in years from Patient's Age (PS3.5 AS: nnnD, W, M or Y), else from the birth date."""
    stated = text(header, "PatientAge").upper()
    unit = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
    if len(stated) == 4 and stated[:3].isdigit() and stated[3] in unit:
        return int(stated[:3]) / unit[stated[3]]
    born, taken = text(header, "PatientBirthDate"), text(header, "StudyDate")
    if len(born) == len(taken) == 8 and born.isdigit() and taken.isdigit() and taken >= born:
        return int(taken[:4]) - int(born[:4]) - (taken[4:] < born[4:])
    return None


def analyse(
    classifiers: Sequence[Classifier],
    prepared: Sequence[Prepared],
    observe: ModelRun = lambda _model, _films, _seconds, _second: None,
    memory: Memory | None = None,
) -> tuple[FilmAnalysis, ...]:
    """Run every model once over all films, whichever studies they belong to.

    Parameters
    ----------
    classifiers : sequence of Classifier
        Loaded models.
    prepared : sequence of Prepared
        Films; must not be empty.
    observe : callable
        Told of each run, for metrics.
    memory : Memory or None
        Asked before a model is, and told afterwards.

    Returns
    -------
    tuple of FilmAnalysis
        One for each film, in order.
    """
    answers: list[list[ModelAnswer]] = [[] for _ in prepared]
    for classifier in classifiers:
        for index, (film, said) in enumerate(zip(prepared, _ask(classifier, prepared, observe, memory), strict=True)):
            answers[index].append(
                answer(classifier.manifest, classifier.ref, said.probs, said.heat, film.film, film.subject)
            )
    return tuple(
        FilmAnalysis(film=film.film, notes=film.notes, answers=tuple(given))
        for film, given in zip(prepared, answers, strict=True)
    )


def _ask(classifier: Classifier, prepared: Sequence[Prepared], observe: ModelRun, memory: Memory | None) -> list[Said]:
    """One model's outputs on each film: remembered, or from one run over those that are not."""
    preprocess, grid = classifier.manifest.preprocess, _grid(classifier)
    fed = [(film.inputs[preprocess], film.lungs[grid] if classifier.takes_mask else None) for film in prepared]
    names = [name_of(classifier.ref, preprocess, *one) for one in fed] if memory else []
    known = {name: unpack(data) for name, data in memory.get(names).items()} if memory else {}
    found = {index: known[name] for index, name in enumerate(names) if name in known}
    fresh = [index for index in range(len(fed)) if index not in found]
    if fresh:
        masks = np.stack([fed[index][1] for index in fresh]) if classifier.takes_mask else None  # type: ignore[misc]
        started = perf_counter()
        outputs = classifier.run(np.stack([fed[index][0] for index in fresh]), masks)
        asked_again = int(outputs.second.sum()) if classifier.manifest.gate else None
        observe(classifier.ref, len(fresh), perf_counter() - started, asked_again)
        for row, index in enumerate(fresh):
            found[index] = Said(outputs.probs[row], None if outputs.heat is None else outputs.heat[row])
        if memory:
            memory.put({names[index]: pack(found[index]) for index in fresh})
    return [found[index] for index in range(len(fed))]


def _grid(classifier: Classifier) -> tuple[int, int]:
    return classifier.manifest.preprocess.height, classifier.manifest.preprocess.width


def config_digest(settings: Settings, check: ContentCheck | None) -> str:
    """sha256 (hex) of what shapes a result beside films and models: the settings, the content check and this code."""
    return _digest((settings.digest(), check.ref.digest if check else "", str(REVISION)))


def conclude(
    study_uid: str,
    films: Sequence[FilmAnalysis],
    *,
    config_digest: str,
    unread: Sequence[Unread] = (),
    refusal: str = "",
) -> StudyAnalysis:
    """Close a study: order its films and derive the digests that its results' UIDs are made of.

    The input digest covers the films that were *analysed*: a late lateral or a resend changes nothing, a
    late frontal makes a new result.
    """
    ordered = tuple(sorted(films, key=lambda film: film.film.sop_uid))
    models = sorted({(a.model.id, a.model.version, a.model.digest) for film in ordered for a in film.answers})
    return StudyAnalysis(
        study_uid=study_uid,
        films=ordered,
        refusal=refusal,
        unread=tuple(sorted(unread, key=lambda film: film.sop_uid)),
        input_digest=_digest(part for film in ordered for part in (film.film.sop_uid, film.film.sha256)),
        model_digest=_digest(part for model in models for part in model),
        config_digest=config_digest,
    )


def _digest(parts: Iterable[str]) -> str:
    joined = sha256()
    for part in parts:
        joined.update(part.encode() + b"\x00")
    return joined.hexdigest()
