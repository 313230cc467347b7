"""uvicorn with a shutdown that is announced first, and with problem documents below the application too."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import stat
import threading
from types import FrameType
from typing import cast

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from service import problems
from service.settings import Settings
from service.state import Service

__all__ = ["Protocol", "Server", "listen", "listen_unix"]


class Config(uvicorn.Config):
    """uvicorn's, with the time that the head of a request may take."""

    head_s: float


class Protocol(H11Protocol):
    """Answers bytes that are no HTTP with a problem document too, and heads of requests that do not come to an end.

    uvicorn itself would wait for a head for ever, and so hold the connections of clients that send none.
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()

    def send_400_response(self, msg: str) -> None:
        self._refuse(problems.Problem("malformed", f"this is no HTTP request: {msg}"))

    def _watch_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(cast(Config, self.config).head_s, self._no_head)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _no_head(self) -> None:
        self._head_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(problems.Problem("slow-client", "the head of the request did not come to an end"))

    def _refuse(self, problem: problems.Problem) -> None:
        # In the middle of an answer, or before the first byte of a request, there is nothing to answer.
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE) or (
            problem.status == 408 and not self.conn.trailing_data[0]
        ):
            self.transport.close()
            return
        body = bytes(problems.render(problem, None).body)
        headers = [
            ("Content-Type", problems.MEDIA_TYPE),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        for event in (
            h11.Response(status_code=problem.status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
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
        listener.listen(2048)
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
        )
        config.head_s = settings.receive_timeout_s
        super().__init__(config)
        self._notice_s = settings.drain_notice_s
        self._service: Service = app.state.service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reloads: set[asyncio.Task[None]] = set()
        self._service.connections = lambda: len(self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            self._loop.add_signal_handler(signal.SIGHUP, self._begin_reload)
        await super().startup(sockets)

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
