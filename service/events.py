"""Answers that are told as they come about: a row when its picture is done, the whole answer last.

| `Accept` | form |
|---|---|
| `application/x-ndjson` | one JSON object a line, its member `event` says which |
| `text/event-stream` | server-sent events, the same objects without that member |

Events are `row` and `unscored` (a picture is done), and at the end either `answer` (the document that comes without
streaming) or `problem` (what would have been the answer of 4xx or 5xx).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pqa.errors import ConfigurationError
from service.problems import Problem, document

__all__ = ["FORMS", "Tell", "answering", "form"]

log = logging.getLogger("pqa.service")

Tell = Callable[[str, dict[str, Any]], None]
"""Tells one event: its name and its members."""


def _ndjson(event: str, members: str) -> bytes:
    return f'{{"event": "{event}", {members[1:]}\n'.encode()


def _server_sent(event: str, members: str) -> bytes:
    return f"event: {event}\ndata: {members}\n\n".encode()


FORMS: dict[str, Callable[[str, str], bytes]] = {
    "application/x-ndjson": _ndjson,
    "text/event-stream": _server_sent,
}


def form(request: Request) -> str | None:
    """The row of `FORMS` that this client would rather have than one JSON document; None where it would not."""
    ranges = []
    for part in ",".join(request.headers.getlist("accept")).lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        ranges.append((name, float(quality) if quality.replace(".", "", 1).isdecimal() else 0.0))
    best = max(ranges, key=lambda row: row[1], default=("", 0.0))
    return best[0] if best[0] in FORMS and best[1] > 0 else None


async def answering(request: Request, kind: str, work: Callable[[Tell], Coroutine[Any, Any, Response]]) -> Response:
    """The response that tells, in the form `kind`, what `work` tells, and then its answer.

    Until the first event a problem keeps its status: it is raised, as if nothing were to be streamed.
    """
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    task = asyncio.create_task(work(lambda event, members: told.put_nowait((event, _text(members)))))
    first = asyncio.create_task(told.get())
    await asyncio.wait((task, first), return_when=asyncio.FIRST_COMPLETED)
    if not first.done():
        first.cancel()
        return await task
    return _Events(kind, _events(request, first.result(), told, task), task)


async def _events(
    request: Request, first: tuple[str, str], told: asyncio.Queue[tuple[str, str]], task: asyncio.Task[Response]
) -> AsyncIterator[tuple[str, str]]:
    yield first
    while not (task.done() and told.empty()):
        following = asyncio.create_task(told.get())
        await asyncio.wait((task, following), return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            yield following.result()
        else:
            following.cancel()
    answer = await _outcome(task)
    if isinstance(answer, Problem):
        request.state.reason = answer.reason
        yield "problem", _text({"problem": document(answer, request.state.request_id)})
    elif answer.status_code == 200:
        yield "answer", f'{{"answer": {bytes(answer.body).decode()}}}'


async def _outcome(task: asyncio.Task[Response]) -> Response | Problem:
    """What came of the work: its answer, or the problem that takes its place."""
    try:
        return await task
    except Problem as problem:
        return problem
    except ConfigurationError as error:
        return Problem("invalid-request", str(error))
    except Exception:
        log.exception("unhandled")
        return Problem("internal-error", "an unexpected error; the log has it under this request id")


def _text(members: dict[str, Any]) -> str:
    return json.dumps(members, allow_nan=False)


class _Events(Response):
    """Sends what comes. Reads nothing of the request, which `task` still does, and takes `task` along when it ends."""

    def __init__(self, kind: str, events: AsyncIterator[tuple[str, str]], task: asyncio.Task[Response]) -> None:
        super().__init__(media_type=kind)
        del self.headers["content-length"]
        # Proxies would otherwise keep the rows until the last has come.
        self.headers["x-accel-buffering"] = "no"
        self._write = FORMS[kind]
        self._events = events
        self._task = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for event, members in self._events:
                chunk = self._write(event, members)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
