"""Damaged files and damaged requests, few here, many with -m slow; `python -m bench.fuzz` counts them."""

from __future__ import annotations

import collections
import random
from pathlib import Path

import pytest
from serving import serving

from bench.fuzz import HANG_S, damaged, fuzz_pictures, fuzz_requests, outcomes, pictures, seeds
from pqa.codecs import FORMATS, sniff
from service import middleware
from service.settings import Settings


def test_every_format_is_damaged_and_no_two_damages_are_alike() -> None:
    files = seeds()
    assert {sniff(data) for data in files.values()} == FORMATS
    rng = random.Random(0)
    assert len({damaged(files["jpeg"], rng) for _ in range(50)}) > 40
    assert damaged(b"", random.Random(1)) is not None


def test_damaged_files_are_scored_or_say_why() -> None:
    counts, slowest, _ = pictures(600, seed=1)
    assert sum(counts.values()) == 600
    assert set(counts) <= {"ok", "unreadable", "unsupported", "too_large", "empty"}
    assert counts["ok"] > 30
    assert counts["unreadable"] > 30
    assert slowest < HANG_S


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
