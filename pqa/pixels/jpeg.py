"""What a JPEG file says between its pixels (ITU-T T.81, annex B), and what can be had of one that was cut short."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pqa.errors import UnreadableImage
from pqa.pixels.opening import MOST_PIECES, opened

__all__ = ["Head", "came", "cut", "has_gain_map", "head"]

START, END, START_OF_SCAN = 0xD8, 0xD9, 0xDA
FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
"""Markers of frames with pixels of 8 bits or coefficients of them: sequential and progressive, Huffman and arithmetic."""

PROGRESSIVE = (0xC2, 0xCA)
BETWEEN_SCANS = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0), START_OF_SCAN}
"""Markers that may follow the pixels of a scan, but for the end."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker among entropy-coded bytes that ends them: neither a stuffed byte, nor filling, nor a restart."""

FILL = bytes(range(1, 255))
"""Bytes that any decoder takes for pixels, and for others than none."""

BLOCK = 8
"""Side of a block, the pixel of a decode at 1/8."""

LAST = 63
"""The highest frequency of a block, in zigzag order."""

GAIN_MAPS = (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"urn:iso:std:iso:ts:21496:-1")
"""In the head of a JPEG with a gain map: Ultra HDR 1.0 (XMP) and ISO 21496-1."""

APPLE_GAIN_MAP = b"HDRGainMap"
"""In the head of the second picture of a multi-picture file (CIPA DC-007) that Apple wrote."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where things lie in a file, in bytes from its begin: the frame's segment (0: none), the first scan's (its length)."""

    frame: int
    marker: int
    scan: int


def head(data: bytes, at: int = 2, steps: int = MOST_PIECES) -> Head | None:
    """The segments before the pixels, from `at`; None where the file ends before its first scan.

    Pillow steps through them too, and through bytes between them, one by one. Raises UnreadableImage after `steps`.
    """
    frame = marker = 0
    for _ in range(steps):
        if at + 4 > len(data):
            return None
        code = data[at + 1]
        if data[at] != 0xFF or code in (0x00, 0xFF):
            at += 1
        elif code == START_OF_SCAN:
            return Head(frame, marker, at + 2)
        elif code == 0x01 or 0xD0 <= code <= START:
            at += 2
        else:
            if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
                frame, marker = at + 2, code
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise UnreadableImage(f"expected a JPEG whose head has at most {steps} segments; save it anew")


def scans(data: bytes, first: int) -> tuple[list[int], int, bool]:
    """Where the scans of a picture lie (their lengths), where its last one ends, and whether the picture ends there."""
    found, at = [first], first
    for _ in range(MOST_PIECES):
        if at + 2 > len(data):
            break
        match = _MARKER.search(data, at + struct.unpack_from(">H", data, at)[0])
        if match is None:
            break
        code, at = data[match.start() + 1], match.start() + 2
        if code == END:
            return found, match.start(), True
        if code not in BETWEEN_SCANS:
            return found, match.start(), False
        if code == START_OF_SCAN:
            found.append(at)
    return found, len(data), False


def cut(data: bytes) -> bool:
    """Whether the pixels stop before the file says that they end, or something that belongs to no picture follows them."""
    start = head(data)
    return start is not None and not scans(data, start.scan)[2]


def came(data: bytes) -> tuple[bytes, float]:
    """Of a file that is `cut`: one of the rows that came, and their share. Of a row of blocks all must have come.

    Of progressive pixels all rows come, coarser, where the first scans are whole; where they are not, the share is 0.
    """
    start = head(data)
    if start is None or start.marker not in FRAMES:
        return data, 0.0
    found, end, _ = scans(data, start.scan)
    # Half a marker, or memory that was never written.
    content = data[:end].rstrip(b"\xff")
    if len(content) - len(content.rstrip(b"\0")) > BLOCK:
        # Room that a copy took and did not fill; few zeros may be pixels.
        content = content.rstrip(b"\0")
    height = struct.unpack_from(">H", data, start.frame + 3)[0]
    if not _covers(data, found, components=data[start.frame + 7], progressive=start.marker in PROGRESSIVE):
        return data, 0.0
    rows = height if start.marker in PROGRESSIVE else _rows(content, height)
    patched = content[: start.frame + 3] + struct.pack(">H", rows) + content[start.frame + 5 :]
    return patched + bytes((0xFF, END)), rows / max(height, 1)


def _covers(data: bytes, found: list[int], *, components: int, progressive: bool) -> bool:
    """Whether there are pixels of every component; of progressive ones, all frequencies of the first one, coarse or fine."""
    seen: set[int] = set()
    frequency, first = 0, None
    for at in found[:-1] if progressive else found:
        count = data[at + 2]
        if at + 6 + 2 * count > len(data):
            continue
        of = [data[at + 3 + 2 * number] for number in range(count)]
        first = of[0] if first is None and of else first
        low, high = data[at + 3 + 2 * count], data[at + 4 + 2 * count]
        if low == 0:
            seen.update(of)
        if first in of:
            frequency = max(frequency, high)
    return len(seen) >= components and (not progressive or frequency == LAST)


def _rows(content: bytes, height: int) -> int:
    """Rows that are the same whatever follows `content`: nothing, or bytes that are taken for further pixels."""
    end = bytes((0xFF, END))
    bare, filled = (_coarse(content + tail) for tail in (end, FILL + end))
    differ = (bare != filled).reshape(len(bare), -1).any(axis=1)
    each = -(-height // len(bare))
    return min(height, each * int(np.argmax(differ))) if differ.any() else height


def _coarse(data: bytes) -> npt.NDArray[np.uint8]:
    with opened(data, "JPEG") as image:
        image.draft(None, (max(1, image.width // BLOCK), max(1, image.height // BLOCK)))
        image.load()
        return np.asarray(image)


def has_gain_map(data: bytes) -> bool:
    """Whether a brighter rendering for HDR screens goes with the picture, which is what all other screens show."""
    start = head(data)
    before = data[: start.scan] if start else data
    return any(name in before for name in GAIN_MAPS) or (b"MPF\0" in before and APPLE_GAIN_MAP in data)
