"""A small folder of rated portraits for tests of training: scenes of the shipped portrait, blurred more or less."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from pqa.data.assets import ASTRONAUT
from pqa.pixels.source import open_picture

SIDE = 112


def write_portraits(folder: Path, *, scenes: int = 6, shots: int = 6, seed: int = 0) -> Path:
    """`scenes` times `shots` pictures in the layout `scene/device/picture.jpg`, with labels.csv of three attributes.

    Every scene rates on its own scale. `overall` and `detail` fall with the blur, `exposure` with the distance from the light
    of the original; one rating of `detail` is missing.
    """
    rng = np.random.default_rng(seed)
    whole = open_picture(ASTRONAUT).region((90.0, 0.0, 350.0, 260.0), 2 * SIDE)
    rows = []
    for scene in range(scenes):
        gain, offset = rng.uniform(0.5, 2.0), rng.uniform(-2.0, 2.0)
        for shot in range(shots):
            left, top = rng.integers(0, 40, 2)
            cut = cv2.resize(whole[top : top + 184, left : left + 184], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            blur, light = rng.uniform(0.1, 2.5), rng.uniform(0.5, 1.2)
            made = cv2.GaussianBlur(cut, (0, 0), blur) * light + rng.normal(0.0, 2.0, cut.shape)
            name = f"place_{scene}/phone_{shot % 3}/{shot}.jpg"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name), np.clip(made, 0, 255).astype(np.uint8)[..., ::-1])
            ratings = [offset - gain * blur, "" if not rows else offset - gain * blur, offset - gain * abs(light - 1.0)]
            rows.append([name, *ratings, "indoor" if scene % 2 else "outdoor"])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "overall", "detail", "exposure", "condition"], *rows])
    return folder
