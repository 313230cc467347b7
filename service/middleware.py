"""What every answer gets: a request id, security headers, a line in the log, a count, and never a bare traceback."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import request_id
from service.metrics import Metrics
from service.problems import Problem, render

__all__ = ["Envelope", "new_id", "stamp"]

log = logging.getLogger("pqa.access")

_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LINGER_S = 1.0
_SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SCORING = ("/rank", "/score", "/v1/rank", "/v1/score")


def new_id() -> str:
    """An id for a request that brings none."""
    return uuid.uuid4().hex


def stamp(headers: MutableHeaders, id: str) -> None:
    """The headers of every answer."""
    headers["X-Request-ID"] = id
    for name, value in _SECURITY.items():
        headers.setdefault(name, value)


class Envelope:
    """Outermost ASGI middleware. A valid `X-Request-ID` is echoed; any other is replaced by a new one.

    HEAD is answered like GET; the server leaves the body out. `root_path`: prefix of a proxy, which may
    or may not stand before the paths that come here.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, root_path: str = "") -> None:
        self.app = app
        self.metrics = metrics
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"]
        scope = {**scope, "root_path": self.root_path}
        if method == "HEAD":
            # Not in the server's own copy, by which it knows that no body is to be sent.
            scope["method"] = "GET"
        exchange = _Exchange(scope, receive, send)
        token = request_id.set(exchange.id)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if exchange.started:
                raise
            # The time for draining is over, and the server would answer with a bare 500.
            problem = Problem("unavailable", "the service stopped before this request was answered; try again")
            await render(problem, exchange.id)(scope, exchange.receive, exchange.send)
        except Exception:
            log.exception("unhandled")
            if not exchange.started:
                problem = Problem("internal-error", "an unexpected error; the log has it under this request id")
                await render(problem, exchange.id)(scope, exchange.receive, exchange.send)
        finally:
            self._record(scope, method, exchange)
            request_id.reset(token)

    def _record(self, scope: Scope, method: str, exchange: _Exchange) -> None:
        route = getattr(scope.get("route"), "path", "none")
        seconds = time.perf_counter() - exchange.began
        if route in _SCORING:
            self.metrics.request.observe(seconds)
            if reason := scope["state"].get("reason"):
                self.metrics.rejections.labels(reason).inc()
        self.metrics.received.inc(exchange.received)
        if exchange.status:
            self.metrics.responses.labels(route, f"{exchange.status // 100}xx").inc()
        fields = {
            # Neither the path nor the query as they came: they belong to the client.
            "method": method if route != "none" else "other",
            "route": route,
            "status": exchange.status,
            "seconds": round(seconds, 6),
            "bytes_received": exchange.received,
            **scope["state"].get("log", {}),
        }
        log.log(logging.DEBUG if route in ("/healthz", "/readyz", "/metrics") else logging.INFO, "answered",
                extra={"fields": fields})  # fmt: skip


class _Exchange:
    """One request and its answer, with the body counted and the headers added."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else new_id()
        self.began = time.perf_counter()
        self.received = 0
        self.status = 0
        self.started = False
        self._receive = receive
        self._send = send
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self._body_left = has_body and "expect" not in headers
        scope.setdefault("state", {})["request_id"] = self.id

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self._body_left = self._body_left and message.get("more_body", False)
        else:
            self._body_left = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            stamp(headers, self.id)
            if self._body_left:
                headers["Connection"] = "close"
        elif self._body_left and not message.get("more_body", False):
            await self._linger(message)
            return
        await self._send(message)

    async def _linger(self, last: Message) -> None:
        """Send the answer, then read on for a moment: closing at once would reset the connection before it is read."""
        await self._send({**last, "more_body": True})
        try:
            async with asyncio.timeout(_LINGER_S):
                while self._body_left:
                    await self.receive()
        except TimeoutError:
            pass
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
