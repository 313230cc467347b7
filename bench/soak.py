"""`python -m bench.soak WHAT [--model MODEL] [--count N]`: how a `pqa serve` of its own bears what lasts, and what is large.

| WHAT | what it prints |
|---|---|
| `start` | seconds from the command to ready, resident memory when idle |
| `mixed` | answers to N (10,000) requests of mixed sizes, every seventh no picture; memory that 1,000 of them leave behind |
| `scene` | a scene of N (125) pictures of 12 megapixels in one request: ranked, seconds, peak of memory over idle |
| `drain` | SIGTERM after N (1,000) requests at once: refused at the door, answers of those in flight, seconds to the end |
| `lag` | time of N (400) answers of /healthz, one after the other, while pictures of 50 megapixels are decoded |
| `limits` | time until refusal, over N (50): promise of too much, crossing without one, header of 65,535 square, full queue |
| `largest` | peak of memory over idle for one request with one picture just below 50 megapixels, by its kind; refused: 422 |
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import signal
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import httpx
import numpy as np
import pillow_heif
from PIL import Image

from bench.service import files, percentile, processor
from bench.serving import Served, served
from bench.stages import portrait
from pqa.data.assets import ASTRONAUT
from pqa.pixels.source import open_picture

PATIENT = {"PQA_QUEUE_S": "3600"}
"""Nobody is refused because the machine is slow."""

WIDE = {
    "PQA_QUEUE_PICTURES": "5000",
    "PQA_CLIENT_REQUESTS": "5000",
    "PQA_CONNECTIONS": "5000",
    "PQA_CLIENT_SHARE": "1",
    **PATIENT,
}
"""Room for whatever can be drained."""

FULL = {"PQA_CACHE_PICTURES": "500", **PATIENT}
"""The cache is full before memory is looked at: what it holds on purpose is no leak."""

STRICT = {"PQA_MAX_REQUEST_MIB": "1", "PQA_QUEUE_PICTURES": "2"}
KIND = {"Content-Type": "multipart/form-data; boundary=b"}
READINGS = 20

SIDES = (8192, 6096)
"""Just below 50 megapixels."""

ORIENTATION = 0x0112
"""The tag of EXIF."""

KINDS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "JPEG": ("JPEG", 8, {}),
    "JPEG, on its side": ("JPEG", 8, {"orientation": 6}),
    "JPEG, CMYK": ("JPEG", 8, {"mode": "CMYK"}),
    "JPEG, progressive": ("JPEG", 8, {"progressive": True}),
    "JPEG, progressive, 4:4:4": ("JPEG", 8, {"progressive": True, "subsampling": 0}),
    "PNG": ("PNG", 8, {}),
    "PNG, on its side": ("PNG", 8, {"orientation": 6}),
    "PNG with alpha": ("PNG", 8, {"mode": "RGBA"}),
    "16-bit PNG": ("PNG", 16, {"mode": "RGB"}),
    "16-bit PNG with alpha": ("PNG", 16, {"mode": "RGBA"}),
    "WebP": ("WEBP", 8, {}),
    "WebP, lossless": ("WEBP", 8, {"lossless": True, "quality": 0, "method": 0}),
    "TIFF, packed": ("TIFF", 8, {"compression": "tiff_deflate"}),
    "16-bit TIFF": ("TIFF", 16, {"mode": "RGB"}),
    "HEIC": ("HEIF", 8, {}),
    "AVIF": ("AVIF", 8, {"speed": 10}),
}
"""Format, bits a channel, and how it is made."""

Answers = collections.Counter[int]


def post(server: Served, data: bytes) -> int:
    """Status of the answer to one picture; 0 where none came."""
    try:
        return httpx.post(f"{server.url}/score", files=[("images", ("a", data))], timeout=600).status_code
    except httpx.TransportError:
        return 0


def mixed(server: Served, count: int, warm_up: int) -> tuple[Answers, list[float]]:
    """Answers by status, and the resident MiB after each twentieth of them; the first `warm_up` requests are not counted.

    One reading says little: what the last few requests freed comes back to the system sooner or later.
    """
    makers = [files(edge) for edge in (64, 200, 640, 1500)]

    def one(number: int) -> int:
        return post(server, makers[number % 4]() if number % 7 else b"no picture")

    answers, readings = Answers(), []
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(warm_up)))
        for numbers in np.array_split(np.arange(count), READINGS):
            answers.update(pool.map(one, numbers.tolist()))
            readings.append(server.memory_mib())
    return answers, readings


def growth(count: int, readings: list[float]) -> float:
    """MiB for each 1,000 of `count` requests: the slope of the line through evenly spread readings of memory."""
    return float(np.polyfit(np.linspace(count / READINGS, count, READINGS), readings, 1)[0]) * 1000.0


def scene(server: Served, data: bytes, number: int) -> tuple[int, float]:
    """How many of so many pictures, all alike but for a byte behind their end, were ranked; peak MiB over idle."""

    def body() -> Iterator[bytes]:
        for n in range(number):
            yield f'--b\r\nContent-Disposition: form-data; name="images"; filename="{n}.jpg"\r\n\r\n'.encode()
            yield data + n.to_bytes(2) + b"\r\n"
        yield b"--b--\r\n"

    idle = server.begin_peak()
    answer = httpx.post(f"{server.url}/rank", content=body(), headers=KIND, timeout=900)
    return len(answer.json()["groups"][0]["order"]), server.peak_mib() - idle


def drain(server: Served, number: int) -> tuple[Answers, Answers, float]:
    """Answers to so many requests at once: before SIGTERM, and after it; the seconds from there to the end of the process.

    SIGTERM comes when each of them is in work, refused or done.
    """
    make, names = files(256), ("pqa_pictures_in_work", 'pqa_responses_total{route="/score"')
    with ThreadPoolExecutor(number) as pool:
        answers = [pool.submit(post, server, make()) for _ in range(number)]
        while sum(map(server.metric, names)) < number:
            time.sleep(0.05)
        before = collections.Counter(answer.result() for answer in answers if answer.done())
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        after = collections.Counter(answer.result() for answer in answers) - before
        while server.running():
            time.sleep(0.05)
    return before, after, time.monotonic() - began


def lag(server: Served, count: int) -> list[float]:
    """Seconds of answers of /healthz while two requests with pictures of 50 megapixels follow each other without end."""
    data, stop = large("JPEG"), threading.Event()

    def load(number: int) -> None:
        n = number
        while not stop.is_set():
            post(server, data + n.to_bytes(4))
            n += 2

    with ThreadPoolExecutor(2) as pool, httpx.Client(base_url=server.url, timeout=60) as client:
        busy = [pool.submit(load, number) for number in range(2)]
        while not server.metric("pqa_pictures_in_work"):
            time.sleep(0.01)
        times = []
        for _ in range(count):
            began = time.perf_counter()
            client.get("/healthz").raise_for_status()
            times.append(time.perf_counter() - began)
            time.sleep(0.02)
        stop.set()
        for one in busy:
            one.result()
    return times


def refusals(server: Served, count: int) -> dict[str, list[float]]:
    """Seconds to the first byte of the answer, from what breaks the limit; the server has the settings STRICT."""
    head = b"POST /rank HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    field = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    part, chunk = field + bomb() + b"\r\n--b--\r\n", field + bytes(1 << 20)
    ways = {
        "promise": (b"", head + b"Content-Length: 99999999\r\n\r\n", b"413"),
        "crossing": (head + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n" % len(chunk) + chunk + b"\r\n", b"413"),
        "header": (b"", head + b"Content-Length: %d\r\n\r\n" % len(part) + part, b"422"),
    }
    times: dict[str, list[float]] = {}
    for name, way in ways.items():
        times[name] = [refusal(server, *way) for _ in range(count)]
    make, stop = files(512), threading.Event()

    def load() -> None:
        while not stop.is_set():
            post(server, make())

    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(load) for _ in range(4)]
        times["full"] = []
        for _ in range(20 * count):
            # Now and then there is room, and the picture that would break another limit is looked at.
            with contextlib.suppress(RuntimeError):
                times["full"].append(refusal(server, *ways["header"][:2], b"429"))
            if len(times["full"]) == count:
                break
        stop.set()
        for one in busy:
            one.result()
    if len(times["full"]) < count:
        raise RuntimeError(f"the queue was full {len(times['full'])} times in {20 * count} requests, expected {count}")
    return times


def refusal(server: Served, before: bytes, last: bytes, status: bytes) -> float:
    """Seconds from the `last` bytes of a request to the first ones of its answer. Raises RuntimeError for another answer."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(before)
        began = time.perf_counter()
        connection.sendall(last)
        answer = connection.recv(100)
        seconds = time.perf_counter() - began
    if not answer.startswith(b"HTTP/1.1 " + status):
        raise RuntimeError(f"expected {status.decode()}, got {answer[:40]!r}")
    return seconds


def bomb() -> bytes:
    """A PNG whose header promises 65,535 by 65,535 pixels."""
    size = struct.pack(">4sLLBBBBB", b"IHDR", 65535, 65535, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    data = struct.pack(">L4s", len(rows), b"IDAT") + rows + struct.pack(">L", zlib.crc32(b"IDAT" + rows))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + size + struct.pack(">L", zlib.crc32(size)) + data


def large(kind: str) -> bytes:
    """The shipped portrait, enlarged to 50 megapixels by repeating its pixels, so that no file is over the limit on files."""
    small = Image.fromarray(open_picture(ASTRONAUT).reduced(512)).resize((SIDES[0] // 8, SIDES[1] // 8))
    rgb = small.resize(SIDES, Image.Resampling.NEAREST)
    name, depth, words = KINDS[kind]
    if depth == 16:
        deep = np.asarray(rgb.convert(words["mode"])).astype(np.uint16) * 257
        order = [2, 1, 0, 3][: deep.shape[2]]
        return cv2.imencode(f".{name.lower()}", np.ascontiguousarray(deep[..., order]))[1].tobytes()
    exif = Image.Exif()
    exif[ORIENTATION] = words.get("orientation", 1)
    options = {key: value for key, value in words.items() if key not in ("mode", "orientation")}
    buffer = io.BytesIO()
    rgb.convert(words.get("mode", "RGB")).save(buffer, name, exif=exif, **options)
    return buffer.getvalue()


def milliseconds(times: list[float]) -> str:
    p50, p99 = (1000 * percentile(times, part) for part in (50, 99))
    return f"median {p50:.1f} ms, p99 {p99:.1f} ms, longest {1000 * max(times):.1f} ms"


def main() -> None:
    defaults = {"start": 1, "mixed": 10_000, "scene": 125, "drain": 1000, "lag": 400, "limits": 50, "largest": 1}
    parser = argparse.ArgumentParser(description="How the service bears what lasts, and what is large.")
    parser.add_argument("what", choices=defaults)
    parser.add_argument("--model", default="default")
    parser.add_argument("--count", type=int)
    args = parser.parse_args()
    count = args.count or defaults[args.what]
    settings = {
        "drain": WIDE,
        "mixed": FULL,
        "limits": STRICT,
    }
    began = time.monotonic()
    with served("--model", args.model, **settings.get(args.what, {})) as server:
        ready = time.monotonic() - began
        print(f"{processor()}: ready after {ready:.1f} s, {server.memory_mib():.0f} MiB resident", flush=True)
        began = time.monotonic()
        if args.what == "mixed":
            answers, readings = mixed(server, count, warm_up=max(1, count // 5))
            print(f"{count} requests: {dict(answers)}; {growth(count, readings):+.2f} MiB per 1,000, ", end="")
            print(f"{min(readings):.0f} to {max(readings):.0f} MiB resident")
        elif args.what == "scene":
            ranked, peak = scene(server, portrait(), count)
            print(f"{ranked} of {count} ranked in {time.monotonic() - began:.1f} s, peak {peak:.0f} MiB over idle")
        elif args.what == "drain":
            before, after, seconds = drain(server, count)
            print(f"{count} at once: {dict(before)} before SIGTERM, ", end="")
            print(f"{dict(after)} of the {after.total()} in flight then; ended {seconds:.1f} s after it")
        elif args.what == "lag":
            print(f"/healthz while 50 megapixels are decoded: {milliseconds(lag(server, count))}")
        elif args.what == "limits":
            for name, times in refusals(server, count).items():
                print(f"{name}: {milliseconds(times)}")
        elif args.what == "largest":
            pillow_heif.register_heif_opener()
            for kind in KINDS:
                data, idle = large(kind), server.begin_peak()
                status = post(server, data)
                over = server.peak_mib() - idle
                print(f"{kind} of {len(data) / 2**20:.0f} MiB: {status}, peak {over:.0f} MiB over idle", flush=True)


if __name__ == "__main__":
    main()
