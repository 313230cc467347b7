"""A `pqa serve` of the benchmarks' own, and what the system says about it. Not a benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_S = 120.0


@dataclass(frozen=True, slots=True)
class Served:
    """A running service."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return str(answer.read().decode())

    def ready(self) -> bool:
        try:
            self.get("/readyz")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def metric(self, name: str) -> float:
        """The sum of all series whose line begins with `name`."""
        return sum(float(line.split()[-1]) for line in self.get("/metrics").splitlines() if line.startswith(name))

    def cpu_s(self) -> float:
        """Processor seconds of the process until now."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def begin_peak(self) -> float:
        """Resident memory now, from which `peak_mib` begins."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.memory_mib()

    def peak_mib(self) -> float:
        """The most resident memory since `begin_peak`."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

    def running(self) -> bool:
        """Whether the process has not ended, be it that nobody has asked yet how."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)


@contextlib.contextmanager
def served(*options: str, files: int = 0, log: Path = Path(os.devnull), **settings: str) -> Iterator[Served]:
    """`pqa serve` on a free port with these settings (`PQA_...`), ready; ended afterwards.

    `files`: its limit on open files, if not this process's; `log`: where its log goes but for the first line.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PQA_")}
    limit = ["prlimit", f"--nofile={files}"] if files else []
    process = subprocess.Popen(
        [*limit, sys.executable, "-m", "pqa", "serve", "--port", "0", "--log-level", "info", *options],
        env={**clean, "OMP_NUM_THREADS": "1", "PQA_DRAIN_NOTICE_S": "0", **settings},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = json.loads(process.stderr.readline())
        with log.open("wb") as kept:
            drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=kept)
        server = Served(line["port"], process.pid)
        deadline = time.monotonic() + START_S
        while not server.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service did not become ready within {START_S:g} s")
            time.sleep(0.1)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        drain.wait(10)
        process.stderr.close()
