"""Files that were cut short: what came of them, how much, and what is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pqa.errors import InputError, UnreadableImage
from pqa.pixels.source import open_picture
from tests.pixels.test_source import WHOLE, display_p3, encoded, photograph

RGB = photograph(400, 600)


def cut(data, share):
    return data[: int(len(data) * share)]


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_rows": 2}, {"progressive": True}])
def test_a_jpeg_without_its_end_is_the_whole_picture(options):
    data = encoded(RGB, "JPEG", quality=90, **options)
    source = open_picture(data[:-2])
    assert (source.flags, source.rows_decoded, source.size) == (("truncated",), 1.0, (600, 400))
    np.testing.assert_array_equal(source.region(WHOLE), open_picture(data).region(WHOLE))
    assert source.sha256 != open_picture(data).sha256
    assert open_picture(data).flags == ()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("share", [0.6, 0.75, 0.95, 0.999])
def test_the_rows_that_came_are_those_of_the_whole_jpeg(mode, share):
    data = encoded(Image.fromarray(RGB).convert(mode), "JPEG", quality=90)
    source, whole = open_picture(cut(data, share)), open_picture(data)
    height = source.size[1]
    assert source.rows_decoded == height / 400
    assert share - 0.08 < source.rows_decoded < share + 0.08
    difference = np.abs(source.region(WHOLE).astype(int) - whole.region((0, 0, 600, height)))
    assert difference[:-1].max() == 0  # the last row would be smoothed with the next one
    assert difference.max() < 40
    box = (100.0, 20.0, 500.0, float(height))
    assert np.abs(source.region(box, 64).astype(int) - whole.region(box, 64)).mean() < 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_of_a_turned_jpeg_the_part_that_came_is_turned(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    data = encoded(RGB, "JPEG", quality=90, exif=tags)
    source, whole = open_picture(cut(data, 0.7)), open_picture(data)
    rows = round(400 * source.rows_decoded)
    assert sorted(source.size) == sorted((600, rows))
    box = {1: (0, 0, 600, rows), 3: (0, 400 - rows, 600, 400), 6: (400 - rows, 0, 400, 600), 8: (0, 0, rows, 600)}
    difference = np.abs(source.region(WHOLE).astype(int) - whole.region(box[orientation]))
    assert difference.mean() < 0.2


@pytest.mark.parametrize("tail", [b"\0", b"\xff", b"\x5a\xa5\xff\xc0"], ids=["zeros", "erased", "not a JPEG's"])
def test_what_a_copy_did_not_write_is_no_part_of_the_picture(tail):
    data = encoded(RGB, "JPEG", quality=90)
    end = int(len(data) * 0.8)
    source = open_picture(data[:end] + tail * ((len(data) - end) // len(tail)))
    assert source.flags == ("truncated",)
    assert 0.7 < source.rows_decoded < 0.9
    whole = open_picture(data).region((0, 0, *source.size))
    assert np.abs(source.region(WHOLE).astype(int) - whole).mean() < 1


@pytest.mark.parametrize(("format", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {})])
def test_under_half_of_the_rows_is_refused_with_the_share(format, options):
    data = encoded(RGB, format, **options)
    with pytest.raises(UnreadableImage, match=r"cut short: \d+% of its rows .* at least 50%"):
        open_picture(cut(data, 0.3))


def test_a_progressive_jpeg_comes_whole_and_coarser():
    data = encoded(RGB, "JPEG", quality=90, progressive=True)
    whole = open_picture(data).region(WHOLE).astype(int)
    errors = []
    for share in (0.7, 0.8, 0.9, 0.99):
        source = open_picture(cut(data, share))
        assert (source.size, source.rows_decoded, source.flags) == ((600, 400), 1.0, ("truncated",))
        errors.append(np.abs(source.region(WHOLE) - whole).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 4


def test_a_jpeg_that_another_file_was_written_into_ends_there():
    data = encoded(RGB, "JPEG", quality=90)
    source = open_picture(cut(data, 0.8) + data)
    assert source.flags == ("truncated",)
    assert 0.7 < source.rows_decoded < 0.9


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_the_rows_that_came_are_those_of_the_whole_png(mode):
    data = encoded(Image.fromarray(RGB).convert(mode), "PNG", icc_profile=display_p3())
    source = open_picture(cut(data, 0.8))
    assert source.flags == ("truncated",)
    assert 0.6 < source.rows_decoded < 0.95
    np.testing.assert_array_equal(source.region(WHOLE), open_picture(data).region((0, 0, *source.size)))


def test_a_deep_png_that_was_cut_short():
    import cv2

    data = cv2.imencode(".png", RGB[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    source = open_picture(cut(data, 0.8))
    np.testing.assert_array_equal(source.region(WHOLE), RGB[: source.size[1]])


def test_a_png_whose_head_lies_about_its_height_is_not_unpacked_beyond_it():
    data = encoded(RGB, "PNG")
    for height, share in ((200, 1.0), (799, 0.5), (4000, None)):
        head = b"IHDR" + data[16:20] + struct.pack(">L", height) + data[24:29]
        lying = data[:12] + head + struct.pack(">L", zlib.crc32(head)) + data[33:-12]
        if share is None:
            with pytest.raises(InputError):
                open_picture(lying)
        else:
            assert open_picture(lying).rows_decoded == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("format", ["WEBP", "TIFF", "BMP", "JPEG2000", "AVIF"])
def test_other_formats_are_refused_when_cut_short(format):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, format)
    with pytest.raises(InputError):
        open_picture(cut(buffer.getvalue(), 0.6)).region(WHOLE)
