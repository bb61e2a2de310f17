"""The REST API: what it promises in its description, it does."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from PIL import Image
from starlette.testclient import TestClient

from cxrd.errors import CxrdError, PackageError, StoreError
from cxrd.findings import (
    Answer,
    Applicability,
    ClassRole,
    Code,
    FilmAnalysis,
    FilmRef,
    Finding,
    Heat,
    ModelAnswer,
    ModelRef,
    Verdict,
    View,
)  # fmt: skip
from cxrd.serving import Predict, Web
from cxrd.settings import ROLES
from cxrd.store import jobs
from cxrd.watch.metrics import Metrics
from cxrd.web.reference import markdown
from cxrd.web.server import application
from support.browsing import Filled, local, remote

LOGIN = {"Authorization": "Basic " + b64encode(b"meier:secret").decode()}
ASKING = settings(
    max_examples=8, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
HEAT = Heat.from_grid(np.eye(4, dtype=np.float32))
FINDING = Finding(
    class_id="Effusion", role=ClassRole.FINDING, code=Code(value="1", scheme="99X", meaning="Effusion"),
    probability=0.9, threshold=0.5, answer=Answer.PRESENT, heat=HEAT,
)  # fmt: skip
FILM = FilmRef(
    study_uid="1.2", series_uid="1.2.3", sop_uid="1.2.3.4", sop_class="1", sha256="0" * 64, rows=40, columns=30,
    view=View.PA,
)  # fmt: skip
ANALYSIS = FilmAnalysis(
    film=FILM,
    answers=(
        ModelAnswer(
            model=ModelRef(id="tiny", version="1.0.0", digest="0" * 64),
            applicability=Applicability.INSIDE,
            findings=(FINDING,),
        ),
    ),
)


def judge(films: Sequence[tuple[str, BinaryIO]], pictures: bool = False) -> tuple[list[Verdict], int, int]:  # noqa: FBT001, FBT002 - as web asks
    """Judge by what the bytes say."""
    seen = ANALYSIS, b"a picture" if pictures else b""
    refused = {"reason": "lateral", "detail": "It is a lateral."}
    found = [
        Verdict(file=name, analysis=seen[0], preview=seen[1])
        if b"film" in film.read()
        else Verdict(file=name, **refused)
        for name, film in films
    ]
    return found, 1, 2


@pytest.fixture
def client(filled: Filled) -> TestClient:
    """A program on this machine."""
    limits = filled.settings.model_copy(update={"predict": Predict(max_upload_mb=1, max_films=3)})
    return local(application(limits, filled.database, filled.payload, predict=judge))


def upload(client: TestClient, *films: bytes, **more: Any) -> Any:
    """Send films to be judged."""
    return client.post("/api/v1/predict", files=[("file", (f"{i}.dcm", film)) for i, film in enumerate(films)], **more)


def test_films_are_judged_in_order(client: TestClient) -> None:
    """One that no model may judge among them says why."""
    answer = upload(client, b"film", b"lateral")
    assert 200 == answer.status_code
    assert [("0.dcm", True), ("1.dcm", False)] == [(r["file"], r["admitted"]) for r in answer.json()["results"]]


def test_pictures_come_where_they_are_asked_for(client: TestClient) -> None:
    """The film, and a layer of each heat in its shape."""
    (plain,) = upload(client, b"film").json()["results"]
    assert not {"film", "heat"} & plain.keys()
    assert {"tiny": {"Effusion": 0.5}} == plain["thresholds"]
    shown, refused = upload(client, b"film", b"lateral", params={"pictures": "true"}).json()["results"]
    assert "data:image/png;base64," + b64encode(b"a picture").decode() == shown["film"]
    (layer,) = shown["heat"]
    assert ("tiny", "Effusion") == (layer["model"], layer["finding"])
    png = b64decode(layer["picture"].removeprefix("data:image/png;base64,"))
    with Image.open(BytesIO(png)) as picture:
        assert ((384, 512), "RGBA") == (picture.size, picture.mode)
    assert ("", []) == (refused["film"], refused["heat"])


def test_nothing_to_judge_is_a_problem_with_its_code(client: TestClient) -> None:
    """And still a result for each film."""
    answer = upload(client, b"lateral")
    told = answer.json()
    assert (422, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert ("lateral", 422, False) == (told["code"], told["status"], told["results"][0]["admitted"])


def test_limits_are_kept_before_anything_is_judged(client: TestClient) -> None:
    """Films in a request, and its size, whatever it says of itself."""
    assert 413 == upload(client, *[b"film"] * 4).status_code
    answer = upload(client, bytes(2**20))
    assert (413, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert 422 == client.post("/api/v1/predict").status_code
    assert 422 == client.post("/api/v1/predict", data={"file": "a word"}).status_code


@pytest.mark.parametrize(
    ("error", "code"), [(StoreError("too many wait"), "busy"), (PackageError("no model package"), "no_models")]
)
def test_a_node_that_cannot_judge_says_so(filled: Filled, error: CxrdError, code: str) -> None:
    """With what to wait for; it makes nothing up."""

    def refuse(_films: Sequence[tuple[str, BinaryIO]], _pictures: bool) -> tuple[list[Verdict], int, int]:  # noqa: FBT001 - as web asks
        raise error

    answer = upload(local(application(filled.settings, filled.database, filled.payload, predict=refuse)), b"film")
    assert (503, code, "5") == (answer.status_code, answer.json()["code"], answer.headers["retry-after"])


def test_only_operators_upload(filled: Filled) -> None:
    """And nobody does where a site has turned it off."""
    off = filled.settings.model_copy(update={"predict": Predict(enabled=False)})
    assert 403 == upload(local(application(off, filled.database, filled.payload, predict=judge)), b"film").status_code
    app = application(filled.settings, filled.database, filled.payload, predict=judge)
    assert 403 == upload(remote(app), b"film").status_code
    assert 403 == upload(local(app), b"film", headers={"Origin": "http://evil.example"}).status_code
    assert 403 == remote(app).delete("/api/v1/cache").status_code


def test_studies_come_page_by_page(client: TestClient, filled: Filled) -> None:
    """Newest first, each once, filtered as on the page."""
    seen: list[str] = []
    after = ""
    while True:
        page = client.get("/api/v1/studies", params={"limit": 2, "after": after}).json()
        seen += [study["uid"] for study in page["studies"]]
        after = page["next"]
        if not after:
            break
    studies = {uid for name, uid in filled.studies.items() if name != "dead"}
    assert studies == set(seen)
    assert len(studies) == len(seen)
    refused = client.get("/api/v1/studies", params={"state": "refused"}).json()["studies"]
    assert [filled.studies["lateral"]] == [study["uid"] for study in refused]


def test_a_study_is_told_whole(client: TestClient, filled: Filled) -> None:
    """By UID or accession number; an unknown one is a problem."""
    told = client.get(f"/api/v1/studies/{filled.studies['opacity']}").json()
    assert told == client.get("/api/v1/studies/A-opacity").json()
    assert told["findings"]
    assert told["objects"]
    assert "not_found" == client.get("/api/v1/studies/1.2.3.4").json()["code"]


def test_models_and_cache_are_told(client: TestClient) -> None:
    """What the page shows."""
    (model,) = client.get("/api/v1/models").json()
    assert ("tiny", "active", "") == (model["id"], model["stage"], model["provider"])
    assert set(model["classes"]) == set(model["thresholds"])
    assert {"where": "database", "entries": 0, "bytes": 0, "hits": 0, "misses": 0} == client.get("/api/v1/cache").json()
    assert {"cleared": 0} == client.delete("/api/v1/cache").json()


def test_uploads_are_counted(filled: Filled) -> None:
    """By what became of each, and how often the cache helped."""
    metrics = Metrics()
    upload(
        local(application(filled.settings, filled.database, filled.payload, predict=judge, metrics=metrics)), b"film"
    )

    def value(name: str, outcome: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"outcome": outcome})

    assert (1, 0) == tuple(value("cxrd_uploaded_films_total", o) for o in ("admitted", "refused"))
    assert (1, 2) == tuple(value("cxrd_cache_requests_total", o) for o in ("hit", "miss"))


def test_the_description_needs_nothing_from_elsewhere(client: TestClient) -> None:
    """Every operation is on the page."""
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "https://" not in page


def test_the_description_names_the_sites_own_limit(client: TestClient) -> None:
    """So that a program need not find it out by being refused."""
    body = client.get("/openapi.json").json()["paths"]["/api/v1/predict"]["post"]["requestBody"]["content"]
    films = body["multipart/form-data"]["schema"]["properties"]["file"]
    assert (1, 3) == (films["minItems"], films["maxItems"])


def test_the_reference_is_that_of_the_code(client: TestClient, root: Path) -> None:
    """`make reference` writes it."""
    written = (root / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    assert written.endswith(markdown(client.get("/openapi.json").json()))


def test_whatever_is_asked_is_answered_as_described(filled: Filled, tmp_path: Path) -> None:
    """Schemathesis asks what nobody thought of: no answer is a fault of ours, or one that the description lacks."""
    operators = tmp_path / "operators"
    operators.write_text("meier:secret")
    operators.chmod(0o600)
    closed = filled.settings.model_copy(
        update={
            "web": Web(operators=operators, hosts=("testserver",)),
            "predict": Predict(max_films=3),
        }
    )
    with filled.database.write() as connection:
        for role in ROLES:
            jobs.register_worker(connection, filled.database.now(connection), f"{role}@test", role=role, version="0")
    app = application(
        closed,
        filled.database,
        filled.payload,
        predict=lambda films, pictures: judge([("x", BytesIO(b"film")) for _ in films], pictures),
    )
    described = schemathesis.openapi.from_asgi("/openapi.json", app, headers=LOGIN)
    operations: list[Any] = [result.ok() for result in described.get_all_operations()]  # type: ignore[union-attr]
    for operation in operations:

        @given(case=operation.as_strategy())
        @ASKING
        def ask(case: Any) -> None:
            case.call_and_validate(headers=LOGIN)

        ask()
    assert 7 == len(operations)
