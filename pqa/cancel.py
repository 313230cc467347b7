"""Work that nobody waits for any more ends early: its steps ask whether they are still wanted.

The token of a piece of work lies in a context variable of the thread that does it: decoding, looks of a detector, views and
runs of a graph then need not hand it to each other, and where nobody set one nothing is ever stopped.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator

from pqa.errors import ImageTimeout

__all__ = ["Token", "check", "current", "watched_by"]


class Token:
    """One piece of work, done by one thread and cancelled by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._stop: Callable[[], None] | None = None

    def cancel(self) -> None:
        """From now on `check` raises; what runs inside `stoppable` is stopped."""
        with self._lock:
            self._cancelled = True
            if self._stop is not None:
                self._stop()

    def check(self) -> None:
        """Raises ImageTimeout once the work is cancelled."""
        if self._cancelled:
            raise ImageTimeout("stopped: nobody waits for this picture any more")

    @contextlib.contextmanager
    def stoppable(self, stop: Callable[[], None]) -> Iterator[None]:
        """Around a call that cannot ask by itself: `stop`, called from another thread, ends it; then ImageTimeout is raised."""
        self.check()
        with self._lock:
            self._stop = stop
            if self._cancelled:
                stop()
        try:
            yield
        except Exception:
            self.check()
            raise
        finally:
            with self._lock:
                self._stop = None


_TOKEN: contextvars.ContextVar[Token | None] = contextvars.ContextVar("token", default=None)


def current() -> Token | None:
    """The token of what this thread does; None where nothing can cancel it."""
    return _TOKEN.get()


def check() -> None:
    """Raises ImageTimeout where the work of this thread is cancelled."""
    if (token := _TOKEN.get()) is not None:
        token.check()


@contextlib.contextmanager
def watched_by(token: Token) -> Iterator[None]:
    """What this thread does inside the block is cancelled by `token`."""
    before = _TOKEN.set(token)
    try:
        yield
    finally:
        _TOKEN.reset(before)
