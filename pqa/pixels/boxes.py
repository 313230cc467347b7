"""Boxes of ISO base media files (ISO/IEC 14496-12, 23008-12): how the primary picture of an AVIF codes colour."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["primary_nclx"]

MOST_BOXES = 4096
"""Boxes, or associations of a property with a picture, that are looked at."""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes that `data` begins with, as far as they are whole or the last one is cut."""
    at = 0
    for _ in range(MOST_BOXES):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">L4s", data, at)
        begin = at + 8
        if size == 1 and at + 16 <= len(data):
            size, begin = struct.unpack_from(">Q", data, at + 8)[0], at + 16
        end = len(data) if size == 0 else at + size
        if end < begin:
            return
        yield kind, data[begin:end]
        at = end


def _child(data: bytes, *path: bytes) -> bytes:
    """Content of the first box under each name in turn; empty where there is none."""
    for name in path:
        data = next((content for kind, content in _boxes(data) if kind == name), b"")
    return data


def primary_nclx(data: bytes) -> tuple[int, int] | None:
    """Colour primaries and transfer characteristics (ITU-T H.273) that the primary picture names; None where it names none.

    Raises struct.error or IndexError on a damaged file.
    """
    meta = _child(data, b"meta")[4:]
    item = _child(meta, b"pitm")
    if not item:
        return None
    primary = struct.unpack_from(">H" if item[0] == 0 else ">L", item, 4)[0]
    properties = list(_boxes(_child(meta, b"iprp", b"ipco")))
    for index in _properties_of(primary, _child(meta, b"iprp", b"ipma")):
        kind, content = properties[index - 1] if 0 < index <= len(properties) else (b"", b"")
        if kind == b"colr" and content[:4] == b"nclx":
            primaries, transfer = struct.unpack_from(">HH", content, 4)
            return primaries, transfer
    return None


def _properties_of(primary: int, associations: bytes) -> Iterator[int]:
    """Numbers, from 1, of the properties of an item (ISO/IEC 23008-12, 9.3.2)."""
    version, flags = associations[0], associations[3]
    count, at = struct.unpack_from(">L", associations, 4)[0], 8
    for _ in range(min(count, MOST_BOXES)):
        item = struct.unpack_from(">L" if version else ">H", associations, at)[0]
        at += 4 if version else 2
        number, at = associations[at], at + 1
        for _ in range(number):
            index = struct.unpack_from(">H", associations, at)[0] & 0x7FFF if flags & 1 else associations[at] & 0x7F
            at += 2 if flags & 1 else 1
            if item == primary:
                yield index
