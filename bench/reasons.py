"""How often each reason is given: on well-liked portraits, where it should not be, and on the same with one camera fault.

    python -m bench.reasons --data DIR

DIR holds BIQ2021's training split. Well-liked: the upper quarter by rating of its stock-photo portraits (ss03) with a face
that the detector finds. The `report` part is left out, since the thresholds of `pqa.pixels.measures` were set by this table.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from pqa.data import biq2021
from pqa.data.duplicates import duplicate_groups, thumbnail
from pqa.data.parts import parts
from pqa.faces.detectors import load_detector
from pqa.pixels.measures import REASONS, measure, reasons
from pqa.pixels.source import Pixels, open_picture
from pqa.simulator import camera
from pqa.types import Face

Pixels = Pixels
CASES = ("defocus", "lens_blur", "motion", "sensor_noise", "under_exposure", "over_exposure", "haze", "smear", "jpeg")


def portraits(folder: Path) -> list[tuple[Pixels, Face]]:
    """Well-liked portraits outside the report part, each with its main face."""
    rows = biq2021.read(folder)
    names = [row.path.name for row in rows]
    groups = duplicate_groups([thumbnail(open_picture(row.path)) for row in rows])
    stock = [
        row
        for row, part in zip(rows, parts(names, groups), strict=True)
        if row.portrait and row.subset == "ss03" and part != "report"
    ]
    liked = float(np.quantile([row.mos for row in stock], 0.75))
    detector = load_detector("mtcnn")
    found = []
    for row in stock:
        if row.mos >= liked and (faces := detector.detect(open_picture(row.path))):
            source = open_picture(row.path)
            found.append((source.reduced(min(source.size)), faces[0]))
    return found


def rates(pictures: list[tuple[Pixels, Face]], fault: str, strength: float) -> list[float]:
    """Share of the pictures that get each row of REASONS; faces are those of the untouched pictures."""
    counts: Counter[str] = Counter()
    for number, (rgb, face) in enumerate(pictures):
        shot = camera.apply(rgb, fault, strength, np.random.default_rng(number))
        counts.update(reason.code for reason in reasons(measure(open_picture(shot), face)))
    return [counts[row.code] / len(pictures) for row in REASONS]


def main() -> None:
    parser = argparse.ArgumentParser(description="Print how often each reason is given, by fault and strength.")
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021's training split")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.25, 0.5], help="of the faults, 0 to 1")
    args = parser.parse_args()
    pictures = portraits(args.data)
    print(f"{len(pictures)} portraits\n")
    print("| fault | strength | " + " | ".join(row.code for row in REASONS) + " |")
    print("|---|---|" + "---|" * len(REASONS))
    cases = [(CASES[0], 0.0), *((fault, strength) for fault in CASES for strength in args.strengths)]
    for fault, strength in cases:
        cells = (f"{rate:.2f}" for rate in rates(pictures, fault, strength))
        print(f"| {fault if strength else 'none'} | {strength} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
