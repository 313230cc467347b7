"""Load and ill will against a `pqa serve` of its own: small numbers here, the numbers that count with -m slow."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench import soak
from bench.service import files
from bench.serving import served
from bench.stages import portrait
from service.settings import Settings
from tests.serving import problem, serving, wait_for

ROOT = Path(__file__).parents[2]


def slow(number: int) -> object:
    return pytest.param(number, marks=pytest.mark.slow)


@pytest.mark.parametrize("number", [12, slow(1000)])
def test_sigterm_loses_nothing_that_is_in_flight(tiny_model: Path, number: int) -> None:
    with served("--model", str(tiny_model), PQA_DRAIN_S="3600", **soak.WIDE) as server:
        before, after, _ = soak.drain(server, number)
    assert before + after == {200: number}


@pytest.mark.parametrize("number", [125])
def test_a_scene_of_125_pictures_and_a_broken_one_is_ranked_in_one_request(tiny_model: Path, number: int) -> None:
    make = files(128)
    with serving(Settings(models=(str(tiny_model),))) as live:
        sent = [("images", (f"{n}.jpg", make())) for n in range(number)]
        sent.insert(number // 2, ("images", ("broken.jpg", make()[:1000])))
        document = live.http.post("/rank", files=sent).json()
    (group,) = document["groups"]
    assert len(group["order"]) == number
    assert [row["id"] for row in document["unscored"]] == ["broken.jpg"]


@pytest.mark.slow
def test_a_scene_of_125_camera_pictures_in_one_request_is_held_in_bounded_memory() -> None:
    """12 megapixels each; more than half a gigabyte in all."""
    with served() as server:
        ranked, peak = soak.scene(server, portrait(), 125)
    assert ranked == 125
    assert peak <= 256


@pytest.mark.parametrize("number", [21, slow(10_000)])
def test_mixed_requests_are_all_answered_and_leave_no_memory_behind(tiny_model: Path, number: int) -> None:
    with served("--model", str(tiny_model), **soak.FULL) as server:
        answers, readings = soak.mixed(server, number, warm_up=number // 5)
    assert answers == {200: number - -(-number // 7), 422: -(-number // 7)}
    # A few only fill what the next ones use again.
    assert soak.growth(number, readings) <= 1 or number < 10_000


@pytest.mark.slow
def test_twenty_reloads_leave_no_memory_behind() -> None:
    with served() as server:

        def most(times: int) -> float:
            seen = []
            for _ in range(times):
                count = server.metric("pqa_reloads_total")
                server.signal(signal.SIGHUP)
                wait_for(lambda count=count: server.metric("pqa_reloads_total") > count, 60)
                seen.append(server.memory_mib())
            return max(seen)

        # The first ones need room for two models at once, which is kept for the next ones.
        before = most(20)
        assert most(20) <= 1.05 * before


@pytest.mark.slow
def test_limits_answer_in_time() -> None:
    """The medians of twenty, since machines pause."""
    with served(**soak.STRICT) as server:
        times = {name: sorted(values)[10] for name, values in soak.refusals(server, 20).items()}
    assert times["promise"] <= 0.1
    assert times["crossing"] <= 0.1
    assert times["header"] <= 0.05
    assert times["full"] <= 0.05


def test_clients_that_do_not_read_or_do_not_go_on_hold_up_nobody(tiny_model: Path, astronaut: bytes) -> None:
    with serving(Settings(models=(str(tiny_model),), receive_timeout_s=0.5, queue_s=600)) as live:
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
