"""The page for somebody who has a film."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any, BinaryIO

import pytest
from pydicom import dcmread
from starlette.testclient import TestClient

from cxrd.demo.samples import samples
from cxrd.errors import StoreError
from cxrd.findings import Verdict
from cxrd.service.prediction import Predictor
from cxrd.serving import Predict
from cxrd.settings import Database as DatabaseSection
from cxrd.web.server import application
from support.browsing import Filled, local, remote
from support.datasets import encoded

FILMS = samples("page uploads", rows=256)


@pytest.fixture(scope="module")
def predictor(worked: Filled) -> Iterator[Predictor]:
    """Who really judges."""
    url = str(worked.database.engine.url)
    made = Predictor(worked.settings.model_copy(update={"database": DatabaseSection(url=url)}))
    yield made
    made.close()


@pytest.fixture
def client(filled: Filled, predictor: Predictor) -> TestClient:
    """A browser on this machine."""
    return local(application(filled.settings, filled.database, filled.payload, predict=predictor))


def judged(client: TestClient, *names: str, **more: Any) -> Any:
    """Send phantom films by the form."""
    return client.post("/upload", files=[("file", (f"{name}.dcm", FILMS[name])) for name in names], **more)


def test_a_film_is_shown_with_what_was_found(client: TestClient, filled: Filled) -> None:
    """Film, heat and findings; a film that no model may judge says why, and nothing is kept."""
    before = client.get("/api/v1/studies").json()
    page = judged(client, "opacity", "lateral").text
    layers = page.count("Evidence of tiny for")
    assert layers
    assert 1 + layers == len(re.findall(r'href="data:image/png;base64,[A-Za-z0-9+/=]{200,}"', page))
    assert "opacity.dcm" in page
    assert "<b>lateral</b>:" in page
    assert before == client.get("/api/v1/studies").json()


def test_no_side_is_named_that_the_header_does_not_name(client: TestClient) -> None:
    """A PNG, and a third of all films, say nothing of sides: a marker would be a guess."""
    assert 'class="sides"' in judged(client, "opacity").text
    silent = dcmread(BytesIO(FILMS["opacity"]))
    silent.PatientOrientation = ""
    page = client.post("/upload", files=[("file", ("silent.dcm", encoded(silent)))]).text
    assert "Evidence of tiny for" in page
    assert 'class="sides"' not in page


def test_a_strangers_form_is_refused(filled: Filled, predictor: Predictor) -> None:
    """As every other button: operators only, and from our own page."""
    app = application(filled.settings, filled.database, filled.payload, predict=predictor)
    assert "for operators only" in remote(app).get("/upload").text
    assert 403 == judged(remote(app), "opacity").status_code
    assert 403 == judged(local(app), "opacity", headers={"Sec-Fetch-Site": "cross-site"}).status_code


def test_what_cannot_be_judged_is_said_on_a_page(filled: Filled) -> None:
    """No film, too many, too large, nobody there, turned off."""

    def busy(_films: Sequence[tuple[str, BinaryIO]], _pictures: bool) -> tuple[list[Verdict], int, int]:  # noqa: FBT001 - as web asks
        raise StoreError("too many wait")

    def client(**limits: Any) -> TestClient:
        settings = filled.settings.model_copy(update={"predict": Predict(**limits)})
        return local(application(settings, filled.database, filled.payload, predict=busy))

    here = client(max_films=1, max_upload_mb=1)
    for answer, status, words in (
        (here.post("/upload"), 422, "No film was chosen."),
        (judged(here, "opacity", "normal"), 413, "At most 1 films"),
        (here.post("/upload", files={"file": ("x", bytes(2**20))}), 413, "1 MiB at most"),
        (judged(here, "opacity"), 503, "too many wait"),
        (judged(client(enabled=False), "opacity"), 403, "predict.enabled is false"),
    ):
        assert (status, True) == (answer.status_code, words in answer.text), answer.text
    assert "predict.enabled" in client(enabled=False).get("/upload").text
