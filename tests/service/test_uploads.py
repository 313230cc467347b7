"""Upload memory: what has arrived counts, by client and in all, and who is slow goes first."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import Message

from service import limits
from service.limits import Arrival, Upload, UploadMemory
from service.problems import Problem
from service.settings import Settings
from tests.serving import serving, wait_for


class Clock:
    """Time that only a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


@contextlib.contextmanager
def holding(memory: UploadMemory, *clients: str) -> Iterator[list[Upload]]:
    """An upload of each, in this order; all are on their way, at a pace of 1 byte a second."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(memory.upload(client, Arrival(30, 1))) for client in clients]


def wait_for_bytes(upload: Upload, clock: Clock, seconds: float, received: int) -> None:
    """Let the service wait so long for a message of so many bytes."""

    async def receive() -> Message:
        clock.now += seconds
        return {"type": "http.request", "body": bytes(received), "more_body": True}

    asyncio.run(upload.arrival.next(receive))


def refusal(upload: Upload) -> str:
    """The code of the problem that this upload is told next."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(Problem) as caught:
        asyncio.run(upload.arrival.next(receive))
    return caught.value.code


def test_what_may_come_takes_no_room_and_what_came_is_given_back() -> None:
    memory = UploadMemory(100, 60)
    with holding(memory, *"abcdefgh") as uploads:
        assert memory.used == 0
        uploads[0].grow(60)
        uploads[1].grow(40)
        uploads[1].add(-30)
        assert memory.used == 70
    assert memory.used == 0


def test_the_slowest_goes_first_whoever_asks(clock: Clock) -> None:
    memory = UploadMemory(100, 100)
    with holding(memory, "slow", "slower", "quick", "new") as (slow, slower, quick, new):
        for upload in (slow, slower, quick):
            upload.grow(30)
        wait_for_bytes(slow, clock, 10, 5)
        wait_for_bytes(slower, clock, 20, 5)
        wait_for_bytes(quick, clock, 5, 30)
        new.grow(20)
        assert memory.used == 30 + 30 + 20
        assert refusal(slower) == "slow-client"
        new.grow(30)
        assert refusal(slow) == "slow-client"
        # Nobody is behind the pace any more: the last that began goes, here the one that asks.
        with pytest.raises(Problem) as caught:
            new.grow(30)
        assert caught.value.code == "busy"
        assert caught.value.reason == "upload-memory"
        quick.grow(20)
        assert memory.used == 100
        quick.grow(1)
        assert refusal(new) == "busy"
        # What was refused counts no more, not even when it lets go.
        new.add(-10)
        assert memory.used == 51


def test_a_body_that_is_complete_is_never_given_up() -> None:
    memory = UploadMemory(100, 100)
    with holding(memory, "a", "b") as (first, second):
        second.grow(90)
        second.arrival.complete = True
        with pytest.raises(Problem):
            first.grow(20)
        assert memory.used == 90


def test_a_client_has_its_share_and_leaves_the_others_theirs() -> None:
    memory = UploadMemory(100, 50)
    with holding(memory, "a", "a", "b") as (first, second, other):
        first.grow(30)
        second.grow(20)
        with pytest.raises(Problem):
            second.grow(1)
        other.grow(50)
        first.grow(1)
        assert refusal(second) == "busy"
        with pytest.raises(Problem), memory.upload("b", Arrival(30, 1)):
            pass


def test_one_alone_always_fits() -> None:
    memory = UploadMemory(100, 50)
    with holding(memory, "a") as (only,):
        only.grow(1000)
        assert only.fits(1)
        with pytest.raises(Problem), memory.upload("b", Arrival(30, 1)):
            pass
    assert memory.used == 0


def test_a_refused_body_is_no_longer_waited_for() -> None:
    async def go() -> str:
        arrival = Arrival(3600, 1)

        async def never() -> Message:
            await asyncio.sleep(3600)
            raise AssertionError

        waiting = asyncio.create_task(arrival.next(never))
        await asyncio.sleep(0)
        arrival.refuse(Problem("busy", "x"))
        with pytest.raises(Problem) as caught:
            await waiting
        return caught.value.code

    assert asyncio.run(go()) == "busy"


def test_slow_uploads_hold_no_room_that_others_need(tiny_model: Path, astronaut: bytes) -> None:
    """Twenty of one address, each with a little of a picture, where memory is for four large ones."""
    settings = Settings(models=(str(tiny_model),), upload_memory_mib=4, max_file_mib=1, client_requests=20, queue_s=600)
    head = (
        b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    field = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    with serving(settings) as live, contextlib.ExitStack() as stack:
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", live.port), timeout=20, source_address=("127.0.0.2", 0))
            stack.enter_context(connection)
            connection.sendall(head + b"%x\r\n" % len(field) + field + b"\r\n1\r\nx\r\n")
        wait_for(lambda: len(live.state.clients) == 1 and live.state.uploads.used > 20 * len(field))
        assert live.state.uploads.used < 20 * 1024
        for _ in range(5):
            assert live.http.post("/score", files=[("images", ("a", astronaut))]).status_code == 200
    assert live.state.uploads.used == 0
