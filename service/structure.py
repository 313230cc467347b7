"""JSON whose structure is counted before it is parsed: a million empty objects would be 3 MB on the wire and 80 in memory."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from service.problems import Problem

__all__ = ["parse"]

QUOTES = 32
"""Quotation marks for each entry: 12 of a picture's members, 4 of its line in `scenes`, the others within names."""

VALUES = 8
"""Objects, lists and commas for each entry: 4 of a picture, one of its line in `scenes`."""

OUTSIDE = 256
"""Bytes outside of texts for each entry: structure, and what makes it pretty."""

SPARE = 64
"""Of the first two, for what is no entry."""

FREE_BYTES = 8 * 1024 * 1024
"""Text beyond ASCII may take four bytes a character, and escapes take time: of larger bodies they may be a part only."""


def parse(body: bytes | bytearray, entries: int, what: str) -> Any:
    """The value of a JSON text of at most so many entries: pictures, or lines of `scenes`.

    No object may name a member twice. It takes at most twice the memory of the body, and 24 MiB. Raises ValueError for what is
    no JSON, and the problem `too-large`, before anything is parsed, for more structure than the entries need.
    """
    members = _measure(body, entries, what)
    value = from_json(body, allow_inf_nan=False)
    if _members(value) != members:
        raise ValueError("a member comes twice in one object; send it once")
    return value


def _measure(body: bytes | bytearray, entries: int, what: str) -> int:
    """Members of all objects, as they are written. Raises the problem `too-large`."""
    limit = QUOTES * entries + SPARE
    pieces = body.split(b'"', limit)
    if len(pieces) > limit:
        raise _too_much(what, f"{limit} quotation marks", entries)
    most, room = VALUES * entries + SPARE, OUTSIDE * (entries + SPARE)
    values = members = outside = wide = escapes = 0
    inside, size, beyond = False, 0, False
    for piece in pieces:
        if inside:
            size += len(piece)
            escapes += piece.count(b"\\")
            # Text that is all escaped, as \u4eba, is a sixth of backslashes.
            if 6 * escapes > len(body) + FREE_BYTES:
                raise _too_much(what, f"{(len(body) + FREE_BYTES) // 6} backslashes", entries)
            beyond = beyond or not piece.isascii() or b"\\u" in piece
            if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
                # The quotation mark that follows is a part of the text.
                continue
            wide += size * beyond
        else:
            size, beyond = 0, False
            outside += len(piece)
            if outside > room:
                raise _too_much(what, f"{room} bytes beside its texts", entries)
            for mark in (b",", b"{", b"["):
                values += piece.count(mark)
                if values > most:
                    raise _too_much(what, f"{most} objects, lists and commas", entries)
            members += piece.count(b":")
        inside = not inside
    if 3 * wide > len(body) + FREE_BYTES:
        raise _too_much(what, f"{(len(body) + FREE_BYTES) // 3} bytes of text beyond ASCII", entries)
    return members


def _too_much(what: str, limit: str, entries: int) -> Problem:
    return Problem("too-large", f"{what}: at most {limit} are taken, enough for {entries} pictures; send fewer")


def _members(value: Any) -> int:
    """Members of all objects in a parsed value; the parser has bounded how deep they lie."""
    if isinstance(value, dict):
        return len(value) + sum(map(_members, value.values()))
    return sum(map(_members, value)) if isinstance(value, list) else 0
