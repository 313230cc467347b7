"""`python -m bench.attack WHAT [--model MODEL] [--count N]`: how a `pqa serve` of its own bears what a stranger may send it.

| WHAT | what it prints |
|---|---|
| `refused` | for each kind of body: size, status, seconds from its last byte to the answer, processor time, memory over idle |
| `slow` | time of N (100) answers to one client: alone, and with 64 chunked uploads of some bytes a second of another address |
| `table` | with 1,024 files: connections that another address opens for N (30) seconds, answers to one client, log |

All traffic stays on the loopback device, whose addresses 127.0.0.1 and 127.0.0.2 are two clients.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from bench.service import files, processor
from bench.serving import Served, served
from bench.soak import milliseconds

MIB = 1 << 20
FILES = 1024
SLOW = 64
ROUNDS = 4
STRANGER = "127.0.0.2"


def entries(one: bytes, size: int) -> bytes:
    return b'{"images":[' + b",".join([one] * (size // (len(one) + 1))) + b"]}"


def text(data: bytes) -> bytes:
    return b'{"images":[{"data":"' + data + b'"}]}'


def members(size: int) -> bytes:
    return b"{" + b",".join(b'"%08d":1' % number for number in range(size // 13)) + b"}"


def parts(disposition: bytes, count: int, content: bytes = b"") -> bytes:
    head = b"--b\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n"
    return (head + content + b"\r\n") * count + b"--b--\r\n"


def named(name: str) -> bytes:
    return f'name="{name}"'.encode()


JSON: dict[str, Callable[[], bytes]] = {
    "a million pictures {}": lambda: entries(b"{}", 3_000_000),
    "pictures {}, 64 MiB": lambda: entries(b"{}", 63 * MIB),
    "lists [], 64 MiB": lambda: entries(b"[]", 63 * MIB),
    "numbers, 64 MiB": lambda: entries(b"1", 63 * MIB),
    "empty texts, 64 MiB": lambda: entries(b'""', 63 * MIB),
    "members, 64 MiB": lambda: members(63 * MIB),
    "deep, 64 MiB": lambda: b"[" * 63 * MIB,
    "blanks, 64 MiB": lambda: b" " * 63 * MIB,
    "one number, 64 MiB": lambda: b"1" * 63 * MIB,
    "not a number": lambda: b'{"images":[NaN]}',
    "as many faulty pictures as are read": lambda: entries(b"{}", 3 * 4096),
    "faulty pictures with long texts, 64 MiB": lambda: entries(b'{"id":"%s"}' % (b"x" * 17_000), 63 * MIB),
    "no base64, 40 MiB": lambda: text(b"$" * 39 * MIB),
    "base64 and blanks, 40 MiB": lambda: text(b"AA " * 13 * MIB),
    "base64 of nothing, 40 MiB": lambda: text(base64.b64encode(bytes(29 * MIB))),
    "escapes, 64 MiB": lambda: text(rb"\/" * 31 * MIB),
    "backslashes, 64 MiB": lambda: text(rb"\\" * 31 * MIB),
    "quotation marks, 64 MiB": lambda: text(rb"\"" * 31 * MIB),
    "text beyond ASCII, 64 MiB": lambda: text(b"x" * 62 * MIB + "😀".encode()),
    "text beyond ASCII, escaped, 64 MiB": lambda: text(b"x" * 62 * MIB + rb"\ud83d\ude00"),
    "short texts beyond ASCII, 32 MiB": lambda: entries(b'{"id":"%s"}' % ("😀".encode() + b"x" * 8_000), 32 * MIB),
}

FORMS: dict[str, Callable[[], bytes]] = {
    "10,000 fields": lambda: parts(named("f"), 10_000),
    "10,000 pictures": lambda: parts(named("images") + b'; filename="a"', 10_000),
    "a field of 64 MiB": lambda: parts(named("scene"), 1, b"x" * 64 * MIB),
    "scenes, 1 MiB": lambda: parts(named("scenes"), 1, b"{%s}" % b",".join(b'"%06d":""' % n for n in range(80_000))),
    "a field name of 32 MiB": lambda: parts(named("x" * 32 * MIB), 1),
    "field names of 30 KiB": lambda: parts(named("x" * 30_000), 1000),
    "a file name of 30 KiB": lambda: parts(named("images") + b'; filename="%s"' % (b"%22;" * 7_500), 1),
    "a header of many parameters": lambda: parts(named("images") + b'; x="' * 6_000, 1),
    "a million lines of head": lambda: b"--b\r\n" + b"X: y\r\n" * 1_000_000,
    "a picture of 31 MiB": lambda: parts(named("images") + b'; filename="a"', 1, bytes(31 * MIB)),
    "no part in 64 MiB": lambda: b"-" * 64 * MIB,
    "boundaries that are none, 64 MiB": lambda: b"--b\r\n" + b"\r\n--" * 16 * MIB,
}


def refused(server: Served, kind: str, body: bytes) -> tuple[int, float, float, float]:
    """Status, seconds from the last byte taken to the first of the answer, of the processor for all, peak MiB over idle."""
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    idle, used = server.begin_peak(), server.cpu_s()
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        connection.sendall(head.encode())
        # A refusal before the last byte ends the sending.
        with contextlib.suppress(ConnectionError):
            connection.sendall(body)
        began = time.perf_counter()
        answer = connection.recv(100)
        seconds = time.perf_counter() - began
    return int(answer.split()[1]), seconds, server.cpu_s() - used, server.peak_mib() - idle


def answers(server: Served, make: Callable[[], bytes], count: int) -> list[float]:
    """Seconds of answers to single pictures, one after the other."""
    times = []
    with httpx.Client(base_url=server.url, timeout=120) as client:
        for _ in range(count):
            sent = [("images", ("a", make()))]
            began = time.perf_counter()
            client.post("/score", files=sent).raise_for_status()
            times.append(time.perf_counter() - began)
    return times


@contextlib.contextmanager
def slow_uploads(server: Served, number: int) -> Iterator[None]:
    """So many chunked uploads of one address, which send a byte every now and then, and begin anew when they are refused."""
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    field = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    stop = threading.Event()

    def dribble() -> None:
        open_: list[socket.socket | None] = [None] * number
        while not stop.wait(0.3):
            for place, connection in enumerate(open_):
                try:
                    if connection is None:
                        connection = stranger(server)
                        connection.sendall(head + b"%x\r\n" % len(field) + field + b"\r\n")
                        open_[place] = connection
                    connection.sendall(b"1\r\nx\r\n")
                except OSError:
                    open_[place] = None
        for connection in open_:
            if connection is not None:
                connection.close()

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        time.sleep(3)
        yield
    finally:
        stop.set()
        thread.join()


def stranger(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5, source_address=(STRANGER, 0))


def flood(server: Served, make: Callable[[], bytes], seconds: float) -> tuple[int, list[float]]:
    """Connections that a stranger opened and kept as long as he could, and the answers to one client meanwhile."""
    opened, kept = 0, []
    stop = threading.Event()

    def connect() -> None:
        nonlocal opened
        while not stop.is_set():
            with contextlib.suppress(OSError):
                kept.append(stranger(server))
                opened += 1
            if len(kept) > 2 * FILES:
                kept.pop(0).close()

    thread = threading.Thread(target=connect)
    thread.start()
    began = time.monotonic()
    times = []
    while time.monotonic() - began < seconds:
        times += answers(server, make, 1)
    stop.set()
    thread.join()
    for connection in kept:
        connection.close()
    return opened, times


def main() -> None:
    parser = argparse.ArgumentParser(description="How the service bears what a stranger may send it.")
    parser.add_argument("what", choices=("refused", "slow", "table"))
    parser.add_argument("--model", default="default")
    parser.add_argument("--count", type=int)
    args = parser.parse_args()
    limit = FILES if args.what == "table" else 0
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with served("--model", args.model, files=limit, log=log) as server:
            print(f"{processor()}: {server.memory_mib():.0f} MiB resident", flush=True)
            # Each picture is another one, so that none is known.
            make = files(200)
            answers(server, make, 5)
            if args.what == "refused":
                for kind, bodies in (("application/json", JSON), ("multipart/form-data; boundary=b", FORMS)):
                    for name, make in bodies.items():
                        body = make()
                        status, seconds, work, peak = refused(server, kind, body)
                        size = len(body) / MIB
                        print(
                            f"{name}: {size:.1f} MiB, {status} after {seconds:.2f} s, {work:.2f} of a processor, ",
                            end="",
                        )
                        print(f"peak {peak:+.0f} MiB over idle, {peak / size:.1f} of its size", flush=True)
            elif args.what == "slow":
                alone, beside = [], []
                for _ in range(ROUNDS):
                    alone += answers(server, make, (args.count or 100) // ROUNDS)
                    with slow_uploads(server, SLOW):
                        beside += answers(server, make, (args.count or 100) // ROUNDS)
                print(f"alone: {milliseconds(alone)}")
                print(f"beside {SLOW} slow uploads of another address: {milliseconds(beside)}")
            else:
                print(f"alone: {milliseconds(answers(server, make, 50))}")
                opened, times = flood(server, make, args.count or 30)
                print(f"beside {opened} connections of another address: {milliseconds(times)}")
        lines = log.read_bytes()
        told = len(re.findall(rb'"message": "connections', lines))
        print(f"log: {lines.count(10)} lines, {told} of them of connections, {len(lines)} bytes")


if __name__ == "__main__":
    main()
