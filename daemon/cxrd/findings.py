"""The frozen values that every room speaks in, from one coded concept to a study's analysis.

They are pydantic models so that an analysis has one JSON form: the row that ``infer`` commits is the
text that ``build`` reads back.
"""

from __future__ import annotations

import base64
from enum import StrEnum
from hashlib import sha256
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value: compared by content, never changed in place, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Code(Value):
    """A coded concept (PS3.3 table 8.8-1): value, coding scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


class Answer(StrEnum):
    """What a model says about one finding at its operating point."""

    PRESENT = "present"
    ABSENT = "absent"
    UNDETERMINED = "undetermined"


class Applicability(StrEnum):
    """Whether a film, and whom it shows, lies inside a model's intended use."""

    INSIDE = "inside"
    UNKNOWN = "unknown"  # the header does not tell (no age, no sex, no view)
    OUTSIDE = "outside"  # the model did not answer


class View(StrEnum):
    """Projection of a film, as far as the header tells."""

    PA = "PA"
    AP = "AP"
    FRONTAL = "frontal"
    UNKNOWN = "unknown"


class Subject(Value):
    """What the header tells of the patient, as far as a model's intended use asks.

    Attributes
    ----------
    age_years : float or None
        At the examination.
    sex : {"F", "M", ""}
        Patient's Sex (0010,0040); "" where it is blank, or other (O).
    """

    age_years: float | None = None
    sex: Literal["F", "M", ""] = ""


class ClassRole(StrEnum):
    """What a class of a model means to a report."""

    FINDING = "finding"  # a sign or disease: present or absent
    NORMAL = "normal"  # the film is normal
    OTHER = "other"  # abnormal in a way the model does not name
    CONTENT = "content"  # what kind of picture it is: admission asks, no report ever says it


class Box(Value):
    """A rectangle in the *source* matrix: column/row edges, 0-based, top-left pixel spans 0..1."""

    left: float
    top: float
    right: float
    bottom: float


class Heat(Value):
    """Where a model saw its evidence, on the model's own grid, laid over the source film.

    Attributes
    ----------
    height, width : int
        Grid cells down and across the *source* film (already un-mirrored).
    peak : float
        Largest raw value before scaling. Near zero means "no localisation".
    values : str
        Row-major uint8 grid, 255 = ``peak``, base64.
    """

    height: int
    width: int
    peak: float
    values: str

    @classmethod
    def from_grid(cls, grid: NDArray[np.float32]) -> Heat:
        """Quantise a raw map of shape (h, w), float32, >= 0, to 8 bit of its own peak."""
        peak = float(grid.max(initial=0.0))
        scaled = np.zeros(grid.shape, np.uint8) if peak <= 0 else np.rint(grid * (255 / peak)).astype(np.uint8)
        height, width = grid.shape
        values = base64.b64encode(scaled.tobytes()).decode("ascii")
        return cls(height=height, width=width, peak=peak, values=values)

    def grid(self) -> NDArray[np.float32]:
        """Map of shape (height, width), float32 in 0..1 of its own peak."""
        raw = np.frombuffer(base64.b64decode(self.values), np.uint8)
        return raw.reshape(self.height, self.width).astype(np.float32) / np.float32(255)


class Finding(Value):
    """One class of one model on one film.

    Attributes
    ----------
    class_id : str
        The class's name in the model package.
    probability : float
        Calibrated, 0..1.
    threshold : float or None
        Operating point, 0..1; None where the package has none (then ``answer`` is UNDETERMINED).
    site : Code or None
        Anatomic site that the report names.
    boxes : tuple of Box
        Rectangles around the evidence; only for present findings of a model that localises.
    heat : Heat or None
        Kept for present findings and for the strongest class, not for every class.
    """

    class_id: str
    role: ClassRole
    code: Code
    site: Code | None = None
    probability: float
    threshold: float | None
    answer: Answer
    boxes: tuple[Box, ...] = ()
    heat: Heat | None = None


class ModelRef(Value):
    """Which model answered.

    Attributes
    ----------
    digest : str
        sha256 (hex) of the package manifest, which itself holds the sha256 of every file.
    """

    id: str
    version: str
    digest: str


class ModelAnswer(Value):
    """All findings of one model on one film; empty when the film lies outside its intended use."""

    model: ModelRef
    applicability: Applicability
    note: str = ""
    findings: tuple[Finding, ...]


class FilmRef(Value):
    r"""The source image that a result refers to (PS3.3 table 10-11).

    Attributes
    ----------
    sha256 : str
        Hash (hex) of the file as received: where its bytes lie in the payload store.
    rows, columns : int
        Source matrix.
    mirrored : bool
        Image row direction points to the patient's right (``R\F``): image-left is the patient's left.
    sided : bool
        The header says which side image-left is. Where it does not (no orientation, a film that lies on its side), no
        picture may name one.
    inverted : bool
        The greys contradict the header and were shown, and judged, the other way round.
    """

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    sha256: str
    rows: int
    columns: int
    view: View
    mirrored: bool = False
    sided: bool = False
    inverted: bool = False


class FilmAnalysis(Value):
    """Every model's answer on one admitted film.

    Attributes
    ----------
    preview : str
        sha256 (hex) of the display-ready 8-bit PNG in the payload store ("" before it is stored).
    notes : tuple of str
        What a reader should know of the film: a view that was not named, a window that was ignored.
    """

    film: FilmRef
    preview: str = ""
    notes: tuple[str, ...] = ()
    answers: tuple[ModelAnswer, ...]

    @property
    def answered(self) -> bool:
        """Whether any model answers: a film may lie outside the intended use of all of them."""
        return any(answer.findings for answer in self.answers)

    def present(self) -> tuple[tuple[ModelAnswer, Finding], ...]:
        """Signs and diseases that are present, with the model that says so; never "normal" or "other"."""
        said = ((a, x) for a in self.answers for x in a.findings)
        return tuple((a, x) for a, x in said if x.answer is Answer.PRESENT and x.role is ClassRole.FINDING)


class Verdict(Value):
    """What became of a film that came as a file: judged, or refused.

    Attributes
    ----------
    file : str
        What it is called.
    reason, detail : str
        Why no model may judge it, as a bounded code and in words; "" where they did.
    preview : bytes
        PNG of the film as a viewer shows it; empty where nobody asked for it.
    """

    file: str
    reason: str = ""
    detail: str = ""
    analysis: FilmAnalysis | None = None
    preview: bytes = b""


class Unread(Value):
    """A film that no model may judge.

    Attributes
    ----------
    sha256 : str
        Hash (hex) of the file as received.
    why : str
        One sentence for a person, without patient data.
    """

    sop_uid: str
    sha256: str
    why: str


class StudyAnalysis(Value):
    """What ``infer`` commits and ``build`` reads: the analysed films of one study, or why it has none.

    Attributes
    ----------
    refusal : str
        Why no film of it may be judged, as a coded reason and in words; "" where there are films.
    unread : tuple of Unread
        Films that were refused; reports name them, and no digest covers them: a late lateral makes no new result.
    input_digest, model_digest, config_digest : str
        sha256 (hex) of the analysed films' hashes, of the model set, of the report configuration.
        Results and their UIDs are functions of these three (engine.md §6), never of time. An answer that is given
        again has another ``config_digest``; see :meth:`after`.
    """

    study_uid: str
    films: tuple[FilmAnalysis, ...]
    refusal: str = ""
    unread: tuple[Unread, ...] = ()
    input_digest: str
    model_digest: str
    config_digest: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same answer as another one of its study."""
        return self.input_digest, self.model_digest, self.config_digest

    def after(self, other: tuple[str, str, str]) -> Self:
        """Give the same answer again in the place of another (its key): objects of this one get UIDs of their own."""
        digest = sha256("\0".join((self.config_digest, *other)).encode()).hexdigest()
        return self.model_copy(update={"config_digest": digest})

    @property
    def sources(self) -> dict[str, str]:
        """Hash by SOP Instance UID of the images that results speak of: the analysed films, or those refused."""
        return {x.film.sop_uid: x.film.sha256 for x in self.films} or {x.sop_uid: x.sha256 for x in self.unread}

    def findings(self) -> tuple[tuple[FilmAnalysis, ModelAnswer, Finding], ...]:
        """Every (film, answer, finding) in order."""
        return tuple((f, a, x) for f in self.films for a in f.answers for x in a.findings)


class ArtefactKind(StrEnum):
    """Kinds of object that cxrd builds; a destination's ``send`` names the ones it gets."""

    SR = "sr"  # Comprehensive 3D SR, TID 1500
    SR_COMPREHENSIVE = "sr-comprehensive"  # the same tree, for archives that do not know the newer class
    SR_TEXT = "sr-text"  # Basic Text SR
    SC = "sc"
    GSPS = "gsps"
    SEG = "seg"
    PM = "pm"

    @property
    def is_report(self) -> bool:
        """Whether it speaks of the whole study, and replaces an earlier one."""
        return self in {ArtefactKind.SR, ArtefactKind.SR_COMPREHENSIVE, ArtefactKind.SR_TEXT}


class Artefact(Value):
    """A finished DICOM object: built once, stored, sent byte-identical for ever.

    Attributes
    ----------
    data : bytes
        Complete Part 10 file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64")

    kind: ArtefactKind
    sop_class: str
    sop_uid: str
    data: bytes


def jsonable(value: Value) -> dict[str, Any]:
    """Plain JSON types of a value, for a database column."""
    return value.model_dump(mode="json")
