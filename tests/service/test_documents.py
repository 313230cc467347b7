"""The documents that are made from code are the ones that are checked in, and docs/service.md keeps to them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from service import problems
from service.documents import documents

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["docs/settings.md", "service/openapi.json"])
def test_checked_in_documents_are_up_to_date(name: str) -> None:
    """Mend with: python -m service.documents"""
    assert (ROOT / name).read_text(encoding="utf-8") == documents()[name]


def test_every_route_documents_its_errors_and_every_reference_leads_somewhere() -> None:
    text = documents()["service/openapi.json"]
    openapi = json.loads(text)
    assert set(openapi["paths"]) == {"/v1/rank", "/v1/score", "/v1/models", "/healthz", "/readyz", "/metrics"}
    for reference in re.findall(r'"#/components/schemas/(\w+)"', text):
        assert reference in openapi["components"]["schemas"]
    for path, code in (("/v1/rank", "422"), ("/v1/score", "429"), ("/readyz", "503")):
        (route,) = openapi["paths"][path].values()
        assert "application/problem+json" in route["responses"][code]["content"]
    for path in ("/v1/rank", "/v1/score"):
        body = openapi["paths"][path]["post"]["requestBody"]["content"]
        # The first is the one that generators of clients take.
        assert list(body)[:2] == ["multipart/form-data", "application/json"]
        assert body["application/json"]["examples"]


def test_the_service_page_has_the_problem_table() -> None:
    assert problems.table() in (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
