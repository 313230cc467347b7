"""The pixel path: files that are too large, damaged, or none of its formats."""

import contextlib
import io
import os
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pqa.errors import EmptyImage, ImageTooLarge, InputError, UnreadableImage, UnsupportedImage
from pqa.pixels.source import Exif, Limits, open_picture
from tests.pixels.test_source import WHOLE, encoded, photograph


def png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\1\0IDAT"


def test_a_bomb_is_refused_on_its_header():
    bomb = png_header(65535, 65535) + b"\0" * 64
    start = time.process_time()
    with pytest.raises(ImageTooLarge):
        open_picture(bomb)
    assert time.process_time() - start < 1.0  # decoding it would take many seconds


@pytest.mark.parametrize("side", [14200, 20000])
def test_pixels_over_the_limit_are_refused_on_the_header(side):
    with pytest.raises(ImageTooLarge, match="pixels"):
        open_picture(png_header(side, side) + b"\0" * 64)


def test_limits_on_bytes_and_formats(tmp_path):
    data = encoded(photograph(), "PNG")
    path = tmp_path / "p.png"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(ImageTooLarge, match="bytes, at most"):
            open_picture(source, Limits(max_bytes=len(data) - 1))
    with pytest.raises(UnsupportedImage, match="PNG is not taken; expected one of JPEG"):
        open_picture(data, Limits(formats=frozenset({"JPEG"})))


def heic(side, **options):
    """A black HEIC of 10 bits a channel."""
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (side, side), bytes(6 * side * side)).save(buffer, **options)
    return buffer.getvalue()


def kinds(side):
    """The same picture as files whose decoders need more or less memory, with the bytes a pixel that are reckoned with."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    grey, deep = Image.new("L", (side, side)), np.zeros((side, side, 3), np.uint16)
    rgb = grey.convert("RGB")
    return {
        "jpeg": (encoded(rgb, "JPEG"), 4),
        "progressive jpeg": (encoded(rgb, "JPEG", progressive=True), 4),
        "progressive 4:4:4 jpeg": (encoded(rgb, "JPEG", progressive=True, subsampling=0), 6),
        "progressive cmyk jpeg": (encoded(rgb.convert("CMYK"), "JPEG", progressive=True, subsampling=0), 8),
        "png": (encoded(rgb, "PNG"), 4),
        "16-bit png": (cv2.imencode(".png", deep)[1].tobytes(), 12),
        "16-bit grey png": (cv2.imencode(".png", deep[..., 0])[1].tobytes(), 4),
        "16-bit png with alpha": (cv2.imencode(".png", deep[..., [0, 0, 0, 0]])[1].tobytes(), 16),
        "16-bit tiff": (cv2.imencode(".tiff", deep, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes(), 12),
        "webp": (encoded(rgb, "WEBP"), 8),
        "webp with frames": (
            encoded(rgb, "WEBP", save_all=True, append_images=[Image.new("RGB", rgb.size, "red")]),
            16,
        ),
        "tiff": (encoded(rgb, "TIFF"), 4),
        "tiff of one packed strip": (encoded(rgb, "TIFF", compression="tiff_lzw", strip_size=1 << 30), 8),
        "heic": (encoded(rgb, "HEIF"), 5),
        "avif": (encoded(rgb, "AVIF"), 10),
        "bmp": (encoded(rgb, "BMP"), 4),
        "gif": (encoded(rgb.quantize(8), "GIF"), 5),
        "jpeg 2000": (encoded(rgb, "JPEG2000"), 21),
        "grey jpeg 2000": (encoded(grey, "JPEG2000"), 7),
        "10-bit heic": (heic(side), 10),
        "hdr heic": (heic(side, color_primaries=9, transfer_characteristics=16, matrix_coefficients=9, chroma=444), 16),
    }


@pytest.mark.parametrize("kind", list(kinds(8)))
def test_memory_is_reckoned_by_the_header(kind):
    """On both sides of the limit; who sets none has none."""
    side = 64
    data, each = kinds(side)[kind]
    copies = 2 if kind == "16-bit tiff" else 1  # its directory is written anew
    needed = each * side * side + copies * len(data)
    open_picture(data, Limits(max_memory=needed))
    open_picture(data)
    with pytest.raises(ImageTooLarge, match="decoding 64x64 pixels of this"):
        open_picture(data, Limits(max_memory=needed - 1))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", EmptyImage),
        (b"hello, this is text", UnreadableImage),
        (b"GIF89a" + b"\0" * 30, UnreadableImage),
        (b"8BPS" + b"\0" * 30, UnsupportedImage),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 30, UnsupportedImage),
        (b"\xff\xd8\xff", UnreadableImage),
        (png_header(40, 40), UnreadableImage),
        (b"\0\0\0\x18ftypheic" + b"\0" * 30, UnreadableImage),
    ],
)
def test_bad_bytes_have_types(data, kind):
    with pytest.raises(kind):
        open_picture(data).reduced(8)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_truncated_files_raise(format):
    data = encoded(photograph(), format)
    with pytest.raises(InputError):
        open_picture(data[: len(data) // 2]).region(WHOLE)


def test_paths_that_are_no_files(tmp_path):
    for path in (tmp_path, tmp_path / "missing.jpg"):
        with pytest.raises(UnreadableImage, match="cannot be read"):
            open_picture(path)


SEEDS = {
    "JPEG": encoded(photograph(40, 60), "JPEG"),
    "PNG": encoded(photograph(40, 60), "PNG"),
    "WEBP": encoded(photograph(40, 60), "WEBP"),
    "TIFF": encoded(photograph(40, 60), "TIFF"),
    "AVIF": encoded(photograph(40, 60), "AVIF"),
    "deep": cv2.imencode(".png", photograph(40, 60).astype(np.uint16) * 257)[1].tobytes(),
}


@pytest.mark.filterwarnings("ignore")  # decoders may warn about damage; what counts is how they end
@pytest.mark.parametrize("name", list(SEEDS))
@given(data=st.data())
@settings(derandomize=True, max_examples=60, deadline=None)
def test_damaged_files_only_ever_raise_input_errors(name, data):
    mutated = bytearray(SEEDS[name])
    for _ in range(data.draw(st.integers(1, 6))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    mutated = bytes(mutated[: data.draw(st.integers(1, len(mutated)))])
    with contextlib.suppress(InputError):
        source = open_picture(mutated)
        source.reduced(16)
        source.region((0, 0, 30, 30))
        assert isinstance(source.metadata, Exif)


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "shot.jpg")
    with pytest.raises(UnreadableImage, match=r"shot\.jpg"):
        open_picture(tmp_path / "shot.jpg")


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\1\4\0\0"}])
def test_camera_raw_is_refused(tags):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7)).save(buffer, "TIFF", tiffinfo=tags)
    with pytest.raises(UnsupportedImage, match="RAW"):
        open_picture(buffer.getvalue())
