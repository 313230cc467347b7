"""OpenTelemetry spans, where the settings name a collector. Needs the extra `tracing`; without it nothing is imported.

A request for scores is one span, a child of the caller's where the request has a `traceparent`. Within it are `prepare` with
`detect`, and `infer`, for each picture, and `rank`. Spans hold times, counts and the route: nothing of a picture, no name,
no message of an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from pqa.errors import MissingExtra

__all__ = ["Traces", "exporting"]


class Traces:
    """Where spans go; nowhere without a `provider` (an OpenTelemetry TracerProvider)."""

    def __init__(self, provider: Any = None) -> None:
        self._provider = provider

    @contextlib.contextmanager
    def request(self, name: str, headers: Mapping[str, str]) -> Iterator[None]:
        """A span of the caller's trace, or of a new one."""
        if self._provider is None:
            yield
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        with self._span(name, extract(headers), kind=SpanKind.SERVER):
            yield

    def here(self) -> Any:
        """What later spans of other threads take as their parent; None where nothing is traced."""
        if self._provider is None:
            return None
        from opentelemetry.context import get_current

        return get_current()

    @contextlib.contextmanager
    def span(self, name: str, parent: Any = None, **attributes: int) -> Iterator[None]:
        """A span below `parent`, or below the one that is open in this thread."""
        if self._provider is None:
            yield
            return
        with self._span(name, parent, attributes=attributes):
            yield

    def past(self, name: str, parent: Any, began_ns: int, ended_ns: int, **attributes: int) -> None:
        """A span that is over, its times in nanoseconds since 1970."""
        if self._provider is not None:
            span = self._provider.get_tracer("pqa").start_span(name, parent, start_time=began_ns, attributes=attributes)
            span.end(ended_ns)

    def close(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            self._provider.shutdown()

    def _span(self, name: str, parent: Any, **options: Any) -> Any:
        # The message of an error may say something of a picture.
        quiet = {"record_exception": False, "set_status_on_exception": False}
        return self._provider.get_tracer("pqa").start_as_current_span(name, parent, **quiet, **options)


def exporting(endpoint: str) -> Traces:
    """Spans sent in the background to this address, by OTLP over HTTP; to nowhere for none. Raises MissingExtra."""
    if not endpoint:
        return Traces()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtra("opentelemetry", "tracing") from error
    provider = TracerProvider(resource=Resource.create({"service.name": "pqa"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return Traces(provider)
