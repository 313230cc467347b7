"""What a client says and when, without saying it: generators that yield calls and pauses and are sent the replies.

The synchronous and the asynchronous client drive the same generators, so that retries exist once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pqa.errors import ConfigurationError, ServiceError

__all__ = ["Call", "Lost", "Reply", "Retry", "Step", "Steps", "Wait", "answered"]

T = TypeVar("T")

TRY_AGAIN = frozenset({429, 502, 503})
"""Full, a proxy without a server behind it, not ready. A 504 is left alone: its work would be done again in vain."""


@dataclass(frozen=True, slots=True)
class Call:
    """One POST: either a form with files (field, name, bytes) or a JSON document."""

    path: str
    fields: Mapping[str, str] = field(default_factory=dict)
    files: tuple[tuple[str, bytes], ...] = ()
    json: Any = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `document` is None where the body was no JSON."""

    status: int
    retry_after: str
    document: Any


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: the connection failed, and how."""

    error: Exception


Step = Call | Wait
Steps = Generator[Step, Reply | Lost | None, T]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a call is made: `attempts` in all, pauses of `first_s`, doubled, up to `longest_s`.

    A longer `Retry-After` of the service is kept to, up to `longest_s`. To each pause comes its product with `jitter()`, a
    number from 0 to 1, so that many clients do not come back at once. Scoring changes nothing, so repeating is safe.
    """

    attempts: int = 6
    first_s: float = 0.5
    longest_s: float = 30.0
    jitter: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_s < 0 or self.longest_s < 0:
            raise ConfigurationError(f"expected at least one attempt and no negative pause, got {self}")

    def pause(self, failures: int, retry_after: str = "") -> float:
        """Seconds to wait after so many failed attempts."""
        asked = float(retry_after) if retry_after.isdecimal() else 0.0
        return min(self.longest_s, max(asked, self.first_s * 2.0 ** (failures - 1))) * (1 + self.jitter())


def answered(call: Call, retry: Retry) -> Steps[Any]:
    """The document of an answer of 200. Raises ServiceError for any other, once trying again is of no use."""
    for failures in range(1, retry.attempts + 1):
        reply = yield call
        if isinstance(reply, Reply) and reply.status == 200 and isinstance(reply.document, dict):
            return reply.document
        passing = isinstance(reply, Lost) or (reply is not None and reply.status in TRY_AGAIN)
        if not passing or failures == retry.attempts:
            break
        yield Wait(retry.pause(failures, reply.retry_after if isinstance(reply, Reply) else ""))
    raise _failure(call, reply, failures)


def _failure(call: Call, reply: Reply | Lost | None, attempts: int) -> ServiceError:
    tried = f" ({attempts} attempts)" if attempts > 1 else ""
    if not isinstance(reply, Reply):
        error = reply.error if isinstance(reply, Lost) else None
        return ServiceError(f"{call.path}: no answer from the service: {error}{tried}")
    document = reply.document if isinstance(reply.document, dict) else {}
    words = document.get("detail") or "expected a JSON document, got something else; is this a pqa service?"
    return ServiceError(f"{call.path}: {reply.status}: {words}{tried}", status=reply.status, document=document)
