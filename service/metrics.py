"""Prometheus metrics. All times are in seconds. Label values come from short fixed lists, never from a client."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from pqa.runtime.predictor import Predictor

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# A series that only says when another one began doubles the count and answers no question here.
disable_created_metrics()


class Metrics:
    """The metrics of one app, in a registry of its own. With several processes each counts in files that all can read."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._models: list[tuple[str, str, str, str]] = []

        def seconds(name: str, help: str, *labels: str) -> Histogram:
            return Histogram(name, help, labels, registry=self.registry, buckets=_SECONDS)

        self.queue = seconds("pqa_queue_seconds", "Time a picture waits for a decode thread")
        self.prepare = seconds("pqa_prepare_seconds", "Time to decode a picture, find faces, cut views and measure")
        self.detect = seconds(
            "pqa_detect_seconds", "Time to find the faces of a picture, a part of pqa_prepare_seconds"
        )
        self.infer_queue = seconds("pqa_infer_queue_seconds", "Time a prepared picture waits for the model")
        self.infer = seconds("pqa_infer_seconds", "Time of one run of the model")
        self.request = seconds(
            "pqa_request_seconds", "Time from the head of a request for scores to the end of its answer"
        )
        self.batch = Histogram(
            "pqa_batch_pictures", "Pictures in one run of the model", registry=self.registry, buckets=(1, 2, 4, 8, 16)
        )
        self.pictures = Counter("pqa_pictures", "Pictures answered for", ["status"], registry=self.registry)
        self.cached = Counter("pqa_cache_hits", "Pictures answered from the cache", registry=self.registry)
        self.cancelled = Counter(
            "pqa_cancelled_pictures",
            "Pictures dropped or stopped: client gone or deadline past",
            registry=self.registry,
        )
        self.responses = Counter(
            "pqa_responses", "Answers by status: 2xx, 4xx, 5xx", ["route", "status"], registry=self.registry
        )
        self.rejections = Counter("pqa_rejections", "Requests refused", ["reason"], registry=self.registry)

        self.received = Counter("pqa_received_bytes", "Bytes of bodies that were received", registry=self.registry)

        def gauge(name: str, help: str, mode: Literal["livesum", "livemax", "livemin"], *labels: str) -> Gauge:
            return Gauge(name, help, labels, registry=self.registry, multiprocess_mode=mode)

        self.reloads = Counter("pqa_reloads", "Reloads of the models", ["outcome"], registry=self.registry)
        self.waiting = gauge("pqa_pictures_in_work", "Pictures waiting or in work", "livesum")
        self.ready = gauge("pqa_ready", "Processes that can score pictures", "livesum")
        self.workers = gauge("pqa_workers", "Processes that there should be", "livemax")
        self.connections = gauge("pqa_connections", "Open connections", "livesum")
        self.uploads = gauge("pqa_upload_bytes", "Memory held for what is uploaded and not yet scored", "livesum")
        self._processor = Counter(
            "process_cpu_seconds", "User and system time of the processes that score", registry=self.registry
        )
        self._processor_seen = 0.0
        self._system = ProcessCollector(registry=None)
        self._noting = threading.Lock()
        self._process = {
            "process_virtual_memory_bytes": gauge("process_virtual_memory_bytes", "Virtual memory", "livesum"),
            "process_resident_memory_bytes": gauge("process_resident_memory_bytes", "Resident memory", "livesum"),
            "process_open_fds": gauge("process_open_fds", "Open files and connections", "livesum"),
            "process_max_fds": gauge("process_max_fds", "Files and connections that may be open", "livesum"),
            "process_start_time_seconds": gauge(
                "process_start_time_seconds", "Start of the oldest process, since the epoch", "livemin"
            ),
        }
        self.model = gauge(
            "pqa_model_info", "1 for each loaded model", "livemax", "model", "version", "sha256", "provider"
        )

    def note(self, *, ready: bool, connections: int, uploads: int) -> None:
        """What this process is and takes up at this moment; the system tells of it on Linux only."""
        self.ready.set(ready)
        self.connections.set(connections)
        self.uploads.set(uploads)
        with self._noting:
            for metric in self._system.collect():
                (sample,) = metric.samples
                if metric.name in self._process:
                    self._process[metric.name].set(sample.value)
                else:
                    self._processor.inc(sample.value - self._processor_seen)
                    self._processor_seen = sample.value

    def note_models(self, predictors: Mapping[str, Predictor]) -> None:
        """These are loaded now, by the names that requests give, and no others."""
        for labels in self._models:
            self.model.labels(*labels).set(0)
        self._models = [
            (name, one.model.info.version, one.model.info.sha256, one.model.provider)
            for name, one in predictors.items()
        ]
        for labels in self._models:
            self.model.labels(*labels).set(1)

    def render(self) -> bytes:
        """The text that Prometheus scrapes, over all processes."""
        shown = CollectorRegistry()
        shown.register(
            _Shown(MultiProcessCollector(None) if "PROMETHEUS_MULTIPROC_DIR" in os.environ else self.registry)
        )
        return generate_latest(shown)


class _Shown(Collector):
    """All series but those of models that were replaced: what several processes count in files is never removed."""

    def __init__(self, source: CollectorRegistry | MultiProcessCollector) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        for metric in self._source.collect():
            if metric.name == "pqa_model_info":
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric
