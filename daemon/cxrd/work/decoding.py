"""Decode in processes that may die.

No decoder scales over threads, and a broken stream can kill or hang the process that reads it. So pixels
are decoded in a few child processes with a memory limit and a time limit; when a child dies, the films it
held are tried again one at a time, and the one that kills alone is refused by name.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Self

from cxrd.errors import PayloadLost, Reason, Refused, StoreError
from cxrd.pipeline import Plan, Prepared, prepare
from cxrd.store.checked import read_payload
from cxrd.watch.lifeline import die_with_parent

MEMORY_LIMIT = 4 * 2**30
Outcome = Prepared | Refused | PayloadLost
Work = Callable[[Path, Plan], Outcome]


def _start() -> None:
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read_and_prepare(path: Path, plan: Plan) -> Outcome:
    """Prepare a film of the payload store."""
    return guarded(lambda: prepare(read_payload(path), path.name, plan))


def guarded(work: Callable[[], Prepared]) -> Outcome:
    """Give back errors as values, because some decoders raise BaseException."""
    try:
        return work()
    except PayloadLost as lost:
        return lost
    except Refused as refused:
        return refused
    except MemoryError:
        return Refused(Reason.TOO_LARGE, "decoding needs more memory than a decode process may take")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a Rust decoder panics past Exception; this process holds nothing else
        return Refused(Reason.DECODE_FAILED, f"the decoder failed: {type(error).__name__}")


class Decoders:
    """A pool of decode processes.

    Parameters
    ----------
    processes : int
        How many; 0 decodes in the calling process (``cxrd analyse``, tests).
    timeout_s : float
        Seconds one film may take.
    work : callable
        What a process does with one film; picklable, never raises.
    """

    def __init__(self, processes: int, timeout_s: float, work: Work = read_and_prepare) -> None:
        self._processes = processes
        self._timeout_s = timeout_s
        self._work = work
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._discard()

    def prepare(self, paths: Sequence[Path], plan: Plan) -> Mapping[Path, Outcome]:
        """Prepare films side by side.

        Returns
        -------
        Mapping from path to Prepared, Refused or PayloadLost
            An outcome for every path.

        Raises
        ------
        StoreError
            The machine starts no process: no memory, too many processes, no ``/dev/shm``. No film is to blame.
        """
        if self._processes == 0:
            return {path: self._work(path, plan) for path in paths}
        found: dict[Path, Outcome] = {}
        suspects = self._together(paths, plan, found)
        for path in suspects:
            if self._together([path], plan, found):
                found[path] = Refused(
                    Reason.DECODER_DIED, "decoding this film killed or hung its process, alone, twice"
                )
        return found

    def _together(self, paths: Sequence[Path], plan: Plan, found: dict[Path, Outcome]) -> list[Path]:
        """Fill ``found``; the paths without an outcome, because a process died or hung, come back."""
        futures: dict[Path, Future[Outcome]] = {}
        left: list[Path] = []
        for path in paths:
            try:
                futures[path] = self._running().submit(self._work, path, plan)
            except BrokenProcessPool:
                left.append(path)
            except OSError as error:
                self._discard()
                raise StoreError(
                    f"no decode process can be started: {error.strerror}",
                    hint="look at this machine's memory, its limit of processes, and whether /dev/shm can be written",
                ) from error
        for path, future in futures.items():
            try:
                found[path] = future.result(timeout=self._timeout_s)
            except (BrokenProcessPool, TimeoutError):
                left.append(path)
        if left:
            self._discard()
        return left

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._processes, mp_context=multiprocessing.get_context("spawn"), initializer=_start
            )
        return self._pool

    def _discard(self) -> None:
        if self._pool is None:
            return
        for process in list((self._pool._processes or {}).values()):  # noqa: SLF001 - a hung child has no public way to be ended in 3.11
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = None
