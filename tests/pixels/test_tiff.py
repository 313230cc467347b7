"""Layouts of TIFF: one picture in each that is read, and a typed refusal of each that is not."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pqa.errors import InputError, UnreadableImage, UnsupportedImage
from pqa.pixels import codecs, tiff
from pqa.pixels.headers import header
from pqa.pixels.source import open_picture
from tests.pixels.test_source import STORED, WHOLE, display_p3, photograph

FIELD = Path(__file__).parent / "field"
HIGH, WIDE = 37, 53
RGB16 = photograph(HIGH, WIDE).astype(np.uint16) * 257
ALPHA = np.linspace(0, 65535, HIGH * WIDE).astype(np.uint16).reshape(HIGH, WIDE, 1)


def written(samples, *, order="<", apart=False, packed=False, differences=False, tile=None, rows=10, big=False, **tags):
    """A TIFF of (H, W, N) samples, by the book and by hand. `tags`: further ones, as t274=6; they win."""
    height, width, number = samples.shape
    planes = [samples[..., n : n + 1] for n in range(number)] if apart else [samples]
    high, wide = tile or (rows, width)
    pieces = []
    for plane in planes:
        for top in range(0, height, high):
            for left in range(0, width, wide):
                piece = plane[top : top + high, left : left + wide]
                if tile:
                    piece = np.pad(piece, ((0, high - len(piece)), (0, wide - piece.shape[1]), (0, 0)))
                if differences:
                    piece = np.diff(piece, axis=1, prepend=np.zeros_like(piece[:, :1]))
                content = piece.astype(piece.dtype.newbyteorder(order)).tobytes()
                pieces.append(zlib.compress(content) if packed else content)
    at, offsets = 16 if big else 8, []
    for piece in pieces:
        offsets.append(at)
        at += len(piece)
    bits = samples.dtype.itemsize * 8
    values = {256: width, 257: height, 258: [bits] * number, 259: 8 if packed else 1, 262: 2, 277: number}
    values |= {324: offsets, 325: [len(p) for p in pieces], 322: wide, 323: high} if tile else {}
    values |= {} if tile else {273: offsets, 278: rows, 279: [len(piece) for piece in pieces]}
    values |= {284: 2 if apart else 1, 317: 2 if differences else 1}
    values |= {int(name[1:]): value for name, value in tags.items()}
    number_of, word, entry = ("Q", "Q", 20) if big else ("H", "L", 12)
    behind = at + struct.calcsize(order + number_of) + entry * len(values) + struct.calcsize(order + word)
    table, extra = struct.pack(order + number_of, len(values)), b""
    for tag, value in sorted(values.items()):
        kind = 7 if isinstance(value, bytes) else 4
        items = [value] if isinstance(value, int) else value
        content = value if kind == 7 else struct.pack(f"{order}{len(items)}L", *items)
        table += struct.pack(f"{order}HH{word}", tag, kind, len(items))
        room = struct.calcsize(order + word)
        table += content.ljust(room, b"\0") if len(content) <= room else struct.pack(order + word, behind + len(extra))
        extra += content if len(content) > room else b""
    mark = b"II" if order == "<" else b"MM"
    begin = struct.pack(f"{order}HHHQ", 43, 8, 0, at) if big else struct.pack(f"{order}HL", 42, at)
    return mark + begin + b"".join(pieces) + table + struct.pack(order + word, 0) + extra


def seen(samples16):
    """What is shown of 16-bit RGB or RGBA samples."""
    return codecs.eight_bit(np.ascontiguousarray(samples16))


LAYOUTS = [
    {},
    {"packed": True},
    {"packed": True, "differences": True},
    {"tile": (16, 32)},
    {"tile": (16, 32), "packed": True, "differences": True},
    {"big": True, "packed": True},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_layout_of_rgb_is_one_picture(layout, order, apart, bits):
    samples = RGB16 if bits == 16 else (RGB16 // 257).astype(np.uint8)
    data = written(samples, order=order, apart=apart, **layout)
    if data[:4] == b"MM\0+":
        with pytest.raises(UnsupportedImage, match="64-bit"):
            open_picture(data)
        return
    np.testing.assert_array_equal(open_picture(data).region(WHOLE), photograph(HIGH, WIDE))


GREY = RGB16[..., :1]
INK = np.concatenate([65535 - RGB16, np.zeros_like(GREY)], axis=2)
MEANINGS = {
    "black is zero": (GREY, {"t262": 1}, GREY[..., [0, 0, 0]]),
    "white is zero": (65535 - GREY, {"t262": 0}, GREY[..., [0, 0, 0]]),
    "grey with alpha": (np.dstack([GREY, ALPHA]), {"t262": 1, "t338": 2}, np.dstack([GREY] * 3 + [ALPHA])),
    "white is zero with alpha": (np.dstack([65535 - GREY, ALPHA]), {"t262": 0, "t338": 2},
                                 np.dstack([GREY] * 3 + [ALPHA])),
    "grey and something": (np.dstack([GREY, ALPHA]), {"t262": 1, "t338": 0}, GREY[..., [0, 0, 0]]),
    "alpha": (np.dstack([RGB16, ALPHA]), {"t338": 2}, np.dstack([RGB16, ALPHA])),
    "alpha and something": (np.dstack([RGB16, ALPHA, GREY]), {"t338": [2, 0]}, np.dstack([RGB16, ALPHA])),
    "something": (np.dstack([RGB16, ALPHA]), {"t338": 0}, RGB16),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS[:3], ids=str)
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
@pytest.mark.parametrize("meaning", list(MEANINGS))
def test_samples_mean_what_their_tags_say(meaning, apart, layout):
    samples, tags, shown = MEANINGS[meaning]
    got = open_picture(written(samples, apart=apart, **layout, **tags)).region(WHOLE)
    np.testing.assert_array_equal(got, seen(shown))


def test_premultiplied_alpha_is_divided_out():
    multiplied = np.rint(RGB16 * (ALPHA / 65535)).astype(np.uint16)
    got = open_picture(written(np.dstack([multiplied, ALPHA]), t338=1)).region(WHOLE).astype(int)
    assert np.abs(got - seen(np.dstack([RGB16, ALPHA]))).max() <= 1


@pytest.mark.parametrize("apart", [False, True])
def test_cmyk_of_sixteen_bits_is_that_of_eight(apart):
    eight = open_picture(written((INK // 257).astype(np.uint8), t262=5)).region(WHOLE)
    np.testing.assert_array_equal(open_picture(written(INK, apart=apart, t262=5)).region(WHOLE), eight)
    assert np.abs(eight.astype(int) - photograph(HIGH, WIDE)).mean() < 3


@pytest.mark.parametrize("apart", [False, True])
def test_grey_with_alpha_of_eight_bits(apart):
    samples = (np.dstack([GREY, ALPHA]) // 257).astype(np.uint8)
    got = open_picture(written(samples, apart=apart, packed=True, t262=1, t338=2)).region(WHOLE)
    np.testing.assert_array_equal(got, codecs.eight_bit(samples[..., [0, 0, 0, 1]]))


@pytest.mark.parametrize("orientation", list(STORED))
def test_eight_orientations_of_sixteen_bits_are_one_picture(orientation):
    data = written(np.ascontiguousarray(STORED[orientation](RGB16)), t274=orientation)
    source = open_picture(data)
    assert source.size == (WIDE, HIGH)
    np.testing.assert_array_equal(source.region(WHOLE), photograph(HIGH, WIDE))
    np.testing.assert_array_equal(source.reduced(16), open_picture(photograph(HIGH, WIDE)).reduced(16))


def test_a_profile_applies_to_sixteen_bits():
    buffer = io.BytesIO()
    Image.fromarray(photograph(HIGH, WIDE)).save(buffer, "TIFF", icc_profile=display_p3())
    expected = open_picture(buffer.getvalue()).region(WHOLE)
    np.testing.assert_array_equal(open_picture(written(RGB16, t34675=display_p3())).region(WHOLE), expected)
    assert (expected != photograph(HIGH, WIDE)).any()


def test_planar_and_chunky_files_of_the_field_are_one_picture():
    planar, chunky = (open_picture(FIELD / f"{name}16.tif").region(WHOLE) for name in ("planar", "chunky"))
    np.testing.assert_array_equal(planar, chunky)


@pytest.mark.parametrize(
    ("samples", "tags", "says"),
    [
        (RGB16, {"t339": [2, 2, 2]}, "format 2"),
        (RGB16, {"t339": [3, 3, 3]}, "format 3"),
        (RGB16, {"t258": [16, 8, 16]}, "8, 16 bits"),
        (RGB16, {"t262": 8}, "of the kind 8"),
        (RGB16, {"t262": 6}, "of the kind 6"),
        (GREY, {"t262": 3}, "of the kind 3"),
        (RGB16, {"t317": 3, "t259": 8}, "predictor 3"),
        (RGB16, {"t259": 34712}, "compression 34712"),
        (GREY, {"t258": 12, "t262": 1}, "12 bits"),
        ((GREY // 257).astype(np.uint8), {"t339": 2, "t262": 1}, "format 2"),
        ((RGB16 // 257).astype(np.uint8), {"t262": 6}, "YCbCr"),
    ],
)
def test_layouts_that_would_be_misread_are_refused(samples, tags, says):
    with pytest.raises(UnsupportedImage, match=says):
        open_picture(written(samples, **tags))


@pytest.mark.parametrize("bits", [32, 64])
def test_deeper_samples_are_refused(bits):
    with pytest.raises(InputError):
        open_picture(written(GREY.astype(f"u{bits // 8}"), t262=1)).region(WHOLE)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_missing_pixels_are_never_made_up(apart, packed):
    """Strips that are absent, empty, too short, or beyond the end of the file."""
    data = written(RGB16, apart=apart, packed=packed)
    of = tiff.layout(data)
    offsets, sizes = list(of.all(tiff.STRIP_OFFSETS, ())), list(of.all(tiff.STRIP_SIZES, ()))
    faults = [
        {"t273": offsets[:-1], "t279": sizes[:-1]},
        {"t279": [*sizes[:-1], 0]},
        {"t279": [sizes[0] // 2, *sizes[1:]]},
        {"t273": [*offsets[:-1], len(data)]},
        {"t279": [0] * len(sizes)},
    ]
    for fault in faults:
        with pytest.raises(UnreadableImage):
            open_picture(written(RGB16, apart=apart, packed=packed, **fault)).region(WHOLE)


def test_memory_is_that_of_all_samples():
    assert header(written(INK, t262=5), "TIFF").memory >= 16 * HIGH * WIDE
