"""Body limits, envelope and problems around a bare application: no model, no picture."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from service import limits, problems
from service.limits import BodyLimit
from service.logs import JsonFormatter, request_id
from service.metrics import Metrics
from service.middleware import Envelope
from service.problems import Problem

LIMIT = 1000


@pytest.fixture(scope="module")
def app() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.post("/length")
    async def length(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    @app.get("/parameter")
    async def parameter(n: int) -> int:
        return n

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret of the inside")

    problems.install(app)
    app.add_middleware(BodyLimit, limit=LIMIT, pause_s=0.05, speed=1e6)
    app.add_middleware(Envelope, metrics=Metrics())
    return app


def ask(app: FastAPI, method: str, path: str, **options: object) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("PUT", "/length", 405, "method-not-allowed"),
        ("GET", "/parameter?n=x", 422, "invalid-request"),
        ("GET", "/broken", 500, "internal-error"),
    ],
)
def test_the_frameworks_own_errors_are_problems_too(
    app: FastAPI, method: str, path: str, status: int, code: str
) -> None:
    response = ask(app, method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == f"urn:pqa:problem:{code}"
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text


def test_method_not_allowed_says_what_is(app: FastAPI) -> None:
    assert ask(app, "PUT", "/length").headers["allow"] == "POST"


def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(app: FastAPI) -> None:
    assert ask(app, "POST", "/length", content=b"x" * LIMIT).text == str(LIMIT)
    response = ask(app, "POST", "/length", content=b"x" * (LIMIT + 1))
    assert response.status_code == 413
    assert response.json()["type"] == "urn:pqa:problem:too-large"


def test_a_chunked_body_is_counted_while_it_arrives(app: FastAPI) -> None:
    sent = 0

    async def chunks():
        nonlocal sent
        for _ in range(100):
            sent += 100
            yield b"x" * 100

    assert ask(app, "POST", "/length", content=chunks()).status_code == 413
    assert sent > LIMIT

    async def pieces(*sizes: int):
        for size in sizes:
            yield b"x" * size

    assert ask(app, "POST", "/length", content=pieces(LIMIT - 1, 1)).text == str(LIMIT)
    assert ask(app, "POST", "/length", content=pieces(LIMIT, 1)).status_code == 413


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1.2_Z", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("", False), ("a\x7fb", False)],
)
def test_request_ids_are_echoed_only_when_harmless(app: FastAPI, given: str, kept: bool) -> None:
    answer = ask(app, "GET", "/nowhere", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert (answer == given) is kept
    assert answer


def test_every_answer_carries_security_headers(app: FastAPI) -> None:
    for path in ("/parameter?n=1", "/nowhere", "/broken"):
        headers = ask(app, "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"


def test_a_client_that_stops_in_the_middle_is_refused(app: FastAPI) -> None:
    sent: list[dict[str, object]] = []

    async def go() -> None:
        first = [{"type": "http.request", "body": b"x", "more_body": True}]

        async def receive() -> dict[str, object]:
            if first:
                return first.pop()
            await asyncio.sleep(3600)
            raise AssertionError

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/length", "raw_path": b"/length", "query_string": b"",
                 "headers": [(b"content-length", b"2")], "asgi": {"version": "3.0"}, "scheme": "http",
                 "http_version": "1.1", "server": ("test", 80), "client": ("test", 1), "root_path": ""}  # fmt: skip
        await app(scope, receive, send)

    asyncio.run(go())
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["type"] == "urn:pqa:problem:slow-client"


def test_a_client_that_dribbles_is_refused_and_a_service_that_takes_its_time_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the time in which the service waits for the client counts, by a clock that stands still otherwise."""
    now = [0.0]
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def body(bytes_each: int, client_s: float, service_s: float) -> int:
        async def receive() -> Message:
            now[0] += client_s
            await asyncio.sleep(0)
            return {"type": "http.request", "body": b"x" * bytes_each, "more_body": True}

        async def read(scope: Scope, receive: Receive, send: Send) -> None:
            for _ in range(100):
                received.append((await receive())["body"])
                now[0] += service_s

        received: list[bytes] = []
        app = limits.BodyLimit(read, limit=10**6, pause_s=30_000, speed=100)
        with contextlib.suppress(Problem):
            await app({"type": "http", "headers": []}, receive, lambda message: asyncio.sleep(0))
        return len(received)

    assert asyncio.run(body(1000, client_s=10, service_s=100_000)) == 100
    assert asyncio.run(body(1, client_s=7_000, service_s=0)) == 5


def test_busy_and_unavailable_say_when_to_come_back() -> None:
    for code, row in problems.PROBLEMS.items():
        response = problems.render(Problem(code, "x"), "id")
        assert response.status_code == row.status
        assert ("retry-after" in response.headers) is (code in ("busy", "unavailable"))


def test_log_lines_are_json_with_the_request_id() -> None:
    record = logging.LogRecord("pqa", logging.INFO, "file", 1, "hello %s", ("there",), None)
    record.fields = {"pictures": 3}
    token = request_id.set("abc")
    try:
        line = json.loads(JsonFormatter().format(record))
    finally:
        request_id.reset(token)
    assert {key: line[key] for key in ("level", "message", "request_id", "pictures")} == {
        "level": "info",
        "message": "hello there",
        "request_id": "abc",
        "pictures": 3,
    }
