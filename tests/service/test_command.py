"""`pqa serve` as a process of its own, and what importing the service loads."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import wait_for

ROOT = Path(__file__).parents[2]


class Command(subprocess.Popen[str]):
    """A process that does not outlive the test that failed on it."""

    def __exit__(self, *raised: Any) -> None:
        if raised[0] is not None:
            self.kill()
        super().__exit__(*raised)


def serve(*options: str, **environ: str) -> Command:
    """Start the command. Variables `PQA_...` of the test run stay out."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PQA_")}
    return Command(
        [sys.executable, "-m", "pqa", "serve", "--port", "0", *options],
        cwd=ROOT,
        env={**clean, **environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def started(
    process: subprocess.Popen[str], lines: list[dict[str, Any]] | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """The port, and the list that the process's log lines go to."""
    assert process.stderr is not None
    lines = [] if lines is None else lines

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(json.loads(line))

    threading.Thread(target=read, daemon=True).start()
    wait_for(lambda: any(line["message"] == "listening" for line in lines))
    port = next(line["port"] for line in lines if line["message"] == "listening")
    assert isinstance(port, int)
    return port, lines


def up(port: int, path: str) -> int:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code
    except httpx.TransportError:
        return 0


def test_serves_drains_and_ends_with_code_0(tiny_model: Path, astronaut: bytes) -> None:
    with serve("--model", str(tiny_model), PQA_DRAIN_NOTICE_S="4") as process:
        port, lines = started(process)
        wait_for(lambda: up(port, "/readyz") == 200)
        secret_name = "a-name-that-no-log-may-hold.png"
        headers = {"X-Request-ID": "request-one"}
        url = f"http://127.0.0.1:{port}/rank"
        assert httpx.post(f"{url}?token=secret", timeout=60).status_code == 422
        answer = httpx.post(url, files=[("images", (secret_name, astronaut))], headers=headers, timeout=60)
        assert answer.json()["groups"][0]["order"] == [secret_name]
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: up(port, "/readyz") == 503)
        assert process.wait(timeout=30) == 0
    row = next(line for line in lines if line.get("request_id") == "request-one")
    assert (row["route"], row["status"], row["pictures"]) == ("/rank", 200, 1)
    assert secret_name not in json.dumps(lines)
    assert "secret" not in json.dumps(lines)


def test_requests_are_taken_while_the_end_is_announced(tiny_model: Path, astronaut: bytes) -> None:
    """A load balancer still sends them, until it has seen /readyz."""
    with serve("--model", str(tiny_model), PQA_DRAIN_NOTICE_S="600") as process:
        port, lines = started(process)
        wait_for(lambda: up(port, "/readyz") == 200)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: up(port, "/readyz") == 503)
        assert up(port, "/healthz") == 200
        answer = httpx.post(f"http://127.0.0.1:{port}/score", files=[("images", ("a", astronaut))], timeout=60)
        assert answer.status_code == 200
        # The second one hurries.
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert any(line.get("route") == "/score" and line.get("status") == 200 for line in lines)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload_before_there_is_anything_to_reload_ends_nothing(tiny_model: Path, workers: str) -> None:
    """SIGHUP again and again from the moment at which the command has it in its hands until it is ready."""
    with serve("--model", str(tiny_model), "--workers", workers, PQA_DRAIN_NOTICE_S="0") as process:
        ignored = 1 << (signal.SIGHUP - 1)

        def status(word: str) -> int:
            text = Path(f"/proc/{process.pid}/status").read_text()
            return int(next(line.split()[1] for line in text.splitlines() if line.startswith(word)), 16)

        wait_for(lambda: (status("SigIgn:") | status("SigCgt:")) & ignored)
        stop = threading.Event()
        lines: list[dict[str, Any]] = []

        def hang_up() -> None:
            while not stop.wait(0.02):
                for pid in [process.pid, *(line["pid"] for line in lines if line["message"] == "worker started")]:
                    os.kill(pid, signal.SIGHUP)

        thread = threading.Thread(target=hang_up)
        thread.start()
        port, _ = started(process, lines)
        wait_for(lambda: up(port, "/readyz") == 200, 60)
        stop.set()
        thread.join()
        assert not [line for line in lines if line["message"] == "worker ended"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0


def test_a_unix_socket_takes_the_place_of_the_port(tiny_model: Path, astronaut: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pqa.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with serve("--model", str(tiny_model), "--uds", str(path)) as process:

        def listens() -> bool:
            with socket.socket(socket.AF_UNIX) as probe:
                return probe.connect_ex(str(path)) == 0

        wait_for(listens)
        client = httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://pqa", timeout=60)
        wait_for(lambda: client.get("/readyz").status_code == 200)
        with serve("--model", str(tiny_model), "--uds", str(path)) as other:
            _, errors = other.communicate(timeout=60)
        assert other.returncode == 2
        assert f"{path} is in use" in errors.splitlines()[-1]
        assert client.post("/score", files=[("images", ("a", astronaut))]).status_code == 200
        client.close()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
    assert json.loads(errors.splitlines()[0])["uds"] == str(path)
    assert not path.exists()


def test_requests_in_flight_survive_sigterm(tiny_model: Path, astronaut: bytes) -> None:
    with serve("--model", str(tiny_model), PQA_DRAIN_NOTICE_S="0") as process:
        port, _ = started(process)
        wait_for(lambda: up(port, "/readyz") == 200)
        body = (
            b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + astronaut + b"\r\n--b--\r\n"
        )
        head = f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"POST /score HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head.encode() + body[:-100]
            )
            # An answer to another request shows that the head of this one was read before.
            assert up(port, "/healthz") == 200
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: up(port, "/healthz") == 0)
            connection.sendall(body[-100:])
            connection.settimeout(30)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 200")
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_model_that_cannot_be_served_ends_the_command(untrained_model: Path, workers: str) -> None:
    with serve("--model", str(untrained_model), "--workers", workers) as process:
        _, errors = process.communicate(timeout=180)
    assert process.returncode == 2
    assert errors.splitlines()[-1].startswith("pqa: ")
    assert "--allow-untrained" in errors
    assert "Traceback" not in errors


def test_untrained_models_are_served_on_demand_and_said_to_be(untrained_model: Path, astronaut: bytes) -> None:
    with serve("--model", str(untrained_model), "--allow-untrained") as process:
        port, _ = started(process)
        wait_for(lambda: up(port, "/readyz") == 200)
        answer = httpx.post(f"http://127.0.0.1:{port}/score", files=[("images", ("a", astronaut))], timeout=60).json()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert [warning["code"] for warning in answer["warnings"]] == ["untrained_model"]
    assert "untrained_model" in answer["scores"][0]["flags"]


@pytest.mark.parametrize(
    ("options", "environ", "text"),
    [
        ((), {"PQA_MAX_IMAGE": "3"}, "did you mean 'PQA_MAX_IMAGES'"),
        (("--log-level", "loud"), {}, "PQA_LOG_LEVEL"),
        (("--model", "scene_gates"), {}, "no model named 'scene_gates'; did you mean 'scene_gate'"),
        (("--model", "/nowhere/mine.onnx", "--workers", "2"), {}, "/nowhere/mine.onnx: there is no such file"),
        (("--host", "192.0.2.1"), {}, "of 192.0.2.1 cannot be listened on: Cannot assign"),
        (("--host", "nowhere.invalid"), {}, "of nowhere.invalid cannot be listened on"),
        (("--uds", "/nowhere/pqa.sock"), {}, "/nowhere/pqa.sock cannot be listened on: No such file"),
    ],
)
def test_wrong_settings_are_one_line(options: tuple[str, ...], environ: dict[str, str], text: str) -> None:
    with serve(*options, **environ) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert text in errors.splitlines()[-1]
    assert "listening" not in errors


def test_a_port_in_use_is_one_line(tiny_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serve("--port", str(port), "--model", str(tiny_model)) as process:
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use by another process" in errors.splitlines()[-1]
    assert "Traceback" not in errors


HEAVY = "torch torchvision timm open_clip facenet_pytorch onnx lightning sklearn skimage pandas"
PROBE = f"""
import sys
import service.app, service.command, service.server
found = [name for name in {HEAVY.split()!r} if name in sys.modules]
print(found)
sys.exit(bool(found))
"""


@pytest.mark.parametrize(("first", "code"), [("", 0), ("import onnx\n", 1)], ids=["service", "counter-test"])
def test_importing_the_service_loads_nothing_heavy(first: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", first + PROBE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
