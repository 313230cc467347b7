"""TIFF (revision 6.0) and BigTIFF: the layout of a file, and pixels that Pillow would cut to 8 bits or misread.

Such pixels are read sample by sample: the directory is written anew so that each plane, or all samples of a pixel side by
side, pass for a grey picture, of which a decoder of TIFF unpacks strips and tiles and knows nothing else. What samples mean
is decided here, and a layout that is not is refused.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin

from pqa.errors import UnreadableImage, UnsupportedImage

__all__ = ["Layout", "check", "is_raw", "layout", "pixels"]

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_SIZES, PLANAR = 273, 274, 277, 278, 279, 284
PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_SIZES = 317, 322, 323, 324, 325
EXTRA, SAMPLE_FORMAT, SUBSAMPLING, PROFILE = 338, 339, 530, 34675
SUBFILE_TYPE, DNG_VERSION = 254, 50706

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, YCBCR = 0, 1, 2, 5, 6
SENSOR = (32803, 34892)
"""Photometric interpretations of camera RAW: colour filter array, linear."""

COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, CMYK: 4}
"""Samples without extra ones, of what is read here."""

UNSPECIFIED, PREMULTIPLIED, ALPHA = 0, 1, 2
"""What an extra sample is."""

PACKED = (1, 5, 8, 32773, 32946)
"""Compressions that know nothing of samples: none, LZW, Deflate (new and old), PackBits."""

DIFFERENCES = 2
"""The predictor that stores the difference to the sample to the left."""

BIG = 43
"""What stands for 42 in a file of 64-bit offsets."""

SHORT, LONG = 3, 4
READ = (
    *(WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP),
    *(STRIP_SIZES, PLANAR, PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_SIZES, EXTRA, SAMPLE_FORMAT),
    *(SUBSAMPLING, PROFILE, SUBFILE_TYPE, DNG_VERSION),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The first directory of a file: values by tag, byte order ("<", ">"), pages (2: two or more)."""

    tags: dict[int, Any]
    order: str
    pages: int

    def one(self, tag: int, default: int) -> int:
        value = self.tags.get(tag, default)
        return int(value[0] if isinstance(value, tuple) else value)

    def all(self, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self.tags.get(tag, default)
        return value if isinstance(value, tuple) else (value,)

    @property
    def samples(self) -> int:
        return self.one(SAMPLES, 1)

    @property
    def bits(self) -> int:
        """Bits of the deepest sample."""
        return max(self.all(BITS, (1,)))

    @property
    def apart(self) -> bool:
        """Each sample in a plane of its own."""
        return self.samples > 1 and self.one(PLANAR, 1) != 1

    @property
    def by_samples(self) -> bool:
        """Whether `pixels` reads it: 16 bits, and grey with alpha, of which Pillow takes some layouts for others."""
        grey = self.one(PHOTOMETRIC, WHITE_IS_ZERO) in (WHITE_IS_ZERO, BLACK_IS_ZERO) and self.samples > 1
        odd = self.apart or PREMULTIPLIED in self.all(EXTRA, ())
        return self.bits == 16 or (self.bits == 8 and grey and odd)

    @property
    def memory(self) -> int:
        """Bytes that `pixels` takes, without the file."""
        width, height = self.one(WIDTH, 0), self.one(LENGTH, 0)
        return width * height * self.samples * (self.bits // 8) * 2


def layout(data: bytes) -> Layout:
    """The first directory. Raises what damaged files cause; UnsupportedImage for BigTIFF that Pillow cannot read."""
    if data[:4] == b"MM\0+":
        raise _unread("64-bit offsets, the highest byte first,")
    directory = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2] == BIG else 8])
    file = io.BytesIO(data)
    file.seek(directory.next)
    directory.load(file)
    tags = {tag: directory[tag] for tag in READ if tag in directory}
    return Layout(tags, "<" if data[:2] == b"II" else ">", 2 if 0 < directory.next < len(data) else 1)


def is_raw(data: bytes) -> bool:
    """Camera RAW of this structure: its first page is a thumbnail, or what the sensor saw."""
    if data[8:10] == b"CR":
        return True
    try:
        of = layout(data)
    except Exception:  # whoever reads it as a TIFF will say what is wrong
        return False
    return DNG_VERSION in of.tags or of.one(SUBFILE_TYPE, 0) == 1 or of.one(PHOTOMETRIC, 0) in SENSOR


def check(of: Layout) -> None:
    """Raises UnsupportedImage for a layout that would be misread, here or by Pillow."""
    kind = set(of.all(SAMPLE_FORMAT, (1,)))
    if not of.by_samples:
        subsampled = of.all(SUBSAMPLING, (2, 2)) != (1, 1)
        if (of.bits == 8 and kind - {1, 4}) or 8 < of.bits < 16:
            raise _unread(f"samples of {of.bits} bits, format {_listed(kind)}")
        if of.one(PHOTOMETRIC, 0) == YCBCR and of.one(COMPRESSION, 1) == 1 and subsampled:
            raise _unread("unpacked YCbCr of reduced colour resolution")
        return
    photometric, bits = of.one(PHOTOMETRIC, 0), set(of.all(BITS, (1,)))
    if photometric not in COLOURS:
        raise _unread(f"{of.bits}-bit pixels of the kind {photometric} (tag 262); 0, 1, 2 and 5 are")
    if len(bits) > 1 or kind != {1}:
        raise _unread(f"samples of {_listed(bits)} bits, format {_listed(kind)}")
    if of.samples < COLOURS[photometric]:
        raise UnreadableImage(f"expected at least {COLOURS[photometric]} samples a pixel, got {of.samples}")
    if of.one(COMPRESSION, 1) not in PACKED:
        raise _unread(f"{of.bits}-bit pixels of compression {of.one(COMPRESSION, 1)}")
    if of.one(PREDICTOR, 1) not in (1, DIFFERENCES):
        raise _unread(f"predictor {of.one(PREDICTOR, 1)}")


def _unread(what: str) -> UnsupportedImage:
    return UnsupportedImage(f"TIFF: {what} are not read; save it as 8 or 16 bits RGB")


def _listed(values: set[int]) -> str:
    return ", ".join(map(str, sorted(values)))


def pixels(data: bytes, of: Layout) -> npt.NDArray[Any]:
    """Pixels as they are stored: (H, W) grey, (H, W, 3) RGB, (H, W, 4) RGBA, or (H, W, 4) CMYK, of uint8 or uint16.

    Grey with alpha is RGBA; black is zero. Raises UnreadableImage for damaged pixels.
    """
    photometric = of.one(PHOTOMETRIC, WHITE_IS_ZERO)
    values, colours = _samples(data, of), COLOURS[photometric]
    extra = of.all(EXTRA, ())
    if photometric == CMYK:
        return values[..., :4]
    if photometric == WHITE_IS_ZERO:
        np.invert(values[..., :1], out=values[..., :1])
    # Four samples of RGB and no word of the fourth: as Pillow and OpenCV take them.
    kind = extra[0] if extra else ALPHA if values.shape[2] > colours else UNSPECIFIED
    if kind not in (ALPHA, PREMULTIPLIED) or values.shape[2] == colours:
        return values[..., 0] if colours == 1 else values[..., :3]
    coloured = values[..., [0, 0, 0, 1]] if colours == 1 else values[..., :4]
    return _parted(coloured) if kind == PREMULTIPLIED else coloured


def _parted(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Colours that were multiplied by alpha, divided by it, row by row in place."""
    top = np.iinfo(values.dtype).max
    for row in values:
        alpha = np.maximum(row[:, 3:].astype(np.float64), 1)
        row[:, :3] = np.rint(np.minimum(row[:, :3] * (top / alpha), top))
    return values


def _samples(data: bytes, of: Layout) -> npt.NDArray[Any]:
    """(H, W, samples) as they are stored, no predictor."""
    width, height, number = of.one(WIDTH, 0), of.one(LENGTH, 0), of.samples
    if of.apart:
        values = np.empty((height, width, number), np.uint16 if of.bits == 16 else np.uint8)
        for plane in range(number):
            values[..., plane] = _grey(data, of, 1, plane)
    else:
        values = _grey(data, of, number, None).reshape(height, width, number)
    if of.one(PREDICTOR, 1) == DIFFERENCES and of.one(COMPRESSION, 1) != 1:
        tiled = of.one(TILE_WIDTH, width) if TILE_OFFSETS in of.tags else width
        for left in range(0, width, tiled):
            part = values[:, left : left + tiled]
            np.cumsum(part, axis=1, dtype=values.dtype, out=part)
    return values


def _grey(data: bytes, of: Layout, wide: int, plane: int | None) -> npt.NDArray[Any]:
    """One plane, or `wide` samples a pixel side by side, as a decoder unpacks a grey picture without predictor."""
    directory, offset = _directory(of, len(data), wide, plane)
    begin = (b"II*\0" if of.order == "<" else b"MM\0*") + struct.pack(of.order + "L", offset)
    file = np.frombuffer(b"".join((begin, memoryview(data)[8:], b"\0" * (offset - len(data)), directory)), np.uint8)
    got: npt.NDArray[Any] | None = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    shape = (of.one(LENGTH, 0), of.one(WIDTH, 0) * wide)
    if got is None or got.shape != shape or got.dtype.itemsize * 8 != of.bits:
        raise UnreadableImage("decoding TIFF failed: truncated or damaged data")
    return got


def _check_pieces(of: Layout, size: int, wide: int, offsets: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    """Raises UnreadableImage for strips or tiles that are not there: the decoder would leave memory as it finds it."""
    width, height = of.one(WIDTH, 0), of.one(LENGTH, 0)
    tiled = TILE_OFFSETS in of.tags
    across = of.one(TILE_WIDTH, 0) if tiled else width
    down = of.one(TILE_LENGTH, 0) if tiled else min(of.one(ROWS_PER_STRIP, height), height)
    if min(across, down) < 1:
        raise UnreadableImage(f"expected strips or tiles of at least one pixel, got {across}x{down}")
    number = -(-width // across) * -(-height // down)
    if len(offsets) != number or len(sizes) != number:
        raise UnreadableImage(f"expected {number} strips or tiles, got {len(offsets)} offsets and {len(sizes)} sizes")
    for index, (offset, length) in enumerate(zip(offsets, sizes, strict=True)):
        rows = down if tiled else min(down, height - index * down)
        least = rows * across * wide * of.bits // 8 if of.one(COMPRESSION, 1) == 1 else 1
        if length < least or offset + length > size:
            raise UnreadableImage(
                f"expected strips or tiles of {least} bytes or more within the file, got {length} at {offset}"
            )


def _directory(of: Layout, size: int, wide: int, plane: int | None) -> tuple[bytes, int]:
    """A directory to stand behind `size` bytes, and where it begins: aligned, so not always right there."""
    tiled = TILE_OFFSETS in of.tags
    offsets, sizes = (TILE_OFFSETS, TILE_SIZES) if tiled else (STRIP_OFFSETS, STRIP_SIZES)
    pieces = {tag: of.all(tag, ()) for tag in (offsets, sizes)}
    if plane is not None:
        each = len(pieces[offsets]) // of.samples
        pieces = {tag: values[plane * each : (plane + 1) * each] for tag, values in pieces.items()}
    _check_pieces(of, size, wide, pieces[offsets], pieces[sizes])
    rows: dict[int, tuple[int, tuple[int, ...]]] = {
        WIDTH: (LONG, (of.one(WIDTH, 0) * wide,)),
        LENGTH: (LONG, (of.one(LENGTH, 0),)),
        BITS: (SHORT, (of.bits,)),
        COMPRESSION: (SHORT, (of.one(COMPRESSION, 1),)),
        PHOTOMETRIC: (SHORT, (BLACK_IS_ZERO,)),
        FILL_ORDER: (SHORT, (of.one(FILL_ORDER, 1),)),
        SAMPLES: (SHORT, (1,)),
        offsets: (LONG, pieces[offsets]),
        sizes: (LONG, pieces[sizes]),
    }
    if tiled:
        rows[TILE_WIDTH] = (LONG, (of.one(TILE_WIDTH, 0) * wide,))
        rows[TILE_LENGTH] = (LONG, (of.one(TILE_LENGTH, 0),))
    else:
        rows[ROWS_PER_STRIP] = (LONG, (min(of.one(ROWS_PER_STRIP, 1 << 31), of.one(LENGTH, 0)),))
    start = size + size % 2
    behind = start + 2 + 12 * len(rows) + 4
    entries, values = struct.pack(of.order + "H", len(rows)), b""
    for tag in sorted(rows):
        kind, numbers = rows[tag]
        packed = struct.pack(f"{of.order}{len(numbers)}{'H' if kind == SHORT else 'L'}", *numbers)
        entry = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(of.order + "L", behind + len(values))
        values += packed if len(packed) > 4 else b""
        entries += struct.pack(of.order + "HHL", tag, kind, len(numbers)) + entry
    return entries + b"\0\0\0\0" + values, start
