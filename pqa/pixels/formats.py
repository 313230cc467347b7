"""Which format a file has, by its content."""

from __future__ import annotations

from pqa.errors import UnreadableImage
from pqa.pixels import tiff

__all__ = ["FORMATS", "sniff"]

FORMATS = frozenset({"JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "BMP", "GIF", "JPEG2000", "RAW"})

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"IIRO", "RAW"),  # Olympus
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\x00", "RAW"),  # Panasonic
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"FOVb", "RAW"),  # Sigma
    (b"II\x1a\x00\x00\x00HEAPCCDR", "RAW"),  # Canon, before CR2
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"8BPS", "PSD"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"%PDF", "PDF"),
)

# Brands of the ISO base media files that hold still pictures; every other brand is a film.
_BRANDS = dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIF") | {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "RAW",
}
_MINIATURE = b"mif3"
"""A file of one small box (ISO/IEC 23008-12, low-overhead image file format), its codec named by the minor version."""


def sniff(data: bytes) -> str:
    """The format by content, never by name. Raises UnreadableImage for what is no picture at all."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return "RAW" if name == "TIFF" and tiff.is_raw(data) else name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        first = 12 if data[8:12] == _MINIATURE else 16
        brands = [data[8:12], *(data[i : i + 4] for i in range(first, min(len(data), 64), 4))]
        for brand in brands:
            if brand in _BRANDS:
                return _BRANDS[brand]
        return "film"
    raise UnreadableImage(f"not a picture in any known format: expected one of {', '.join(sorted(FORMATS))}")
