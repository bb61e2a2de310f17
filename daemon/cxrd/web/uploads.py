"""Films that somebody uploads: judged within the site's limits and counted; the page for a person who has one.

A place is taken before the first byte of a film is read, and held until the answer is made: what uploads take of
this process's memory and of the disk is bounded by the places, however many ask at a time.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cxrd.errors import CxrdError
from cxrd.findings import Finding, ModelAnswer, Verdict
from cxrd.serving import Predict as Limits
from cxrd.watch import metrics as m
from cxrd.web.access import operator
from cxrd.web.pictures import heat_png
from cxrd.web.rendering import render

MAX_FIELDS = 16
"""Parts of a form that are no films: a script may send some, and nothing reads them."""

Named = tuple[str, BinaryIO]
"""What a film is called, and its bytes, which lie on the disk where they are many."""

Predict = Callable[[Sequence[Named], bool], tuple[list[Verdict], int, int]]
"""Judges named films, with pictures of them or without: verdicts, outputs that the cache had, and had not."""


class Full(CxrdError):
    """As many uploads are read or judged as may."""

    retryable = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """A finding's heat as a picture to lay over the film.

    Attributes
    ----------
    picture : str
        PNG as a ``data:`` URL.
    """

    answer: ModelAnswer
    finding: Finding
    picture: str


class Uploads:
    """Judges uploads for the API and for the page.

    Parameters
    ----------
    limits : Predict
        Films in a request, requests at a time, and whether any is judged.
    predict : callable
        Who judges.
    metrics : Metrics
        Where films and the cache's help are counted.
    """

    def __init__(self, limits: Limits, predict: Predict, metrics: m.Metrics) -> None:
        self._limits = limits
        self._predict = predict
        self._metrics = metrics
        self._places = BoundedSemaphore(limits.waiting)
        metrics.expect(m.UPLOADS, outcome=["admitted", "refused", "failed"])
        metrics.expect(m.CACHE, outcome=["hit", "miss"])

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[list[Named]]:
        """Take a place and read the films of a form; both are given back on leaving.

        Raises
        ------
        HTTPException
            400: the caller went away; 403: this node judges no uploads; 408: the films do not come; 413: they are too
            many, or too large; 422: there is none.
        Full
            There is no place; nothing was read.
        """
        if not self._limits.enabled:
            raise HTTPException(403, "This node judges no uploads: predict.enabled is false.")
        with self._place():
            form = await self._form(request)
            try:
                sent = [one for one in form.getlist("file") if isinstance(one, UploadFile)]
                chosen = [(one.filename or "", one.file) for one in sent if one.filename or one.size]
                if not chosen:
                    raise HTTPException(422, "No film was chosen.")
                yield chosen
            finally:
                await form.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise Full("as many uploads wait as may", hint="try again in a few seconds")
        try:
            yield
        finally:
            self._places.release()

    async def _form(self, request: Request) -> FormData:
        limits = self._limits
        try:
            async with asyncio.timeout(limits.timeout_s):
                return await request.form(max_files=limits.max_films, max_fields=MAX_FIELDS)
        except TimeoutError as error:
            raise HTTPException(408, f"The films did not come within {limits.timeout_s:g} s.") from error
        except ClientDisconnect as error:
            raise HTTPException(400, "The caller went away.") from error
        except HTTPException as error:
            if error.status_code == 400 and error.detail.startswith("Too many files"):
                raise HTTPException(413, f"At most {limits.max_films} films in one request.") from error
            raise

    def judge(self, films: Sequence[Named], *, pictures: bool) -> list[Verdict]:
        """Judge named films.

        Raises
        ------
        CxrdError
            Nobody can judge now; retryable where it is a matter of time.
        """
        try:
            verdicts, hits, misses = self._predict(films, pictures)
        except CxrdError:
            self._metrics.count(m.UPLOADS, len(films), outcome="failed")
            raise
        admitted = sum(verdict.analysis is not None for verdict in verdicts)
        self._metrics.count(m.UPLOADS, admitted, outcome="admitted")
        self._metrics.count(m.UPLOADS, len(films) - admitted, outcome="refused")
        self._metrics.count(m.CACHE, hits, outcome="hit")
        self._metrics.count(m.CACHE, misses, outcome="miss")
        return verdicts

    def form(self, request: Request) -> Response:
        """Ask for films."""
        return self._page(request, ())

    async def answer(self, request: Request) -> Response:
        """Judge the films of the form, and show them with what was found."""
        operator(request)

        def answered(films: Sequence[Named]) -> Response:
            return self._page(request, self.judge(films, pictures=True))

        try:
            async with self.received(request) as films:
                return await run_in_threadpool(answered, films)
        except CxrdError as error:
            raise HTTPException(503, str(error), {"Retry-After": "5"}) from error

    def _page(self, request: Request, verdicts: Sequence[Verdict]) -> Response:
        return render(
            request, "upload.html", limits=self._limits, verdicts=verdicts, evidence=evidence, data_url=data_url
        )


def evidence(verdict: Verdict) -> list[Evidence]:
    """Every heat of a film that was judged."""
    if verdict.analysis is None:
        return []
    film = verdict.analysis.film
    said = ((answer, finding) for answer in verdict.analysis.answers for finding in answer.findings)
    return [
        Evidence(answer, finding, data_url(heat_png(finding.heat, film.rows, film.columns)))
        for answer, finding in said
        if finding.heat is not None
    ]


def data_url(png: bytes) -> str:
    """A picture as part of the answer: nothing of an upload is kept, so it cannot be fetched later."""
    return f"data:image/png;base64,{b64encode(png).decode()}" if png else ""
