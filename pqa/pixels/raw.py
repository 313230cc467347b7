"""Camera RAW: the largest JPEG that the camera put into the file, never what the sensor saw.

RAW is a hundred kinds of file; in all of them previews are whole JPEG files, so they are looked for as such, in Python, and
no library of codecs is fed with a stranger's file for it.
"""

from __future__ import annotations

import struct

from PIL import Image

from pqa.errors import UnreadableImage, UnsupportedImage
from pqa.pixels import jpeg

__all__ = ["exif", "preview"]

LEAST_SIDE = 640
"""Pixels of the longer side below which a preview is a thumbnail, of which a score would pass for one of the photograph."""

CANDIDATES = 4096
"""Places that begin like a JPEG at which one is looked for: tiles of the sensor's pixels may do so by the hundred."""

SEGMENTS = 64
"""Segments before the pixels of a preview, at most."""

_BEGIN = b"\xff\xd8\xff"
_CANON = b"CMT1"
"""The box of a CR3 whose content is the first directory."""


def preview(data: bytes) -> bytes:
    """The JPEG of most pixels. Raises UnsupportedImage where there is none, or only a thumbnail."""
    best, largest, longest, at = b"", 0, 0, 0
    for _ in range(CANDIDATES):
        at = data.find(_BEGIN, at)
        if at < 0:
            break
        width, height, end = _size(data, at)
        if width * height > largest:
            best, largest, longest = data[at:end], width * height, max(width, height)
        at = max(end, at + 1)
    if longest < LEAST_SIDE:
        found = f"its largest preview has a side of {longest} pixels" if longest else "there is no preview in it"
        raise UnsupportedImage(
            f"camera RAW is scored by the JPEG inside, of at least {LEAST_SIDE} pixels, and {found}; export a JPEG"
        )
    return best


def _size(data: bytes, at: int) -> tuple[int, int, int]:
    """Width, height and end of a whole JPEG of 8 bits at `at`; zeros where there is none.

    Lossless frames, as which some cameras store what the sensor saw, are none.
    """
    try:
        head = jpeg.head(data, at + 2, SEGMENTS)
        if head is None or head.marker not in jpeg.FRAMES:
            return 0, 0, 0
        bits, height, width = struct.unpack_from(">BHH", data, head.frame + 2)
        end, whole = jpeg.scans(data, head.scan)[1:]
    except (UnreadableImage, struct.error):
        return 0, 0, 0
    return (width, height, end + 2) if whole and bits == 8 else (0, 0, 0)


def exif(data: bytes) -> Image.Exif:
    """What the file says of itself outside its previews; empty where that is not known."""
    tags = Image.Exif()
    at = data.find(_CANON, 0, 1 << 16) + len(_CANON) if data[4:8] == b"ftyp" else 0
    order = data[at : at + 2]
    if order in (b"II", b"MM"):
        # Olympus and Panasonic write other bytes where TIFF has its magic number.
        magic = b"*\0" if order == b"II" else b"\0*"
        tags.load(b"Exif\0\0" + order + magic + data[at + 4 :])
    return tags
