"""Live and ready, models, metrics, back-pressure, deadlines, departures: over a real socket."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pqa import cancel
from pqa.errors import ModelError
from service.limits import Arrival
from service.settings import Settings
from tests.serving import Live, hold, problem, serving, wait_for


@pytest.fixture
def live(tiny_model: Path) -> Iterator[Live]:
    with serving(Settings(models=(str(tiny_model),), decode_threads=1, queue_pictures=3, picture_timeout_s=20)) as live:
        yield live


def in_background(live: Live, data: bytes, answers: list[Any]) -> threading.Thread:
    def go() -> None:
        answers.append(live.http.post("/score", files=[("images", ("a", data))]))

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def metric(live: Live, name: str) -> float:
    lines = live.http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_ready_only_when_a_real_portrait_was_scored(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from service import models

    go, scored = threading.Event(), []
    original = models.LoadedModels.load

    def slow(*given: Any) -> Any:
        assert go.wait(20)
        return original(*given)

    class Spy(models.Predictor):
        def infer(self, batch: Any) -> Any:
            scored.extend(batch)
            return super().infer(batch)

    monkeypatch.setattr(models.LoadedModels, "load", slow)
    monkeypatch.setattr(models, "Predictor", Spy)
    with serving(Settings(models=(str(tiny_model),)), ready=False) as live:
        assert live.http.get("/healthz").json() == {"status": "ok"}
        assert "being loaded" in problem(live.http.get("/readyz"), 503, "unavailable")["detail"]
        assert live.http.get("/readyz").headers["retry-after"] == "1"
        problem(live.http.get("/models"), 503, "unavailable")
        problem(live.http.post("/rank", files=[("images", ("a", b"x"))]), 503, "unavailable")
        assert metric(live, "pqa_ready") == 0
        go.set()
        wait_for(lambda: live.http.get("/readyz").status_code == 200)
        assert len(scored) == 1
        assert scored[0].facts.faces
        assert metric(live, "pqa_ready") == 1


def test_nothing_is_reported_to_the_maker_of_the_runtime(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.models import LoadedModels

    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    LoadedModels.load(Settings(models=(str(tiny_model),)), lambda detector: detector)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_a_model_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    with serving(Settings(models=(str(tmp_path / "none.onnx"),)), ready=False) as live:
        wait_for(lambda: live.state.failure)
        assert "none.onnx" in problem(live.http.get("/readyz"), 503, "unavailable")["detail"]
        problem(live.http.get("/healthz"), 503, "unavailable")


def test_a_dead_model_thread_is_neither_ready_nor_alive(
    live: Live, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(batch: Any) -> Any:
        raise SystemExit

    monkeypatch.setattr(live.state.models.default, "infer", die)
    response = live.http.post("/score", files=[("images", ("a", astronaut))])
    assert problem(response, 500, "model-failed")["unscored"][0]["status"] == "model_error"
    wait_for(lambda: live.http.get("/readyz").status_code == 503)
    problem(live.http.get("/healthz"), 503, "unavailable")
    problem(live.http.post("/score", files=[("images", ("a", astronaut))]), 503, "unavailable")


def test_draining_takes_requests_until_the_port_closes(live: Live, astronaut: bytes) -> None:
    live.state.draining = True
    problem(live.http.get("/readyz"), 503, "unavailable")
    assert metric(live, "pqa_ready") == 0
    assert live.http.get("/healthz").status_code == 200
    assert live.http.post("/score", files=[("images", ("a", astronaut))]).status_code == 200
    live.state.closing = True
    problem(live.http.get("/readyz"), 503, "unavailable")
    problem(live.http.post("/score", files=[("images", ("a", astronaut))]), 503, "unavailable")
    assert live.http.get("/healthz").status_code == 200
    wait_for(lambda: metric(live, 'pqa_rejections_total{reason="draining"}') == 1)


def test_models_lists_the_loaded_the_others_and_the_damaged(tiny_model: Path, make_model: Any, tmp_path: Path) -> None:
    make_model(tmp_path / "spare.onnx", name="spare")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with serving(Settings(models=(str(tiny_model),), models_dir=str(tmp_path))) as live:
        cards = {card["name"]: card for card in live.http.get("/models").json()["models"]}
    tiny = cards["tiny"]
    assert tiny["default"]
    assert tiny["loaded"]
    assert tiny["provider"] == "CPUExecutionProvider"
    assert tiny["scale"] == {"min": 0.0, "max": 1.0, "comparable_across_scenes": False}
    assert [view["name"] for view in tiny["views"]] == ["global", "face"]
    assert len(tiny["sha256"]) == 64
    assert not cards["spare"]["loaded"]
    assert "bad.onnx" in cards["bad"]["error"]
    assert str(tmp_path) not in json.dumps(cards)


def test_each_request_chooses_a_model_and_an_attribute(
    tiny_model: Path, make_model: Any, astronaut: bytes, tmp_path: Path
) -> None:
    other = make_model(tmp_path / "other.onnx", name="other", attributes=("overall", "detail", "skin"))
    files = [("images", ("a", astronaut))]
    with serving(Settings(models=(str(tiny_model), str(other)))) as live:
        cards = live.http.get("/models").json()["models"]
        assert [(card["name"], card["default"]) for card in cards if card["loaded"]] == [
            ("tiny", True),
            ("other", False),
        ]

        def rank(**fields: str) -> Any:
            return live.http.post("/rank", data=fields, files=files)

        assert rank().json()["model"]["name"] == "tiny"
        chosen = rank(model="other", attribute="skin").json()
        assert (chosen["model"]["name"], chosen["attribute"]) == ("other", "skin")
        row = chosen["groups"][0]["ranking"][0]
        assert row["score"] == row["attributes"]["skin"]["score"]
        assert row["score"] != row["attributes"]["overall"]["score"]
        assert "did you mean 'skin'" in problem(rank(model="other", attribute="skim"), 422, "invalid-request")["detail"]
        problem(rank(attribute="skin"), 422, "invalid-request")


def test_a_full_queue_turns_requests_away_at_the_door(
    live: Live, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, go = hold(live, monkeypatch)
    answers: list[Any] = []
    threads = [in_background(live, astronaut + bytes([n]), answers) for n in range(3)]
    assert arrived.wait(20)
    wait_for(lambda: live.state.pipeline.waiting == 3)
    refused = live.http.post("/score", files=[("images", ("a", astronaut))])
    assert refused.headers["retry-after"] == "1"
    problem(refused, 429, "busy")
    go.set()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert live.http.post("/score", files=[("images", ("a", astronaut))]).status_code == 200
    wait_for(lambda: metric(live, 'pqa_rejections_total{reason="queue"}') == 1)


def test_upload_memory_turns_requests_away_too(tiny_model: Path, astronaut: bytes) -> None:
    with serving(Settings(models=(str(tiny_model),), upload_memory_mib=1)) as live:
        complete = Arrival(pause_s=1, speed=1)
        complete.complete = True
        with live.state.uploads.upload("another", complete) as upload:
            upload.grow(live.state.uploads.total - 1000)
            problem(live.http.post("/score", files=[("images", ("a", astronaut))]), 429, "busy")
        assert live.http.post("/score", files=[("images", ("a", astronaut))]).status_code == 200
        assert live.state.uploads.used == 0


def test_a_picture_past_its_deadline_is_timeout(live: Live, astronaut: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    known = live.http.post("/score", files=[("images", ("a", astronaut))]).json()
    _, go = hold(live, monkeypatch)
    live.state.settings = dataclasses.replace(live.state.settings, picture_timeout_s=0.1)
    late = {"id": "late", "data": base64.b64encode(astronaut + b"x").decode()}
    # A picture named by its hash needs no work, so only the other one can be late.
    digest = hashlib.sha256(astronaut).hexdigest()
    document = live.http.post("/score", json={"images": [{"id": "a", "sha256": digest}, late]}).json()
    assert document["scores"] == known["scores"]
    assert [(row["id"], row["status"]) for row in document["unscored"]] == [("late", "timeout")]
    alone = live.http.post("/score", json={"images": [late]})
    assert problem(alone, 504, "deadline")["unscored"][0]["status"] == "timeout"
    go.set()


def test_a_late_picture_gives_its_place_back(live: Live, astronaut: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only decode thread is busy with work that nothing but its deadline ends, and then free for the next picture."""
    usual = live.state.settings
    live.state.settings = dataclasses.replace(usual, picture_timeout_s=0.1)
    with monkeypatch.context() as patch:
        patch.setattr(live.state.models.default, "prepare", endless)
        problem(live.http.post("/score", files=[("images", ("a", astronaut))]), 504, "deadline")
    live.state.settings = usual
    assert live.http.post("/score", files=[("images", ("a", astronaut))]).status_code == 200
    assert metric(live, "pqa_cancelled_pictures_total") == 1


def test_a_client_that_leaves_ends_what_works_for_it(
    live: Live, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"images": [{"data": base64.b64encode(astronaut).decode()}]}).encode()
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with monkeypatch.context() as patch, socket.create_connection(("127.0.0.1", live.port)) as connection:
        begun = threading.Event()

        def begin(data: bytes) -> Any:
            begun.set()
            endless(data)

        patch.setattr(live.state.models.default, "prepare", begin)
        connection.sendall(head.encode() + body)
        assert begun.wait(20)
    assert live.http.post("/score", files=[("images", ("a", astronaut))]).status_code == 200
    assert metric(live, "pqa_cancelled_pictures_total") == 1


def endless(data: bytes) -> Any:
    while True:
        cancel.check()
        time.sleep(0.001)


def test_a_client_that_leaves_takes_its_pictures_along(
    live: Live, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, go = hold(live, monkeypatch)
    data = base64.b64encode(astronaut)
    images = [{"data": data.decode()}, *[{"data": base64.b64encode(astronaut + bytes([n])).decode()} for n in range(2)]]
    body = json.dumps({"images": images}).encode()
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live.port)) as connection:
        connection.sendall(head.encode() + body)
        assert arrived.wait(20)
        wait_for(lambda: live.state.pipeline.waiting == 3)
    wait_for(lambda: live.state.pipeline.waiting == 0)
    go.set()
    wait_for(lambda: metric(live, "pqa_cancelled_pictures_total") == 3)
    assert live.state.uploads.used == 0


def test_metrics_count_in_seconds_and_stay_few(live: Live, astronaut: bytes) -> None:
    for path in ("/rank", "/score", "/models", "/healthz", "/readyz", "/nowhere"):
        for method in ("GET", "POST", "PUT"):
            live.http.request(method, path, files=[("images", ("a", astronaut)), ("images", ("b", b""))])
    assert metric(live, 'pqa_pictures_total{status="ok"}') == 2
    assert metric(live, 'pqa_pictures_total{status="empty"}') == 2
    assert metric(live, "pqa_prepare_seconds_count") == 3
    assert metric(live, "pqa_infer_seconds_count") == 1
    assert metric(live, "pqa_cache_hits_total") == 1
    assert metric(live, "pqa_rejections_total") == 0
    assert metric(live, 'pqa_model_info{model="tiny"') == 1
    assert metric(live, "pqa_connections ") == 1
    assert metric(live, "pqa_received_bytes_total ") > 6 * len(astronaut)
    assert metric(live, "pqa_upload_bytes ") == 0
    with live.state.uploads.upload("somebody", Arrival(1.0, 1.0)) as upload:
        upload.grow(1000)
        assert metric(live, "pqa_upload_bytes ") == 1000
    lines = [line for line in live.http.get("/metrics").text.splitlines() if not line.startswith("#")]
    assert len(lines) <= 200


def test_metrics_tell_of_the_process(live: Live) -> None:
    first = metric(live, "process_cpu_seconds_total ")
    used = time.process_time()
    sum(number * number for number in range(3_000_000))
    used = time.process_time() - used
    # The system counts in steps of a hundredth of a second.
    assert metric(live, "process_cpu_seconds_total ") - first > used - 0.05
    assert 20e6 < metric(live, "process_resident_memory_bytes ") < metric(live, "process_virtual_memory_bytes ")
    assert 5 < metric(live, "process_open_fds ") <= metric(live, "process_max_fds ")
    assert metric(live, "process_start_time_seconds ") > 1e9


def test_metrics_name_a_model_as_requests_do(make_model: Any, tmp_path: Path, astronaut: bytes) -> None:
    """By the file, which may be called otherwise than the model calls itself."""
    with serving(Settings(models=(str(make_model(tmp_path / "mine.onnx", name="theirs")),))) as live:
        assert metric(live, 'pqa_model_info{model="mine"') == 1
        assert metric(live, 'pqa_model_info{model="theirs"') == 0
        answer = live.http.post("/score", data={"model": "mine"}, files=[("images", ("a", astronaut))])
        assert answer.status_code == 200


def test_what_the_model_says_stays_inside(live: Live, astronaut: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(batch: Any) -> Any:
        raise ModelError("tensor at /secret/path")

    monkeypatch.setattr(live.state.models.default, "infer", fail)
    response = live.http.post("/score", files=[("images", ("a", astronaut))])
    problem(response, 500, "model-failed")
    assert "secret" not in response.text


def test_what_is_no_http_gets_a_problem_too(live: Live) -> None:
    answer = live.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:pqa:problem:malformed"


def test_a_head_that_does_not_come_to_an_end_is_given_up(tiny_model: Path) -> None:
    with serving(Settings(models=(str(tiny_model),), receive_timeout_s=0.1)) as live:
        answer = live.send(b"POST /rank HTTP/1.1\r\nHost: x\r\n")
        assert answer.startswith(b"HTTP/1.1 408")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:pqa:problem:slow-client"
        assert live.send(b"") == b""
        with socket.create_connection(("127.0.0.1", live.port), timeout=20) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while b'"ok"}' not in answer:
                answer += connection.recv(65536)
            connection.sendall(b"GET /hea")
            while chunk := connection.recv(65536):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in answer


def test_request_ids_come_back(live: Live) -> None:
    assert live.http.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert live.http.get("/healthz").headers["x-request-id"] != live.http.get("/healthz").headers["x-request-id"]


def test_answers_do_not_wait_for_acknowledgements(live: Live) -> None:
    """Without TCP_NODELAY every answer takes 40 ms longer."""
    live.http.get("/healthz")
    sockets = [connection.transport.get_extra_info("socket") for connection in live.server.server_state.connections]
    assert sockets
    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)
