"""`python -m bench.stages [MODEL]`: where the time of one 12-megapixel portrait goes, on one thread.

Stages are timed in the order in which `Predictor.prepare` takes them, so the first that asks for pixels pays the decode.
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
from pqa import imaging, measures
from pqa.data.assets import ASTRONAUT
from pqa.views import make_view

SIZE = (3000, 4000)
ROUNDS = 7


def portrait() -> bytes:
    """A 12-megapixel JPEG: the shipped portrait's upper middle, enlarged, with sensor noise."""
    rgb = imaging.open(ASTRONAUT).reduced(512)[:, 64:448]
    large = np.asarray(Image.fromarray(rgb).resize(SIZE, Image.Resampling.BICUBIC), np.float32)
    noisy = large + np.random.default_rng(0).normal(0, 4, large.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def main(model: str = "default") -> None:
    cv2.setNumThreads(1)
    predictor = pqa.load(model, allow_untrained=True, workers=1).predictor
    data = portrait()
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        times.setdefault(name, []).append(1000 * (time.perf_counter() - start))
        return result

    def one_round() -> None:
        source = timed("open", lambda: imaging.open(data))
        timed("decode", lambda: source.reduced(480))
        faces = timed("faces", lambda: predictor.detector.detect(source))
        for view in predictor.spec.views:
            timed(f"view {view.name}", lambda view=view: make_view(source, faces[0], view))
        timed("measures", lambda: measures.measure(source, faces[0]))
        timed("hash", lambda: source.sha256)
        prepared = timed("prepare, whole", lambda: predictor.prepare(data))
        timed("graph", lambda: predictor.infer([prepared]))
        timed("prepare and graph", lambda: predictor.infer([predictor.prepare(data)]))

    for _ in range(ROUNDS):
        one_round()
    print(f"12 megapixels, {len(data) / 2**20:.1f} MiB, median of {ROUNDS}\n\n| stage | ms |\n|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.1f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
