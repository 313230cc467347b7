"""What a model must beat: one-number measures of a picture, through the same protocol as any prediction.

    python -m bench.yardsticks --labels LABELS.csv --images FOLDER [--limit N] [--mapping raw|logistic4|cubic]

Works on any labelled folder that `pqa evaluate` reads; prints a Markdown table, with `--out DIR` also a predictions
file a yardstick. Pictures are reduced to a shorter side of 512 pixels first, so that resolution alone changes nothing.

BRISQUE and NIQE are not among them: both need fitted parameters. OpenCV's `quality` module (contrib builds only) ships
none, `piq` has BRISQUE only and downloads its weights at the first call, `pyiqa` has both and its licence excludes
commercial use, and scikit-image has neither. So we found no well-kept library that has them at hand offline.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from pqa.data.labels import Labels, read_labels
from pqa.errors import DataError, InputError, PqaError
from pqa.evaluation.mappings import MAPPINGS
from pqa.evaluation.metrics import Evaluation, evaluate
from pqa.pixels.source import open_picture

SHORT_SIDE = 512

Pixels = npt.NDArray[np.uint8]


def _luma(rgb: Pixels) -> npt.NDArray[np.float64]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.float64)


def _colourfulness(rgb: Pixels) -> float:
    """Hasler and Suesstrunk 2003, equation for M(3)."""
    red, green, blue = np.moveaxis(rgb.astype(np.float64), 2, 0)
    opponent = np.stack([red - green, 0.5 * (red + green) - blue])
    return float(np.hypot(*opponent.std(axis=(1, 2))) + 0.3 * np.hypot(*opponent.mean(axis=(1, 2))))


YARDSTICKS: dict[str, tuple[str, Callable[[Pixels], float]]] = {
    "sharpness": ("variance of the Laplacian of luma", lambda rgb: float(cv2.Laplacian(_luma(rgb), cv2.CV_64F).var())),
    "luminance": ("mean luma", lambda rgb: float(_luma(rgb).mean())),
    "contrast": ("standard deviation of luma", lambda rgb: float(_luma(rgb).std())),
    "colourfulness": ("Hasler and Suesstrunk 2003", _colourfulness),
}


def measure(labels: Labels, folder: Path) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Yardsticks of every labelled picture (N, Y), NaN where one cannot be read, and why it cannot."""
    found = np.full((len(labels), len(YARDSTICKS)), np.nan)
    lost = []
    for k, (name, scene) in enumerate(zip(labels.image, labels.scene, strict=True)):
        try:
            pixels = open_picture(_path(folder, name, scene)).reduced(SHORT_SIDE)
        except (InputError, DataError) as error:
            lost.append(f"{name}: {error}")
            continue
        found[k] = [function(pixels) for _, function in YARDSTICKS.values()]
    return found, lost


def _path(folder: Path, name: str, scene: str) -> Path:
    places = [folder / name, folder / PurePosixPath(name).name, folder / scene / PurePosixPath(name).name]
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        raise DataError(f"not in {folder}")
    return place


def results(labels: Labels, measured: npt.NDArray[np.float64], mapping: str) -> dict[str, Evaluation]:
    """Each yardstick against the labels, over the pictures that could be read."""
    read = np.flatnonzero(np.isfinite(measured).all(axis=1))
    if not len(read):
        raise DataError(f"none of {len(labels)} labelled pictures could be read")
    kept = labels.take(read)
    return {
        name: evaluate(measured[read, k], kept.value, kept.scene, mapping=mapping) for k, name in enumerate(YARDSTICKS)
    }


def _write(folder: Path, labels: Labels, measured: npt.NDArray[np.float64]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(YARDSTICKS):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("image", "score"))
            writer.writerows((i, repr(float(v))) for i, v in zip(labels.image, measured[:, k], strict=True) if v == v)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--labels", type=Path, required=True, help="CSV with image, mean rating and, if any, scene")
    parser.add_argument("--images", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--column", help="column of the mean rating, where it is not jod, mos, label or score")
    parser.add_argument("--limit", type=int, help="only this many pictures, evenly spread over the table")
    parser.add_argument("--mapping", choices=sorted(MAPPINGS), default="raw", help="before PLCC (%(default)s)")
    parser.add_argument("--out", type=Path, help="folder for a predictions file a yardstick")
    args = parser.parse_args(argv)
    try:
        labels = read_labels(args.labels, column=args.column)
        if args.limit and args.limit < len(labels):
            labels = labels.take(np.linspace(0, len(labels) - 1, args.limit).round().astype(np.intp))
        measured, lost = measure(labels, args.images)
        found = results(labels, measured, args.mapping)
    except PqaError as error:
        print(error, file=sys.stderr)
        return 2
    if args.out:
        _write(args.out, labels, measured)
    if lost:
        print(f"{len(lost)} of {len(labels)} pictures not read, first: {lost[0]}", file=sys.stderr)
    print(f"| yardstick | what | SRCC | PLCC ({args.mapping}) | KRCC | score | scenes | pictures |\n|{'---|' * 8}")
    for name, result in found.items():
        figures = " | ".join(f"{value:.3f}" for value in (result.srcc, result.plcc, result.krcc, result.score))
        print(f"| {name} | {YARDSTICKS[name][0]} | {figures} | {len(result.scenes)} | {result.n} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
