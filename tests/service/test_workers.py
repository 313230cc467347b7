"""`pqa serve --workers 2`: one port, counts that add up, deaths that are told and mended, an end without losses."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.service.test_command import serve, started, up
from tests.serving import wait_for


def ready(port: int) -> int:
    """Processes that can score, by /readyz; 0 where it does not answer 200."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10)
    except httpx.TransportError:
        return 0
    return int(answer.json()["workers_ready"]) if answer.status_code == 200 else 0


def count(text: str, name: str) -> float:
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def pids(lines: list[dict[str, Any]]) -> list[int]:
    return [line["pid"] for line in lines if line["message"] == "worker started"]


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_two_processes_share_a_port_and_their_counts_and_survive_a_death(tiny_model: Path, astronaut: bytes) -> None:
    settings = {"PQA_DRAIN_NOTICE_S": "0", "PQA_QUEUE_S": "600"}
    with serve("--model", str(tiny_model), "--workers", "2", **settings) as process:
        port, lines = started(process)
        wait_for(lambda: ready(port) == 2, 60)

        def score(number: int) -> int:
            files = [("images", ("a", astronaut + bytes([number])))]
            return httpx.post(f"http://127.0.0.1:{port}/score", files=files, timeout=60).status_code

        def metrics() -> str:
            return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(score, range(12))) == {200}
        wait_for(lambda: count(metrics(), 'pqa_responses_total{route="/score",status="2xx"}') == 12)
        for text in [metrics() for _ in range(6)]:
            assert count(text, 'pqa_pictures_total{status="ok"}') == 12
            assert count(text, "pqa_infer_seconds_count") == 12
            assert count(text, "pqa_workers ") == count(text, "pqa_ready ") == 2
            assert len([line for line in text.splitlines() if not line.startswith("#")]) <= 200

        first = pids(lines)
        # Of both, whichever answers; the system's own figures move a little meanwhile.
        for text in [metrics() for _ in range(6)]:
            assert count(text, "process_resident_memory_bytes ") > 1.5 * min(map(resident, first))
            assert count(text, "process_open_fds ") >= sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in first) // 2
            assert count(text, "process_cpu_seconds_total ") > 1
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: ready(port) == 1 or len(pids(lines)) == 3, 10)
        wait_for(lambda: any(line.get("code") == -signal.SIGKILL for line in lines))
        wait_for(lambda: ready(port) == 2 and len(pids(lines)) == 3, 60)
        assert score(200) == 200
        wait_for(lambda: count(metrics(), 'pqa_pictures_total{status="ok"}') == 13)
        assert count(metrics(), "pqa_ready ") == 2

        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0
        assert up(port, "/healthz") == 0
    assert all(gone(pid) for pid in pids(lines))


def test_processes_end_when_their_supervisor_is_killed(tiny_model: Path) -> None:
    with serve("--model", str(tiny_model), "--workers", "2", PQA_DRAIN_NOTICE_S="0") as process:
        port, lines = started(process)
        wait_for(lambda: ready(port) == 2, 60)
        process.kill()
        wait_for(lambda: up(port, "/healthz") == 0)
        wait_for(lambda: all(gone(pid) for pid in pids(lines)))
