"""Models and a decode process, in the process that judges uploads (``service/prediction.py``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import cv2

from cxrd.errors import PayloadLost, Reason, Refused
from cxrd.findings import Verdict
from cxrd.imaging.film import as_dicom
from cxrd.inference import content, engine
from cxrd.inference.lifecycle import Chosen, Stage
from cxrd.inference.remembering import Memory
from cxrd.pipeline import Plan, Prepared, analyse, prepare, screen
from cxrd.service.choosing import chosen, confirm, registered, there
from cxrd.settings import Settings
from cxrd.store.database import Database
from cxrd.store.memory import open_cache
from cxrd.work.decoding import Decoders, Outcome, guarded


class Counting:
    """A memory that counts what it was asked for.

    Parameters
    ----------
    memory : Memory
        Who knows.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.hits = self.misses = 0

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those that are there."""
        found = self._memory.get(names)
        self.hits += len(found)
        self.misses += len(names) - len(found)
        return found

    def put(self, entries: Mapping[str, bytes]) -> None:
        """Keep them."""
        self._memory.put(entries)


def active(settings: Settings) -> tuple[Chosen, ...]:
    """Packages that answer now: a promotion holds for uploads too.

    Raises
    ------
    PackageError
        None does, or one is not on this host.
    """
    found = tuple(one for one in chosen(settings, registered(settings)) if one.stage is Stage.ACTIVE)
    for one in found:
        there(one)
    return found


class Judge:
    """Loaded models and a decode process; lives in the process that judges uploads.

    Parameters
    ----------
    settings : Settings
        Thresholds, cache.
    wanted : sequence of Chosen
        Which packages.
    """

    def __init__(self, settings: Settings, wanted: Sequence[Chosen]) -> None:
        loaded = [engine.load(one.folder, "cpu", settings.inference.threads) for one in wanted]
        for one, classifier in zip(wanted, loaded, strict=True):
            confirm(one, classifier.ref.digest)
        self._classifiers = engine.operating(loaded, settings.models.thresholds)
        self._check, self._rules = content.load(settings.admission), settings.admission
        self._plan = Plan.of(self._classifiers, settings.report.preview_size, self._rules, self._check)
        self._decoders = Decoders(1, settings.inference.decode_timeout_s, read_upload)
        self._memory = open_cache(settings, Database(settings.database.url))

    def __call__(self, files: Sequence[tuple[str, Path]], *, pictures: bool) -> tuple[list[Verdict], int, int]:
        """Judge films.

        Parameters
        ----------
        files : sequence of (str, Path)
            What each is called, and where its bytes are.
        pictures : bool
            Show each film, too.

        Returns
        -------
        tuple
            What became of each; outputs that the cache had, and had not.
        """
        outcomes = dict(self._decoders.prepare([path for _, path in files], self._plan))
        read = {path: film for path, film in outcomes.items() if isinstance(film, Prepared)}
        outcomes |= zip(read, screen(self._check, list(read.values()), self._rules), strict=True)
        films = {path: film for path, film in outcomes.items() if isinstance(film, Prepared)}
        memory = Counting(self._memory)
        analysed = analyse(self._classifiers, list(films.values()), memory=memory) if films else ()
        by_path = dict(zip(films, analysed, strict=True))
        shown = {path: cv2.imencode(".png", film.preview)[1].tobytes() for path, film in films.items() if pictures}
        verdicts = [
            Verdict(file=name, analysis=by_path[path], preview=shown.get(path, b""))
            if path in films
            else _not_judged(name, outcomes[path])
            for name, path in files
        ]
        return verdicts, memory.hits, memory.misses


def _not_judged(name: str, outcome: Outcome) -> Verdict:
    match outcome:
        case Refused():
            return Verdict(file=name, reason=str(outcome.reason), detail=outcome.message)
        case PayloadLost():
            return Verdict(file=name, reason=str(Reason.UNREADABLE), detail=outcome.message)
    raise TypeError(outcome)


def read_upload(path: Path, plan: Plan) -> Outcome:
    """Prepare an uploaded film, DICOM, PNG or JPEG."""

    def work() -> Prepared:
        data = as_dicom(path.read_bytes(), "the file")
        return prepare(data, sha256(data).hexdigest(), plan)

    return guarded(work)
