"""Several processes on one port: a supervisor starts, watches, replaces and ends them.

All of them accept from one listening socket, so a connection that no process has taken waits for the next one that can. Each
has models, threads, limits and cache of its own. A process that dies, or can no longer score, is replaced; its replacement
takes connections only when its models are loaded. All load the same copies of the models, which only SIGHUP makes anew. A
place whose processes keep dying is tried again now and then while others serve; where none does, the service ends.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

from prometheus_client import multiprocess

from pqa.errors import ModelError
from service import logs
from service.app import create_app
from service.board import Board
from service.copies import copied, keep_only, make_copies
from service.server import Server
from service.settings import Settings
from service.state import Service

__all__ = ["MULTIPROCESS", "Supervisor"]

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Folder of the counts that all processes share; prometheus_client reads it when it is imported."""

TICK_S = 0.2
CANNOT_LOAD = 2
"""Exit code of a process whose models cannot be served."""

MOST_DEATHS = 8
"""Deaths of each place in a row, no process having lived for `STEADY_S`, after which a service where none can score ends."""

METRICS_BYTES = 1 << 20
"""Room that the counts of one process take at most."""

ROOM_PAUSE_S = 2.0
STEADY_S = 60.0
LONGEST_PAUSE_S = 30.0
LATE_S = 5.0
"""After the time for draining: until a process is killed."""

log = logging.getLogger("pqa.service")


@dataclass(slots=True)
class Place:
    """One of the `workers` processes, and those that were there before it."""

    process: SpawnProcess | None = None
    since: float = 0.0
    deaths: int = 0
    due: float = 0.0
    ending: bool = False


class Supervisor:
    """Runs `settings.workers` processes on `listener` until SIGTERM or SIGINT; SIGHUP reloads the models of all.

    From the main thread only.
    """

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._context = multiprocessing.get_context("spawn")
        self._board = Board.of(self._context, settings.workers)
        self._places = [Place() for _ in range(settings.workers)]
        self._served = False
        self._signals = 0
        self._hangups = 0
        self._newest = 1
        self._proven = 0
        self._failure: str | None = None

    def run(self) -> None:
        """Raises ModelError when the models cannot be served or processes keep dying, OSError for no room at the start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._hang_up)
        with tempfile.TemporaryDirectory(prefix="pqa-metrics-") as folder:
            os.environ[MULTIPROCESS] = folder
            _check_room()
            make_copies(self._settings, _models(), self._newest)
            while not self._signals and self._failure is None:
                self._start_missing()
                self._tick()
                self._reload()
            self._stop()
        if self._failure is not None:
            raise ModelError(self._failure)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._hangups += 1

    def _reload(self) -> None:
        """Ask all for new copies if SIGHUP came, and let nobody lag behind those that one of them has shown to be good."""
        board = self._board
        if self._hangups:
            self._hangups = 0
            keep_only(_models(), {self._proven, self._newest, *board.asked})
            try:
                make_copies(self._settings, _models(), self._newest + 1)
            except OSError as error:
                log.error("the models are not reloaded: their copies have no room: %s", error.strerror)
            else:
                self._newest += 1
                board.asked[:] = [self._newest] * len(self._places)
        self._proven = max(self._proven, *board.served)
        for number, place in enumerate(self._places):
            if place.process is None or place.process.pid is None or board.served[number] == self._proven:
                continue
            board.asked[number] = max(board.asked[number], self._proven)
            if board.refused[number] == self._proven and board.served[number] and not place.ending:
                log.error("worker cannot load what others serve, and is replaced", extra={"fields": {"worker": number}})
                place.ending = True
                os.kill(place.process.pid, signal.SIGTERM)

    def _send(self, number: int) -> None:
        for place in self._places:
            if place.process is not None and place.process.is_alive() and place.process.pid is not None:
                os.kill(place.process.pid, number)

    def _start_missing(self) -> None:
        for number, place in enumerate(self._places):
            if place.process is not None or time.monotonic() < place.due:
                continue
            try:
                _check_room()
            except OSError as error:
                # It would only die, and the others can still score.
                log.error("no worker is started: its metrics have no room: %s", error.strerror)
                place.due = time.monotonic() + ROOM_PAUSE_S
                continue
            self._board.asked[number] = self._proven or self._newest
            place.process = self._context.Process(
                target=_work,
                args=(self._settings, self._listener, self._board, number, self._served),
                name=f"pqa-worker-{number}",
            )
            place.since, place.ending = time.monotonic(), False
            # It keeps what is blocked when it starts: SIGHUP is for the supervisor, and would kill it before it knows that.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
            place.process.start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
            log.info("worker started", extra={"fields": {"worker": number, "pid": place.process.pid}})

    def _tick(self) -> None:
        """Wait a moment for an end, and take note of it."""
        wait([place.process.sentinel for place in self._places if place.process is not None], TICK_S)
        self._served = self._served or any(self._board.ready)
        for number, place in enumerate(self._places):
            process = place.process
            if process is None or process.is_alive():
                continue
            code, place.process = process.exitcode, None
            self._board.clear(number)
            # Its gauges go, its counts stay.
            multiprocess.mark_process_dead(process.pid)
            if self._signals:
                continue
            log.error("worker ended", extra={"fields": {"worker": number, "pid": process.pid, "code": code}})
            now = time.monotonic()
            place.deaths = 1 if now - place.since > STEADY_S else place.deaths + 1
            place.due = now + min(LONGEST_PAUSE_S, 2.0 ** (place.deaths - 1) - 1)
            if code == CANNOT_LOAD and not self._served:
                self._failure = "the models cannot be served; the log of the workers says why"
            elif not any(self._board.ready) and min(place.deaths for place in self._places) >= MOST_DEATHS:
                self._failure = f"each worker died {MOST_DEATHS} times in a row, none can score; the log says how"

    def _stop(self) -> None:
        """Let all processes drain; a further signal hurries them, and the late ones are killed."""
        self._listener.close()
        told = max(1, self._signals)
        self._send(signal.SIGTERM)
        deadline = time.monotonic() + self._settings.drain_notice_s + self._settings.drain_s + LATE_S
        while any(place.process is not None for place in self._places):
            if self._signals > told:
                told = self._signals
                self._send(signal.SIGTERM)
            if time.monotonic() > deadline:
                self._send(signal.SIGKILL)
            self._signals = max(1, self._signals)
            self._tick()


def _models() -> Path:
    """Folder of the copies of the models."""
    folder = Path(os.environ[MULTIPROCESS]) / "models"
    folder.mkdir(exist_ok=True)
    return folder


def _check_room() -> None:
    """Raises OSError when the metrics of one more process have no room."""
    with tempfile.TemporaryFile(dir=os.environ[MULTIPROCESS]) as file:
        os.posix_fallocate(file.fileno(), 0, METRICS_BYTES)


def _keep_room() -> None:
    """Let the counts of this process own their room: they are mapped files, and a full disk would kill at a count."""
    for path in Path(os.environ[MULTIPROCESS]).glob(f"*_{os.getpid()}.db"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _work(settings: Settings, listener: socket.socket, board: Board, number: int, replacement: bool) -> None:
    """One process. A replacement loads its models before it takes connections."""
    # Ctrl-C is for the supervisor, which then drains all.
    os.setsid()
    logs.configure(settings.log_level)

    def stop() -> None:
        server.should_exit = True

    app = create_app(
        settings,
        on_failure=stop,
        board=board.ready,
        load_first=replacement,
        copies=lambda: copied(settings, _models(), board.asked[number]),
    )
    _keep_room()
    server = Server(app, settings)
    service: Service = app.state.service
    broken = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(service, server, board, number, broken), name="pqa-watch", daemon=True
    )
    watch.start()
    server.run(sockets=[listener])
    if service.failure is not None:
        sys.exit(CANNOT_LOAD)
    sys.exit(1 if broken.is_set() else 0)


def _watch(service: Service, server: Server, board: Board, number: int, broken: threading.Event) -> None:
    """Note on the board what this process can do, and load what is asked for there.

    Ends the process when it can score no more, or when nobody supervises it.
    """
    parent = multiprocessing.parent_process()
    loading = board.asked[number]
    while parent is not None:
        board.ready[number] = service.note_health()
        board.served[number], board.refused[number] = service.served, service.refused
        if server.started and board.asked[number] != loading:
            loading = board.asked[number]
            server.reload()
        if service.broken_inside:
            broken.set()
            server.should_exit = True
        if wait([parent.sentinel], TICK_S):
            os.kill(os.getpid(), signal.SIGTERM)
            return
