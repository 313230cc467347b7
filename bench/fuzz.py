"""`python -m bench.fuzz pictures|requests [--count N] [--seed S]`: damaged files and requests, counted by what comes of them.

`pictures` decodes damaged files of every format in a process of its own: a crash ends it, a hang is seen from outside.
Decoders' own messages go to standard error. `requests` sends damaged requests to a `pqa serve` of its own. Exit code 1 for
a crash, a hang, too much memory, an answer of 500, or an error that is no problem document.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import random
import resource
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import numpy as np
from PIL import Image

from bench.serving import served
from pqa.data.assets import ASTRONAUT
from pqa.errors import InputError
from pqa.pixels.source import open_picture

HANG_S = 2.0
"""Processor seconds of all threads: those of a wall clock would depend on what else the machine does."""

MEMORY_MIB = 1024
"""Of the whole process. A header may promise as many pixels as are taken, whatever comes behind it."""

CHUNK = 500
CLIENTS = 48

Counts = collections.Counter[str]


def seeds() -> dict[str, bytes]:
    """A small portrait in every format that is taken, with what such files carry."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    small = Image.fromarray(open_picture(ASTRONAUT).reduced(96)).convert("RGB")
    deep = Image.fromarray(np.asarray(small.convert("L"), np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    ways: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "jpeg": (small, "JPEG", {"exif": exif}),
        "progressive jpeg": (small, "JPEG", {"progressive": True}),
        "cmyk jpeg": (small.convert("CMYK"), "JPEG", {}),
        "png": (small, "PNG", {"exif": exif}),
        "palette png": (small.convert("P"), "PNG", {}),
        "16-bit png": (deep, "PNG", {}),
        "webp": (small, "WEBP", {"exif": exif}),
        "tiff": (small, "TIFF", {"compression": "tiff_lzw"}),
        "16-bit tiff": (deep, "TIFF", {}),
        "heic": (small, "HEIF", {}),
        "avif": (small, "AVIF", {}),
        "bmp": (small, "BMP", {}),
        "gif": (small.quantize(64), "GIF", {"save_all": True, "append_images": [small.quantize(32)]}),
        "jpeg 2000": (small, "JPEG2000", {}),
        "grey tiff with alpha": (small.convert("LA"), "TIFF", {}),
        "big tiff": (small, "TIFF", {"big_tiff": True}),
    }
    found = {}
    for name, (picture, kind, options) in ways.items():
        found[name] = _encoded(picture, kind, **options)
    hdr = {"color_primaries": 9, "transfer_characteristics": 16, "matrix_coefficients": 9}
    rgb = np.asarray(small, np.uint16) * 257
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", small.size, rgb.tobytes()).save(buffer, **hdr)
    found["hdr heic"] = buffer.getvalue()
    # Primaries and transfer characteristics of BT.2020 and PQ for BT.709's and sRGB's.
    found["hdr avif"] = found["avif"].replace(b"nclx\0\1\0\r", b"nclx\0\x09\0\x10")
    thumbnail = _encoded(small, "TIFF", tiffinfo={254: 1, 50706: b"\1\4\0\0"})
    found["raw"] = thumbnail + _encoded(small.resize((640, 640)), "JPEG")
    return found


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four faults: other bytes, an end too early, a piece lost, doubled or of noise, extreme numbers."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out)) if out else 0
        length = rng.randint(1, 64)
        fault = rng.randrange(6)
        if fault == 0:
            for _ in range(rng.randint(1, 8)):
                if out:
                    out[rng.randrange(len(out))] = rng.randrange(256)
        elif fault == 1:
            del out[at:]
        elif fault == 2:
            del out[at : at + length]
        elif fault == 3:
            out[at:at] = out[at : at + length]
        elif fault == 4:
            out[at:at] = rng.randbytes(length)
        else:
            out[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff"))
    return bytes(out)


def decode(data: bytes) -> str:
    """What comes of a file: `ok`, the status of its error, or the name of an exception that should not have come out."""
    try:
        open_picture(data).reduced(64)
    except InputError as error:
        return error.status
    except Exception as error:
        return f"FAULT {type(error).__name__}"
    return "ok"


def pictures(count: int, seed: int) -> tuple[Counts, tuple[float, str], int]:
    """Outcomes of `count` damaged files, the most processor seconds of one and its kind, and the peak of memory in MiB."""
    rng, files = random.Random(seed), list(seeds().items())
    counts: Counts = collections.Counter()
    slowest = (0.0, "")
    for _ in range(count):
        name, whole = rng.choice(files)
        data = damaged(whole, rng)
        began = time.process_time()
        counts[decode(data)] += 1
        slowest = max(slowest, (time.process_time() - began, name))
    return counts, slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def fuzz_pictures(count: int, seed: int) -> bool:
    """In a process that can be lost; prints a table. Whether nothing bad was found."""
    total: Counts = collections.Counter()
    slowest, peak, first = (0.0, ""), 0, 0
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for number in range(0, count, CHUNK):
            try:
                counts, longest, memory = pool.submit(pictures, min(CHUNK, count - number), seed + number).result(600)
            except (BrokenProcessPool, TimeoutError) as error:
                print(f"crash or hang in the files of seed {seed + number}: {type(error).__name__}")
                return False
            total += counts
            slowest, peak, first = max(slowest, longest), max(peak, memory), first or memory
    for outcome, number in total.most_common():
        print(f"| {outcome} | {number} |")
    print(
        f"{count} files; slowest: {slowest[0]:.2f} s of a processor ({slowest[1]}); "
        f"memory: {first} MiB after {CHUNK}, {peak} MiB at its peak"
    )
    bad = any(outcome.startswith("FAULT") for outcome in total)
    return slowest[0] < HANG_S and peak < MEMORY_MIB and not bad


def request(rng: random.Random, picture: bytes) -> bytes:
    """One request as bytes, wrong in some way or other, seldom right."""
    part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n' + picture + b"\r\n"
    row = {"id": rng.choice(["a", "", "../a", "人", None, 5]), "data": rng.choice(["", "AAAA", "é", None, 7])}
    kinds = {
        "multipart/form-data; boundary=b": part * rng.randint(0, 3) + b"--b--\r\n",
        "multipart/form-data": part,
        "application/json": json.dumps({rng.choice(["images", "image"]): [row] * rng.randint(0, 3)}).encode(),
        "application/json; charset=utf-16": b"\xff\xfe{\0",
        rng.choice(["", "text/plain", "a/b" * 50]): rng.randbytes(rng.randint(0, 200)),
    }
    kind, body = rng.choice(list(kinds.items()))
    if rng.random() < 0.7:
        body = damaged(body, rng) if body else rng.randbytes(9)
    method = rng.choice(["POST"] * 8 + ["GET", "PUT", "OPTIONS", "BREW"])
    path = rng.choice(["/rank"] * 4 + ["/score"] * 4 + ["/models", "/nowhere", "/%00", "/rank/../score?" + "x" * 99])
    length = len(body) if rng.random() < 0.9 else rng.choice([0, len(body) + 9, -1, 10**12])
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
    if rng.random() < 0.1:
        head += rng.choice(
            ["X-Request-ID: \x00\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "Accept\r\n"]
        )
    message = head.encode() + b"Connection: close\r\n\r\n" + body
    return damaged(message, rng) if rng.random() < 0.1 else message


def send(port: int, message: bytes) -> bytes:
    """The answer to raw bytes; empty where the connection ends without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        answer = b""
        try:
            connection.sendall(message)
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionError:
            pass
        return answer


def outcomes(port: int, count: int, seed: int) -> Iterator[str]:
    """The status of every answer, with a word where the answer is not as promised."""
    rng, picture = random.Random(seed), seeds()["jpeg"]
    for _ in range(count):
        answer = send(port, request(rng, picture))
        status = answer[9:12].decode("latin-1")
        wrong = status.startswith(("4", "5")) and b"application/problem+json" not in answer
        yield ("FAULT " if wrong or status == "500" else "") + (status or "closed")


def fuzz_requests(count: int, seed: int) -> bool:
    """Against a `pqa serve` of its own; prints a table. Whether nothing bad was found and it still is ready."""
    with served(PQA_RECEIVE_TIMEOUT_S="0.2") as server, ThreadPoolExecutor(CLIENTS) as pool:
        # Most of the time goes into waiting for requests that do not come to an end.
        shares = [len(range(client, count, CLIENTS)) for client in range(CLIENTS)]
        starts = range(seed * CLIENTS, (seed + 1) * CLIENTS)
        counts: Counts = sum(pool.map(lambda *of: Counts(outcomes(server.port, *of)), shares, starts), Counts())
        ready = server.ready()
    for outcome, number in counts.most_common():
        print(f"| {outcome} | {number} |")
    return ready and not any(outcome.startswith("FAULT") for outcome in counts)


def main() -> int:
    parser = argparse.ArgumentParser(description="Damaged files and requests, counted by what comes of them.")
    parser.add_argument("what", choices=("pictures", "requests"))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| outcome | number |\n|---|---|")
    return 0 if {"pictures": fuzz_pictures, "requests": fuzz_requests}[args.what](args.count, args.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
