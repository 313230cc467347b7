"""`python -m bench.stopping [--kinds K ...]`: how long a decode thread stays busy with a picture that was given up.

Pictures just below 50 megapixels (those of `python -m bench.soak largest`; refused ones are scaled down until they are taken),
each given up at 8 moments spread over its preparation. Printed: the longest time from there until the thread is free,
beside the whole preparation, in seconds of the thread's processor, which a busy machine changes little, and by the clock, since
some decoders have threads of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
import time

import numpy as np
import pillow_heif

from bench import soak
from bench.service import processor
from pqa.cancel import Token, watched_by
from pqa.errors import ImageTimeout, ImageTooLarge
from pqa.pixels.source import Limits, open_picture
from pqa.runtime.predictor import Predictor
from pqa.runtime.store import ModelStore
from service.settings import MIB, Settings

MOMENTS = 8


def limits() -> Limits:
    """Those of the service where nothing is set."""
    settings = Settings()
    return Limits(
        max_bytes=settings.max_file_bytes,
        max_pixels=int(settings.max_megapixels * 1e6),
        max_memory=int(settings.max_decode_mib * MIB),
    )


def largest(kind: str) -> bytes:
    """The largest picture of this kind that the service takes, in steps of an eighth of the edge."""
    full = soak.SIDES
    try:
        for part in range(8, 0, -1):
            soak.SIDES = (full[0] * part // 8 // 16 * 16, full[1] * part // 8 // 16 * 16)
            data = soak.large(kind)
            try:
                open_picture(data, limits())
            except ImageTooLarge:
                continue
            return data
    finally:
        soak.SIDES = full
    raise RuntimeError(f"no picture of the kind {kind} is taken")


def whole(predictor: Predictor, data: bytes) -> float:
    began = time.thread_time()
    predictor.prepare(data)
    return time.thread_time() - began


def freed(predictor: Predictor, data: bytes, after: float) -> tuple[float, float]:
    """From giving up, `after` processor seconds into the preparation, until it ends: such seconds, and those of the clock."""
    token, done, given_up = Token(), threading.Event(), (np.inf, np.inf)
    clock = time.pthread_getcpuclockid(threading.get_ident())
    began = time.clock_gettime(clock)

    def give_up() -> None:
        nonlocal given_up
        while time.clock_gettime(clock) < began + after:
            if done.wait(0.002):
                return
        given_up = time.clock_gettime(clock), time.perf_counter()
        token.cancel()

    watch = threading.Thread(target=give_up)
    watch.start()
    with contextlib.suppress(ImageTimeout), watched_by(token):
        predictor.prepare(data)
    done.set()
    ended = time.clock_gettime(clock), time.perf_counter()
    watch.join()
    return max(0.0, ended[0] - given_up[0]), max(0.0, ended[1] - given_up[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a picture that nobody waits for keeps its thread.")
    parser.add_argument("--kinds", nargs="*", default=list(soak.KINDS), choices=soak.KINDS)
    args = parser.parse_args()
    pillow_heif.register_heif_opener()
    predictor = Predictor(ModelStore().load(), limits=limits())
    print(processor())
    for kind in args.kinds:
        data = largest(kind)
        width, height = open_picture(data, limits()).size
        seconds = min(whole(predictor, data) for _ in range(2))
        times = [freed(predictor, data, seconds * (n + 0.5) / MOMENTS) for n in range(MOMENTS)]
        busy, waited = (max(values) for values in zip(*times, strict=True))
        print(
            f"{kind}, {width * height / 1e6:.1f} megapixels: prepared in {seconds:.2f} s, "
            f"given up: free after at most {busy:.2f} s, {waited:.2f} s by the clock",
            flush=True,
        )


if __name__ == "__main__":
    main()
