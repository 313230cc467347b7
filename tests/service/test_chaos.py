"""What goes wrong around a service: more load than it can bear, full disks, clocks that jump, deaths inside, deaf clients."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from PIL import Image

from pqa.runtime.predictor import Predictor
from service import workers
from service.server import listen
from service.settings import Settings
from tests.service.test_command import ROOT, started, up
from tests.service.test_workers import ready
from tests.serving import hold, problem, serving, wait_for


def score(port: int, data: bytes) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{port}/score", files=[("images", ("a", data))], timeout=60)


def test_three_times_the_load_is_turned_away_and_what_was_taken_is_answered(
    tiny_model: Path, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody who was admitted has more than the queue before him, so overload cannot make him wait longer."""
    taken, load = 4, 12
    with (
        serving(Settings(models=(str(tiny_model),), decode_threads=1, queue_pictures=taken)) as live,
        ThreadPoolExecutor(load) as pool,
    ):
        _, go = hold(live, monkeypatch)
        answers = [pool.submit(score, live.port, astronaut + bytes([number])) for number in range(load)]
        wait_for(lambda: sum(answer.done() for answer in answers) == load - taken)
        assert live.state.pipeline.waiting == taken
        # While all decode threads are busy and the queue is full, the loop is not.
        assert live.http.get("/readyz").status_code == live.http.get("/healthz").status_code == 200
        refused = [answer.result() for answer in answers if answer.done()]
        for answer in refused:
            problem(answer, 429, "busy")
            assert answer.headers["retry-after"] == "1"
        go.set()
        assert sorted(answer.result().status_code for answer in answers) == [200] * taken + [429] * len(refused)
        assert live.state.pipeline.waiting == live.state.uploads.used == len(live.state.clients) == 0
        assert score(live.port, astronaut).status_code == 200


def test_a_wall_clock_that_jumps_ends_nothing_early_and_nothing_late(
    tiny_model: Path, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Settings(models=(str(tiny_model),))) as live:
        years = itertools.cycle([0.0, 4e9, 1.7e9])
        monkeypatch.setattr(time, "time", lambda: next(years))
        monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * next(years)))
        for number in range(5):
            assert score(live.port, astronaut + bytes([number])).status_code == 200
        assert score(live.port, astronaut + bytes([0])).status_code == 200
        assert "pqa_cache_hits_total 1.0" in live.http.get("/metrics").text
        _, go = hold(live, monkeypatch)
        live.state.settings = dataclasses.replace(live.state.settings, picture_timeout_s=0.1)
        problem(score(live.port, astronaut + b"late"), 504, "deadline")
        go.set()
        live.state.closing = True
        refused = score(live.port, astronaut)
        problem(refused, 503, "unavailable")
        assert refused.headers["retry-after"] == "1"


def test_an_answer_that_nobody_reads_is_given_up(tiny_model: Path) -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("this system cannot tell a client that does not read")
    with serving(Settings(models=(str(tiny_model),), receive_timeout_s=0.3)) as live:
        live.http.close()
        connections = live.server.server_state.connections
        wait_for(lambda: not connections)
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", live.port))
        wait_for(lambda: connections)
        # The system's buffers are made small, so that little is enough to fill them.
        (connection,) = connections
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        wait_for(lambda: connection.transport.get_write_buffer_size() > 0)
        wait_for(lambda: not connections)
        deaf.close()


def test_what_draining_leaves_unanswered_is_told_to_come_back(
    tiny_model: Path, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Settings(models=(str(tiny_model),), drain_s=0)) as live, ThreadPoolExecutor(1) as pool:
        arrived, go = hold(live, monkeypatch)
        late = pool.submit(score, live.port, astronaut)
        assert arrived.wait(20)
        live.server.should_exit = True
        answer = late.result()
        go.set()
    problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"


FULL = ("sh", "-c", 'ulimit -S -f 0 && exec "$@"', "sh")
"""Runs a command whose every write to a file fails, as on a full disk."""


def start(stderr: IO[str] | int, *options: str, before: tuple[str, ...] = (), **environ: str) -> subprocess.Popen[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PQA_")}
    environ = {**clean, "PQA_DRAIN_NOTICE_S": "0", "OMP_NUM_THREADS": "1", **environ}
    command = [*before, sys.executable, "-m", "pqa", "serve", "--port", "0", *options]
    return subprocess.Popen(command, cwd=ROOT, env=environ, stderr=stderr, text=True)


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def fill(pid: int, *, full: bool) -> None:
    """Let every write of a process to a file fail, as on a full disk, or let it succeed again."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0 if full else most, most))


def test_a_full_disk_stops_no_process_that_runs_and_starts_none_that_would_die(
    tiny_model: Path, astronaut: bytes, tmp_path: Path
) -> None:
    """The log is a file here, and the metrics of several processes always are."""
    log = tmp_path / "log"
    options = ("--model", str(tiny_model), "--workers", "2")
    with log.open("w") as stream, start(stream, *options, TMPDIR=str(tmp_path)) as process:
        wait_for(lambda: any(line["message"] == "listening" for line in lines(log)), 60)
        port = next(line["port"] for line in lines(log) if line["message"] == "listening")
        wait_for(lambda: ready(port) == 2, 60)
        pids = [line["pid"] for line in lines(log) if line["message"] == "worker started"]
        counts = list(tmp_path.glob("pqa-metrics-*/*.db"))
        # Their room is theirs: a count that found none would kill its process.
        assert counts
        assert all(path.stat().st_blocks * 512 >= path.stat().st_size for path in counts)

        for pid in (process.pid, *pids):
            fill(pid, full=True)
        size = log.stat().st_size
        assert {score(port, astronaut + bytes([number])).status_code for number in range(6)} == {200}
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert 'pqa_pictures_total{status="ok"} 6.0' in metrics

        os.kill(pids[0], signal.SIGKILL)
        wait_for(lambda: ready(port) == 1)
        assert score(port, astronaut).status_code == 200
        assert log.stat().st_size == size
        fill(process.pid, full=False)
        wait_for(lambda: ready(port) == 2, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0


def test_one_process_writes_no_file_and_several_say_that_they_cannot(tiny_model: Path, astronaut: bytes) -> None:
    with start(subprocess.PIPE, "--model", str(tiny_model), before=FULL) as process:
        port, _ = started(process)
        wait_for(lambda: up(port, "/readyz") == 200, 60)
        assert score(port, astronaut).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    with start(subprocess.PIPE, "--model", str(tiny_model), "--workers", "2", before=FULL) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.splitlines()[-1].startswith("pqa: ")
    assert "Traceback" not in errors


FATAL = 77
"""Width of the picture that ends the model thread of `mortal`."""

WORK = workers._work


def mortal(*given: Any) -> None:
    """A worker process whose model thread can be ended: the process lives on and can score no more."""
    infer = Predictor.infer

    def infer_or_die(self: Predictor, batch: Any) -> Any:
        if any(item.facts.width == FATAL for item in batch):
            raise SystemExit
        return infer(self, batch)

    Predictor.infer = infer_or_die
    WORK(*given)


def supervise(settings: Settings, listener: socket.socket) -> None:
    workers._work = mortal
    workers.Supervisor(settings, listener).run()


def test_a_process_whose_model_thread_dies_is_replaced(tiny_model: Path, astronaut: bytes) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (FATAL, 60)).save(buffer, "PNG")
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        settings = Settings(models=(str(tiny_model),), workers=2, drain_notice_s=0)
        process = multiprocessing.get_context("spawn").Process(target=supervise, args=(settings, listener))
        process.start()
    try:
        wait_for(lambda: ready(port) == 2, 60)
        problem(score(port, buffer.getvalue()), 500, "model-failed")
        wait_for(lambda: ready(port) == 1)
        # Until it is gone, the one that cannot score any more says so.
        wait_for(lambda: ready(port) == 2, 60)
        assert {score(port, astronaut + bytes([number])).status_code for number in range(6)} == {200}
    finally:
        process.terminate()
        process.join(60)
    assert process.exitcode == 0


def halting(settings: Settings, listener: socket.socket, board: Any, number: int, *rest: Any) -> None:
    """A worker process; one of the second place, and of the first where only errors are logged, leaves a file and dies."""
    if number or settings.log_level == "error":
        Path(settings.models_dir, str(os.getpid())).touch()
        raise SystemExit(1)
    WORK(settings, listener, board, number, *rest)


def supervise_halting(settings: Settings, listener: socket.socket) -> None:
    workers._work, workers.MOST_DEATHS = halting, 2
    workers.Supervisor(settings, listener).run()


def test_a_place_that_keeps_dying_ends_nothing_while_another_serves(
    tiny_model: Path, astronaut: bytes, tmp_path: Path
) -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        settings = Settings(models=(str(tiny_model),), models_dir=str(tmp_path), workers=2, drain_notice_s=0)
        process = multiprocessing.get_context("spawn").Process(target=supervise_halting, args=(settings, listener))
        process.start()
    try:
        wait_for(lambda: ready(port) == 1, 60)
        # Twice as often as would end a service where nobody can score.
        wait_for(lambda: len(list(tmp_path.iterdir())) >= 4, 60)
        assert score(port, astronaut).status_code == 200
    finally:
        process.terminate()
        process.join(60)
    assert process.exitcode == 0


def test_a_service_where_every_place_keeps_dying_ends(tiny_model: Path, tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as listener:
        settings = Settings(models=(str(tiny_model),), models_dir=str(tmp_path), workers=2, log_level="error")
        process = multiprocessing.get_context("spawn").Process(target=supervise_halting, args=(settings, listener))
        process.start()
    process.join(60)
    assert process.exitcode == 1
    assert len(list(tmp_path.iterdir())) >= 4
