"""Load and ill will against a `pqa serve` of its own: small numbers here, the numbers that count with -m slow."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import problem, serving, wait_for

from bench.service import files
from bench.serving import Served, served
from bench.stages import portrait
from service.settings import Settings

ROOT = Path(__file__).parent.parent
WIDE = {"PQA_QUEUE_PICTURES": "5000", "PQA_CLIENT_REQUESTS": "5000", "PQA_DRAIN_S": "600"}


def post(server: Served, data: bytes) -> int:
    return httpx.post(f"{server.url}/score", files=[("images", ("a", data))], timeout=600).status_code


@pytest.mark.parametrize("number", [12, pytest.param(1000, marks=pytest.mark.slow)])
def test_sigterm_loses_nothing_that_is_in_flight(tiny_model: Path, number: int) -> None:
    make = files(256)
    with served("--model", str(tiny_model), **WIDE) as server, ThreadPoolExecutor(number) as pool:
        answers = [pool.submit(post, server, make()) for _ in range(number)]
        arrived = ("pqa_pictures_in_work", 'pqa_responses_total{route="/score"')
        wait_for(lambda: sum(server.metric(name) for name in arrived) >= number, 300)
        server.signal(signal.SIGTERM)
        assert {answer.result() for answer in answers} == {200}


@pytest.mark.parametrize("number", [125])
def test_a_scene_of_125_pictures_is_ranked_in_one_request(tiny_model: Path, number: int) -> None:
    make = files(128)
    with serving(Settings(models=(str(tiny_model),))) as live:
        sent = [("images", (f"{n}.jpg", make())) for n in range(number)]
        document = live.http.post("/rank", files=sent).json()
    (group,) = document["groups"]
    assert len(group["order"]) == number
    assert document["unscored"] == []


@pytest.mark.slow
def test_a_scene_of_125_camera_pictures_in_one_request_is_held_in_bounded_memory() -> None:
    """12 megapixels each; more than half a gigabyte in all."""
    data = portrait()

    def body() -> Iterator[bytes]:
        for n in range(125):
            yield f'--b\r\nContent-Disposition: form-data; name="images"; filename="{n}.jpg"\r\n\r\n'.encode()
            yield data + n.to_bytes(2) + b"\r\n"
        yield b"--b--\r\n"

    with served() as server:
        idle, peak, done = server.memory_mib(), [0.0], threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                peak.append(server.memory_mib())

        watcher = threading.Thread(target=watch)
        watcher.start()
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = httpx.post(f"{server.url}/rank", content=body(), headers=kind, timeout=900)
        done.set()
        watcher.join()
    assert len(answer.json()["groups"][0]["order"]) == 125
    assert max(peak) - idle <= 256


@pytest.mark.slow
def test_ten_thousand_mixed_requests_leave_no_memory_behind(tiny_model: Path) -> None:
    makers = [files(edge) for edge in (64, 200, 640, 1500)]
    with served("--model", str(tiny_model)) as server, ThreadPoolExecutor(8) as pool:

        def one(n: int) -> int:
            return post(server, makers[n % 4]() if n % 7 else b"no picture")

        list(pool.map(one, range(2000)))
        before = server.memory_mib()
        assert set(pool.map(one, range(10_000))) <= {200, 422}
        assert server.memory_mib() - before <= 10


@pytest.mark.slow
def test_twenty_reloads_leave_no_memory_behind() -> None:
    with served() as server:

        def reload(times: int) -> float:
            for _ in range(times):
                count = server.metric("pqa_reloads_total")
                server.signal(signal.SIGHUP)
                wait_for(lambda count=count: server.metric("pqa_reloads_total") > count, 60)
            return server.memory_mib()

        before = reload(5)
        assert reload(20) <= 1.05 * before


@pytest.mark.slow
def test_limits_answer_in_time() -> None:
    """413 within 100 ms of the promise of too much, 429 within 50 ms: the median of twenty, since machines pause."""
    head = b"POST /rank HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: "
    with served(PQA_MAX_REQUEST_MIB="1") as server:
        times = []
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                began = time.perf_counter()
                connection.sendall(head + b"99999999\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 413")
                times.append(time.perf_counter() - began)
    assert sorted(times)[10] <= 0.1


def test_clients_that_do_not_read_or_do_not_go_on_hold_up_nobody(tiny_model: Path, astronaut: bytes) -> None:
    with serving(Settings(models=(str(tiny_model),), receive_timeout_s=0.5)) as live:
        part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + astronaut + b"\r\n"
        head = b"POST /rank HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        silent = []
        for number in range(20):
            connection = socket.create_connection(("127.0.0.1", live.port), timeout=20)
            silent.append(connection)
            if number % 2:
                connection.sendall(head + f"Content-Length: {len(part) + 7}\r\n\r\n".encode() + part + b"--b--\r\n")
            else:
                connection.sendall(head + b"Content-Length: 999999\r\n\r\n" + part[:100])
        assert live.http.post("/rank", files=[("images", ("b", astronaut))]).status_code == 200
        wait_for(lambda: 'pqa_rejections_total{reason="slow-client"} 10.0' in live.http.get("/metrics").text)
        wait_for(lambda: live.state.uploads.used == 0)
        for connection in silent:
            connection.close()
        wait_for(lambda: len(live.state.clients) == 0)


def test_a_big_request_leaves_room_for_small_ones(
    tiny_model: Path, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While 16 pictures of one request wait, no more of them than the window are before another's one."""
    with serving(Settings(models=(str(tiny_model),), decode_threads=1, request_window=2)) as live:
        go, seen = threading.Event(), []
        predictor = live.state.models.default
        original = predictor.prepare

        def noted(data: bytes) -> Any:
            assert go.wait(20)
            seen.append(data[-1:])
            return original(data)

        monkeypatch.setattr(predictor, "prepare", noted)
        big = [("images", (str(n), astronaut + n.to_bytes(1) + b"B")) for n in range(16)]
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(live.http.post, "/score", files=big)
            wait_for(lambda: live.state.pipeline.waiting == 2)
            second = pool.submit(live.http.post, "/score", files=[("images", ("s", astronaut + b"S"))])
            wait_for(lambda: live.state.pipeline.waiting == 3)
            go.set()
            assert [first.result().status_code, second.result().status_code] == [200, 200]
    assert seen.index(b"S") <= 2
    assert len(seen) == 17


def test_a_provider_that_is_not_there_ends_the_command() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has the provider that should be missing")
    command = [sys.executable, "-m", "pqa", "serve", "--port", "0"]
    environ = {"PQA_PROVIDER": "cuda", "PATH": "/usr/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "CUDAExecutionProvider" in done.stderr.splitlines()[-1]


def test_unknown_addresses_of_pictures_are_never_fetched(tiny_model: Path) -> None:
    """There is no input by URL: whatever looks like one is a wrong request or an unreadable picture."""
    with serving(Settings(models=(str(tiny_model),))) as live:
        for url in ("http://127.0.0.1:1/a.jpg", "file:///etc/passwd", "http://169.254.169.254/"):
            answer = live.http.post("/rank", json={"images": [{"url": url}]})
            assert "url" in problem(answer, 422, "invalid-request")["detail"]
            refused = problem(live.http.post("/rank", json={"images": [{"data": url}]}), 422, "nothing-scored")
            assert refused["unscored"][0]["status"] == "unreadable"
