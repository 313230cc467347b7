"""Who is connected: limits in all and by address, and what is refused before there is a request."""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from service import connections, logs
from service.access import origin
from service.connections import Connections
from service.logs import Seldom
from service.settings import Settings
from tests.serving import Live, problem, serving, wait_for


class Line:
    """A connection that remembers whether it was ended."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.ended = False

    def shutdown(self) -> None:
        self.ended = True


def entered(table: Connections, *hosts: str) -> list[Line]:
    lines = [Line(host) for host in hosts]
    for line in lines:
        assert table.enter(line)
    return lines


def test_the_longest_silent_one_of_the_address_with_most_makes_room() -> None:
    table = Connections(limit=5, each=4)
    one, first, second, third, busy = entered(table, "192.0.2.1", *["192.0.2.2"] * 4)
    table.busy(busy)
    table.busy(first)
    table.silent(first)
    (new,) = entered(table, "192.0.2.3")
    assert [line.ended for line in (one, first, second, third, busy, new)] == [False, False, True, False, False, False]
    assert len(table) == 5


def test_an_address_with_its_share_makes_room_from_its_own() -> None:
    table = Connections(limit=10, each=2)
    (other,) = entered(table, "192.0.2.1")
    first, second, third = entered(table, *["192.0.2.2"] * 3)
    assert [line.ended for line in (other, first, second, third)] == [False, True, False, False]
    table.busy(second)
    table.busy(third)
    assert not table.enter(Line("192.0.2.2"))
    entered(table, "192.0.2.1")
    table.leave(second)
    entered(table, "192.0.2.2")


def test_where_all_are_busy_a_new_one_is_refused() -> None:
    table = Connections(limit=2, each=2)
    for line in entered(table, "192.0.2.1", "192.0.2.2"):
        table.busy(line)
    refused = Line("192.0.2.3")
    assert not table.enter(refused)
    table.leave(refused)
    assert len(table) == 2


@pytest.mark.parametrize("trusted", [("192.0.2.9",), ("192.0.2.0/24",), ("*",)])
def test_a_proxy_that_is_trusted_has_no_share_of_its_own(trusted: tuple[str, ...]) -> None:
    table = Connections(limit=6, each=1, trusted=trusted)
    for line in entered(table, *["192.0.2.9"] * 6):
        table.busy(line)
    assert not table.enter(Line("192.0.2.9"))


def test_those_without_an_address_share_one() -> None:
    """As of a Unix socket."""
    table = Connections(limit=10, each=2)
    first, second, third = entered(table, "", "", "")
    assert [line.ended for line in (first, second, third)] == [True, False, False]
    for line in (second, third):
        table.leave(line)
    assert len(table) == 0
    entered(table, "", "")


def test_a_network_of_ipv6_is_one_address() -> None:
    assert origin("2001:db8::1") == origin("2001:db8::ffff:1") != origin("2001:db8:0:1::1")
    assert origin("::ffff:192.0.2.1") == origin("192.0.2.1") == "192.0.2.1"
    assert origin("fe80::1%eth0") == origin("fe80::2")
    assert origin("") == ""


def test_the_limit_on_files_comes_before_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def limits(files: int) -> tuple[int, int]:
        monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (files, files))
        table = Connections.of(Settings(connections=1000, client_share=0.25))
        return table.limit, table.each

    assert limits(100_000) == limits(resource.RLIM_INFINITY) == (1000, 250)
    assert 100 < limits(400)[0] <= 400 - connections.SPARE_FILES
    assert limits(10) == (connections.LEAST, 2)


def test_a_warning_that_strangers_cause_is_one_line_a_second(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    seldom = Seldom(logging.getLogger("pqa.test"), "full")
    for _ in range(1000):
        seldom.note()
        now[0] += 0.01
    counts = [record.fields["count"] for record in caplog.records]
    assert counts[:2] == [1, 100]
    assert len(counts) == 10


def connect(live: Live, address: str = "127.0.0.2") -> socket.socket:
    return socket.create_connection(("127.0.0.1", live.port), timeout=20, source_address=(address, 0))


def test_a_full_table_is_said_and_another_address_is_served(tiny_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All of one address are in the middle of a body, so none is silent and the next one is refused."""
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    settings = Settings(models=(str(tiny_model),), connections=12, client_share=0.5)
    with serving(settings) as live, contextlib.ExitStack() as stack, caplog.at_level(logging.WARNING, "pqa.service"):
        for _ in range(6):
            stack.enter_context(connect(live)).sendall(head)
        wait_for(lambda: live.state.uploads.used == 6 * 2)
        for _ in range(50):
            with connect(live) as refused:
                answer = b""
                with contextlib.suppress(ConnectionResetError):
                    while more := refused.recv(65536):
                        answer += more
        assert answer.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 1" in answer.lower()
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert document["type"] == "urn:pqa:problem:busy"
        assert document["request_id"].encode() in answer.partition(b"\r\n\r\n")[0]
        assert live.http.get("/readyz").status_code == 200
        metrics = live.http.get("/metrics").text
        assert 'pqa_rejections_total{reason="connections"} 50.0' in metrics
        lines = [record for record in caplog.records if "connections" in record.message]
        assert 1 <= len(lines) < 25
        assert lines[0].fields["count"] == 1


def test_silent_connections_make_room(tiny_model: Path) -> None:
    with serving(Settings(models=(str(tiny_model),), connections=10, client_share=1)) as live:
        with contextlib.ExitStack() as stack:
            for number in range(40):
                connection = stack.enter_context(connect(live, f"127.0.0.{2 + number % 3}"))
                connection.sendall(b"GET /healthz HTTP/1.1\r\n" if number % 2 else b"")
            assert live.http.get("/readyz").status_code == 200
            assert len(live.server.config.table) <= 10
        live.http.close()
        wait_for(lambda: not len(live.server.config.table))


def test_what_is_no_request_gets_an_id_the_headers_and_a_count(tiny_model: Path) -> None:
    with serving(Settings(models=(str(tiny_model),))) as live:
        for number, bytes_ in enumerate(
            (b"\x16\x03\x01\x00\xa5 no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000)
        ):
            head, _, body = live.send(bytes_).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400")
            headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            assert headers[b"x-content-type-options"] == b"nosniff"
            assert headers[b"cache-control"] == b"no-store"
            assert json.loads(body)["request_id"].encode() == headers[b"x-request-id"]
            metrics = live.http.get("/metrics").text
            assert f'pqa_responses_total{{route="none",status="4xx"}} {number + 1}.0' in metrics
            assert f'pqa_rejections_total{{reason="malformed"}} {number + 1}.0' in metrics


def test_head_is_get_without_the_body(tiny_model: Path) -> None:
    with serving(Settings(models=(str(tiny_model),))) as live:
        for path in ("/healthz", "/readyz", "/metrics", "/models", "/openapi.json"):
            answer = live.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert b"content-length" in head.lower()
            assert body == b""
        assert live.http.head("/rank").status_code == 405
        assert live.http.head("/nowhere").status_code == 404


def test_no_address_sends_elsewhere(tiny_model: Path) -> None:
    with serving(Settings(models=(str(tiny_model),))) as live:
        for path in ("/rank/", "/healthz/", "/models/", "//evil.example/rank"):
            for method in ("GET", "POST"):
                answer = live.http.request(
                    method, f"http://127.0.0.1:{live.port}{path}", headers={"Host": "evil.example"}
                )
                assert "location" not in answer.headers
                problem(answer, 404, "not-found")


def test_query_parameters_that_nothing_reads_are_named(tiny_model: Path, astronaut: bytes) -> None:
    with serving(Settings(models=(str(tiny_model),))) as live:
        for path in ("/healthz", "/models", "/metrics", "/readyz"):
            assert "'verbose'" in problem(live.http.get(f"{path}?verbose=1"), 422, "invalid-request")["detail"]
        answer = live.http.post("/rank?attribute=detail", files=[("images", ("a", astronaut))])
        assert "fields of its body" in problem(answer, 422, "invalid-request")["detail"]


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
def test_a_coded_body_is_refused(tiny_model: Path, coding: str) -> None:
    with serving(Settings(models=(str(tiny_model),))) as live:
        headers = {"Content-Type": "application/json", "Content-Encoding": coding}
        answer = live.http.post("/score", content=b"{}", headers=headers)
        assert coding in problem(answer, 415, "unsupported-media-type")["detail"]
        plain = live.http.post("/score", content=b"{}", headers={**headers, "Content-Encoding": "identity"})
        problem(plain, 422, "invalid-request")
