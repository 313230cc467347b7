"""Spans of a request over a real socket, kept in memory; and that there are none where none are wanted."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from pqa.errors import MissingExtra
from service import state
from service.settings import Settings
from service.tracing import Traces, exporting
from tests.serving import serving, wait_for

CALLER = "0af7651916cd43dd8448eb211c80319c"


def test_a_request_is_a_trace_of_its_stages(
    tiny_model: Path, astronaut: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="needs the SDK of the extra tracing")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(state, "exporting", lambda endpoint: Traces(provider))
    with serving(Settings(models=(str(tiny_model),))) as live:
        memory.clear()
        files = [("images", ("secret-name.png", astronaut)), ("images", ("broken", b"secret content"))]
        headers = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01"}
        assert live.http.post("/rank", files=files, headers=headers).status_code == 200
        wait_for(lambda: "POST /rank" in {span.name for span in memory.get_finished_spans()})
        spans = memory.get_finished_spans()
    assert sorted(span.name for span in spans) == ["POST /rank", "detect", "infer", "prepare", "prepare", "rank"]
    assert {span.context.trace_id for span in spans} == {int(CALLER, 16)}
    names = {span.context.span_id: span.name for span in spans}
    parents = {(span.name, names.get(span.parent.span_id)) for span in spans}
    assert parents == {
        ("POST /rank", None),
        ("prepare", "POST /rank"),
        ("detect", "prepare"),
        ("infer", "POST /rank"),
        ("rank", "POST /rank"),
    }
    assert "secret" not in "".join(span.to_json() for span in spans)
    assert {key for span in spans for key in span.attributes} == {"bytes", "batch", "pictures"}
    assert not any(span.events for span in spans)


def test_without_an_endpoint_nothing_is_traced_and_with_one_the_extra_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    traces = exporting("")
    with traces.request("POST /rank", {}), traces.span("rank", pictures=1):
        assert traces.here() is None
    traces.past("infer", None, 1, 2)
    traces.close()
    with pytest.raises(MissingExtra, match=r"pqa\[tracing\]"):
        exporting("http://localhost:4318/v1/traces")
