"""File formats to 8-bit sRGB pixels: sniffing, headers, decoding at a scale, colour.

Used by `pqa.imaging` alone. Decoders are strangers' code fed with strangers' files: whatever they raise leaves here as an
`InputError`.
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
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ExifTags import IFD, Base

from pqa.errors import ImageTooLarge, InputError, UnreadableImage, UnsupportedImage

__all__ = ["FLIPPED_X", "FLIPPED_Y", "FORMATS", "Exif", "Header", "decode", "eight_bit", "header", "sniff"]

Pixels = npt.NDArray[np.uint8]

FORMATS = frozenset({"JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"})

SUBFILE_TYPE, BITS_PER_SAMPLE, PHOTOMETRIC, DNG_VERSION = 254, 258, 262, 50706
"""TIFF tags."""

START_OF_SCAN = 0xDA
"""The JPEG marker before the pixels."""

FLIPPED_X, FLIPPED_Y = (2, 3, 6, 7), (3, 4, 7, 8)
"""EXIF orientations whose displayed axis runs against the stored one."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes stored pixels upright, by EXIF orientation; 1 is upright."""

BACKGROUND = 128
"""Grey level behind transparent pixels: neither dark nor clipped, so that a cut-out looks neither badly exposed nor glaring."""

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

ROWS = 256
"""Rows that are brought to 8 bits at once, so that wide intermediate values of a large picture take little memory."""

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
    """What a file says before any pixel is decoded; `width` and `height` before `orientation` (EXIF 1 to 8) applies."""

    format: str
    width: int
    height: int
    orientation: int
    frames: int
    deep: bool


@contextlib.contextmanager
def _typed(doing: str) -> Iterator[None]:
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


def _open(data: bytes, name: str) -> Image.Image:
    if name == "HEIF":
        _register_heif()
    return Image.open(io.BytesIO(data), formats=[name])


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
        collections.deque(_png_chunks(data), maxlen=0)
    elif name == "JPEG":
        _check_jpeg_head(data)
    with _typed(f"reading the {name} header"), _open(data, name) as image:
        width, height = image.size
        if name == "TIFF":
            _refuse_raw(image, data)
            photometric = image.tag_v2.get(PHOTOMETRIC)  # type: ignore[attr-defined]  # of a TIFF alone
            if _deep(image, data, name) and photometric not in (1, 2):
                raise UnsupportedImage("16-bit TIFF is read as RGB or black-is-zero grey only; save it as one of them")
        # Pillow and OpenCV turn TIFF upright themselves, and Pillow gives its size as displayed.
        orientation = 1 if name == "TIFF" else _orientation(image, data)
        deep = _deep(image, data, name)
        return Header(name, width, height, orientation, _frames(image, name), deep)


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
    for at, length, kind in _png_chunks(data):
        if kind == b"eXIf":
            return data[at : at + length]
    return None


def _png_chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
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
        with _open(data, name) as image:
            tags = _exif_tags(image, data)
            taken = str(tags.get_ifd(IFD.Exif).get(Base.DateTimeOriginal) or tags.get(Base.DateTime) or "")
            captured = datetime.strptime(taken.strip("\0 "), "%Y:%m:%d %H:%M:%S") if taken else None
            make, model = (str(tags.get(tag) or "").strip("\0 ") or None for tag in (Base.Make, Base.Model))
            return Exif(captured, make, model)
    except Exception:  # EXIF is decoration: garbage in it never fails a picture
        return Exif()


def decode(data: bytes, info: Header, scale: int) -> Image.Image:
    """ceil(W / scale) x ceil(H / scale) pixels of sRGB (mode RGB), displayed upright; `scale` is 1, 2, 4 or 8.

    JPEG is decoded at the scale (libjpeg's scaled inverse DCT); other formats are decoded whole and box-reduced. Not an
    array: those who ask for pixels reduce them first, and at 12 megapixels each change of container costs as much as the
    decoding.
    """
    with _typed(f"decoding {info.format}"), _open(data, info.format) as image:
        profile = image.info.get("icc_profile")
        if info.deep:
            return _shrink(_turned(_decode_deep(data, profile), info.orientation), scale)
        if info.format == "JPEG" and scale > 1:
            image.draft(None, (max(1, info.width // scale), max(1, info.height // scale)))
        image.load()
        if info.format != "JPEG" and image.size != (info.width, info.height):
            raise UnreadableImage(f"the header says {info.width}x{info.height}, the pixels are {image.size}")
        upright = _turned(_srgb(image, profile), info.orientation)
        expected = -(-max(info.width, info.height) // scale)
        return upright if max(upright.size) == expected else _shrink(upright, scale)


def _shrink(image: Image.Image, scale: int) -> Image.Image:
    return image if scale == 1 else image.reduce(scale)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """Stored pixels as displayed, by the EXIF orientation 1 to 8."""
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _decode_deep(data: bytes, profile: bytes | None) -> Image.Image:
    # OpenCV makes room for as much as a chunk promises, up to 4 GiB, before it looks for that much.
    if data.startswith(b"\x89PNG") and any(at + length > len(data) for at, length, _ in _png_chunks(data)):
        raise UnreadableImage("decoding 16-bit pixels failed: truncated or damaged data")
    values: npt.NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise UnreadableImage("decoding 16-bit pixels failed: truncated or damaged data")
    pixels = eight_bit(values)
    if values.ndim == 3:
        pixels = np.ascontiguousarray(pixels[..., ::-1])
    del values
    return _srgb(Image.fromarray(pixels), profile)


def eight_bit(values: npt.NDArray[Any]) -> Pixels:
    """(H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16 to (H, W, 3) uint8; 16 bits are scaled (v / 257, rounded)."""
    if values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] == 3:
        return np.ascontiguousarray(values)
    pixels = np.empty((*values.shape[:2], 3), np.uint8)
    for top in range(0, len(values), ROWS):
        pixels[top : top + ROWS] = _eight_bit_rows(values[top : top + ROWS])
    return pixels


def _eight_bit_rows(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype == np.uint16:
        values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if values.ndim == 2:
        return values[..., None]
    if values.shape[2] == 4:
        alpha = values[..., 3:].astype(np.uint32)
        mixed = values[..., :3].astype(np.uint32) * alpha + BACKGROUND * (255 - alpha)
        values = ((mixed + 127) // 255).astype(np.uint8)
    return values


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Any mode of Pillow to RGB in sRGB; transparent pixels over BACKGROUND."""
    if image.mode in ("I", "F", "LAB"):
        raise UnsupportedImage(
            f"pixels of the kind {image.mode!r} are not photographs this reads; save as 8 or 16 bits RGB"
        )
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = Image.fromarray(eight_bit(np.asarray(image.convert("RGBA"))))
    elif image.mode in ("P", "1"):
        image = image.convert("RGB")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):  # a broken profile is ignored
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(
                    image, source, target, ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB"
                )
                if converted is not None:
                    return converted
    return image if image.mode == "RGB" else image.convert("RGB")
