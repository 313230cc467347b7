"""The pixel path: formats, scales, orientation, colour, depth. What it refuses: test_source_refused.py."""

import datetime
import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from pqa.data import assets
from pqa.errors import EmptyImage, ImageTooLarge, UnreadableImage
from pqa.pixels import codecs, headers
from pqa.pixels.source import Exif, Limits, open_picture

WHOLE = (0.0, 0.0, 1e9, 1e9)


def photograph(height=200, width=300):
    """The shipped portrait at another size: real content, so that decoders meet real spectra."""
    rgb = cv2.imdecode(np.frombuffer(assets.ASTRONAUT.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA))


def encoded(rgb, format, **options):
    buffer = io.BytesIO()
    (rgb if isinstance(rgb, Image.Image) else Image.fromarray(rgb)).save(buffer, format, **options)
    return buffer.getvalue()


def whole(data, **limits):
    return open_picture(data, Limits(**limits)).region(WHOLE)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_lossless_formats_give_their_pixels(format):
    rgb = photograph()
    np.testing.assert_array_equal(whole(encoded(rgb, format)), rgb)


@pytest.mark.parametrize(("format", "close"), [("JPEG", 3.0), ("WEBP", 3.5), ("AVIF", 3.5), ("HEIF", 3.5)])
def test_lossy_formats_come_close(format, close):
    if format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    rgb = photograph()
    got = whole(encoded(rgb, format, quality=92))
    assert got.shape == rgb.shape
    assert np.abs(got.astype(int) - rgb).mean() < close


def test_a_phone_s_jpeg_with_a_second_picture_gives_its_first():
    """Multi-picture files (MPO): gain maps and previews after the photograph, which is a plain JPEG to most readers."""
    rgb = photograph()
    double = encoded(rgb, "MPO", quality=92, save_all=True, append_images=[Image.fromarray(rgb[::4, ::4])])
    assert Image.open(io.BytesIO(double)).format == "MPO"
    np.testing.assert_array_equal(whole(double), whole(encoded(rgb, "JPEG", quality=92)))
    for progressive in (False, True):
        data = encoded(rgb, "MPO", save_all=True, append_images=[Image.fromarray(rgb)], progressive=progressive)
        assert open_picture(data).reduced(50).shape == (50, 75, 3)


def test_bytes_path_and_string_are_one(tmp_path):
    data = encoded(photograph(), "JPEG")
    path = tmp_path / "wrong-extension.png"
    path.write_bytes(data)
    sources = [open_picture(data), open_picture(path), open_picture(str(path))]
    assert len({source.sha256 for source in sources}) == 1
    assert len({source.reduced(50).tobytes() for source in sources}) == 1


@pytest.mark.parametrize("short_side", [40, 100, 200, 350, 480])
def test_scaled_decode_agrees_with_plain_decode(short_side):
    data = encoded(photograph(1100, 1400), "JPEG", quality=90)
    plain = open_picture(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    scaled = open_picture(data)
    difference = np.abs(scaled.reduced(short_side).astype(int) - plain.reduced(short_side))
    assert difference.mean() < 1.0
    box = (300.3, 200.7, 900.0, 1000.0)
    assert np.abs(scaled.region(box, short_side).astype(int) - plain.region(box, short_side)).mean() < 1.0


def test_a_region_is_smaller_where_a_coarser_decode_will_do(monkeypatch):
    data = encoded(photograph(1100, 1400), "JPEG", quality=90)
    plain = open_picture(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    source, scales = open_picture(data), []
    decode = codecs.decode
    monkeypatch.setattr(codecs, "decode", lambda *asked: scales.append(asked[2]) or decode(*asked))
    box = (100.0, 50.0, 800.0, 950.0)
    assert source.region(box, 256).shape == (256, 199, 3)
    assert source.region(box, 256, 172).shape == (180, 140, 3)  # 900 / (4 * MARGIN)
    np.testing.assert_array_equal(source.region(box, 256, 172), source.region(box, 180))
    assert source.region(box, 128, 172).shape == (128, 100, 3)
    assert scales == [2, 4]
    difference = np.abs(source.region(box, 256, 172).astype(int) - plain.region(box, 256, 172))
    assert difference.mean() < 1.0


def test_png_and_array_reduce_alike():
    rgb = photograph(1100, 1400)
    np.testing.assert_array_equal(open_picture(encoded(rgb, "PNG")).reduced(90), open_picture(rgb).reduced(90))


def test_requests_do_not_depend_on_what_was_asked_before():
    data = encoded(photograph(1100, 1400), "JPEG")
    fresh = open_picture(data).reduced(64)
    used = open_picture(data)
    used.region(WHOLE)
    used.reduced(500)
    used.region((0, 0, 700, 700), 100)
    np.testing.assert_array_equal(used.reduced(64), fresh)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 120))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_reduced_keeps_shape_and_never_enlarges(height, width, short_side):
    rgb = np.zeros((height, width, 3), np.uint8)
    got = open_picture(rgb).reduced(short_side)
    short, long = sorted(got.shape[:2])
    if max(height, width) <= 3 * min(height, width):
        assert short == min(short_side, height, width)
    else:
        # Rounding gives a side half a pixel, and leaves it at least one.
        assert short <= min(short_side, height, width)
        assert (max(short, 1.5) - 0.5) * (long - 0.5) <= 3 * short_side**2 or short == 1
        assert long <= 16 * short_side + 0.5
    assert got.shape[0] <= height
    assert got.shape[1] <= width


@given(st.tuples(*[st.floats(-200, 400, allow_nan=False)] * 4))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_region_always_has_a_pixel(box):
    got = open_picture(photograph(60, 90)).region(box)
    assert got.shape[0] >= 1
    assert got.shape[1] >= 1


def test_region_rounds_outwards():
    rgb = photograph(60, 90)
    np.testing.assert_array_equal(open_picture(rgb).region((10.4, 5.6, 20.1, 15.0)), rgb[5:15, 10:21])


# What a camera held another way stores: the inverse of what EXIF's orientation asks the viewer to do.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", list(STORED))
def test_eight_orientations_are_one_picture(orientation, format):
    rgb = photograph(1001, 751)
    tags = Image.Exif()
    tags[0x0112] = orientation
    data = encoded(np.ascontiguousarray(STORED[orientation](rgb)), format, exif=tags)
    source, upright = open_picture(data), open_picture(rgb)
    assert source.size == (751, 1001)
    np.testing.assert_array_equal(source.reduced(100), upright.reduced(100))
    np.testing.assert_array_equal(source.region((10, 20, 300, 700)), upright.region((10, 20, 300, 700)))
    np.testing.assert_array_equal(source.region((10, 20, 300, 700), 64), upright.region((10, 20, 300, 700), 64))


@pytest.mark.parametrize("orientation", list(STORED))
def test_a_turned_jpeg_is_not_shifted(orientation):
    rgb = photograph(1301, 1555)  # no multiple of any scale: the decode at 1/2 has a partly filled row and column
    tags = Image.Exif()
    tags[0x0112] = orientation
    data = encoded(np.ascontiguousarray(STORED[orientation](rgb)), "JPEG", exif=tags, quality=95)
    source, plain = open_picture(data), open_picture(rgb)
    assert np.abs(source.reduced(400).astype(int) - plain.reduced(400)).mean() < 1.2
    box = (700.0, 500.0, 1400.0, 1100.0)
    assert np.abs(source.region(box, 200).astype(int) - plain.region(box, 200)).mean() < 1.5


def display_p3():
    """A matrix profile of Display P3 (D50-adapted primaries of SMPTE EG 432-1, sRGB curve), written by hand."""

    def fixed(*values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def xyz(x, y, z):
        return b"XYZ \0\0\0\0" + fixed(x, y, z)

    curve = b"para\0\0\0\0\0\3\0\0" + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    name = b"Wide gamut RGB"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + b"\0" * 78,
        b"wtpt": xyz(0.96419, 1.0, 0.82489),
        b"rXYZ": xyz(0.51512, 0.24120, -0.00105),
        b"gXYZ": xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": xyz(0.15710, 0.06657, 0.78407),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, value in tags.items():
        value += b"\0" * (-len(value) % 4)
        table += tag + struct.pack(">II", offset + len(body), len(value))
        body += value
    size = offset + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + b"\0" * 12 + b"acsp"
    head += b"\0" * (68 - len(head)) + fixed(0.96419, 1.0, 0.82489)
    return head + b"\0" * (128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def test_display_p3_becomes_srgb():
    # Expected: P3 -> linear -> sRGB primaries (CSS Color 4 matrices) -> sRGB curve, clipped; computed here independently.
    p3 = np.array([[128, 128, 128], [200, 120, 90], [90, 160, 120], [60, 70, 150]], np.uint8)
    linear = np.where(p3 / 255 <= 0.04045, p3 / 255 / 12.92, ((p3 / 255 + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
    light = np.clip(linear @ matrix.T, 0, 1)
    srgb = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    got = whole(encoded(p3[None], "PNG", icc_profile=display_p3()))[0]
    assert np.abs(got - srgb).max() <= 2
    assert np.abs(got.astype(int) - p3).max() > 10  # without the conversion this test would fail


def test_a_broken_profile_is_ignored():
    rgb = photograph(20, 30)
    np.testing.assert_array_equal(whole(encoded(rgb, "PNG", icc_profile=b"no profile at all")), rgb)


def test_an_srgb_profile_changes_nothing():
    rgb = photograph(20, 30)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(whole(encoded(rgb, "PNG", icc_profile=profile)), rgb)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_not_cut(suffix):
    levels = np.arange(0, 65536, 97, np.uint16)
    deep = np.repeat(np.resize(levels, (26, 26))[..., None], 3, axis=2)
    ok, data = cv2.imencode(suffix, deep)
    assert ok
    np.testing.assert_array_equal(whole(data.tobytes()), np.rint(deep / 257.0).astype(np.uint8))


def test_sixteen_bit_colour_order_and_grey():
    deep = np.zeros((4, 4, 3), np.uint16)
    deep[..., 0] = 65535  # blue in OpenCV's order
    assert whole(cv2.imencode(".png", deep)[1].tobytes())[0, 0].tolist() == [0, 0, 255]
    grey = np.full((4, 4), 32768, np.uint16)
    assert whole(cv2.imencode(".png", grey)[1].tobytes())[0, 0].tolist() == [128] * 3


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("L", (4, 4), 77), [77, 77, 77]),
        (Image.new("1", (4, 4), 1), [255, 255, 255]),
        (Image.new("RGB", (4, 4), (10, 200, 30)).quantize(4), [10, 200, 30]),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), [128, 128, 128]),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 255)), [255, 0, 0]),
        (Image.new("LA", (4, 4), (90, 255)), [90, 90, 90]),
    ],
    ids=["grey", "one bit", "palette", "transparent", "opaque", "grey with alpha"],
)
def test_modes(picture, expected):
    assert whole(encoded(picture, "PNG"))[0, 0].tolist() == expected


def test_cmyk_jpeg():
    got = whole(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))[8, 8]
    assert np.abs(got.astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("WEBP", {"quality": 1}),
        ("WEBP", {"quality": 90, "method": 6}),
        ("WEBP", {"lossless": True}),
        ("HEIF", {"quality": 60}),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_other_decoders_give_the_pixels_that_pillow_gives(format, options, mode):
    picture = Image.fromarray(photograph(531, 357))
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    data = encoded(picture.convert(mode), format, **options)
    with Image.open(io.BytesIO(data)) as opened:
        pixels = np.asarray(opened)
    expected = codecs.eight_bit(pixels) if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    np.testing.assert_array_equal(whole(data), expected)


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize(
    ("format", "mode"),
    [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB"), ("TIFF", "RGB")],
)
def test_strips_change_no_pixel(format, mode, orientation, monkeypatch):
    tags = Image.Exif()
    tags[0x0112] = orientation
    picture = Image.fromarray(photograph(203, 77)).convert(mode)
    data = encoded(picture, format, exif=tags, icc_profile=display_p3())
    asked = [codecs.decode(data, headers.header(data, format), scale) for scale in (1, 2, 4, 8)]
    monkeypatch.setattr(codecs, "ROWS", 8)
    for scale, one_strip in zip((1, 2, 4, 8), asked, strict=True):
        many = codecs.decode(data, headers.header(data, format), scale)
        assert many.size == one_strip.size
        np.testing.assert_array_equal(np.asarray(many), np.asarray(one_strip))


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animations_give_their_first_frame(format):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    source = open_picture(encoded(frames[0], format, save_all=True, append_images=frames[1:], lossless=True))
    assert source.frames == 3
    assert source.region(WHOLE)[10, 10, 0] > 250


def test_metadata():
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Maker", "Model 1"
    tags.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    source = open_picture(encoded(photograph(), "JPEG", exif=tags))
    assert source.metadata == Exif(datetime.datetime(2024, 5, 6, 7, 8, 9), "Maker", "Model 1")
    assert open_picture(encoded(photograph(), "JPEG", exif=b"Exif\0\0garbage")).metadata == Exif()
    assert open_picture(photograph()).metadata == Exif()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"got \(4, 4, 2\) of uint8"),
        (np.zeros((4, 4, 3), np.float32), "got .* of float32"),
        (np.zeros(4, np.uint8), r"got \(4,\)"),
    ],
)
def test_arrays_of_another_kind(array, says):
    with pytest.raises(UnreadableImage, match=says):
        open_picture(array)


def test_arrays_of_every_kind_taken():
    assert open_picture(np.full((4, 6), 9, np.uint8)).region(WHOLE).tolist() == [[[9] * 3] * 6] * 4
    assert open_picture(np.full((4, 6, 3), 65535, np.uint16)).region(WHOLE).min() == 255
    with pytest.raises(EmptyImage):
        open_picture(np.zeros((0, 4, 3), np.uint8))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_opening_decodes_no_pixel(format, monkeypatch):
    data, loads = encoded(photograph(), format), []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: loads.append(image.format))
    source = open_picture(data)
    assert (source.size, source.metadata, loads) == ((300, 200), Exif(), [])
    with pytest.raises(ImageTooLarge):
        open_picture(data, Limits(max_pixels=1000))
    assert not loads


@pytest.mark.parametrize("format", ["array", "PNG"])
def test_what_is_handed_out_may_be_changed(format):
    pixels = np.zeros((20, 30, 3), np.uint8)
    source = open_picture(pixels if format == "array" else encoded(pixels, format))
    for handed in (
        source.reduced(20),
        source.reduced(10),
        source.region((0, 0, 5, 5)),
        source.region((0, 0, 20, 20), 5),
    ):
        handed[:] = 255
    assert not pixels.any()
    assert not source.region(WHOLE).any()
    assert not source.reduced(10).any()
    assert not source.reduced(20).any()


def test_pages_of_a_tiff_are_seen():
    page = Image.new("RGB", (9, 7))
    buffer = io.BytesIO()
    page.save(buffer, "TIFF", save_all=True, append_images=[page, page])
    source = open_picture(buffer.getvalue())
    assert source.frames > 1
    assert source.size == (9, 7)


@pytest.mark.parametrize("short_side", [64, 480, 720])
@pytest.mark.parametrize("aspect", [1, 3, 3.01, 10, 100, 1000, 65_535])
@pytest.mark.parametrize("pixels", [65_535, 2_000_000])
def test_a_reduction_is_bounded_by_the_area_asked_for(short_side, aspect, pixels):
    short = max(1, round((pixels / aspect) ** 0.5))
    rgb = np.zeros((min(65_535, round(short * aspect)), short, 3), np.uint8)
    for picture in (rgb, rgb.transpose(1, 0, 2)):
        got = open_picture(np.ascontiguousarray(picture)).reduced(short_side)
        assert got.shape[0] * got.shape[1] <= 3.1 * short_side**2
        assert max(got.shape[:2]) <= 16 * short_side + 1


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_a_file_is_turning_what_it_shows(orientation, degrees):
    tags = Image.Exif()
    tags[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(photograph(30, 50)).save(buffer, "PNG", exif=tags)
    for source in (open_picture(buffer.getvalue()), open_picture(photograph(30, 50))):
        turned = source.turned(degrees)
        np.testing.assert_array_equal(turned.whole(), np.rot90(source.whole(), degrees // 90))
        assert turned.size == turned.whole().shape[1::-1]
