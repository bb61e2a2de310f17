"""Rows of the store as sentences: why a study is where it is, what happens next, what a person can do.

``cxrd explain`` and the page say them. A state or a stage that only a newer version knows is said as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxrd.errors import Reason
from cxrd.findings import Answer, Verdict
from cxrd.store.lanes import UNSEEN_S
from cxrd.store.schema import JobKind, JobState, StudyState
from cxrd.store.views import QueueRow, StudyView

Clock = Callable[[float | None], str]
Row = Mapping[str, Any]

STATES: dict[str, str] = {
    StudyState.RECEIVED: "its images are here and wait to be analysed",
    StudyState.ANALYSED: "the models have answered; its objects are built next",
    StudyState.REPORTED: "its objects are built, and not every destination has them",
    StudyState.DELIVERED: "it is finished: every destination has what it asks for",
    StudyState.REFUSED: "no image of it may be analysed",
    StudyState.FAILED: "it has stopped and waits for a person",
    StudyState.DISMISSED: "a person has given up what of it could not be done",
}
_KEPT_ASIDE = "none of its objects could be filed"
_SENDER = "correct it at the modality or in the PACS and send the study again"
_ROUTE = "nothing, if such images are meant to come here; otherwise stop the PACS from routing them"
TODO = {
    Reason.UNREADABLE: "compare it with the copy in the PACS; send the study again",
    Reason.MISSING_UID: _SENDER,
    Reason.SOP_CLASS: _ROUTE,
    Reason.MODALITY: _ROUTE,
    Reason.NO_PIXELS: "send the image with its pixels",
    Reason.COLOUR: _ROUTE,
    Reason.MULTIFRAME: _ROUTE,
    Reason.TOO_SMALL: "send the film in full resolution",
    Reason.TOO_LARGE: "raise dicom.max_object_mb if films of this size are real",
    Reason.FOR_PROCESSING: "nothing, if a film is judged in its place; else have the FOR PRESENTATION film sent",
    Reason.BODY_PART: "if it is a chest, " + _SENDER,
    Reason.LATERAL: "nothing for a lateral view; if it is a frontal one, " + _SENDER,
    Reason.TRANSFER_SYNTAX: "have the PACS send it in another transfer syntax",
    Reason.DECODE_FAILED: "compare it with the copy in the PACS; send the study again",
    Reason.DECODER_DIED: "compare it with the copy in the PACS; keep the file for a report to us",
    Reason.BURNED_IN: "have the modality send the film without text in its pixels",
    Reason.LOCALIZER: _ROUTE,
    Reason.DUPLICATE: "nothing: the same pixels are analysed once",
    Reason.PATIENT_MISMATCH: "find out whose films they are, and send each patient's as a study of its own",
    Reason.NOT_CHEST_FILM: 'nothing, if it is no chest film; if it is one, admission.content = "note" lets it through',
    Reason.TURNED: "turn it upright in the PACS and send the study again",
    Reason.INVERTED: 'have the modality\'s greys corrected, or set admission.inversion = "correct"',
    Reason.UID_CONFLICT: "find out which of the two is right; the first one stays in use",
}
"""Who can do what about each refusal."""
_DOING = {
    JobKind.INFER: "analysed",
    JobKind.BUILD: "made into objects",
    JobKind.DELIVER: "sent",
    JobKind.COMMITMENT: "asked about (storage commitment)",
    JobKind.FETCH: "fetched",
}

_STOPPED = {
    JobState.DEAD: (
        "stopped",
        "repair the cause, then cxrd queue retry {0}; nobody will: cxrd queue dismiss {0} --reason WHY",
    ),
    JobState.DISMISSED: ("nothing", "cxrd queue retry {0} revives it"),
}
_NEWER = ("a newer version knows", "")
_AT_WORK = (JobState.READY, JobState.DELAYED, JobState.LEASED)


@dataclass(frozen=True, slots=True)
class Step:
    """One job of a study for a person.

    Attributes
    ----------
    next : str
        What happens to it, or did.
    todo : str
        What a person can do; "" when there is nothing.
    dead : bool
        It waits for a person, who may dismiss it.
    dismissed : bool
        A person has given it up; it may be retried like a dead one.
    """

    id: int
    name: str
    state: str
    attempts: int
    next: str
    todo: str
    error: str
    dead: bool
    dismissed: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence.

    Attributes
    ----------
    about : str
        The study, an image, a model, an object, a job, or "next".
    what : str
        What is so, and why.
    todo : str
        What a person can do; "" when there is nothing.
    """

    about: str
    what: str
    todo: str = ""


def span(seconds: float) -> str:
    """Duration in its two leading units."""
    left = max(0, round(seconds))
    days, hours, minutes = left // 86400, left // 3600 % 24, left // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left % 60} s" if minutes else f"{left} s"


def standing(study: StudyView) -> str:
    """Where a study stands."""
    told = _KEPT_ASIDE if study.state == "quarantined" else STATES.get(study.state, _NEWER[0])
    if study.state == StudyState.REPORTED:
        taken = sum(row["stored_at"] is not None for row in study.deliveries)
        told += f": {taken} of {len(study.deliveries)} deliveries have been taken"
    return f"{told} ({study.reason})" if study.reason else told


def steps(
    study: StudyView, queue: Sequence[QueueRow], peers: Collection[str], now: float, clock: Clock
) -> tuple[Step, ...]:
    """Every job of a study, with what happens next to it.

    Parameters
    ----------
    study : StudyView
        All that is known of it.
    queue : sequence of QueueRow
        Which destinations and archives are paused or left alone.
    peers : collection of str
        Destinations and archives that are configured.
    now : float
        Epoch seconds of the database.
    clock : callable
        Words for epoch seconds.
    """
    lanes = {row.lane: row for row in queue if row.lane}
    return tuple(_step(job, lanes.get(job["lane"]), peers, now, clock) for job in study.jobs)


def explain(
    study: StudyView, queue: Sequence[QueueRow], peers: Collection[str], now: float, clock: Clock
) -> list[Line]:
    """Tell a study's whole story; parameters as of :func:`steps`."""
    left = [step for step in steps(study, queue, peers, now, clock) if step.state != JobState.DONE]
    waiting = [step for step in left if not step.dismissed]
    came = (
        f"from {study.source or 'an unknown source'}, {len(study.images)} image(s), the last at {clock(study.last_at)}"
    )
    return [
        Line("study", f"{study.state}: {standing(study)}; {came}"),
        *(_image(row, clock) for row in study.images),
        *(_quarantined(row, clock) for row in study.quarantined),
        *_models(study.findings),
        *(_delivery(row, study.objects, clock) for row in study.deliveries),
        *(Line(step.name, step.error, step.todo) for step in left if step.dismissed),
        *(_waiting(step) for step in waiting),
        *([] if waiting else [_nothing_next(study)]),
    ]


def _image(row: Row, clock: Clock) -> Line:
    about = f"image {row['sop_uid']}"
    if row["removed_at"]:
        gone = f"{row['state']}; its bytes were given up at {clock(row['removed_at'])}, as [retention] asks"
        return Line(about, gone, "send it again if it is to be analysed anew")
    if not row["reason"]:
        note = f"; {row['detail']}" if row["detail"] else ""
        return Line(about, f"{row['state']}{note}")
    return Line(about, f"{row['state']}, {row['reason']}: {row['detail']}", TODO.get(row["reason"], ""))


def _quarantined(row: Row, clock: Clock) -> Line:
    what = f"kept aside at {clock(row['at'])}, {row['reason']}: {row['detail']}"
    return Line(f"object {row['sop_uid'] or row['sha256'][:12]}", what, TODO.get(row["reason"], ""))


def _models(findings: Sequence[Row]) -> Iterator[Line]:
    for model, image in dict.fromkeys((row["model"], row["image"]) for row in findings):
        mine = [row for row in findings if (row["model"], row["image"]) == (model, image)]
        said = ", ".join(f"{r['finding']} {r['probability']:.2f} ({r['answer']})" for r in mine)
        unsure = "" if mine[0]["applicability"] == "inside" else f"; applicability {mine[0]['applicability']}"
        yield Line(f"model {model}", f"on {image}: {said}{unsure}")


def _delivery(row: Row, objects: Sequence[Row], clock: Clock) -> Line:
    kind = next((o["kind"] for o in objects if o["sop_uid"] == row["artefact_uid"]), "object")
    about = f"{kind} {row['artefact_uid']}"
    if row["stored_at"] is not None:
        committed = f", committed at {clock(row['committed_at'])}" if row["committed_at"] else ""
        return Line(about, f"stored by {row['dest']} at {clock(row['stored_at'])}{committed}")
    tried = f"tried first at {clock(row['first_sent_at'])}" if row["first_sent_at"] else "not tried yet"
    return Line(about, f"not stored by {row['dest']}, {tried}" + (f": {row['error']}" if row["error"] else ""))


def _waiting(step: Step) -> Line:
    tried = f" after {step.attempts} attempt(s)" if step.attempts else ""
    return Line(f"next: {step.name}", step.next + tried + (f": {step.error}" if step.error else ""), step.todo)


def _step(job: Row, lane: QueueRow | None, peers: Collection[str], now: float, clock: Clock) -> Step:
    way = "from" if job["kind"] == JobKind.FETCH else "to"
    what, todo = _next(job, lane, peers, now, clock)
    return Step(
        id=job["id"],
        name=f"{job['kind']} {way} {job['lane']}" if job["lane"] else job["kind"],
        state=job["state"],
        attempts=job["attempts"],
        next=what,
        todo=todo,
        error=job["err"],
        dead=job["state"] == JobState.DEAD,
        dismissed=job["state"] == JobState.DISMISSED,
    )


def _next(job: Row, lane: QueueRow | None, peers: Collection[str], now: float, clock: Clock) -> tuple[str, str]:
    """What happens next to a job, and what a person can do."""
    doing = _DOING.get(job["kind"], f"worked on by a newer version, which knows {job['kind']}")
    if job["state"] == JobState.DONE:
        return f"done at {clock(job['finished_at'])}", ""
    if job["state"] not in _AT_WORK:
        what, todo = _STOPPED.get(job["state"], _NEWER)
        return what, todo.format(job["id"])
    if job["state"] == JobState.LEASED:
        return f"is being {doing}, by {job['owner']}", ""
    if job["lane"] and (hindrance := _hindrance(job, lane, peers, now)):
        return hindrance
    wait = job["due"] - now
    again = "tried again" if job["attempts"] else doing
    if wait > 1:
        return f"will be {again} in {span(wait)}", f"at once: cxrd queue retry {job['id']}" if job["attempts"] else ""
    return f"will be {again} as soon as a worker is free", ""


def _hindrance(job: Row, lane: QueueRow | None, peers: Collection[str], now: float) -> tuple[str, str] | None:
    """Why a destination gets nothing now, or an archive is not asked, and what to do."""
    name = job["lane"]
    if lane is not None and lane.paused:
        family = "backfill" if job["kind"] == JobKind.FETCH else "queue"
        return f"waits until {name} is resumed", f"cxrd {family} resume {name}"
    if lane is not None and lane.closed_until is not None:
        again = f"{name} does not answer; asked again in {span(lane.closed_until - now)}"
        return again, f"repair it, then cxrd queue retry {job['id']}"
    return None if name in peers else _unknown(job, lane, now)


def _unknown(job: Row, lane: QueueRow | None, now: float) -> tuple[str, str]:
    """What a host can say of a peer that its configuration does not name: another host's may."""
    what = f"{job['lane']} is not in this host's configuration"
    gone = f"configure it again, or cxrd queue cancel {job['id']} and dismiss it"
    if job["kind"] == JobKind.FETCH:  # no role says which archives it asks
        return what, f"nothing, if another host asks it; else {gone}"
    served = lane.seen_at if lane is not None else None
    if served is None or served <= now - UNSEEN_S:
        return f"{what}, and nobody has served it of late", gone
    return f"{what}, and was served {span(now - served)} ago", "nothing, if another host serves it: reload this one too"


def _nothing_next(study: StudyView) -> Line:
    if study.state == StudyState.REFUSED:
        return Line("next", "nothing; a new image of the study is looked at", "cxrd studies requeue analyses it anew")
    if study.state == StudyState.DISMISSED:
        return Line("next", "nothing; a new image of the study is looked at", "cxrd studies requeue works on it again")
    if study.state == StudyState.DELIVERED:
        return Line("next", "nothing; a new image leads to a new report that names this one")
    return Line("next", "nothing waits and nothing is at work", "cxrd studies requeue analyses it anew")


def verdict(found: Verdict) -> dict[str, Any]:
    """What programs are told of a film that came as a file: `cxrd analyse` and the API say the same."""
    if found.analysis is None:
        refused = {"admitted": False, "reason": found.reason, "detail": found.detail}
        return {"file": found.file, **refused, "models": {}, "boxes": []}
    answers = found.analysis.answers
    said = [(answer, finding) for answer in answers for finding in answer.findings]
    return {
        "file": found.file,
        "admitted": True,
        "reason": "",
        "detail": "; ".join(found.analysis.notes),
        "view": str(found.analysis.film.view),
        "models": {a.model.id: {x.class_id: round(x.probability, 6) for x in a.findings} for a in answers},
        "thresholds": {a.model.id: {x.class_id: x.threshold for x in a.findings} for a in answers},
        "applicability": {a.model.id: str(a.applicability) for a in answers},
        "present": {a.model.id: [x.class_id for x in a.findings if x.answer is Answer.PRESENT] for a in answers},
        "boxes": [
            {"model": a.model.id, "class": x.class_id, "box": [round(v, 1) for v in (b.left, b.top, b.right, b.bottom)]}
            for a, x in said
            for b in x.boxes
        ],
    }
