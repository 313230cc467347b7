"""Admission by the work that waits: the pace of the last pictures, what it lets in, and that SIGTERM loses none of it."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.pace import Pace
from service.settings import Settings
from tests.service.test_chaos import score
from tests.serving import hold, problem, serving, wait_for


def test_the_slower_of_decoding_and_model_sets_the_pace() -> None:
    pace = Pace(decoders=2)
    assert pace.within(1.0) == math.inf
    pace.prepared(0.5)
    assert pace.within(1.0) == 4
    pace.inferred(4.0, pictures=8)
    assert pace.within(1.0) == 2


def test_a_picture_that_was_stopped_would_have_taken_at_least_so_long() -> None:
    pace = Pace(decoders=1)
    assert pace.seconds(10) == 0
    pace.prepared(1.0)
    pace.stopped(0.01)
    assert pace.seconds(3) == pytest.approx(3)
    pace.stopped(3.0)
    assert pace.seconds(3) == pytest.approx(6)


def test_the_pace_follows_the_last_pictures() -> None:
    pace = Pace(decoders=1)
    for _ in range(1000):
        pace.prepared(0.01)
    for _ in range(100):
        pace.prepared(1.0)
    assert pace.within(10.0) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "taken", "retry"),
    [
        pytest.param(0.1, 10, "1", id="small pictures: as many as the queue"),
        pytest.param(1.0, 5, "3", id="large ones: those done in time"),
        pytest.param(60.0, 3, "60", id="however large: some for each thread"),
    ],
)
def test_what_is_let_in_depends_on_how_long_it_takes(
    tiny_model: Path, astronaut: bytes, monkeypatch: pytest.MonkeyPatch, seconds: float, taken: int, retry: str
) -> None:
    """Who is turned away is told when half of what waits will be done, a minute at most."""
    settings = Settings(models=(str(tiny_model),), decode_threads=1, queue_pictures=10, queue_s=5)
    with serving(settings) as live, ThreadPoolExecutor(12) as pool:
        live.state.pipeline.pace.prepared(seconds)
        _, go = hold(live, monkeypatch)
        answers = [pool.submit(score, live.port, astronaut + bytes([number])) for number in range(12)]
        wait_for(lambda: sum(answer.done() for answer in answers) == 12 - taken)
        for answer in answers:
            if answer.done():
                problem(answer.result(), 429, "busy")
                assert answer.result().headers["retry-after"] == retry
        go.set()
        assert sum(answer.result().status_code == 200 for answer in answers) == taken


def test_a_request_with_large_pictures_leaves_room_for_others(
    tiny_model: Path, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three pictures may be in work, and a request that has eight of its own has one of them."""
    settings = Settings(models=(str(tiny_model),), decode_threads=1, queue_s=5)
    with serving(settings) as live, ThreadPoolExecutor(2) as pool:
        live.state.pipeline.pace.prepared(60.0)
        arrived, go = hold(live, monkeypatch)
        big = [("images", (str(number), astronaut + bytes([number]))) for number in range(8)]
        first = pool.submit(live.http.post, "/score", files=big)
        assert arrived.wait(20)
        second = pool.submit(score, live.port, astronaut + b"small")
        wait_for(lambda: live.state.pipeline.waiting == 2)
        go.set()
        assert [first.result().status_code, second.result().status_code] == [200, 200]


def test_no_more_is_let_in_than_can_be_drained(
    tiny_model: Path, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the queue may be: whoever is in is answered after SIGTERM, the others were told at the door."""
    settings = Settings(models=(str(tiny_model),), decode_threads=1, queue_pictures=5000, queue_s=600, drain_s=30)
    with serving(settings) as live, ThreadPoolExecutor(12) as pool:
        live.state.pipeline.pace.prepared(4.0)
        _, go = hold(live, monkeypatch)
        answers = [pool.submit(score, live.port, astronaut + bytes([number])) for number in range(12)]
        wait_for(lambda: sum(answer.done() for answer in answers) == 6)
        live.server.should_exit = True
        go.set()
        statuses = [answer.result().status_code for answer in answers]
    assert sorted(statuses) == [200] * 6 + [429] * 6
