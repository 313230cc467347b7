"""A data set in PIQ23's own format from a folder of portraits: scenes times devices, observers, scores, splits.

A scene is one portrait, a light and a distance; no portrait is in two scenes, so training and test scenes show different
people as far as the portraits do. Every device takes each scene once or twice. The labels come from simulated observers by
the same scaling as real ones (`pqa.judging.scaling`), scene by scene. Everything depends on the seed, the portraits and the
settings alone: each scene has random numbers of its own, so the number of processes changes no bit.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pqa.errors import ConfigurationError, DataError
from pqa.judging.scaling import Scaling, scale
from pqa.pixels.source import open_picture
from pqa.simulator.capture import Facts, draw_shot, expose
from pqa.simulator.devices import EDITED, Device, sample_devices
from pqa.simulator.lighting import CONDITIONS, Light, draw_light, light_up
from pqa.simulator.psychometrics import ATTRIBUTES, compare, losses, true_quality

__all__ = ["PRESETS", "Picture", "Portrait", "Preset", "SceneResult", "Settings", "held_out_devices", "simulate"]

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
Part = Literal["Train", "Test"]

TEST_SCENES, TEST_DEVICES = 0.3, 0.3
"""Shares of the two splits, as of PIQ23."""
SECOND_SHOT = 0.25
"""Chance that a device takes a scene twice."""
FACE_SHARES = (0.14, 0.5)
"""Face's side over the frame's shorter side: from half a body to head and shoulders, as far as the portrait allows."""
ROUNDS = 2
"""Each observer sees every picture 2 * ROUNDS times an attribute."""
BOOTSTRAP = 200
SMALLEST = 96
"""Pixels of a frame's shorter side below which a portrait is no scene."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture and the box of its main face (x1, y1, x2, y2) in displayed pixels."""

    path: Path
    face: Box


@dataclass(frozen=True, slots=True)
class Preset:
    """Kind of data set. `oldest`, `newest`: generations of the devices; `reference`: an edited picture in every scene."""

    scenes: int
    devices: int
    oldest: float
    newest: float
    second_shot: float
    reference: bool
    splits: bool
    prefix: str


PRESETS: dict[str, Preset] = {
    "phones": Preset(50, 24, 0.0, 1.0, SECOND_SHOT, reference=False, splits=True, prefix="camera"),
    "hidden": Preset(96, 6, 0.85, 1.0, 0.0, reference=True, splits=False, prefix="unseen"),
}
"""`hidden`: like the private test set of the NTIRE 2024 challenge, six good phones and one edited reference a scene, all
test; its devices come from random numbers of their own and are in no other data set, whatever the seed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`scenes`, `devices`: counts; `side`: shorter side of the pictures in pixels, at most; `observers`: a scene and
    attribute; `face_faults`: share of the shots with the focus well behind the face, 0 to 1."""

    preset: str
    scenes: int
    devices: int
    seed: int
    side: int = 768
    observers: int = 30
    face_faults: float = 0.0

    def __post_init__(self) -> None:
        for name, low in (("scenes", 1), ("devices", 2), ("seed", 0), ("side", SMALLEST), ("observers", 2)):
            if getattr(self, name) < low:
                raise ConfigurationError(f"{name}: expected at least {low}, got {getattr(self, name)}")
        if PRESETS[self.preset].splits and self.scenes < 2:
            raise ConfigurationError("scenes: expected at least 2, one to train and one to test, got 1")
        if not 0.0 <= self.face_faults <= 1.0:
            raise ConfigurationError(f"face_faults: expected 0 to 1, got {self.face_faults}")


@dataclass(frozen=True, slots=True)
class Job:
    """One scene to make."""

    index: int
    name: str
    part: Part
    portrait: Portrait
    devices: tuple[Device, ...]
    settings: Settings
    folder: Path


@dataclass(frozen=True, slots=True)
class Picture:
    """One simulated picture: what happened to it and what is true of it, in JOD (0: flawless)."""

    image: str
    device: Device
    facts: Facts
    losses: dict[str, float]
    quality: dict[str, float]


@dataclass(frozen=True, slots=True)
class SceneResult:
    """A finished scene; `scales` by attribute, rows in the order of `pictures`."""

    name: str
    index: int
    part: Part
    portrait: str
    light: Light
    pictures: tuple[Picture, ...]
    scales: dict[str, Scaling]


def simulate(
    portraits: Sequence[Portrait],
    folder: Path,
    settings: Settings,
    workers: int = 1,
    on_done: Callable[[], None] = lambda: None,
) -> list[SceneResult]:
    """Make the pictures under `folder`/Overall and score them; one portrait a scene, in their order.

    `on_done` is called after every scene. Raises DataError for fewer portraits than scenes, or a portrait too small.
    """
    if len(portraits) < settings.scenes:
        raise DataError(
            f"{settings.scenes} scenes need as many portraits with a face, got {len(portraits)}: add portraits or ask for "
            "fewer scenes"
        )
    for attribute in ATTRIBUTES:
        (folder / attribute).mkdir(parents=True, exist_ok=True)
    results = []
    for result in _run(_plan(portraits, folder, settings), workers):
        results.append(result)
        on_done()
    return results


def held_out_devices(settings: Settings) -> frozenset[str]:
    """Names of the devices in the test part of the device split: a share of them, or all where nothing is to train on."""
    preset = PRESETS[settings.preset]
    names = _names(settings)
    if not preset.splits:
        return frozenset((*names, EDITED.name))
    count = max(1, round(TEST_DEVICES * len(names)))
    return frozenset(_stream(settings, 3).permutation(names)[:count].tolist())


def _names(settings: Settings) -> list[str]:
    return [f"{PRESETS[settings.preset].prefix}_{k:02d}" for k in range(settings.devices)]


def _run(jobs: Sequence[Job], workers: int) -> Iterator[SceneResult]:
    if workers == 1:
        yield from map(_scene, jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        yield from pool.map(_scene, jobs)


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _stream(settings: Settings, *place: int) -> np.random.Generator:
    """Random numbers for one purpose: never shared, so that no purpose shifts another's."""
    return np.random.default_rng([settings.seed, list(PRESETS).index(settings.preset), *place])


def _plan(portraits: Sequence[Portrait], folder: Path, settings: Settings) -> list[Job]:
    preset, rng = PRESETS[settings.preset], _stream(settings, 0)
    devices = sample_devices(_names(settings), rng, preset.oldest, preset.newest)
    if preset.reference:
        devices.append(EDITED)
    conditions = _conditions(settings.scenes)
    tests = set(rng.permutation(settings.scenes)[: max(1, round(TEST_SCENES * settings.scenes))].tolist())
    return [
        Job(
            index,
            f"{condition}_Scene_{index}",
            "Test" if index in tests or not preset.splits else "Train",
            portraits[index],
            tuple(devices),
            settings,
            folder,
        )
        for index, condition in enumerate(conditions)
    ]


def _conditions(scenes: int) -> list[str]:
    """Conditions in blocks, as PIQ23 numbers its scenes, in its shares."""
    edges = np.rint(np.cumsum([row.share for row in CONDITIONS.values()]) * scenes).astype(int)
    return [list(CONDITIONS)[int(np.searchsorted(edges, index, side="right"))] for index in range(scenes)]


def _scene(job: Job) -> SceneResult:
    settings, preset = job.settings, PRESETS[job.settings.preset]
    rng = _stream(settings, 1, job.index)
    light = draw_light(job.name.partition("_")[0], rng)
    rgb, face = _frame(job.portrait, settings.side, rng)
    scene = light_up(rgb, face, light)
    shots = [device for device in job.devices for _ in range(1 + (rng.uniform() < preset.second_shot))]
    pictures = []
    for number, place in enumerate(rng.permutation(len(shots)).tolist()):
        device = shots[place]
        pixels, facts = expose(scene, device, draw_shot(device, rng, settings.face_faults), rng)
        image = f"{number}_{job.name}.jpg"
        _save(pixels, round(device.jpeg), job.folder, image)
        lost = losses(facts)
        pictures.append(Picture(image, device, facts, lost, true_quality(lost)))
    conditions = tuple(picture.image for picture in pictures)
    scales = {}
    for number, attribute in enumerate(ATTRIBUTES):
        quality = np.array([picture.quality[attribute] for picture in pictures])
        stream = _stream(settings, 2, job.index, number)
        judgements = compare(quality, conditions, settings.observers, ROUNDS, stream)
        # The prior on scores is the nearer one for this design (docs/scaling.md, the row of the simulator).
        scales[attribute] = scale(judgements, prior="scores", bootstrap=BOOTSTRAP, seed=settings.seed)
    return SceneResult(job.name, job.index, job.part, job.portrait.path.name, light, tuple(pictures), scales)


def _frame(portrait: Portrait, side: int, rng: np.random.Generator) -> tuple[Pixels, Box]:
    """A frame of 4:3 or 3:4 about the face at a random distance, (2H, 2W, 3) with H and W even, and the face's box in it.

    Its shorter side is twice `side`, or twice that of the part of the portrait it shows, where this is less.
    """
    source = open_picture(portrait.path)
    width, height = source.size
    x1, y1, x2, y2 = portrait.face
    upright = rng.uniform() < 0.5
    aspect = 3 / 4 if upright else 4 / 3  # width over height
    largest = min(width, height * aspect) if upright else min(width / aspect, height)
    wanted = max(x2 - x1, y2 - y1) / rng.uniform(*FACE_SHARES)
    short = min(max(wanted, float(side)), largest)
    if short < SMALLEST:
        raise DataError(f"{portrait.path}: expected a portrait of at least {SMALLEST} pixels, got {width}x{height}")
    wide, high = (short, short / aspect) if upright else (short * aspect, short)
    left = float(np.clip((x1 + x2) / 2 - wide * rng.uniform(0.4, 0.6), 0.0, width - wide))
    top = float(np.clip((y1 + y2) / 2 - high * rng.uniform(0.3, 0.45), 0.0, height - high))
    cut = source.region((left, top, left + wide, top + high), round(2 * side * max(wide, high) / short))
    target = min(side, int(short)) // 2 * 2
    size = (2 * target, 2 * (round(target / aspect) // 2 * 2))
    size = size if upright else (2 * (round(target * aspect) // 2 * 2), 2 * target)
    rgb = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    fx, fy = size[0] / wide, size[1] / high
    return rgb, ((x1 - left) * fx, (y1 - top) * fy, (x2 - left) * fx, (y2 - top) * fy)


def _save(pixels: Pixels, quality: int, folder: Path, image: str) -> None:
    """One file, named in the folder of every attribute, as PIQ23 has it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    first = folder / ATTRIBUTES[0] / image
    first.write_bytes(buffer.getvalue())
    for attribute in ATTRIBUTES[1:]:
        try:
            os.link(first, folder / attribute / image)
        except OSError:  # a file system without hard links
            (folder / attribute / image).write_bytes(buffer.getvalue())
