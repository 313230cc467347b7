"""Further formats: what is read of them, what is said of it, and sizes beyond Pillow's own limit."""

import datetime
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from pqa.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from pqa.pixels.formats import FORMATS, sniff
from pqa.pixels.source import Exif, Limits, open_picture
from tests.pixels.test_source import WHOLE, encoded, photograph

RGB = photograph(200, 300)
LARGE = photograph(600, 900)


@pytest.mark.parametrize(("format", "most"), [("BMP", 0), ("JPEG2000", 0), ("GIF", 30)])
def test_what_other_viewers_open(format, most):
    source = open_picture(encoded(RGB, format))
    assert source.size == (300, 200)
    assert source.flags == ()
    assert np.abs(source.region(WHOLE).astype(int) - RGB).mean() <= most
    assert np.abs(source.reduced(60).astype(int) - open_picture(RGB).reduced(60)).mean() <= most


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}], ids=["file", "codestream"])
def test_both_kinds_of_jpeg_2000(options):
    np.testing.assert_array_equal(open_picture(encoded(RGB, "JPEG2000", **options)).region(WHOLE), RGB)


def test_jpeg_2000_of_sixteen_bits_grey():
    grey = RGB[..., 0].astype(np.uint16) * 257
    got = open_picture(encoded(Image.fromarray(grey), "JPEG2000")).region(WHOLE)
    np.testing.assert_array_equal(got, RGB[..., [0, 0, 0]])


def test_of_a_gif_with_frames_the_first_is_taken_and_said():
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "lime")]
    source = open_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert source.flags == ("first_frame",)
    assert source.region(WHOLE)[5, 5].tolist() == [255, 0, 0]


def test_big_tiff():
    np.testing.assert_array_equal(open_picture(encoded(RGB, "TIFF", big_tiff=True)).region(WHOLE), RGB)


def test_a_miniature_heif_is_known_for_one():
    """Whether its codec reads it depends on the codec; that it is no film does not."""
    for codec, format in ((b"avif", "AVIF"), (b"heic", "HEIF")):
        data = b"\0\0\0\x10ftypmif3" + codec + b"\0\0\0\x20mini" + bytes(24)
        assert sniff(data) == format
        with pytest.raises(UnreadableImage):
            open_picture(data)


def test_formats_can_be_left_out():
    for format in ("BMP", "GIF", "JPEG2000"):
        with pytest.raises(UnsupportedImage, match=f"{format} is not taken"):
            open_picture(encoded(RGB, format), Limits(formats=FORMATS - {format}))


XMP = b"http://ns.adobe.com/xap/1.0/\0<x xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' hdrgm:Version='1.0'/>"


def segment(code, content):
    return bytes((0xFF, code)) + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize("content", [(0xE1, XMP), (0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")], ids=["XMP", "ISO"])
def test_of_a_jpeg_with_a_gain_map_the_base_picture_is_taken_and_said(content):
    data = encoded(RGB, "JPEG")
    marked = data[:2] + segment(*content) + data[2:] + encoded(RGB[::2, ::2], "JPEG")
    source = open_picture(marked)
    assert source.flags == ("gain_map_ignored",)
    np.testing.assert_array_equal(source.region(WHOLE), open_picture(data).region(WHOLE))


def raw(*previews, orientation=6, tags=None):
    """As cameras build it: a directory with a small first page, previews somewhere behind."""
    exif = {254: 1, 271: "Maker", 272: "Model 1", 274: orientation, 306: "2024:05:06 07:08:09"}
    thumbnail = encoded(Image.new("RGB", (16, 12)), "TIFF", tiffinfo=exif | (tags or {}))
    return thumbnail + b"".join(bytes(100) + preview for preview in previews)


def test_raw_is_taken_by_its_largest_preview():
    small, large = encoded(LARGE[::3, ::3], "JPEG"), encoded(LARGE, "JPEG", quality=92)
    data = raw(small, large, small)
    source = open_picture(data)
    assert source.flags == ("raw_preview",)
    assert source.size == (600, 900)  # turned as the directory says
    upright = open_picture(large).region(WHOLE)
    np.testing.assert_array_equal(source.region(WHOLE), np.rot90(upright, -1))
    assert source.metadata == Exif(datetime.datetime(2024, 5, 6, 7, 8, 9), "Maker", "Model 1")
    assert source.sha256 != open_picture(large).sha256
    with pytest.raises(UnsupportedImage, match="RAW is not taken"):
        open_picture(data, Limits(formats=FORMATS - {"RAW"}))


def test_a_preview_s_own_orientation_wins():
    tags = Image.Exif()
    tags[0x0112] = 1
    assert open_picture(raw(encoded(LARGE, "JPEG", exif=tags))).size == (900, 600)


@pytest.mark.parametrize(
    "begin",
    [
        b"II*\0\x10\0\0\0CR\2\0",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x08\0\0\0",
        b"FUJIFILMCCD-RAW 0201",
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        b"FOVb\2\0\3\0",
    ],
    ids=["CR2", "ORF", "RW2", "RAF", "CR3", "X3F"],
)
def test_kinds_of_raw(begin):
    data = begin + bytes(200) + encoded(LARGE, "JPEG") + bytes(999)
    assert sniff(data) == "RAW"
    assert open_picture(data).size == (900, 600)


def test_what_the_sensor_saw_is_no_preview():
    """Lossless JPEG (SOF3), cut previews and thumbnails are passed over; where nothing else is, that is said."""
    large, thumbnail = encoded(LARGE, "JPEG"), encoded(LARGE[::4, ::4], "JPEG")
    lossless = large.replace(b"\xff\xc0\0\x11", b"\xff\xc3\0\x11")
    assert open_picture(raw(lossless, large)).size == (600, 900)
    for inside in ((), (lossless,), (thumbnail,), (large[:-2],)):
        with pytest.raises(UnsupportedImage, match="camera RAW is scored by the JPEG inside"):
            open_picture(raw(*inside))


def test_a_file_of_nothing_but_beginnings_ends_soon():
    import time

    began = time.process_time()
    with pytest.raises(UnsupportedImage):
        open_picture(raw(b"\xff\xd8\xff" * 500_000))
    assert time.process_time() - began < 2


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_a_picture_beyond_pillow_s_limit_is_one_like_any_other(format, monkeypatch):
    """Its limit is one for the process: a warning from half of it, an error from all of it."""
    data = encoded(LARGE, format)
    expected = (
        open_picture(data).region(WHOLE),
        open_picture(data).region((0, 1, 900, 600)),
        open_picture(data).reduced(99),
    )
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    source = open_picture(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr("pqa.pixels.source.PART", 64)
        got = source.region(WHOLE), source.region((0, 1, 900, 600)), source.reduced(99)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_refusals_for_size_name_what_sets_the_limit(tmp_path):
    data = encoded(RGB, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(ImageTooLarge, match=r"--max-mib, PQA_MAX_FILE_MIB or Limits\(max_bytes=\.\.\.\)"):
            open_picture(source, Limits(max_bytes=100))
    with pytest.raises(ImageTooLarge, match=r"--max-megapixels, PQA_MAX_MEGAPIXELS or Limits\(max_pixels=\.\.\.\)"):
        open_picture(data, Limits(max_pixels=100))


def test_cameras_of_today_are_within_the_limits():
    assert Limits().max_pixels >= 150_000_000
    assert Limits().max_bytes >= 100 * 2**20
