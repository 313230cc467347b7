"""`python -m bench.decode`: cost of a scaled JPEG decode against a full one, at 12 megapixels, on one thread, in
processor time.
"""

from __future__ import annotations

import io
import statistics
import time

import numpy as np
from PIL import Image

from pqa.data.assets import ASTRONAUT
from pqa.pixels import codecs, headers

SIZE = (4000, 3000)
ROUNDS = 7


def main() -> None:
    picture = Image.open(ASTRONAUT).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
    # Sensor noise: an enlarged picture alone compresses too well to stand for a camera's file.
    noise = np.random.default_rng(0).normal(0, 4, (SIZE[1], SIZE[0], 3))
    picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    data = buffer.getvalue()
    info = headers.header(data, "JPEG")
    times: dict[int, list[float]] = {scale: [] for scale in (1, 2, 4, 8)}
    for _ in range(ROUNDS):
        for scale, seconds in times.items():
            start = time.process_time()
            codecs.decode(data, info, scale)
            seconds.append(time.process_time() - start)
    print(
        f"12 megapixels, {len(data) / 2**20:.1f} MiB, median of {ROUNDS}\n\n| scale | ms | of a full decode |\n|---|---|---|"
    )
    for scale, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, times[1], strict=True))
        print(f"| 1/{scale} | {1000 * statistics.median(seconds):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
