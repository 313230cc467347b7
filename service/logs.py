"""Structured logs: one JSON object a line on standard error. Nothing of a picture, no file name, ever goes in."""

from __future__ import annotations

import contextvars
import datetime
import json
import logging
import time
from typing import Any

__all__ = ["JsonFormatter", "Seldom", "configure", "request_id"]

request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)
"""Id of the request that is being answered, if any."""


class JsonFormatter(logging.Formatter):
    """`time` (UTC), `level`, `logger`, `message`, `request_id`, the fields of `extra={"fields": {...}}`, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Seldom:
    """A warning that strangers can cause: the first at once, then one line a second, with the number since the last."""

    def __init__(self, logger: logging.Logger, message: str) -> None:
        self._logger = logger
        self._message = message
        self._count = 0
        self._due = 0.0

    def note(self) -> None:
        self._count += 1
        if (now := time.monotonic()) >= self._due:
            self._logger.warning(self._message, extra={"fields": {"count": self._count}})
            self._count, self._due = 0, now + 1.0


def configure(level: str) -> None:
    """Send every logger of this process through one JSON handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # Its warnings quote the body.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
