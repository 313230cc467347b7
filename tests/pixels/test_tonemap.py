"""Pixels in other codings than sRGB. References are written here from the standards, apart from the code."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pqa.pixels.source import open_picture
from pqa.pixels.tonemap import HLG, LINEAR, PQ, Coding, Mapping, coding
from tests.pixels.test_source import WHOLE, display_p3, encoded, photograph

# ITU-R BT.2087, M2: from BT.709 to BT.2020 primaries; Display P3's from CSS Color 4.
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
TO_P3 = np.array([[0.82246, 0.17754, 0.0], [0.03320, 0.96680, 0.0], [0.01708, 0.07240, 0.91052]])


def light(srgb):
    values = np.asarray(srgb) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def pq(nits):
    """ST 2084, the inverse EOTF, with its decimal constants."""
    power = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(scene):
    """BT.2100's reference OETF."""
    with np.errstate(invalid="ignore"):
        return np.where(scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073)


def codes(values, top=65535):
    return np.rint(np.clip(values, 0, 1) * top).astype(np.uint16 if top > 255 else np.uint8)


def as_pq(srgb):
    return codes(pq(light(srgb) @ TO_BT2020.T * 203))


def as_hlg(srgb):
    screen = light(srgb) @ TO_BT2020.T * 203 / 1000
    luminance = screen @ np.array([0.2627, 0.6780, 0.0593])
    return codes(hlg(screen * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)))


@pytest.mark.parametrize(
    ("of", "made"),
    [
        (Coding(9, PQ), as_pq),
        (Coding(9, HLG), as_hlg),
        (Coding(12, 13), lambda rgb: codes(np.asarray(srgb_code(light(rgb) @ TO_P3.T)))),
        (Coding(1, LINEAR), lambda rgb: codes(light(rgb))),
    ],
    ids=["PQ", "HLG", "P3", "linear"],
)
def test_what_an_ordinary_screen_can_show_comes_back_as_it_was(of, made):
    rgb = photograph(90, 120)
    got = Mapping(of, made(rgb))(made(rgb)).astype(int)
    assert np.abs(got - rgb).mean() < 0.5
    assert np.percentile(np.abs(got - rgb), 99) <= 2


def srgb_code(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("peak", [400, 1000, 4000])
def test_what_is_brighter_than_white_keeps_its_steps(peak):
    """Half a grey ramp below white, half above: the curve rises all along, and leaves what lies below its knee."""
    nits = np.concatenate([np.linspace(0, 203, 100), np.linspace(204, peak, 100)])
    values = codes(pq(nits))[None, :, None].repeat(3, axis=2).repeat(8, axis=0)
    got = Mapping(Coding(1, PQ), values)(values)[0, :, 0].astype(int)
    assert (np.diff(got) >= 0).all()
    assert got[-1] >= 254
    assert got[99] < 250
    assert len(set(got[100:])) > 10
    # BT.2390: the knee lies at 1.5 PQ(white) / PQ(peak) - 0.5 of PQ(peak).
    knee = 1.5 * pq(203.0) - 0.5 * pq(float(peak))
    below = pq(nits) < knee
    expected = np.rint(255 * srgb_code(nits[below] / 203))
    assert np.abs(got[below] - expected).max() <= 1


def test_hue_stays_where_light_is_brought_down():
    orange = np.array([4.0, 2.0, 0.5]) * 203
    values = codes(pq(np.tile(orange, (20, 20, 1))))
    got = light(Mapping(Coding(1, PQ), values)(values)[0, 0])
    np.testing.assert_allclose(got / got.max(), orange / orange.max(), atol=0.02)


def test_a_part_is_mapped_as_within_the_whole():
    values = as_pq(photograph(90, 120))
    mapping = Mapping(Coding(9, PQ), values)
    np.testing.assert_array_equal(mapping(values[13:40, 7:99]), mapping(values)[13:40, 7:99])


def test_codings_that_are_shown_as_srgb_is():
    assert coding(1, 13) is coding(2, 2) is coding(1, 1) is coding(6, 6) is None
    assert coding(9, 16) == Coding(9, 16)


def heic(values, mode="RGB;16", **nclx):
    import pillow_heif

    buffer = io.BytesIO()
    file = pillow_heif.from_bytes(mode, values.shape[1::-1], values.tobytes())
    file.save(buffer, quality=95, chroma=444, **nclx)
    return buffer.getvalue()


@pytest.mark.parametrize(("transfer", "made"), [(PQ, as_pq), (HLG, as_hlg)])
def test_an_hdr_heic_looks_like_its_srgb_twin(transfer, made):
    rgb = photograph(180, 240)
    data = heic(made(rgb), color_primaries=9, transfer_characteristics=transfer, matrix_coefficients=9)
    source = open_picture(data)
    assert np.abs(source.region(WHOLE).astype(int) - rgb).mean() < 2.5
    assert np.abs(source.reduced(60).astype(int) - open_picture(rgb).reduced(60)).mean() < 2


def test_grey_heic_of_ten_bits_is_that_of_eight():
    grey = photograph(180, 240)[..., 0]
    deep = open_picture(heic(grey.astype(np.uint16) * 257, "L;16")).region(WHOLE).astype(int)
    assert np.abs(deep - grey[..., None]).mean() < 2


def test_an_avif_says_how_it_codes_colour():
    rgb = photograph(180, 240)
    eight = (as_pq(rgb) // 257).astype(np.uint8)
    data = encoded(eight, "AVIF", quality=98, subsampling="4:4:4")
    marked = data.replace(b"nclx\0\1\0\r", b"nclx\0\x09\0\x10")
    assert marked != data
    np.testing.assert_array_equal(open_picture(data).region(WHOLE), np.asarray(Image.open(io.BytesIO(data))))
    assert np.abs(open_picture(marked).region(WHOLE).astype(int) - rgb).mean() < 4


def png(chunk, deep):
    import cv2

    data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    length = struct.pack(">L", len(chunk) - 4)
    return data[:33] + length + chunk + struct.pack(">L", zlib.crc32(chunk)) + data[33:]


def test_a_png_says_how_it_codes_colour():
    rgb = photograph(90, 120)
    got = open_picture(png(b"cICP\x09\x10\0\1", as_pq(rgb))).region(WHOLE).astype(int)
    assert np.abs(got - rgb).mean() < 0.5
    plain = open_picture(png(b"cICP\1\r\0\1", codes(rgb / 255))).region(WHOLE)
    np.testing.assert_array_equal(plain, rgb)


def test_a_profile_wins_over_numbers_but_in_a_png():
    values = photograph(40, 60)
    import pillow_heif

    pillow_heif.register_heif_opener()
    with_profile = open_picture(encoded(values, "HEIF", icc_profile=display_p3(), quality=95))
    without = open_picture(encoded(values, "HEIF", quality=95))
    assert np.abs(with_profile.region(WHOLE).astype(int) - without.region(WHOLE)).max() > 5
