"""Face detection: time against facenet-pytorch, and a check of pictures whose main face is marked.

    python -m bench.detect
    python -m bench.detect --truth boxes.csv --images DIR

The first enlarges the shipped portrait to 12 megapixels, as JPEG, and times both detectors on one thread. The second
takes a CSV with the columns file, x1, y1, x2, y2 (fractions of width and height) and prints one line a picture.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from facenet_pytorch import MTCNN

from pqa.data import assets
from pqa.faces.attempts import look
from pqa.faces.cascade import Mtcnn
from pqa.faces.mtcnn import FIRST, THRESHOLDS, MtcnnDetector
from pqa.faces.suppression import overlap
from pqa.pixels.source import open_picture

FULL_SIDE = 3464
"""Side of a square picture of 12 megapixels."""

FOUND = 0.4
"""Intersection over union with the marked box from which a face counts as the right one: boxes are marked by eye."""


def median_ms(action: Callable[[], object], repeats: int) -> float:
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def speed(repeats: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    portrait = open_picture(assets.ASTRONAUT).reduced(512)
    enlarged = cv2.resize(portrait, (FULL_SIDE, FULL_SIDE), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", enlarged[..., ::-1])[1].tobytes()
    attempt = FIRST[0][0]
    mtcnn = Mtcnn()
    source = open_picture(data)
    reduced, full = source.reduced(attempt.short_side), source.region((0, 0, *source.size))
    same = MTCNN(keep_all=True, min_face_size=attempt.min_face)
    usual = MTCNN(keep_all=True)
    rows = (
        ("pqa, first look, reduced picture given", lambda: look(mtcnn, source, attempt, THRESHOLDS), repeats),
        ("pqa, from the JPEG's bytes", lambda: MtcnnDetector(mtcnn).detect(open_picture(data)), repeats),
        ("facenet-pytorch, same size and minimum face", lambda: same.detect(reduced, landmarks=True), repeats),
        ("facenet-pytorch, full size, its defaults", lambda: usual.detect(full, landmarks=True), 2),
    )
    base = None
    print(f"{'one thread, 12-megapixel portrait':46} {'ms':>9} {'ratio':>7}")
    for name, action, count in rows:
        took = median_ms(action, count)
        base = base or took
        print(f"{name:46} {took:9.1f} {took / base:7.1f}")


def check(truth: Path, images: Path) -> None:
    detector = MtcnnDetector(Mtcnn())
    right = 0
    with truth.open(newline="") as file:
        rows = list(csv.DictReader(file))
    print(f"{'file':44} {'found':6} {'IoU':>5} {'confidence':>10}  look")
    for row in rows:
        source = open_picture(images / row["file"])
        width, height = source.size
        box = (
            float(row["x1"]) * width,
            float(row["y1"]) * height,
            float(row["x2"]) * width,
            float(row["y2"]) * height,
        )
        seen = detector.sightings(source)
        if not seen:
            print(f"{row['file']:44} none")
            continue
        common = overlap(seen[0].face.box, box)
        right += common >= FOUND
        verdict = "yes" if common >= FOUND else "WRONG"
        print(f"{row['file']:44} {verdict:6} {common:5.2f} {seen[0].face.confidence:10.3f}  {seen[0].attempt}")
    print(f"right face found in {right} of {len(rows)}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, help="CSV of marked boxes: file, x1, y1, x2, y2 as fractions")
    parser.add_argument("--images", type=Path, help="folder of the files named there")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args(arguments)
    if (options.truth is None) != (options.images is None):
        parser.error("--truth and --images go together")
    if options.truth is None:
        speed(options.repeats)
    else:
        check(options.truth, options.images)


if __name__ == "__main__":
    main()
