"""`python -m bench.shapes [--different N]`: what a picture's shape costs, each in a process of its own.

One row a shape: growth of peak memory over the loaded model, processor time of `pqa.load().score`, and both over those
of an ordinary picture (3 : 2, at least 480 x 480 pixels) of as many pixels of the same kind in the same format. With
`--different`: resident growth after N portraits of 12 megapixels, no two of one size, through one model.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import time

import cv2
import numpy as np
from PIL import Image

import pqa
from pqa.data.assets import ASTRONAUT
from pqa.pixels.source import open_picture
from pqa.session import available_cpus

SHAPES = (
    (1, 5000, "PNG"),
    (1, 40_000, "PNG"),
    (1, 65_535, "PNG"),
    (20, 65_535, "PNG"),
    (193, 31_237, "JPEG"),
    (400, 12_000, "JPEG"),
    (500, 12_000, "JPEG"),
    (1080, 20_000, "JPEG"),
    (1600, 16_000, "JPEG"),
    (1000, 3000, "JPEG"),
)
"""Short side, long side, format."""

LEAST = 480
"""Side of the square that the smallest pictures are compared with."""

MEGAPIXELS = 12e6
MIB = 1 << 20


def encoded(high: int, wide: int, kind: str) -> bytes:
    """A file of blurred noise, in which there are no faces but much that looks twice at being one."""
    coarse = np.random.default_rng(0).integers(0, 256, (high // 8 + 1, wide // 8 + 1, 3), np.uint8)
    # By Pillow: OpenCV takes no more than 32,767 pixels on a side everywhere.
    return _file(Image.fromarray(coarse).resize((wide, high), Image.Resampling.BICUBIC), kind)


def _file(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def ordinary(short: int, long: int) -> tuple[int, int]:
    """Height and width of the picture that one of `short` x `long` is compared with."""
    pixels = max(short * long, LEAST**2)
    return round((pixels / 1.5) ** 0.5), round((pixels * 1.5) ** 0.5)


def peak() -> float:
    """Most resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / MIB


def one(high: int, wide: int, kind: str) -> None:
    """Print growth in MiB and seconds for one picture, as JSON."""
    cv2.setNumThreads(1)
    data = encoded(high, wide, kind)
    assessor = pqa.load(workers=1)
    before, start = peak(), time.process_time()
    assessor.score([data])
    print(json.dumps([peak() - before, time.process_time() - start]))


def measured(high: int, wide: int, kind: str) -> list[float]:
    command = [sys.executable, "-m", "bench.shapes", "--one", str(high), str(wide), kind]
    figures: list[float] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return figures


def table() -> None:
    print("| shape | format | MiB | of ordinary | CPU s | of ordinary |\n|---|---|---|---|---|---|")
    for short, long, kind in SHAPES:
        size = ordinary(short, long)
        memory, seconds = measured(long, short, kind)
        usual, time_usual = measured(*size, kind)
        print(
            f"| {short} x {long} | {kind} | {memory:.0f} | {memory / max(usual, 1):.2f} "
            f"| {seconds:.2f} | {seconds / time_usual:.2f} |",
            flush=True,
        )


def different(count: int) -> None:
    """Portraits of 12 megapixels, every one of another aspect between 1 : 2 and 2 : 1."""
    portrait = Image.fromarray(open_picture(ASTRONAUT).whole())
    workers = available_cpus()
    assessor = pqa.load(workers=workers)
    assessor.score([encoded(*ordinary(1, 1), "JPEG")] * workers)
    before = resident()
    for number, aspect in enumerate(np.geomspace(0.5, 2.0, count), 1):
        size = round((MEGAPIXELS * aspect) ** 0.5), round((MEGAPIXELS / aspect) ** 0.5)
        data = _file(portrait.resize(size, Image.Resampling.BICUBIC), "JPEG")
        assessor.score([data])
        if number % max(1, count // 5) == 0:
            print(f"{number} pictures: {resident() - before:+.0f} MiB resident", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--different", type=int, metavar="N", help="growth after N pictures instead")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        high, wide, kind = options.one
        one(int(high), int(wide), kind)
    elif options.different:
        different(options.different)
    else:
        table()


if __name__ == "__main__":
    main()
