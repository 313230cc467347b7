"""`python -m bench.service [MODEL] [--seconds S] [--edge PIXELS]`: `pqa serve` under open-loop load, against a bare loop.

The bare loop decodes, detects and runs the same pictures with `pqa.load().score(...)` in this process, then the service
does, in a process of its own; the load generator shares its processors. Requests of one picture arrive by a Poisson
process, whether or not earlier ones are answered, so that a slow service is not asked less. No two files are alike, so none
comes from the cache. Figures of a machine that does something else meanwhile mean nothing, but for the ratio of CPU times.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from PIL import Image

import pqa
from bench.serving import Served, served
from pqa.data.assets import ASTRONAUT
from pqa.pixels.source import open_picture
from pqa.session import available_cpus

CLIENTS = 16
LOADS = (0.5, 0.75, 0.9, 1.0)
"""Parts of the highest throughput that the open loop offers."""

TURNS = 200
"""Pictures of which each is scored by an idle service and, at once after or before, in the bare loop."""

OVERLOAD = 3.0


def files(edge: int) -> Callable[[], bytes]:
    """A function that gives the same portrait as another file each time: bytes behind the end of a JPEG change no pixel."""
    portrait = Image.fromarray(open_picture(ASTRONAUT).reduced(512)).convert("RGB")
    buffer = io.BytesIO()
    portrait.resize((edge, edge * portrait.height // portrait.width)).save(buffer, "JPEG", quality=92)
    base, count = buffer.getvalue(), iter(range(1 << 40))
    return lambda: base + next(count).to_bytes(8, "big")


@dataclass
class Bare:
    """The same pictures without a service."""

    a_second: float
    cpu_s: float


def bare(assessor: pqa.Assessor, make: Callable[[], bytes], seconds: float) -> Bare:
    """Throughput and processor time on all processors."""
    assessor.score([make() for _ in range(2 * available_cpus())])
    done, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        assessor.score([make() for _ in range(CLIENTS)])
        done += CLIENTS
    return Bare(done / (time.perf_counter() - began), (time.process_time() - cpu) / done)


def in_turn(server: Served, assessor: pqa.Assessor, make: Callable[[], bytes]) -> tuple[list[float], list[float]]:
    """Seconds of single pictures by an idle service and in the bare loop, in turn: what slows the machine meets both."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        ways: tuple[Callable[[bytes], object], ...] = (
            lambda data: client.post("/score", files=[("images", ("a.jpg", data))]).raise_for_status(),
            lambda data: assessor.score([data]),
        )
        seconds: tuple[list[float], list[float]] = ([], [])
        for turn in range(TURNS):
            for which in (0, 1) if turn % 2 else (1, 0):
                data, began = make(), time.perf_counter()
                ways[which](data)
                seconds[which].append(time.perf_counter() - began)
    return seconds


@dataclass
class Load:
    """What came of the requests of one load: seconds of the accepted ones, and the numbers of the others."""

    offered: float
    seconds: float = 0.0
    latency_s: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    cpu_s: float = 0.0
    batch: float = 0.0

    def row(self) -> str:
        cuts = [percentile(self.latency_s, part) * 1000 for part in (50, 95, 99)]
        done = len(self.latency_s)
        rate = done / self.seconds
        cpu = self.cpu_s / max(1, done)
        return (
            f"| {self.offered:.1f} | {rate:.1f} | {cuts[0]:.0f} | {cuts[1]:.0f} | {cuts[2]:.0f} | {self.refused} "
            f"| {self.failed} | {self.batch:.2f} | {1000 * cpu:.1f} |"
        )


def percentile(values: Sequence[float], part: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[part - 1] if len(values) > 1 else float("nan")


async def ask(client: httpx.AsyncClient, data: bytes, load: Load, since: float) -> None:
    """One request, timed from when it was due."""
    try:
        answer = await client.post("/score", files=[("images", ("a.jpg", data))])
    except httpx.TransportError:
        load.failed += 1
        return
    if answer.status_code == 200:
        load.latency_s.append(time.perf_counter() - since)
    elif answer.status_code in (429, 503) and answer.headers.get("retry-after"):
        load.refused += 1
    else:
        load.failed += 1


async def closed(
    client: httpx.AsyncClient, make: Callable[[], bytes], seconds: float, clients: int, load: Load
) -> None:
    """`clients` that ask again as soon as they are answered."""
    until = time.perf_counter() + seconds

    async def one() -> None:
        while (now := time.perf_counter()) < until:
            await ask(client, make(), load, now)

    await asyncio.gather(*(one() for _ in range(clients)))


async def open_loop(client: httpx.AsyncClient, make: Callable[[], bytes], seconds: float, load: Load) -> None:
    """Requests at random times, `load.offered` a second, whatever becomes of the earlier ones: a Poisson process of which
    the number of arrivals is known, so that no more and no less is offered than is said."""
    rng, tasks = random.Random(0), []
    began = time.perf_counter()
    for due in sorted(began + rng.uniform(0.0, seconds) for _ in range(round(load.offered * seconds))):
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(client, make(), load, due)))
    await asyncio.gather(*tasks)


def measured(server: Served, make: Callable[[], bytes], seconds: float, offered: float, clients: int = 0) -> Load:
    """One load: open at `offered` a second, or closed with so many clients."""
    load = Load(offered)

    async def go() -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
        async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits) as client:
            await (closed(client, make, seconds, clients, load) if clients else open_loop(client, make, seconds, load))

    names = ("pqa_batch_pictures_sum", "pqa_batch_pictures_count")
    before, cpu, began = [server.metric(name) for name in names], server.cpu_s(), time.perf_counter()
    asyncio.run(go())
    load.seconds, load.cpu_s = time.perf_counter() - began, server.cpu_s() - cpu
    pictures, runs = (server.metric(name) - old for name, old in zip(names, before, strict=True))
    load.batch = pictures / max(1, runs)
    return load


def main() -> None:
    parser = argparse.ArgumentParser(description="The service under open-loop load, against a bare loop.")
    parser.add_argument("model", nargs="?", default="default")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--edge", type=int, default=1024, help="width of the pictures in pixels")
    parser.add_argument("--batch", type=int, default=1, help="PQA_BATCH of the service")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    make = files(args.edge)
    print(f"{processor()}, {available_cpus()} processors, pictures of {len(make()) / 2**20:.2f} MiB\n")
    assessor = pqa.load(args.model)
    loop = bare(assessor, make, args.seconds)
    with served("--model", args.model, PQA_BATCH=str(args.batch), PQA_CLIENT_REQUESTS="100000") as server:
        measured(server, make, 3.0, 0, clients=CLIENTS)
        idle, alone = in_turn(server, assessor, make)
        full = measured(server, make, args.seconds, 0, clients=CLIENTS)
        top = len(full.latency_s) / full.seconds
        print(
            "| offered a second | answered | p50 ms | p95 ms | p99 ms | refused | failed | mean batch | CPU ms a picture |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        print(full.row().replace("| 0.0 |", f"| {CLIENTS} clients |", 1))
        for part in LOADS:
            load = measured(server, make, args.seconds, part * top)
            print(load.row(), flush=True)
        memory = server.begin_peak()
        over = measured(server, make, args.seconds, OVERLOAD * top)
        print(over.row(), flush=True)
        longer = percentile(over.latency_s, 99) / percentile(load.latency_s, 99)
        grown, peak = server.memory_mib() - memory, server.peak_mib() - memory
    median, added = (1000 * (percentile(idle, p) - percentile(alone, p)) for p in (50, 95))
    cpu = full.cpu_s / len(full.latency_s)
    print(f"\nbare loop: {loop.a_second:.1f} pictures a second, {1000 * loop.cpu_s:.1f} ms CPU a picture")
    print(f"throughput: {top / loop.a_second:.2f} of the bare loop; CPU a picture: {cpu / loop.cpu_s:.2f} of it")
    print(f"added latency when idle: {median:.1f} ms in the median, {added:.1f} ms at p95")
    print(
        f"{OVERLOAD:g} times the capacity: p99 {longer:.1f} times that at capacity, memory {peak:+.0f} MiB meanwhile, ",
        end="",
    )
    print(f"{grown:+.0f} MiB afterwards")


def processor() -> str:
    """The name of the processor, as the system gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
