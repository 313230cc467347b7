"""Scenes of an unsorted folder, told by time, camera and likeness."""

from __future__ import annotations

import io
import random
from collections import defaultdict
from datetime import datetime, timedelta

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from pqa.cli.grouping import auto_group
from pqa.types import Image

Pixels = npt.NDArray[np.uint8]
NOON = datetime(2024, 5, 4, 12)


def content(seed: int) -> Pixels:
    """A picture of large soft shapes, other for each seed: (120, 160, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.float32)
    return cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def variant(pixels: Pixels, seed: int, shift: int = 2) -> Pixels:
    """As another camera sees it: exposure, white balance, noise, a few pixels of framing."""
    chance = np.random.default_rng(seed)
    moved = np.roll(pixels, chance.integers(-shift, shift + 1, 2), axis=(0, 1)).astype(float)
    lit = moved * chance.uniform(0.7, 1.2) * chance.uniform(0.95, 1.05, 3) + chance.normal(0, 4, moved.shape)
    return lit.clip(0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, taken: datetime | None = None, camera: str = "") -> bytes:
    exif = Pillow.Exif()
    if camera:
        exif[0x0110] = camera
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def partition(images: list[Image]) -> set[frozenset[str]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for image in auto_group(images):
        groups[image.scene].add(image.id)
    return {frozenset(group) for group in groups.values()}


def test_variants_of_two_scenes_are_separated_by_looks_alone() -> None:
    images = [Image(f"{seed}-{i}", variant(content(seed), i)) for seed in (1, 2) for i in range(6)]
    assert partition(images) == {frozenset(f"{seed}-{i}" for i in range(6)) for seed in (1, 2)}


def test_twenty_scenes_stay_twenty() -> None:
    images = [Image(f"{seed}-{i}", variant(content(seed), i)) for seed in range(20) for i in range(3)]
    assert partition(images) == {frozenset(f"{seed}-{i}" for i in range(3)) for seed in range(20)}


def test_a_burst_holds_together_where_looks_alone_do_not() -> None:
    scene = content(3)
    shots = [np.roll(scene, 8 * i, axis=1) for i in range(3)]
    burst = [Image(f"{i}", jpeg(shot, NOON + timedelta(seconds=2 * i), "A")) for i, shot in enumerate(shots)]
    timeless = [Image(f"{i}", jpeg(shot, None, "A")) for i, shot in enumerate(shots)]
    assert len(partition(burst)) == 1
    assert len(partition(timeless)) > 1


def test_the_same_look_another_day_is_another_scene() -> None:
    scene = content(4)
    shots = [Image(f"{day}", jpeg(variant(scene, day), NOON + timedelta(days=day), "A")) for day in range(3)]
    assert len(partition(shots)) == 3


def test_clocks_of_different_cameras_are_not_compared() -> None:
    scene = content(5)
    cameras = [Image(name, jpeg(variant(scene, i), NOON + timedelta(days=i), name)) for i, name in enumerate("ABC")]
    assert len(partition(cameras)) == 1
    # Nor do clocks that agree join what looks different.
    others = [Image(name, jpeg(content(i), NOON, name)) for i, name in enumerate("ABC")]
    assert len(partition(others)) == 3


def test_names_follow_the_first_capture_time_and_not_the_input() -> None:
    images = [
        Image("a", jpeg(content(1), NOON + timedelta(hours=5), "A")),
        Image("b", jpeg(content(2), NOON, "A")),
        Image("c", jpeg(content(3))),
        Image("d", jpeg(variant(content(2), 1), NOON + timedelta(seconds=5), "A")),
    ]
    expected = {"b": "group-001", "d": "group-001", "a": "group-002", "c": "group-003"}
    for seed in range(5):
        shuffled = random.Random(seed).sample(images, len(images))
        found = auto_group(shuffled)
        assert [image.id for image in found] == [image.id for image in shuffled]
        assert {image.id: image.scene for image in found} == expected


def test_what_cannot_be_read_keeps_its_scene_and_loses_no_other() -> None:
    counted: list[int] = []
    images = [Image("broken", b"no picture", "s"), Image("dot", np.zeros((1, 1, 3), np.uint8)), Image("a", content(1))]
    found = auto_group(images, workers=2, on_done=lambda: counted.append(1))
    assert [image.scene for image in found] == ["s", "group-002", "group-001"]
    assert len(counted) == 3
    assert auto_group([]) == []


def test_names_sort_as_their_numbers_do() -> None:
    images = [Image(f"{number:04}", jpeg(content(0), NOON + timedelta(days=number), "A")) for number in range(1001)]
    names = [image.scene for image in auto_group(images)]
    assert (names[0], names[-1]) == ("group-0001", "group-1001")
    assert names == sorted(names)
