"""Damaged files and damaged requests, few here, many with -m slow; `python -m bench.fuzz` counts them."""

from __future__ import annotations

import collections
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from bench.fuzz import HANG_S, damaged, fuzz_pictures, fuzz_requests, outcomes, pictures, seeds
from pqa.errors import UnreadableImage
from pqa.pixels import codecs, headers, opening
from pqa.pixels.formats import FORMATS, sniff
from pqa.pixels.png import chunks
from pqa.pixels.source import open_picture
from service import middleware
from service.settings import Settings
from tests.serving import serving


def test_every_format_is_damaged_and_no_two_damages_are_alike() -> None:
    files = seeds()
    assert {sniff(data) for data in files.values()} == FORMATS
    rng = random.Random(0)
    assert len({damaged(files["jpeg"], rng) for _ in range(50)}) > 40
    assert damaged(b"", random.Random(1)) is not None


def test_damaged_files_are_scored_or_say_why() -> None:
    counts, (slowest, _), _ = pictures(600, seed=1)
    assert sum(counts.values()) == 600
    assert set(counts) <= {"ok", "unreadable", "unsupported", "too_large", "empty"}
    assert counts["ok"] > 30
    assert counts["unreadable"] > 30
    assert slowest < HANG_S


def png(*chunks: tuple[bytes, bytes], bits: int = 8) -> bytes:
    """An 8 x 8 grey PNG with these chunks (kind, content) before its pixels."""
    pixels = zlib.compress(bytes((8 * bits // 8 + 1) * 8))
    rows = [(b"IHDR", struct.pack(">LLBBBBB", 8, 8, bits, 0, 0, 0, 0)), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    packed = (
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data)) for kind, data in rows
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("promise", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff"])
def test_a_chunk_that_promises_more_than_the_file_has_never_reaches_opencv(
    promise: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would make room for all of it: 4 GiB, and seconds, for a file of 7 kB."""
    whole = seeds()["16-bit png"]
    assert open_picture(whole).reduced(16).shape[2] == 3
    at = whole.index(b"IDAT")
    seen: list[bytes] = []
    imdecode = codecs.cv2.imdecode
    monkeypatch.setattr(codecs.cv2, "imdecode", lambda *given: seen.append(given[0].tobytes()) or imdecode(*given))
    lying = whole[: at - 4] + promise + whole[at:]
    source = open_picture(lying)
    assert source.flags == ("truncated",)
    np.testing.assert_array_equal(source.reduced(16), open_picture(whole).reduced(16))
    assert len(seen) == 2
    assert lying not in seen
    assert all(begin + length <= len(data) for data in seen for begin, length, _ in chunks(data))


def test_files_of_countless_pieces_are_refused_before_a_reader_walks_through_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most, piece = opening.MOST_PIECES, (b"teSt", b"")
    photograph = seeds()["jpeg"]
    first = 4 + int.from_bytes(photograph[4:6])
    for bits in (8, 16):
        assert open_picture(png(*[piece] * 50, bits=bits)).reduced(8).shape == (8, 8, 3)
    for filler in (b"\xff", b"\0", b"\xff\xfe\0\2"):
        longer = photograph[:first] + filler * 50 + photograph[first:]
        assert open_picture(longer).size == open_picture(photograph).size
    monkeypatch.setattr(headers, "opened", lambda *_: pytest.fail("Pillow was asked"))
    with pytest.raises(UnreadableImage, match="chunks"):
        open_picture(png(*[piece] * most))
    for filler in (b"\xff", b"\0", b"\xff\xfe\0\2"):
        with pytest.raises(UnreadableImage, match="segments"):
            open_picture(photograph[:first] + filler * most + photograph[first:])


def test_sixteen_bits_are_brought_to_eight_in_pieces_that_fit_together() -> None:
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (2 * codecs.ROWS + 7, 5, 4), np.uint16)
    alone = [codecs.eight_bit(deep[n : n + 1]) for n in range(len(deep))]
    np.testing.assert_array_equal(codecs.eight_bit(deep), np.concatenate(alone))


def test_damaged_requests_get_a_problem_and_never_500(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Most of these clients go on sending, or never meant to.
    monkeypatch.setattr(middleware, "_LINGER_S", 0.02)
    with serving(Settings(models=(str(tiny_model),), receive_timeout_s=0.05)) as live:
        counts = collections.Counter(outcomes(live.port, 250, seed=2))
        assert live.http.get("/readyz").status_code == 200
    assert not [outcome for outcome in counts if outcome.startswith("FAULT")], counts
    assert {"200", "400", "404", "405", "413", "415", "422"} <= set(counts)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_files() -> None:
    assert fuzz_pictures(100_000, seed=3)


@pytest.mark.slow
def test_ten_thousand_damaged_requests() -> None:
    assert fuzz_requests(10_000, seed=4)
