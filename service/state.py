"""The state of one running service, and the two questions asked of it: is it alive, is it ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from fastapi import Request

from pqa.errors import PqaError
from pqa.faces.detectors import Detector
from service.access import Clients, Keys
from service.cache import PredictionCache
from service.copies import Copies
from service.intake import check_queue
from service.limits import UploadMemory
from service.metrics import Metrics
from service.models import LoadedModels
from service.pipeline import Pipeline, WatchedDetector
from service.problems import Problem
from service.settings import Settings
from service.tracing import exporting

__all__ = ["Service", "of"]

log = logging.getLogger("pqa.service")

SHUTTING_DOWN = "the service is shutting down"


class Service:
    """Settings, threads, models and health of one app."""

    def __init__(self, settings: Settings, board: Sequence[int] = (), copies: Callable[[], Copies] = Copies) -> None:
        self.settings = settings
        self._board = board
        self._copies = copies
        self.served = 0
        """Number of the copies that are loaded."""
        self.refused = 0
        """Number of the last copies that could not be loaded."""
        self.metrics = Metrics()
        self.keys = Keys(settings.api_keys)
        self.clients = Clients(settings.client_requests)
        self.uploads = UploadMemory(settings.upload_bytes, int(settings.client_share * settings.upload_bytes))
        self.traces = exporting(settings.trace_endpoint)
        self.pipeline = Pipeline(
            decoders=settings.decoders,
            batch=settings.batch,
            cache=PredictionCache(settings.cache_pictures),
            metrics=self.metrics,
            traces=self.traces,
        )
        self.draining = False
        """SIGTERM came: no new requests should be sent here, those that come are taken."""
        self.closing = False
        """None are taken any more."""
        self.connections: Callable[[], int] = lambda: 0
        self.failure: str | None = None
        self.reload_error: str | None = None
        self._loading = asyncio.Lock()
        self._models: LoadedModels | None = None
        self.metrics.workers.set(settings.workers)

    @property
    def trouble(self) -> str | None:
        """Why no picture can be scored at this moment; None when one can."""
        if self.failure is not None:
            return self.failure
        if self._models is None:
            return "models are being loaded"
        if not self.pipeline.alive:
            return "the model thread died; restart the service"
        if self.closing:
            return SHUTTING_DOWN
        return None

    @property
    def unready(self) -> str | None:
        """Why no requests should be sent here; None when ready."""
        return SHUTTING_DOWN if self.trouble is None and self.draining else self.trouble

    @property
    def models(self) -> LoadedModels:
        """The loaded models. Raises the problem `unavailable` before they are."""
        if self._models is None:
            raise Problem("unavailable", self.trouble or "models are being loaded", reason="not-ready")
        return self._models

    @property
    def broken(self) -> bool:
        """Whether only a restart can help."""
        return self.failure is not None or not self.pipeline.alive

    @property
    def broken_inside(self) -> bool:
        """Whether the model thread died while pictures could be scored."""
        return self._models is not None and not self.draining and not self.pipeline.alive

    def note_health(self) -> bool:
        """Whether requests should be sent here, told to the metrics too, with what this process takes up."""
        ready = self.unready is None
        self.metrics.note(ready=ready, connections=self.connections(), uploads=self.uploads.used)
        return ready

    @property
    def workers_ready(self) -> int:
        """Processes that can score, of `settings.workers`."""
        return sum(map(bool, self._board)) if self._board else int(self.unready is None)

    async def load(self, on_failure: Callable[[], None] | None = None) -> None:
        """Load and warm up without holding up the event loop. A failure is kept in `failure`, and told, never raised."""
        self.failure = await self._load()
        if self.failure is None:
            return
        log.critical("models cannot be served: %s", self.failure)
        if on_failure is not None:
            on_failure()

    async def reload(self) -> None:
        """Load the files anew, warm them up and put them in place of the loaded models, which finish what they began.

        On failure the loaded ones stay, and `reload_error` says why.
        """
        self.reload_error = await self._load()
        self.metrics.reloads.labels("ok" if self.reload_error is None else "failed").inc()
        if self.reload_error is not None:
            log.error("reloading failed, the loaded models stay: %s", self.reload_error)

    async def _load(self) -> str | None:
        """Put newly loaded models in place; what went wrong, if anything."""
        async with self._loading:
            began = time.perf_counter()
            copies = self._copies()
            try:
                models = await asyncio.to_thread(LoadedModels.load, self.settings, self._watched, copies.paths)
            except Exception as error:
                self.refused = copies.number
                if isinstance(error, PqaError):
                    return _by_name(str(error), copies)
                log.exception("loading failed unexpectedly")
                return f"{type(error).__name__}: {error}"
            self.metrics.note_models(models.predictors)
            self._models = models
            self.served = copies.number
        seconds = round(time.perf_counter() - began, 3)
        log.info("ready", extra={"fields": {"models": list(models.predictors), "seconds": seconds}})
        return None

    def _watched(self, detector: Detector) -> Detector:
        return WatchedDetector(detector, self.metrics, self.traces)

    def admit(self) -> None:
        """Turn a request for scores away at the door when it cannot be served now."""
        if (trouble := self.trouble) is not None:
            raise Problem("unavailable", trouble, reason="draining" if self.closing else "not-ready")
        check_queue(self.pipeline, self.settings)


def _by_name(message: str, copies: Copies) -> str:
    """What is wrong with a copy, said of the model that it is of."""
    for name, path in copies.paths.items():
        message = message.replace(str(path), name if name.endswith(".onnx") else path.name)
    return message


def of(request: Request) -> Service:
    """The service that answers this request."""
    service: Service = request.app.state.service
    return service
