"""How many uploads the node holds at a time: a place is taken before a film is read, and always given back."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, BinaryIO

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from cxrd.findings import Verdict
from cxrd.serving import Predict
from cxrd.web.server import application
from support.browsing import Filled

DOORS = ("/api/v1/predict", "/upload")
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.dcm"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"
MIB = 2**20


def judge(films: Sequence[tuple[str, BinaryIO]], _pictures: bool) -> tuple[list[Verdict], int, int]:  # noqa: FBT001 - as web asks
    """Refuse every film by what it is."""
    return [Verdict(file=name, reason="lateral", detail=f"{len(film.read(9))} bytes") for name, film in films], 0, 0


@pytest.fixture
def app(filled: Filled) -> Callable[..., Starlette]:
    """A node with such limits."""

    def make(**limits: Any) -> Starlette:
        settings = filled.settings.model_copy(update={"predict": Predict(**limits)})
        return application(settings, filled.database, filled.payload, predict=judge)

    return make


class Caller:
    """A program on this machine that sends a form as slowly as a test wants.

    Attributes
    ----------
    asked : Event
        Set when the node has begun to read the body.
    """

    def __init__(self, app: Starlette, door: str, body: AsyncIterator[Message]) -> None:
        self.asked = asyncio.Event()
        self._body = body
        self._said: list[Message] = []
        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"multipart/form-data; boundary=b")]
        scope = {
            "type": "http", "method": "POST", "path": door, "raw_path": door.encode(), "query_string": b"",
            "root_path": "", "scheme": "http", "http_version": "1.1", "headers": headers, "client": ("127.0.0.1", 4711),
            "server": ("127.0.0.1", 8080),
        }  # fmt: skip
        self._task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        self.asked.set()
        return await anext(self._body)

    async def _send(self, message: Message) -> None:
        self._said.append(message)

    async def answer(self) -> tuple[int, dict[str, str], str]:
        """Status, headers and body."""
        async with asyncio.timeout(60):
            await self._task
        headers = {name.decode(): value.decode() for name, value in self._said[0]["headers"]}
        return self._said[0]["status"], headers, b"".join(m.get("body", b"") for m in self._said[1:]).decode()


async def whole(*parts: bytes) -> AsyncIterator[Message]:
    """A body that comes in such parts."""
    for part in parts:
        yield {"type": "http.request", "body": part, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}


async def halting(going_on: asyncio.Event, *rest: Message) -> AsyncIterator[Message]:
    """The beginning of a film; the rest when a test says so."""
    yield {"type": "http.request", "body": HEAD + b"film", "more_body": True}
    await going_on.wait()
    for message in rest:
        yield message


@pytest.mark.parametrize("door", DOORS)
def test_whoever_finds_no_place_is_told_before_a_film_is_read(app: Callable[..., Starlette], door: str) -> None:
    """With when to come again; those inside are answered, and then there are places again."""

    async def run() -> None:
        node, going_on = app(waiting=2), asyncio.Event()
        end: Message = {"type": "http.request", "body": TAIL, "more_body": False}
        inside = [Caller(node, door, halting(going_on, end)) for _ in range(2)]
        for one in inside:
            await one.asked.wait()
        for other in DOORS:
            turned_away = Caller(node, other, whole(HEAD, b"film", TAIL))
            status, headers, text = await turned_away.answer()
            assert (503, "5", False) == (status, headers["retry-after"], turned_away.asked.is_set())
            assert "as many uploads wait as may" in text
            assert "/upload" == other or "busy" == json.loads(text)["code"]
        going_on.set()
        for one in inside:
            assert "lateral" in (await one.answer())[2]
        assert "lateral" in (await Caller(node, door, whole(HEAD, b"film", TAIL)).answer())[2]

    asyncio.run(run())


@pytest.mark.parametrize("door", DOORS)
def test_a_caller_that_goes_away_leaves_its_place(app: Callable[..., Starlette], door: str) -> None:
    """In the middle of a film, or before it."""

    async def run() -> None:
        node, going_on = app(waiting=1), asyncio.Event()
        gone: Message = {"type": "http.disconnect"}
        for _ in range(3):
            caller = Caller(node, door, halting(going_on, gone))
            await caller.asked.wait()
            assert 503 == (await Caller(node, door, whole(HEAD, b"film", TAIL)).answer())[0]
            going_on.set()
            assert 400 == (await caller.answer())[0]
            going_on.clear()
        assert "lateral" in (await Caller(node, door, whole(HEAD, b"film", TAIL)).answer())[2]

    asyncio.run(run())


@pytest.mark.parametrize("door", DOORS)
def test_a_film_that_does_not_come_holds_no_place_for_ever(app: Callable[..., Starlette], door: str) -> None:
    """Its caller hears so."""

    async def run() -> None:
        node = app(waiting=1, timeout_s=0.05)
        status, _, text = await Caller(node, door, halting(asyncio.Event())).answer()
        assert (408, True) == (status, "did not come within" in text), text
        assert "lateral" in (await Caller(node, door, whole(HEAD, b"film", TAIL)).answer())[2]

    asyncio.run(run())


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("films", [1, 8])
def test_films_are_never_in_memory_as_a_whole(app: Callable[..., Starlette], door: str, films: int) -> None:
    """Four callers at a time, 32 MiB each, of one film or of several."""

    async def run() -> None:
        node = app(waiting=4)
        part = [HEAD, *[bytes(MIB)] * (32 // films), b"\r\n"]
        bodies = [[*part * films, b"--b--\r\n"] for _ in range(4)]
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        callers = [Caller(node, door, whole(*body)) for body in bodies]
        for caller in callers:
            assert "9 bytes" in (await caller.answer())[2]
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert peak < 48 * MIB

    asyncio.run(run())


@pytest.mark.parametrize("door", DOORS)
def test_many_small_films_are_refused_as_soon_as_they_are_too_many(app: Callable[..., Starlette], door: str) -> None:
    """They would be kept in memory, each for itself: the rest of the body is not asked for."""
    rest: list[Message] = [{"type": "http.request", "body": TAIL, "more_body": False}]

    async def too_many() -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": (HEAD + b"film\r\n") * 4, "more_body": True}
        yield rest.pop()

    async def run() -> None:
        status, _, text = await Caller(app(max_films=3), door, too_many()).answer()
        assert (413, True) == (status, "At most 3 films" in text), text
        assert 1 == len(rest)

    asyncio.run(run())
