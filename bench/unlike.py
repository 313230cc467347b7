"""How often a picture is flagged `unlike_training`: portraits, faulted portraits, other photographs, and what is none.

    python -m bench.unlike --data BIQ2021 [--model MODEL] [--pictures 60]

BIQ2021 is the folder of that set's training split; its choose part is looked at, on whose portraits the limit was set, and
the report part's portraits, which it never saw. Drawings are made of portraits (flat regions, dark outlines; pencil),
screenshots, charts and pages are drawn here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

import pqa
from pqa.data import sets
from pqa.data.parts import Part
from pqa.pixels.source import open_picture
from pqa.simulator import camera
from pqa.simulator.camera import Pixels, Rng
from pqa.types import Score

SIDE = 512
WORDS = [
    "quality",
    "portrait",
    "scene",
    "light",
    "focus",
    "noise",
    "skin",
    "shadow",
    "rating",
    "order",
    "people",
    "camera",
]


def cartoon(rgb: Pixels) -> Pixels:
    """Flat regions and dark outlines."""
    flat = cv2.pyrMeanShiftFiltering(np.ascontiguousarray(rgb), 12, 40)
    grey = cv2.medianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 5)
    edges = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 6)
    return np.asarray(np.where(edges[..., None] > 0, flat, 20), np.uint8)


def pencil(rgb: Pixels) -> Pixels:
    """Grey strokes on white paper."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    drawn = np.clip(grey * 255.0 / (cv2.GaussianBlur(grey, (0, 0), 5) + 1.0), 0, 255).astype(np.uint8)
    return np.repeat(drawn[..., None], 3, axis=2)


def screenshot(rng: Rng) -> Pixels:
    """Windows with bars, buttons and lines of text on a plain desktop."""
    made = np.full((SIDE, SIDE, 3), rng.integers(30, 240, 3), np.uint8)
    for _ in range(3):
        x, y = (int(v) for v in rng.integers(0, SIDE // 2, 2))
        wide, high = (int(v) for v in rng.integers(SIDE // 4, SIDE // 2, 2))
        cv2.rectangle(made, (x, y), (x + wide, y + high), (250, 250, 250), -1)
        cv2.rectangle(made, (x, y), (x + wide, y + 18), tuple(int(v) for v in rng.integers(0, 200, 3)), -1)
        for line in range(y + 36, y + high - 6, 16):
            text = " ".join(rng.choice(WORDS, 4))
            cv2.putText(made, text, (x + 6, line), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (20, 20, 20), 1, cv2.LINE_AA)
    return made


def page(rng: Rng) -> Pixels:
    """Black text on white."""
    made = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for line in range(30, SIDE - 20, 18):
        text = " ".join(rng.choice(WORDS, 8))
        cv2.putText(made, text, (20, line), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return made


def chart(rng: Rng) -> Pixels:
    """Bars of plain colours with axes."""
    made = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for x in range(50, SIDE - 40, 40):
        high = int(rng.integers(40, SIDE - 80))
        cv2.rectangle(
            made, (x, SIDE - 40 - high), (x + 26, SIDE - 40), tuple(int(v) for v in rng.integers(0, 255, 3)), -1
        )
    cv2.line(made, (40, SIDE - 40), (SIDE - 20, SIDE - 40), (0, 0, 0), 2)
    cv2.line(made, (40, 20), (40, SIDE - 40), (0, 0, 0), 2)
    return made


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--pictures", type=int, default=60, help="of each kind at most (default: %(default)s)")
    options = parser.parse_args(arguments)
    assessor = pqa.load(options.model)
    rng = np.random.default_rng(0)
    rated = sets.read(options.data, "biq2021").rows

    def some(part: Part, portrait: bool) -> list[Pixels]:
        paths = [row.path for row in rated if row.part == part and (row.condition == "portrait") == portrait]
        chosen = rng.permutation(len(paths))[: options.pictures]
        return [open_picture(paths[number]).reduced(2 * SIDE) for number in sorted(chosen)]

    portraits = some("report", True)
    names = list(camera.FAULTS)
    faulted = [camera.apply(rgb, names[n % len(names)], 0.5, rng) for n, rgb in enumerate(portraits)]
    kinds: dict[str, Iterable[Pixels]] = {
        "portraits, choose part": some("choose", True),
        "portraits, report part": portraits,
        "the same under a fault of half strength": faulted,
        "photographs without a clear face": some("report", False),
        "portraits drawn as cartoons": map(cartoon, portraits),
        "portraits drawn with a pencil": map(pencil, portraits),
        "screenshots": [screenshot(rng) for _ in range(options.pictures)],
        "pages of text": [page(rng) for _ in range(options.pictures)],
        "bar charts": [chart(rng) for _ in range(options.pictures)],
    }
    print("| pictures | n | flagged unlike_training | without a face or flagged |\n|---|---|---|---|")
    for name, pictures in kinds.items():
        rows = [row for row in assessor.score(list(pictures)) if isinstance(row, Score)]
        flagged = np.array(["unlike_training" in row.flags for row in rows])
        either = flagged | np.array([not row.faces for row in rows])
        print(f"| {name} | {len(rows)} | {flagged.mean():.2f} | {either.mean():.2f} |", flush=True)


if __name__ == "__main__":
    main()
