"""The way of a picture through the service: decode threads, then one model thread. The event loop only waits.

    submit -> [decode pool: sha256, cache, prepare] -> [model thread: infer] -> future

A future that is cancelled, since its time is over or its client has left, ends the work wherever it is.

A failure belongs to the picture that caused it; only an error that ends the model thread ends the service, and then
`alive` says so.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from typing import Any

from pqa.cancel import Token, watched_by
from pqa.errors import ImageTimeout, InputError, ModelError
from pqa.faces.detectors import Detector
from pqa.pixels.source import Source
from pqa.runtime.predictor import Prediction, Predictor, Prepared
from pqa.types import Face
from service.cache import Predictions
from service.metrics import Metrics
from service.pace import Pace
from service.tracing import Traces

__all__ = ["ModelThread", "Pipeline", "WatchedDetector"]

log = logging.getLogger("pqa.service")


class Job:
    """One picture on its way. Cancelling `future` drops it wherever it still waits, and stops what works on it."""

    def __init__(self, predictor: Predictor, data: bytes | bytearray, trace: Any) -> None:
        self.predictor = predictor
        self.data = data
        self.trace = trace
        self.prepared: Prepared | None = None
        self.since = time.perf_counter()
        self.token = Token()
        self.future: Future[Prediction] = Future()
        self.future.add_done_callback(self._stop)

    def _stop(self, future: Future[Prediction]) -> None:
        if future.cancelled():
            self.token.cancel()

    def waited(self) -> float:
        """Seconds since the last call, or since the start."""
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        return seconds

    def finish(self, result: Prediction | Exception) -> None:
        try:
            if isinstance(result, Exception):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)
        except InvalidStateError:
            # Cancelled in the meantime: nobody waits for it any more.
            pass


class ModelThread(threading.Thread):
    """Runs prepared pictures, up to `batch` of one model together."""

    def __init__(self, batch: int, metrics: Metrics, traces: Traces, cache: Predictions, pace: Pace) -> None:
        super().__init__(name="pqa-model", daemon=True)
        self._traces = traces
        self._batch = batch
        self._metrics = metrics
        self._cache = cache
        self._pace = pace
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stopped = False

    def put(self, job: Job) -> None:
        self._queue.put(job)
        if self._stopped:
            self._fail_waiting()

    def stop(self) -> None:
        self._queue.put(None)

    def run(self) -> None:
        jobs: list[Job] = []
        held: Job | None = None
        try:
            while job := held or self._queue.get():
                jobs, held = self._gather(job)
                self._run(jobs)
        except BaseException:
            log.critical("the model thread died", exc_info=True)
        finally:
            self._stopped = True
            for job in [*jobs, held]:
                if job is not None:
                    job.finish(_stopped())
            self._fail_waiting()

    def _gather(self, first: Job) -> tuple[list[Job], Job | None]:
        """What already waits behind `first` for the same model, and the job that did not fit."""
        jobs = [first]
        while len(jobs) < self._batch:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._queue.put(None)
                break
            if job.predictor is not first.predictor:
                return jobs, job
            jobs.append(job)
        return jobs, None

    def _run(self, jobs: Sequence[Job]) -> None:
        """Run together; on failure each alone, so that one bad picture costs the others nothing."""
        live = [job for job in jobs if not job.future.cancelled()]
        self._metrics.cancelled.inc(len(jobs) - len(live))
        if not live:
            return
        for job in live:
            self._metrics.infer_queue.observe(job.waited())
        self._metrics.batch.observe(len(live))
        began, clock = time.time_ns(), time.perf_counter()
        try:
            with self._metrics.infer.time(), watched_by(_token(live)):
                predictions = live[0].predictor.infer([job.prepared for job in live if job.prepared is not None])
        except ImageTimeout:
            self._metrics.cancelled.inc(len(live))
            return
        except Exception as error:
            if len(live) > 1:
                for job in live:
                    self._run([job])
                return
            log.warning("the model failed on a picture: %s", error)
            live[0].finish(ModelError("the model failed on this picture"))
            return
        self._pace.inferred(time.perf_counter() - clock, len(live))
        ended = time.time_ns()
        for job, prediction in zip(live, predictions, strict=True):
            self._traces.past("infer", job.trace, began, ended, batch=len(live))
            self._cache.put((job.predictor.model.info.sha256, prediction.facts.sha256), prediction)
            job.finish(prediction)

    def _fail_waiting(self) -> None:
        while True:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                job.finish(_stopped())


def _token(jobs: Sequence[Job]) -> Token:
    """Cancelled when nobody waits for any of the jobs any more."""
    token = Token()

    def stop(_: Future[Prediction]) -> None:
        if all(job.future.cancelled() for job in jobs):
            token.cancel()

    for job in jobs:
        job.future.add_done_callback(stop)
    return token


def _stopped() -> ModelError:
    return ModelError("the service stopped before this picture was run")


class WatchedDetector:
    """A face detector whose time is counted."""

    def __init__(self, detector: Detector, metrics: Metrics, traces: Traces) -> None:
        self._detector = detector
        self._metrics = metrics
        self._traces = traces

    def detect(self, source: Source) -> tuple[Face, ...]:
        with self._metrics.detect.time(), self._traces.span("detect"):
            return self._detector.detect(source)


class Pipeline:
    """Threads and cache of one service."""

    def __init__(self, *, decoders: int, batch: int, cache: Predictions, metrics: Metrics, traces: Traces) -> None:
        self.cache = cache
        self.pace = Pace(decoders)
        self._metrics = metrics
        self._traces = traces
        self._decoders = ThreadPoolExecutor(max_workers=decoders, thread_name_prefix="pqa-decode")
        self._model = ModelThread(batch, metrics, traces, self.cache, self.pace)
        self._lock = threading.Lock()
        self._waiting = 0

    def start(self) -> None:
        self._model.start()

    @property
    def alive(self) -> bool:
        """Whether pictures can still be scored."""
        return self._model.is_alive()

    @property
    def waiting(self) -> int:
        """Pictures submitted and not yet finished."""
        return self._waiting

    def submit(self, predictor: Predictor, data: bytes | bytearray) -> Future[Prediction]:
        """Score the bytes of one file alone. The future raises an InputError or a ModelError for a bad picture."""
        job = Job(predictor, data, self._traces.here())
        self._count(1)
        job.future.add_done_callback(lambda _: self._count(-1))
        self._decoders.submit(self._prepare, job)
        return job.future

    def close(self) -> None:
        """Stop the threads; what still waits fails."""
        self._decoders.shutdown(wait=True, cancel_futures=True)
        self._model.stop()
        self._model.join(timeout=5)

    def _count(self, change: int) -> None:
        with self._lock:
            self._waiting += change
        self._metrics.waiting.inc(change)

    def _prepare(self, job: Job) -> None:
        data, job.data = bytes(job.data), b""
        if job.future.cancelled():
            self._metrics.cancelled.inc()
            return
        self._metrics.queue.observe(job.waited())
        key = (job.predictor.model.info.sha256, hashlib.sha256(data).hexdigest())
        if (known := self.cache.get(key)) is not None:
            self._metrics.cached.inc()
            job.finish(known)
            return
        began = time.perf_counter()
        try:
            with (
                self._metrics.prepare.time(),
                self._traces.span("prepare", job.trace, bytes=len(data)),
                watched_by(job.token),
            ):
                job.prepared = job.predictor.prepare(data)
        except ImageTimeout:
            self._metrics.cancelled.inc()
        except (InputError, ModelError) as error:
            job.finish(error)
        except Exception:
            # A picture that trips over a fault of ours must not take the rest of its set along.
            log.exception("preparing a picture failed unexpectedly")
            job.finish(ModelError("an unexpected error while this picture was prepared"))
        else:
            job.waited()
            self._model.put(job)
        finally:
            note = self.pace.stopped if job.future.cancelled() else self.pace.prepared
            note(time.perf_counter() - began)
