"""`python -m bench.stages [MODEL]`: where the processor time of one 12-megapixel portrait goes, on one thread.

Stages are timed in the order in which `Predictor.prepare` takes them, so the first that asks for pixels pays the decode.
The smaller the face, the finer the decode that its view needs: the table has a column for each of three sizes of it.
Time is the process's own, so that other work on the machine counts for little; set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image

import pqa
from pqa.data.assets import ASTRONAUT
from pqa.pixels import measures
from pqa.pixels.source import open_picture
from pqa.pixels.views import make_view
from pqa.runtime.predictor import Predictor

SIZE = (3000, 4000)
SHARES = (1.0, 0.7, 0.4)
"""Width of the shipped portrait's part as a share of the frame's: the rest continues it by mirroring."""

ROUNDS = 15


def portrait(share: float = 1.0) -> bytes:
    """A 12-megapixel JPEG: the shipped portrait's upper middle, enlarged, with sensor noise."""
    rgb = open_picture(ASTRONAUT).reduced(512)[:, 64:448]
    high, wide = (round(edge / share) for edge in rgb.shape[:2])
    left = (wide - rgb.shape[1]) // 2
    around = ((0, high - rgb.shape[0]), (left, wide - rgb.shape[1] - left), (0, 0))
    rgb = np.pad(rgb, around, mode="symmetric")
    large = np.asarray(Image.fromarray(rgb).resize(SIZE, Image.Resampling.BICUBIC), np.float32)
    noisy = large + np.random.default_rng(0).normal(0, 4, large.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def stages(predictor: Predictor, data: bytes) -> tuple[float, dict[str, float]]:
    """The main face's side in pixels, and the median milliseconds of every stage."""
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        times.setdefault(name, []).append(1000 * (time.process_time() - start))
        return result

    def one_round() -> float:
        source = timed("open", lambda: open_picture(data))
        timed("decode", lambda: source.reduced(480))
        faces = timed("faces", lambda: predictor.detector.detect(source))
        for view in predictor.spec.views:
            timed(f"view {view.name}", lambda view=view: make_view(source, faces[0], view))
        timed("measures", lambda: measures.measure(source, faces[0]))
        timed("hash", lambda: source.sha256)
        prepared = timed("prepare, whole", lambda: predictor.prepare(data))
        timed("graph", lambda: predictor.infer([prepared]))
        timed("prepare and graph", lambda: predictor.infer([predictor.prepare(data)]))
        return faces[0].side

    sides = [one_round() for _ in range(ROUNDS)]
    return sides[0], {name: statistics.median(values) for name, values in times.items()}


def main(model: str = "default") -> None:
    cv2.setNumThreads(1)
    predictor = pqa.load(model, allow_untrained=True, workers=1).predictor
    pictures = [portrait(share) for share in SHARES]
    columns = [stages(predictor, data) for data in pictures]
    sizes = ", ".join(f"{len(data) / 2**20:.1f}" for data in pictures)
    print(f"12 megapixels, {sizes} MiB, processor time in ms, median of {ROUNDS}\n")
    print("| stage |" + "".join(f" face of {side:.0f} pixels |" for side, _ in columns))
    print("|---|" + "---|" * len(columns))
    for name in columns[0][1]:
        print(f"| {name} |" + "".join(f" {times[name]:.1f} |" for _, times in columns))


if __name__ == "__main__":
    main(*sys.argv[1:])
