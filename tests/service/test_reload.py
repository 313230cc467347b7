"""New model files without a restart: nothing fails meanwhile, a bad file changes nothing, the old models go."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.service.test_command import serve, started
from tests.service.test_workers import pids, ready
from tests.serving import Live, hold, serving, wait_for


@pytest.fixture
def file(make_model: Any, tmp_path: Path) -> Path:
    return Path(make_model(tmp_path / "tiny.onnx", version="1"))


@pytest.fixture
def live(file: Path) -> Iterator[Live]:
    with serving(Settings(models=(str(file),))) as live:
        yield live


def reloads(live: Live, outcome: str) -> float:
    name = f'pqa_reloads_total{{outcome="{outcome}"}}'
    return sum(float(line.split()[-1]) for line in live.http.get("/metrics").text.splitlines() if line.startswith(name))


def version(live: Live, data: bytes) -> str:
    answer = live.http.post("/rank", files=[("images", ("a", data))])
    assert answer.status_code == 200, answer.text
    return str(answer.json()["model"]["version"])


def replace(make_model: Any, file: Path, version: str) -> None:
    """In one step, so that no reload can read half a file."""
    make_model(file.with_suffix(".new"), version=version).replace(file)


def test_no_request_fails_while_models_are_swapped(live: Live, file: Path, make_model: Any, astronaut: bytes) -> None:
    old = weakref.ref(live.state.models)
    stop, seen = threading.Event(), []

    def ask(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            seen.append(version(live, astronaut + bytes([number]) + count.to_bytes(2)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2, 5):
        replace(make_model, file, str(number))
        live.server.reload()
        wait_for(lambda number=number: str(number) in seen)
    stop.set()
    for thread in threads:
        thread.join()
    assert reloads(live, "ok") == 3
    assert reloads(live, "failed") == 0
    assert set(seen) == {"1", "2", "3", "4"}
    assert version(live, astronaut) == "4"
    lines = [line for line in live.http.get("/metrics").text.splitlines() if line.startswith("pqa_model_info{")]
    assert len(lines) == 1
    assert 'version="4"' in lines[0]
    # What the first models held is given back.
    gc.collect()
    assert old() is None


def test_a_request_in_flight_finishes_on_the_model_it_began_with(
    live: Live, file: Path, make_model: Any, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, go = hold(live, monkeypatch)
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(version(live, astronaut)))
    thread.start()
    assert arrived.wait(20)
    replace(make_model, file, "2")
    live.server.reload()
    wait_for(lambda: reloads(live, "ok") == 1)
    assert version(live, astronaut) == "2"
    go.set()
    thread.join()
    assert answers == ["1"]


def test_a_bad_file_changes_nothing_and_is_told(live: Live, file: Path, make_model: Any, astronaut: bytes) -> None:
    assert live.http.get("/models").json()["reload_error"] is None
    file.write_bytes(b"no model")
    live.server.reload()
    wait_for(lambda: reloads(live, "failed") == 1)
    assert "tiny.onnx" in live.http.get("/models").json()["reload_error"]
    assert live.http.get("/readyz").status_code == live.http.get("/healthz").status_code == 200
    assert version(live, astronaut) == "1"
    replace(make_model, file, "2")
    live.server.reload()
    wait_for(lambda: reloads(live, "ok") == 1)
    assert live.http.get("/models").json()["reload_error"] is None
    assert version(live, astronaut) == "2"


def hashes(port: int) -> set[str]:
    """SHA-256 of the models that answer, over as many connections as show every process."""
    answers = [httpx.get(f"http://127.0.0.1:{port}/models", timeout=10) for _ in range(12)]
    return {answer.json()["models"][0]["sha256"] for answer in answers}


def test_sighup_reaches_every_process(file: Path, make_model: Any) -> None:
    with serve("--model", str(file), "--workers", "2", PQA_DRAIN_NOTICE_S="0") as process:
        port, _ = started(process)
        wait_for(lambda: ready(port) == 2, 60)

        def metrics() -> str:
            return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text

        replace(make_model, file, "2")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: 'pqa_reloads_total{outcome="ok"} 2.0' in metrics(), 60)
        assert 'version="2"' in metrics()
        assert 'version="1"' not in metrics()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0


def test_a_broken_file_and_a_death_leave_one_model_on_the_port(file: Path, make_model: Any) -> None:
    """Every process that comes later loads what the others serve; only SIGHUP changes it, and only to what can be served."""
    first = hashlib.sha256(file.read_bytes()).hexdigest()
    with serve("--model", str(file), "--workers", "2", PQA_DRAIN_NOTICE_S="0") as process:
        port, lines = started(process)
        wait_for(lambda: ready(port) == 2, 60)

        def replaced(deaths: int) -> None:
            os.kill(pids(lines)[-1], signal.SIGKILL)
            wait_for(lambda: len(pids(lines)) == 2 + deaths, 60)
            wait_for(lambda: ready(port) == 2, 60)

        file.write_bytes(b"no model")
        replaced(1)
        assert hashes(port) == {first}
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: sum("reloading failed" in line["message"] for line in lines) == 2, 60)
        assert any(f"{file}: not a model" in line["message"] for line in lines)
        replaced(2)
        assert hashes(port) == {first}
        replace(make_model, file, "2")
        second = hashlib.sha256(file.read_bytes()).hexdigest()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: hashes(port) == {second}, 60)
        file.unlink()
        replaced(3)
        assert hashes(port) == {second}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0
