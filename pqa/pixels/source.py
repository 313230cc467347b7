"""Bytes to pixels, once for training, export, service and command line.

`open_picture` reads a header and checks limits; pixels are decoded when a view asks for them, at the coarsest scale that
serves. Which scale serves depends on the request alone, never on what was asked before, so the order of requests changes no
pixel.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pqa import cancel
from pqa.errors import EmptyImage, ImageTooLarge, UnreadableImage, UnsupportedImage
from pqa.pixels import codecs, formats, headers, jpeg, png, raw
from pqa.pixels.headers import Exif, Header
from pqa.pixels.opening import input_errors
from pqa.types import ImageSource

__all__ = ["DEFAULT_LIMITS", "LONG", "Exif", "Limits", "Source", "bounded", "open_picture"]

Pixels = npt.NDArray[np.uint8]

SCALES = (8, 4, 2)
MARGIN = 1.25
"""A decode is at least this much finer than asked, so that the last filter, not the decoder, shapes the result."""

WORKING_SIDE = 480
"""Reductions to a shorter side than this share the decode of this one: one decode then serves detection and every view."""

PART = 1024
"""Rows that are cut out at once."""

LONG, LONGEST = 3.0, 16.0
"""See `bounded`."""

FILTER = Image.Resampling.HAMMING
"""As sharp as bicubic when reducing, without its ringing, which would look like over-sharpening."""


LEAST_ROWS = 0.5
"""Share of its rows that must have come of a file that was cut short; of less a score would pass for one of the picture."""

_CUT: dict[str, tuple[Callable[[bytes], bool], Callable[[bytes], tuple[bytes, float]]]] = {
    "JPEG": (jpeg.cut, jpeg.came),
    "PNG": (png.cut, png.came),
}
"""Formats of which rows that came can be had: whether a file was cut short, and a file of what came with its share."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before any pixel is decoded: sizes of any camera of today are within them.

    `max_memory`: bytes for the file and for decoding it, as estimated from the header.
    """

    max_bytes: int = 200 * 2**20
    max_pixels: int = 200_000_000
    max_memory: int | None = None
    formats: frozenset[str] = formats.FORMATS


DEFAULT_LIMITS = Limits()


def open_picture(source: ImageSource, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Open a picture: bytes of a file, its path, or an array (H, W, 3) RGB, (H, W) grey, (H, W, 4) RGBA of uint8 or uint16,
    or a picture opened by Pillow, which is turned and coloured as its EXIF orientation and its profile say.

    Reads the header only; of a JPEG or PNG that was cut short the pixels too: `Source` is about the rows that came, if they
    are half of them. Of camera RAW it is about the largest preview inside. Raises EmptyImage, ImageTooLarge,
    UnsupportedImage or UnreadableImage, for a path also when it cannot be read. Damage behind the header shows at the first
    `reduced` or `region`.
    """
    if isinstance(source, Image.Image):
        _check_size(*source.size, limits)
        source = codecs.displayed(source)
    if isinstance(source, np.ndarray):
        return _open_array(source, limits)
    if isinstance(source, str | Path):
        source = _read(Path(source), limits)
    if not isinstance(source, bytes):
        raise UnreadableImage(f"expected bytes, a path, a numpy array or a Pillow picture, got {type(source).__name__}")
    if not source:
        raise EmptyImage("expected a picture, got 0 bytes")
    if len(source) > limits.max_bytes:
        raise ImageTooLarge(_too_many(f"{len(source)} bytes", limits.max_bytes, "bytes"))
    name = formats.sniff(source)
    if name not in limits.formats:
        raise UnsupportedImage(f"{name} is not taken; expected one of {', '.join(sorted(limits.formats))}")
    if name == "RAW":
        content = raw.preview(source)
        info = headers.preview_header(source, content)
    else:
        content, info = source, headers.header(source, name)
    _check_size(info.width, info.height, limits)
    if limits.max_memory is not None and len(source) + info.memory > limits.max_memory:
        raise ImageTooLarge(
            f"decoding {info.width}x{info.height} pixels of this {info.format} takes about "
            f"{(len(source) + info.memory) / 2**20:.0f} MiB, at most {limits.max_memory / 2**20:.0f} MiB are taken; "
            "send a smaller picture, or a baseline JPEG"
        )
    rows = 1.0
    flags = _flags(name, info)
    if name in _CUT and _CUT[name][0](source):
        content, info, rows = _came(source, info)
        flags = ("truncated", *flags)
    return Source(content, info, source, name, flags, rows)


def _flags(name: str, info: Header) -> tuple[str, ...]:
    found = {
        "first_frame": info.frames > 1,
        "raw_preview": name == "RAW",
        "gain_map_ignored": info.gain_map and name != "RAW",
    }
    return tuple(flag for flag, holds in found.items() if holds)


def _came(data: bytes, info: Header) -> tuple[bytes, Header, float]:
    """What came of a file that was cut short: its bytes, their header and the share of rows."""
    with input_errors(f"decoding {info.format}"):
        content, rows = _CUT[info.format][1](data)
    if rows < LEAST_ROWS:
        raise UnreadableImage(
            f"the file was cut short: {rows:.0%} of its rows came whole, at least {LEAST_ROWS:.0%} are needed; copy it again"
        )
    return content, headers.header(content, info.format), rows


def _read(path: Path, limits: Limits) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise UnreadableImage(f"{path}: cannot be read (a folder or a device, not a file)")
        if path.exists() and path.stat().st_size > limits.max_bytes:
            raise ImageTooLarge(_too_many(f"{path}: {path.stat().st_size} bytes", limits.max_bytes, "bytes"))
        with open(path, "rb") as file:
            return file.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        raise UnreadableImage(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _open_array(array: npt.NDArray[Any], limits: Limits) -> Source:
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype not in (np.uint8, np.uint16) or not (grey or colour):
        raise UnreadableImage(
            f"expected an array (H, W, 3), (H, W) or (H, W, 4) of uint8 or uint16, got {array.shape} of {array.dtype}"
        )
    if array.size == 0:
        raise EmptyImage(f"expected a picture, got an array of shape {array.shape}")
    height, width = array.shape[:2]
    _check_size(width, height, limits)
    pixels = codecs.eight_bit(array)
    return Source(pixels, Header("array", width, height, 1, 1, False, 0), pixels, "array")


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"expected at least one pixel, got {width}x{height}")
    if width * height > limits.max_pixels:
        raise ImageTooLarge(_too_many(f"{width}x{height} is {width * height} pixels", limits.max_pixels, "pixels"))


def _too_many(what: str, most: int, unit: str) -> str:
    """The message, with the names by which the limit is set: of the command line, of the service, of `Limits`."""
    option, setting = {
        "bytes": ("--max-mib", "PQA_MAX_FILE_MIB"),
        "pixels": ("--max-megapixels", "PQA_MAX_MEGAPIXELS"),
    }[unit]
    return f"{what}, at most {most} are taken; {option}, {setting} or Limits(max_{unit}=...) set it"


def bounded(short_side: int, edges: tuple[float, float]) -> float:
    """`short_side`, or the smaller one to which a picture (or a part of one) of these edges is reduced if it is long.

    A reduction has at most `LONG` times `short_side` squared pixels, the fewer the longer it is, and a longer side of at
    most `LONGEST` times `short_side`, so that what works on it is bounded by what was asked for, whatever the shape. Up to
    an aspect of `LONG` it is `short_side` itself.
    """
    aspect = max(edges) / min(edges)
    # With an exponent of 1/2 the area would stay that of `LONG` : 1, twice that of a photograph.
    return min(short_side, short_side * math.pow(LONG / aspect, 2 / 3), short_side * LONGEST / aspect)


class Source:
    """An opened picture that gives pixels on request: (H, W, 3) uint8 sRGB, displayed upright.

    To be used by one thread at a time. Keeps the file's bytes and the last two decodes.
    """

    def __init__(
        self,
        content: bytes | Pixels,
        info: Header,
        file: bytes | Pixels,
        format: str,
        flags: tuple[str, ...] = (),
        rows: float = 1.0,
    ) -> None:
        """`content`, described by `info`: what is decoded, of `file` of `format` or in place of it."""
        self._content = content
        self._info = info
        self._file = file
        self._format = format
        self._decoded: dict[int, Image.Image] = {}
        turned = info.orientation >= 5
        self.size: tuple[int, int] = (info.height, info.width) if turned else (info.width, info.height)
        """(width, height) as displayed."""
        self.frames = info.frames
        """Pictures in the file; the first is used."""
        self.flags = flags
        """What of the file is not, or not all, in the pixels: `first_frame`, `truncated`, `raw_preview`, `gain_map_ignored`."""
        self.rows_decoded = rows
        """Share of the stored rows that came, 1 unless `truncated`; the picture is about them alone."""

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the file's bytes; of an array, of its shape and pixels."""
        if isinstance(self._file, bytes):
            return hashlib.sha256(self._file).hexdigest()
        return hashlib.sha256(repr(self._file.shape).encode() + self._file.tobytes()).hexdigest()

    @functools.cached_property
    def metadata(self) -> Exif:
        """Capture time and camera, as far as the file says."""
        if not isinstance(self._file, bytes):
            return Exif()
        return headers.exif(self._file, self._format)

    def turned(self, degrees: int) -> Source:
        """The picture turned counter-clockwise by 0, 90, 180 or 270 degrees, as if the file's EXIF said so."""
        content, info = self._content, self._info
        if isinstance(content, bytes):
            cycle = next(cycle for cycle in codecs.QUARTERS if info.orientation in cycle)
            info = replace(info, orientation=cycle[(cycle.index(info.orientation) + degrees // 90) % 4])
        else:
            content = np.ascontiguousarray(np.rot90(content, degrees // 90))
            info = replace(info, height=len(content), width=content.shape[1])
        return Source(content, info, self._file, self._format, self.flags, self.rows_decoded)

    def whole(self) -> Pixels:
        """The whole picture at native resolution. Raises InputError on damage."""
        return self._native((0, 0, *self.size))

    def reduced(self, short_side: int) -> Pixels:
        """The whole picture with its shorter side reduced to `short_side`; never enlarged. Raises InputError on damage.

        Long pictures are reduced further, see `bounded`.
        """
        cancel.check()
        if short_side < 1:
            raise ValueError(f"short_side must be at least 1, got {short_side}")
        short = min(self.size)
        side = bounded(short_side, self.size)
        if side >= short:
            return self.whole()
        width, height = (max(1, round(edge * side / short)) for edge in self.size)
        scale = _scale(short / bounded(max(short_side, WORKING_SIDE), self.size))
        return self._fit(scale, (0.0, 0.0, float(self.size[0]), float(self.size[1])), (width, height))

    def region(
        self, box: tuple[float, float, float, float], side: int | None = None, least: int | None = None
    ) -> Pixels:
        """Pixels of `box` (x1, y1, x2, y2 in displayed pixels), rounded outwards, cut at the frame, at least one pixel.

        `side`: reduce the longer edge to it (never enlarge); None: native resolution. `least`: fewer pixels will do, down to
        this many, where a coarser decode then serves. Raises InputError on damage.
        """
        cancel.check()
        width, height = self.size
        x1 = int(np.clip(np.floor(box[0]), 0, width - 1))
        y1 = int(np.clip(np.floor(box[1]), 0, height - 1))
        x2 = int(np.clip(np.ceil(box[2]), x1 + 1, width))
        y2 = int(np.clip(np.ceil(box[3]), y1 + 1, height))
        longer = max(x2 - x1, y2 - y1)
        if side is None or side >= longer:
            return self._native((x1, y1, x2, y2))
        scale = _scale(longer / min(side, least or side))
        if scale > 1:
            side = min(side, int(longer / (scale * MARGIN)))
        target = (max(1, round((x2 - x1) * side / longer)), max(1, round((y2 - y1) * side / longer)))
        return self._fit(scale, (float(x1), float(y1), float(x2), float(y2)), target)

    def _native(self, box: tuple[int, int, int, int]) -> Pixels:
        x1, y1, x2, y2 = box
        if isinstance(self._content, bytes):
            image = self._at(1)
            return np.array(image) if box == (0, 0, *image.size) else _cropped(image, box)
        return self._content[y1:y2, x1:x2].copy()

    def _fit(self, scale: int, box: tuple[float, float, float, float], size: tuple[int, int]) -> Pixels:
        image = self._at(scale)
        wide, high = image.size
        x, y = self._lead(scale, wide, high)
        x1, y1, x2, y2 = (edge / scale for edge in box)
        part = (x1 + x, y1 + y, min(x2 + x, float(wide)), min(y2 + y, float(high)))
        return np.array(image.resize(size, FILTER, box=part))

    def _lead(self, scale: int, wide: int, high: int) -> tuple[float, float]:
        """How far into a decode the picture begins: a scaled JPEG ends in a partly filled pixel, flipped it begins there."""
        if self._info.format != "JPEG":
            return 0.0, 0.0
        turned = self._info.orientation
        x = wide - self.size[0] / scale if turned in codecs.FLIPPED_X else 0.0
        y = high - self.size[1] / scale if turned in codecs.FLIPPED_Y else 0.0
        return x, y

    def _at(self, scale: int) -> Image.Image:
        if scale not in self._decoded:
            if isinstance(self._content, bytes):
                image = codecs.decode(self._content, self._info, scale)
            else:
                image = Image.fromarray(self._content)
                image = image if scale == 1 else image.reduce(scale)
            while len(self._decoded) > 1:
                self._decoded.pop(next(iter(self._decoded)))
            self._decoded[scale] = image
        return self._decoded[scale]


def _scale(factor: float) -> int:
    """The coarsest scale that leaves a reduction by MARGIN to the last filter."""
    return next((scale for scale in SCALES if factor / scale >= MARGIN), 1)


def _cropped(image: Image.Image, box: tuple[int, int, int, int]) -> Pixels:
    """`image.crop`, part by part: above Pillow's limit on pixels, one for the whole process, it refuses."""
    x1, y1, x2, y2 = box
    parts = [np.asarray(image.crop((x1, top, x2, min(top + PART, y2)))) for top in range(y1, y2, PART)]
    return parts[0].copy() if len(parts) == 1 else np.concatenate(parts)
