"""Limits that hold before any work is done: the size and pace of a request, and the memory that all uploads share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Problem

__all__ = ["Arrival", "BodyLimit", "Upload", "UploadMemory"]


def too_large(what: str, limit: int, unit: str = "bytes") -> Problem:
    return Problem("too-large", f"{what}: at most {limit} {unit} are taken; send fewer or smaller pictures")


class Arrival:
    """How the body of one request arrives. It may pause for `pause_s` seconds, or be that far behind `speed` bytes a second."""

    def __init__(self, pause_s: float, speed: float) -> None:
        self.complete = False
        self.received = 0
        self._pause_s = pause_s
        self._speed = speed
        self._waited = 0.0
        self._asked: float | None = None
        self._timeout: asyncio.Timeout | None = None
        self._refusal: Problem | None = None

    @property
    def behind(self) -> float:
        """Seconds behind the pace. Time in which the service itself does not ask for more is not the client's."""
        asking = 0.0 if self._asked is None else time.monotonic() - self._asked
        return self._waited + asking - self.received / self._speed

    async def next(self, receive: Receive) -> Message:
        """The next message. Raises the problem `slow-client`, or the one of `refuse`."""
        if self._refusal is not None:
            raise self._refusal
        patience = self._pause_s - max(0.0, self.behind)
        self._asked = time.monotonic()
        try:
            async with asyncio.timeout(patience) as self._timeout:
                message = await receive()
        except TimeoutError as error:
            raise self._refusal or self.slow() from error
        finally:
            self._waited += time.monotonic() - self._asked
            self._asked = self._timeout = None
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        return message

    def slow(self) -> Problem:
        return Problem(
            "slow-client",
            f"the request came too slowly: it may pause for {self._pause_s:g} s, or fall that much behind "
            f"{self._speed / 1024:g} KiB a second, less when others need the room",
        )

    def refuse(self, problem: Problem) -> None:
        """End the waiting for this body, now or when the service next asks for more."""
        self._refusal = problem
        if self._timeout is not None:
            self._timeout.reschedule(0.0)


class BodyLimit:
    """ASGI middleware: a body over `limit` bytes is refused when Content-Length promises it, or when it crosses.

    So is one that does not keep the pace of its `Arrival`, which stands in the state of the request. All surface as a `Problem`
    out of `receive`, inside the application, which answers it like any other.
    """

    def __init__(self, app: ASGIApp, limit: int, pause_s: float, speed: float) -> None:
        self.app = app
        self.limit = limit
        self.pause_s = pause_s
        self.speed = speed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        arrival = Arrival(self.pause_s, self.speed)
        scope.setdefault("state", {})["arrival"] = arrival

        async def limited() -> Message:
            if arrival.complete:
                # Only the end of the connection can follow, and that may take as long as the work does.
                return await receive()
            if announced.isdecimal() and int(announced) > self.limit:
                raise too_large("request", self.limit)
            message = await arrival.next(receive)
            if arrival.received > self.limit:
                raise too_large("request", self.limit)
            return message

        await self.app(scope, limited, send)


class Upload:
    """What one request of `client` has sent and the service still holds, in bytes."""

    def __init__(self, memory: UploadMemory, client: str, arrival: Arrival, number: int) -> None:
        self.size = 0
        self.client = client
        self.arrival = arrival
        self.number = number
        self._memory = memory
        self._left = False

    def fits(self, more: int) -> bool:
        """Whether there is room without another's leaving. One alone always fits: limits of its own bound it."""
        return not self._memory.crowd(self, more)

    def grow(self, more: int) -> None:
        """Hold so many bytes more. Raises `busy` or `slow-client` when there is no room and none is to be made."""
        self._memory.make_room(self, more)
        self.add(more)

    def add(self, change: int) -> None:
        """Hold so many bytes more, or less, in room that there is."""
        if not self._left:
            self.size += change
            self._memory.count(self.client, change)

    def leave(self) -> None:
        """Nothing of it counts any more."""
        self.add(-self.size)
        self._left = True


class UploadMemory:
    """Bytes that all requests together, and those of one client, may hold: what has arrived, not what may come.

    Where there is no room, the upload that is furthest behind its pace goes, or else the last that began, be it the one that
    asks. So the first one always comes to its end, and nobody waits for memory that another waiting one holds.
    """

    def __init__(self, total: int, share: int) -> None:
        self.total = total
        self.share = share
        self.used = 0
        self._by_client: Counter[str] = Counter()
        self._uploads: list[Upload] = []
        self._begun = 0

    @contextlib.contextmanager
    def upload(self, client: str, arrival: Arrival) -> Iterator[Upload]:
        """One request, while it lasts. Raises a Problem as `Upload.grow` does when there is no room at the door."""
        self._begun += 1
        upload = Upload(self, client, arrival, self._begun)
        self.make_room(upload, 1)
        self._uploads.append(upload)
        try:
            yield upload
        finally:
            upload.leave()
            self._uploads.remove(upload)

    def crowd(self, upload: Upload, more: int) -> list[Upload]:
        """Those whose bytes leave no room for so many more of this one: its client's, or everybody's; none where there is."""
        mine = self._by_client[upload.client]
        if mine > upload.size and mine + more > self.share:
            return [other for other in self._uploads if other.client == upload.client and other.size]
        if self.used > upload.size and self.used + more > self.total:
            return [other for other in self._uploads if other.size]
        return []

    def make_room(self, upload: Upload, more: int) -> None:
        while crowd := self.crowd(upload, more):
            arriving = [other for other in crowd if not other.arrival.complete]
            last = max({*arriving, upload}, key=lambda other: (max(0.0, other.arrival.behind), other.number))
            problem = (
                last.arrival.slow()
                if last.arrival.behind > 0
                else Problem("busy", "too much is being uploaded at this moment; try again", reason="upload-memory")
            )
            if last is upload:
                raise problem
            last.arrival.refuse(problem)
            last.leave()

    def count(self, client: str, change: int) -> None:
        self.used += change
        self._by_client[client] += change
        if not self._by_client[client]:
            del self._by_client[client]
