"""What the files of pictures say before any pixel is decoded: size, orientation, memory, coding of colour, camera.

Used by `source` and `codecs` alone. Readers are strangers' code fed with strangers' files: whatever they raise leaves here
as an `InputError`.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from PIL import Image
from PIL.ExifTags import IFD, Base

from pqa.errors import UnreadableImage
from pqa.pixels import boxes, jpeg, png, raw, tiff, tonemap
from pqa.pixels.opening import input_errors, opened

__all__ = ["Exif", "Header", "exif", "header", "is_still_webp", "preview_header"]

MEMORY = {"JPEG": 4, "PNG": 4, "TIFF": 4, "HEIF": 5, "WEBP": 8, "AVIF": 10, "BMP": 4, "GIF": 5, "JPEG2000": 7}
"""Bytes a pixel that a decoder makes of a whole picture, its own buffers included; of JPEG 2000 for each channel."""

DEEP_MEMORY = {"I;16": 4, "RGB": 12}
"""The same of a PNG of 16 bits a channel, by Pillow's mode: OpenCV holds them twice. `DEEPEST_MEMORY` for all others."""

DEEPEST_MEMORY = ANIMATED_MEMORY = FULL_DEEP_HEIF_MEMORY = 16
"""Four channels of 16 bits; a WebP with frames; a HEIF of more than 8 bits a channel and full colour resolution."""

DEEP_HEIF_MEMORY = 10
"""Of more than 8 bits, at half the colour resolution."""

MAPPED_MEMORY = 4
"""More for pixels that wait to be brought to sRGB."""

WEBP_ANIMATED = 2
"""The flag in the extended header of a WebP."""

APPLE_GAIN_MAP = "hdrgainmap"
"""In the type of an auxiliary picture of a HEIC."""


@dataclass(frozen=True, slots=True)
class Exif:
    """When and by what a picture was taken, as far as it says."""

    captured: datetime | None = None
    make: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says before any pixel is decoded; `width` and `height` before `orientation` (EXIF 1 to 8) applies.

    `deep`: Pillow would cut its pixels to 8 bits, or misread them. `memory`: bytes that decoding it takes, roughly, without
    the file. `coding`: of its colour, where that is not sRGB and no ICC profile says so. `gain_map`: it goes with a brighter
    rendering for HDR screens.
    """

    format: str
    width: int
    height: int
    orientation: int
    frames: int
    deep: bool
    memory: int
    coding: tonemap.Coding | None = None
    gain_map: bool = False


def header(data: bytes, name: str) -> Header:
    """Read the header of a file whose format is `name`. Decodes no pixel."""
    with input_errors(f"reading the {name} header"):
        if name == "TIFF":
            of = tiff.layout(data)
            tiff.check(of)
            if of.by_samples:
                return _of_samples(of, len(data))
        elif name == "JPEG":
            jpeg.head(data)
        elif name == "PNG":
            collections.deque(png.chunks(data), maxlen=0)
        with opened(data, name) as image:
            return _of_pillow(data, name, image)


def _of_samples(of: tiff.Layout, size: int) -> Header:
    width, height, orientation = of.one(tiff.WIDTH, 0), of.one(tiff.LENGTH, 0), of.one(tiff.ORIENTATION, 1)
    if width < 1 or height < 1:
        raise UnreadableImage(f"expected at least one pixel, got {width}x{height}")
    return Header("TIFF", width, height, orientation if 1 <= orientation <= 8 else 1, of.pages, True, of.memory + size)


def _of_pillow(data: bytes, name: str, image: Image.Image) -> Header:
    width, height = image.size
    # Pillow turns TIFF upright itself, and gives its size as displayed.
    orientation = 1 if name == "TIFF" else _orientation(lambda: _exif_tags(image, data)) or 1
    deep = name == "PNG" and data[24] == 16
    coding = _coding(data, name, image)
    memory = int(width * height * _bytes_a_pixel(image, data, name, deep, coding))
    gain_map = (name == "JPEG" and jpeg.has_gain_map(data)) or any(
        APPLE_GAIN_MAP in str(kind) for kind in image.info.get("aux", ())
    )
    return Header(name, width, height, orientation, _frames(image, name), deep, memory, coding, gain_map)


def _coding(data: bytes, name: str, image: Image.Image) -> tonemap.Coding | None:
    """By H.273 numbers: of a PNG before its ICC profile (W3C PNG, third edition, 4.3), else where there is none."""
    named: tuple[int, int] | None = None
    try:
        if name == "PNG":
            content = png.chunk(data, b"cICP") or b""
            named = (content[0], content[1]) if len(content) == 4 else None
        elif "icc_profile" not in image.info and name == "HEIF" and "nclx_profile" in image.info:
            nclx = image.info["nclx_profile"]
            named = int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])
        elif "icc_profile" not in image.info and name == "AVIF":
            named = boxes.primary_nclx(data)
    except Exception:  # a picture is shown without it
        return None
    return tonemap.coding(*named) if named else None


def _bytes_a_pixel(image: Image.Image, data: bytes, name: str, deep: bool, coding: tonemap.Coding | None) -> float:
    """What the decoder makes of a whole picture."""
    each: float = DEEP_MEMORY.get(image.mode, DEEPEST_MEMORY) if deep else MEMORY[name]
    if coding is not None:
        each += MAPPED_MEMORY
    if name == "HEIF" and image.info.get("bit_depth", 8) > 8:
        each = DEEP_HEIF_MEMORY if image.info.get("chroma", 420) == 420 else FULL_DEEP_HEIF_MEMORY
    elif name == "JPEG2000":
        each *= len(image.getbands())
    elif name == "WEBP" and not is_still_webp(data):
        each = ANIMATED_MEMORY
    elif name == "JPEG" and "progressive" in image.info:
        # All coefficients, of two bytes, are held until the last of them has come.
        sampling = [across * down for _, across, down, _ in image.layer]  # type: ignore[attr-defined]  # of a JPEG alone
        each = max(each, 2 * sum(sampling) / max(sampling))
    elif name == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]  # of a TIFF alone
        if tags.get(tiff.COMPRESSION, 1) != 1:
            # A strip is unpacked as a whole.
            each *= 1 + min(tags.get(tiff.ROWS_PER_STRIP, image.height), image.height) / image.height
    return each


def _frames(image: Image.Image, name: str) -> int:
    """Frames of an animation; 2 when there are more, of files that would have to be walked for counting them."""
    if name in ("PNG", "WEBP", "AVIF"):
        return int(getattr(image, "n_frames", 1))
    if name not in ("TIFF", "GIF"):
        return 1
    try:
        image.seek(1)
    except Exception:  # no second page, or a damaged one, which nobody asks for
        return 1
    return 2


def _exif_tags(image: Image.Image, data: bytes) -> Image.Exif:
    """EXIF without decoding: Pillow looks for a PNG's chunk behind the pixels by loading them all."""
    if image.format == "PNG":
        image.info.setdefault("exif", png.chunk(data, b"eXIf"))
    return Image.Image.getexif(image)


def _orientation(tags: Callable[[], Image.Exif]) -> int | None:
    """EXIF orientation, 1 to 8; None where none is named."""
    try:
        value = int(tags().get(Base.Orientation, 0))
    except Exception:  # EXIF is decoration: garbage in it never fails a picture
        return None
    return value if 1 <= value <= 8 else None


def preview_header(data: bytes, preview: bytes) -> Header:
    """Of a preview in a RAW, which is turned as the RAW says where it does not say so itself."""
    with input_errors("reading the preview's header"), opened(preview, "JPEG") as image:
        info = _of_pillow(preview, "JPEG", image)
        named = _orientation(lambda: _exif_tags(image, preview)) or _orientation(lambda: raw.exif(data)) or 1
        return replace(info, orientation=named)


def exif(data: bytes, name: str) -> Exif:
    """Capture time and camera; empty fields where the file is silent or garbled."""
    try:
        if name == "RAW":
            return _exif_of(raw.exif(data))
        with opened(data, name) as image:
            return _exif_of(_exif_tags(image, data))
    except Exception:  # EXIF is decoration: garbage in it never fails a picture
        return Exif()


def _exif_of(tags: Image.Exif) -> Exif:
    taken = str(tags.get_ifd(IFD.Exif).get(Base.DateTimeOriginal) or tags.get(Base.DateTime) or "")
    captured = datetime.strptime(taken.strip("\0 "), "%Y:%m:%d %H:%M:%S") if taken else None
    make, model = (str(tags.get(tag) or "").strip("\0 ") or None for tag in (Base.Make, Base.Model))
    return Exif(captured, make, model)


def is_still_webp(data: bytes) -> bool:
    return data[8:12] == b"WEBP" and not (data[12:16] == b"VP8X" and data[20] & WEBP_ANIMATED)
