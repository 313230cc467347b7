"""uvicorn with a shutdown that is announced first, and with problem documents below the application too."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import stat
import threading
from types import FrameType
from typing import Any, cast

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from service import problems
from service.connections import ACCEPTED, Connections
from service.logs import Seldom
from service.metrics import Metrics
from service.middleware import new_id, stamp
from service.settings import Settings
from service.state import Service

__all__ = ["Protocol", "Server", "listen", "listen_unix"]

WAITING = 2048
"""Connections that the system keeps until they are accepted."""

log = logging.getLogger("pqa.service")


class Config(uvicorn.Config):
    """uvicorn's, with what `Protocol` needs: the time that the head of a request may take, and who is connected."""

    head_s: float
    table: Connections
    metrics: Metrics
    full: Seldom


class Protocol(H11Protocol):
    """Answers bytes that are no HTTP with a problem document too, and heads of requests that do not come to an end.

    uvicorn itself would wait for a head for ever, and so hold the connections of clients that send none.
    """

    host = ""
    config: Config
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.host = self.client[0] if self.client else ""
        if self.config.table.enter(self):
            self._watch_head()
            return
        self.config.full.note()
        self._refuse(
            problems.Problem("busy", "too many connections at once; close some, or come back", reason="connections")
        )

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        # Before the next request is begun, if it has come already.
        self.config.table.silent(self)
        super().on_response_complete()
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.config.table.leave(self)
        self._stop_timer()

    def send_400_response(self, msg: str) -> None:
        self._refuse(problems.Problem("malformed", f"this is no HTTP request: {msg}"))

    def _watch_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.config.table.busy(self)
            self._stop_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.config.head_s, self._no_head)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _no_head(self) -> None:
        self._head_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(problems.Problem("slow-client", "the head of the request did not come to an end"))

    def _refuse(self, problem: problems.Problem) -> None:
        self.config.table.leave(self)
        # In the middle of an answer, or before the first byte of a request, there is nothing to answer.
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE) or (
            problem.status == 408 and not self.conn.trailing_data[0]
        ):
            self.transport.close()
            return
        id = new_id()
        response = problems.render(problem, id)
        stamp(response.headers, id)
        response.headers["Connection"] = "close"
        for event in (
            h11.Response(status_code=problem.status, headers=response.raw_headers),
            h11.Data(data=bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.config.metrics.rejections.labels(problem.reason).inc()
        self.config.metrics.responses.labels("none", f"{problem.status // 100}xx").inc()
        self.transport.close()


def listen(host: str, port: int, reader_s: float = 30.0) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError for a taken port or an address that is not here.

    Its connections end when a client takes nothing of an answer for `reader_s` seconds; on Linux only.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    # Only where the protocol is named does asyncio switch off Nagle's algorithm, which costs 40 ms an answer.
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # asyncio would hold an answer that nobody reads for ever, also after closing its connection.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * reader_s))
        listener.bind(address)
        listener.listen(WAITING)
    except OSError:
        listener.close()
        raise
    return listener


def listen_unix(path: str) -> socket.socket:
    """A listening Unix socket at this path; one that a dead process left there is replaced. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(FileNotFoundError):
            if probe.connect_ex(path) == errno.ECONNREFUSED and stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
        listener.bind(path)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


class Server(uvicorn.Server):
    """One process. The first SIGTERM or SIGINT drains, each further one hurries; the end is code 0. SIGHUP reloads."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        config = Config(
            app,
            host=settings.http_host,
            port=settings.http_port,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_graceful_shutdown=int(settings.drain_s),
            backlog=ACCEPTED,
        )
        self._service: Service = app.state.service
        config.head_s = settings.receive_timeout_s
        config.table = Connections.of(settings)
        config.metrics = self._service.metrics
        config.full = Seldom(log, "connections are refused, all that may be are taken")
        super().__init__(config)
        self._notice_s = settings.drain_notice_s
        self._no_room = Seldom(log, "connections wait, the system has no room for more")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reloads: set[asyncio.Task[None]] = set()
        self._service.connections = lambda: len(self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            self._loop.add_signal_handler(signal.SIGHUP, self._begin_reload)
        self._loop.set_exception_handler(self._trouble)
        await super().startup(sockets)
        for listener in sockets or ():
            # asyncio accepts as many at once as it lets wait, which are few, so that none is over the limit on files.
            listener.listen(WAITING)

    def _trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """asyncio would log each connection that the system has no room for."""
        if isinstance(context.get("exception"), OSError) and "accept" in context.get("message", ""):
            self._no_room.note()
        else:
            loop.default_exception_handler(context)

    def reload(self) -> None:
        """Load the models anew, as SIGHUP does. From any thread, once the server has started."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_reload)

    def _begin_reload(self) -> None:
        task = asyncio.ensure_future(self._service.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say on /readyz that the end is near and take requests for a moment more, then let those in flight finish.

        uvicorn would raise the signal again after its shutdown, so that a clean end looked like a death.
        """
        if self._loop is None or self._service.draining or not self._notice_s:
            self._service.draining = True
            self.force_exit = self.should_exit
            self._stop()
            return
        self._service.draining = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._notice_s, self._stop)

    def _stop(self) -> None:
        self._service.closing = True
        self.should_exit = True
