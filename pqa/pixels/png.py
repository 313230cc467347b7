"""What a PNG file says between its pixels (W3C PNG, third edition), and what can be had of one that was cut short."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from pqa.errors import UnreadableImage
from pqa.pixels.opening import MOST_PIECES

__all__ = ["came", "chunk", "chunks", "cut"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel by colour type."""

_KIND = re.compile(rb"\w{4}")
"""What Pillow takes for the kind of a chunk."""

OF_ANIMATIONS = (b"acTL", b"fcTL")
PIECE = 1 << 20
"""Bytes that are unpacked at once."""


def chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where the content of each chunk begins, the length it promises, its kind. Raises UnreadableImage for too many."""
    at, kind = len(SIGNATURE), b""
    for _ in range(MOST_PIECES):
        if kind == b"IEND" or at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">L4s", data, at)
        if not _KIND.match(kind):
            return
        yield at + 8, length, kind
        at += 12 + length
    raise UnreadableImage(f"expected a PNG of at most {MOST_PIECES} chunks; save it anew")


def chunk(data: bytes, wanted: bytes) -> bytes | None:
    """Content of the first chunk of that kind, which may stand before or behind the pixels."""
    for at, length, kind in chunks(data):
        if kind == wanted:
            return data[at : at + length]
    return None


def cut(data: bytes) -> bool:
    """Whether the chunks stop before the last one, or one promises more than there is.

    OpenCV would make room for all that is promised, up to 4 GiB, before it looks for that much.
    """
    return all(kind != b"IEND" for _, _, kind in chunks(data))


def came(data: bytes) -> tuple[bytes, float]:
    """Of a file that is `cut`: one of the rows that came, and their share; 0 for interlaced pixels."""
    before, pixels = [], zlib.compressobj(1)
    unpack, came_bytes = zlib.decompressobj(), 0
    packed: list[bytes] = []
    found = list(chunks(data))
    if not found or found[0][2] != b"IHDR" or found[0][1] != 13:
        return data, 0.0
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">LLBBBBB", data, found[0][0])
    if interlaced or colour not in SAMPLES:
        return data, 0.0
    row = 1 + -(-width * SAMPLES[colour] * depth // 8)
    for at, length, kind in found[1:]:
        if kind == b"IDAT":
            try:
                came_bytes += _repack(unpack, data[at : at + length], pixels, packed, row * height - came_bytes)
            except zlib.error:
                break
        elif kind not in OF_ANIMATIONS and not packed:
            before.append(_chunk(kind, data[at : at + length]))
    rows = min(height, came_bytes // row)
    head = struct.pack(">LL", width, max(rows, 1)) + data[found[0][0] + 8 : found[0][0] + 13]
    body = [SIGNATURE, _chunk(b"IHDR", head), *before, _chunk(b"IDAT", b"".join((*packed, pixels.flush())))]
    return b"".join((*body, _chunk(b"IEND", b""))), rows / max(height, 1)


def _repack(unpack: zlib._Decompress, content: bytes, pixels: zlib._Compress, packed: list[bytes], most: int) -> int:
    """Unpack `content` and pack it anew, `most` bytes of pixels and not more; how many they were."""
    total = 0
    while content and total < most and not unpack.eof:
        piece = unpack.decompress(content, min(PIECE, most - total))
        packed.append(pixels.compress(piece))
        total += len(piece)
        content = unpack.unconsumed_tail
    return total


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))
