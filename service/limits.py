"""Limits that hold before any work is done: the size of a request, and the memory that all uploads share."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Problem

__all__ = ["BodyLimit", "UploadMemory"]


def too_large(what: str, limit: int, unit: str = "bytes") -> Problem:
    return Problem("too-large", f"{what}: at most {limit} {unit} are taken; send fewer or smaller pictures")


class BodyLimit:
    """ASGI middleware: a body over `limit` bytes is refused when Content-Length promises it, or when it crosses.

    A client that sends nothing for `pause_s` seconds in the middle of a body is refused too, and one that falls so much
    behind `speed` bytes a second by sending a few now and then. Both surface as a `Problem` out of `receive`, inside
    the application, which answers it like any other.
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
        received = 0
        waited = 0.0
        complete = False

        async def limited() -> Message:
            nonlocal received, waited, complete
            if complete:
                # Only the end of the connection can follow, and that may take as long as the work does.
                return await receive()
            if announced.isdecimal() and int(announced) > self.limit:
                raise too_large("request", self.limit)
            began = time.monotonic()
            try:
                async with asyncio.timeout(self.pause_s + min(0.0, received / self.speed - waited)):
                    message = await receive()
            except TimeoutError as error:
                raise Problem(
                    "slow-client",
                    f"the request came too slowly: it may pause for {self.pause_s:g} s, or fall that much behind "
                    f"{self.speed / 1024:g} KiB a second",
                ) from error
            # Time in which the service itself does not ask for more is not the client's.
            waited += time.monotonic() - began
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if received > self.limit:
                    raise too_large("request", self.limit)
            return message

        await self.app(scope, limited, send)


class UploadMemory:
    """Bytes that requests may hold together. A request reserves its share at the door or is turned away there.

    A reservation that covers the largest single picture lets every admitted request finish, however slowly: nobody
    waits for memory that another waiting request holds.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0

    @contextlib.contextmanager
    def reserve(self, size: int) -> Iterator[int]:
        """Hold `size` bytes (at most the total). Raises the problem `busy` when they are not free."""
        size = min(size, self.total)
        if self.used + size > self.total:
            raise Problem("busy", "too much is being uploaded at this moment; try again", reason="upload-memory")
        self.used += size
        try:
            yield size
        finally:
            self.used -= size
