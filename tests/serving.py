"""A real server on a free port, in a thread of the test process, and ways to talk to it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.server import Server, listen
from service.settings import Settings
from service.state import Service


@dataclass
class Live:
    """A running service: `http` talks to it, `state` is its inside."""

    port: int
    http: httpx.Client
    state: Service
    server: Server

    def send(self, data: bytes, *, until_closed: bool = True) -> bytes:
        """Raw bytes to the socket; what comes back until the connection closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(data)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
                if not until_closed:
                    break
            return answer


def wait_for(condition: Any, seconds: float = 30.0) -> None:
    """Poll until `condition()` is true; the deadline only ends a test that has failed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the awaited condition did not come"
        time.sleep(0.01)


def hold(live: Live, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let `prepare` wait: the first event says that a picture has come there, setting the second lets it pass."""
    predictor = live.state.models.default
    arrived, go = threading.Event(), threading.Event()
    original = predictor.prepare

    def waiting(data: bytes) -> Any:
        arrived.set()
        assert go.wait(20)
        return original(data)

    monkeypatch.setattr(predictor, "prepare", waiting)
    return arrived, go


@contextlib.contextmanager
def serving(settings: Settings, *, ready: bool = True) -> Iterator[Live]:
    """Serve with these settings until the block ends."""
    app = create_app(settings)
    server = Server(app, settings)
    listener = listen("127.0.0.1", 0, settings.receive_timeout_s)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            wait_for(lambda: server.started)
            if ready:
                wait_for(lambda: app.state.service.trouble is None or app.state.service.failure)
                assert app.state.service.failure is None, app.state.service.failure
            yield Live(port, client, app.state.service, server)
        finally:
            client.close()
            server.should_exit = True
            thread.join(timeout=30)
            listener.close()
    assert not thread.is_alive()


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that a response is the problem `code` in full form; its document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] == f"urn:pqa:problem:{code}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == response.headers["x-request-id"]
    return document
