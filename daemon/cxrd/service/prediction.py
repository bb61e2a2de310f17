"""Films that are uploaded: judged by the same pipeline in a process of its own, told, and not kept.

The models of an upload are loaded with the first one and leave with the last. They run on the CPU, politely: what
the PACS sends goes first, and a GPU is its alone. A film that kills its decoder is refused by name; whatever ends the
process itself costs one answer, and the next request has a new one.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from threading import Lock, Timer
from typing import TYPE_CHECKING, BinaryIO

from cxrd.errors import CxrdError
from cxrd.findings import Verdict
from cxrd.settings import Settings
from cxrd.watch.lifeline import die_with_parent

if TYPE_CHECKING:  # the web server needs no ONNX Runtime in its address space
    from cxrd.inference.lifecycle import Chosen
    from cxrd.service.judging import Judge

NICE = 10

Judged = tuple[list[Verdict], int, int]
"""As of :meth:`cxrd.service.judging.Judge.__call__`."""

_judges: dict[tuple[Chosen, ...], Judge] = {}
"""What the process holds: one judge, for the packages that answer."""


def _start() -> None:
    die_with_parent()
    os.nice(NICE)


def _work(settings: Settings, files: Sequence[tuple[str, Path]], *, pictures: bool) -> Judged:
    from cxrd.service.judging import Judge, active  # noqa: PLC0415 - as above

    wanted = active(settings)
    if wanted not in _judges:
        _judges.clear()
        _judges[wanted] = Judge(settings, wanted)
    return _judges[wanted](files, pictures=pictures)


class Busy(CxrdError):
    """The process ended, or took too long."""

    retryable = True


class Predictor:
    """Judges uploads one request after another.

    Parameters
    ----------
    settings : Settings
        Limits, models, cache.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        # Linux ends the process with the thread that started it, and a web server's threads come and go
        self._starter = ThreadPoolExecutor(1, "uploads")
        self._pool: ProcessPoolExecutor | None = None
        self._idle: Timer | None = None
        self._working = 0

    def __call__(self, films: Sequence[tuple[str, BinaryIO]], pictures: bool = False) -> Judged:  # noqa: FBT001, FBT002 - as web asks
        """Judge films in the other process; see :meth:`cxrd.service.judging.Judge.__call__`.

        Raises
        ------
        Busy
            The process ended, or did not answer in time.
        CxrdError
            There are no models.
        """
        with self._at_work(), TemporaryDirectory(prefix="cxrd-upload-") as folder:
            files = []
            for number, (name, film) in enumerate(films):
                path = Path(folder) / str(number)
                with path.open("wb") as copy:
                    copyfileobj(film, copy)
                files.append((name, path))
            try:
                judged = self._starter.submit(self._submit, files, pictures=pictures).result()
                return judged.result(timeout=self._settings.predict.timeout_s)
            except (BrokenProcessPool, TimeoutError) as error:
                self.close()
                what = "took too long" if isinstance(error, TimeoutError) else "ended"
                raise Busy(f"the process that judges uploads {what}", hint="try again; the log says why") from error

    def follow(self, settings: Settings) -> None:
        """Judge by another configuration from the next request on."""
        self._settings = settings
        self.close()

    def close(self) -> None:
        """End the process, whatever it does."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):  # noqa: SLF001 - as in work/decoding.py
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Keep the process while somebody waits for it."""
        with self._lock:
            self._working += 1
            if self._idle is not None:
                self._idle.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
                if not self._working:  # let the process go when nobody asks for a while
                    self._idle = Timer(self._settings.predict.idle_s, self.close)
                    self._idle.daemon = True
                    self._idle.start()

    def _submit(self, files: Sequence[tuple[str, Path]], *, pictures: bool) -> Future[Judged]:
        return self._running().submit(_work, self._settings, files, pictures=pictures)

    def _running(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, context, _start)
            return self._pool
