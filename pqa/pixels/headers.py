"""What the files of pictures say before any pixel is decoded: format, size, orientation, memory, camera.

Used by `source` and `codecs` alone. Readers are strangers' code fed with strangers' files: whatever they raise leaves here
as an `InputError`.
"""

from __future__ import annotations

import collections
import contextlib
import io
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import IFD, Base

from pqa import cancel
from pqa.errors import ImageTooLarge, InputError, UnreadableImage, UnsupportedImage

__all__ = [
    "FORMATS",
    "Exif",
    "Header",
    "exif",
    "header",
    "input_errors",
    "is_still_webp",
    "opened",
    "png_chunks",
    "sniff",
]

FORMATS = frozenset({"JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"})

SUBFILE_TYPE, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, ROWS_PER_STRIP, DNG_VERSION = 254, 258, 259, 262, 278, 50706
"""TIFF tags."""

MEMORY = {"JPEG": 4, "PNG": 4, "TIFF": 4, "HEIF": 5, "WEBP": 8, "AVIF": 10}
"""Bytes a pixel that a decoder makes of a whole picture, its own buffers included."""

DEEP_MEMORY = {"I;16": 4, "I;16B": 4, "RGB": 12}
"""The same with 16 bits a channel, by Pillow's mode: OpenCV holds them twice. `DEEPEST_MEMORY` for all other modes."""

DEEPEST_MEMORY = ANIMATED_MEMORY = 16
"""Four channels of 16 bits; a WebP with frames."""

WEBP_ANIMATED = 2
"""The flag in the extended header of a WebP."""

START_OF_SCAN = 0xDA
"""The JPEG marker before the pixels."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"8BPS", "PSD"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG2000"),
    (b"%PDF", "PDF"),
)

# Brands of the ISO base media files that hold still pictures; every other brand is a film.
_BRANDS = dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIF") | {
    b"avif": "AVIF",
    b"avis": "AVIF",
}

MOST_PIECES = 65_536
"""Chunks of a PNG, or steps through the head of a JPEG: above it a file is made to keep a reader busy. Of the largest
files that are taken, those with chunks of a kilobyte stay below it."""

_heif_lock = threading.Lock()
_heif_ready = False


@dataclass(frozen=True, slots=True)
class Exif:
    """When and by what a picture was taken, as far as it says."""

    captured: datetime | None = None
    make: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says before any pixel is decoded; `width` and `height` before `orientation` (EXIF 1 to 8) applies.

    `memory`: bytes that decoding it takes, roughly, without the file.
    """

    format: str
    width: int
    height: int
    orientation: int
    frames: int
    deep: bool
    memory: int


@contextlib.contextmanager
def input_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"the header promises too many pixels: {error}") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{doing} failed: damaged, or of a kind that is not read here") from error
    except Exception as error:  # decoders raise whatever they like on hostile files
        raise UnreadableImage(f"{doing} failed: {type(error).__name__}: {str(error)[:200]}") from error


def sniff(data: bytes) -> str:
    """The format by content, never by name. Raises UnreadableImage for what is no picture at all."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        brands = [data[8:12], *(data[i : i + 4] for i in range(16, min(len(data), 64), 4))]
        for brand in brands:
            if brand in _BRANDS:
                return _BRANDS[brand]
        return "film"
    raise UnreadableImage(f"not a picture in any known format: expected one of {', '.join(sorted(FORMATS))}")


def opened(data: bytes, name: str) -> Image.Image:
    if name == "HEIF":
        _register_heif()
    return Image.open(_Asking(data), formats=[name])


class _Asking(io.BytesIO):
    """Pillow's own decoders take a file piece by piece: between the pieces they can be stopped."""

    def read(self, size: int | None = -1, /) -> bytes:
        cancel.check()
        return super().read(size)


def _register_heif() -> None:
    global _heif_ready
    with _heif_lock:
        if _heif_ready:
            return
        try:
            import pillow_heif
        except ImportError as error:
            raise UnsupportedImage("HEIC needs pillow-heif; install it with: pip install 'pqa[heic]'") from error
        pillow_heif.register_heif_opener()
        _heif_ready = True


def header(data: bytes, name: str) -> Header:
    """Read the header of a file whose format is `name`. Decodes no pixel."""
    if name == "PNG":
        collections.deque(png_chunks(data), maxlen=0)
    elif name == "JPEG":
        _check_jpeg_head(data)
    with input_errors(f"reading the {name} header"), opened(data, name) as image:
        width, height = image.size
        if name == "TIFF":
            _refuse_raw(image, data)
            photometric = image.tag_v2.get(PHOTOMETRIC)  # type: ignore[attr-defined]  # of a TIFF alone
            if _deep(image, data, name) and photometric not in (1, 2):
                raise UnsupportedImage("16-bit TIFF is read as RGB or black-is-zero grey only; save it as one of them")
        # Pillow and OpenCV turn TIFF upright themselves, and Pillow gives its size as displayed.
        orientation = 1 if name == "TIFF" else _orientation(image, data)
        deep = _deep(image, data, name)
        memory = int(width * height * _bytes_a_pixel(image, data, name, deep))
        return Header(name, width, height, orientation, _frames(image, name), deep, memory)


def _bytes_a_pixel(image: Image.Image, data: bytes, name: str, deep: bool) -> float:
    """What the decoder makes of a whole picture."""
    each: float = DEEP_MEMORY.get(image.mode, DEEPEST_MEMORY) if deep else MEMORY[name]
    if name == "WEBP" and not is_still_webp(data):
        each = ANIMATED_MEMORY
    elif name == "JPEG" and "progressive" in image.info:
        # All coefficients, of two bytes, are held until the last of them has come.
        sampling = [across * down for _, across, down, _ in image.layer]  # type: ignore[attr-defined]  # of a JPEG alone
        each = max(each, 2 * sum(sampling) / max(sampling))
    elif name == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]  # of a TIFF alone
        if tags.get(COMPRESSION, 1) != 1:
            # A strip is unpacked as a whole.
            each *= 1 + min(tags.get(ROWS_PER_STRIP, image.height), image.height) / image.height
    return each


def _refuse_raw(image: Image.Image, data: bytes) -> None:
    """Camera RAW is TIFF whose first page is a thumbnail: a score of that would pass for one of the picture."""
    tags = image.tag_v2  # type: ignore[attr-defined]  # of a TIFF alone
    if data[8:10] == b"CR" or DNG_VERSION in tags or tags.get(SUBFILE_TYPE) == 1:
        raise UnsupportedImage("camera RAW is not taken; score the JPEG beside it, or export one")


def _frames(image: Image.Image, name: str) -> int:
    """Frames of an animation; of a TIFF 2 when there are more pages, as counting them would walk the whole file."""
    if name != "TIFF":
        return int(getattr(image, "n_frames", 1)) if name in ("PNG", "WEBP", "AVIF") else 1
    try:
        image.seek(1)
    except Exception:  # no second page, or a damaged one, which nobody asks for
        return 1
    return 2


def _exif_tags(image: Image.Image, data: bytes) -> Image.Exif:
    """EXIF without decoding: Pillow looks for a PNG's chunk behind the pixels by loading them all."""
    if image.format == "PNG":
        image.info.setdefault("exif", _png_exif(data))
    return Image.Image.getexif(image)


def _png_exif(data: bytes) -> bytes | None:
    """Content of the chunk `eXIf`, which may stand before or behind the pixels."""
    for at, length, kind in png_chunks(data):
        if kind == b"eXIf":
            return data[at : at + length]
    return None


def png_chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where the content of each chunk begins, the length it promises, its kind. Raises UnreadableImage for too many."""
    at, kind = 8, b""
    for _ in range(MOST_PIECES):
        if kind == b"IEND" or at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">L4s", data, at)
        yield at + 8, length, kind
        at += 12 + length
    raise UnreadableImage(f"expected a PNG of at most {MOST_PIECES} chunks; save it anew")


def _check_jpeg_head(data: bytes) -> None:
    """Pillow steps through the segments before the pixels, and through the bytes between them, one by one."""
    at = 2
    for _ in range(MOST_PIECES):
        if at + 4 > len(data):
            return
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0x00, 0xFF):
            at += 1
        elif marker == START_OF_SCAN:
            return
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise UnreadableImage(f"expected a JPEG whose head has at most {MOST_PIECES} segments; save it anew")


def _orientation(image: Image.Image, data: bytes) -> int:
    try:
        value = int(_exif_tags(image, data).get(Base.Orientation, 1))
    except Exception:  # EXIF is decoration: garbage in it never fails a picture
        return 1
    return value if 1 <= value <= 8 else 1


def _deep(image: Image.Image, data: bytes, name: str) -> bool:
    """16 bits a channel, which Pillow would cut to 8."""
    if name == "PNG":
        return data[24] == 16
    if name == "TIFF":
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,))  # type: ignore[attr-defined]  # of a TIFF alone
        return bool(max(bits if isinstance(bits, tuple) else (bits,)) == 16)
    return False


def exif(data: bytes, name: str) -> Exif:
    """Capture time and camera; empty fields where the file is silent or garbled."""
    try:
        with opened(data, name) as image:
            tags = _exif_tags(image, data)
            taken = str(tags.get_ifd(IFD.Exif).get(Base.DateTimeOriginal) or tags.get(Base.DateTime) or "")
            captured = datetime.strptime(taken.strip("\0 "), "%Y:%m:%d %H:%M:%S") if taken else None
            make, model = (str(tags.get(tag) or "").strip("\0 ") or None for tag in (Base.Make, Base.Model))
            return Exif(captured, make, model)
    except Exception:  # EXIF is decoration: garbage in it never fails a picture
        return Exif()


def is_still_webp(data: bytes) -> bool:
    return data[8:12] == b"WEBP" and not (data[12:16] == b"VP8X" and data[20] & WEBP_ANIMATED)
