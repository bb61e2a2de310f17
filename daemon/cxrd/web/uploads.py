"""Films that somebody uploads: judged within the site's limits and counted; the page for a person who has one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cxrd.errors import CxrdError
from cxrd.findings import Finding, ModelAnswer, Verdict
from cxrd.serving import Predict as Limits
from cxrd.watch import metrics as m
from cxrd.web.access import operator
from cxrd.web.pictures import heat_png
from cxrd.web.rendering import render

Predict = Callable[[Sequence[tuple[str, bytes]], bool], tuple[list[Verdict], int, int]]
"""Judges named films, with pictures of them or without: verdicts, outputs that the cache had, and had not."""


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
        Films in a request, and whether any is judged.
    predict : callable
        Who judges.
    metrics : Metrics
        Where films and the cache's help are counted.
    """

    def __init__(self, limits: Limits, predict: Predict, metrics: m.Metrics) -> None:
        self._limits = limits
        self._predict = predict
        self._metrics = metrics
        metrics.expect(m.UPLOADS, outcome=["admitted", "refused", "failed"])
        metrics.expect(m.CACHE, outcome=["hit", "miss"])

    def judge(self, films: Sequence[tuple[str, bytes]], *, pictures: bool) -> list[Verdict]:
        """Judge named films.

        Raises
        ------
        HTTPException
            403: this node judges no uploads; 413: too many films.
        CxrdError
            Nobody can judge now; retryable where it is a matter of time.
        """
        if not self._limits.enabled:
            raise HTTPException(403, "This node judges no uploads: predict.enabled is false.")
        if len(films) > self._limits.max_films:
            raise HTTPException(413, f"At most {self._limits.max_films} films in one request.")
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
        async with request.form() as form:
            chosen = [one for one in form.getlist("file") if isinstance(one, UploadFile) and one.filename]
            films = [(one.filename or "", await one.read()) for one in chosen]
        if not films:
            raise HTTPException(422, "No film was chosen.")
        try:
            verdicts = await run_in_threadpool(self.judge, films, pictures=True)
        except CxrdError as error:
            raise HTTPException(503, str(error), {"Retry-After": "5"}) from error
        return await run_in_threadpool(self._page, request, verdicts)

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
