"""The whole API against its own document, by schemathesis: examples, edges of each parameter, random requests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service import middleware
from service.documents import documents
from service.settings import Settings
from tests.serving import problem, serving


@pytest.mark.parametrize("number", [3, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_api_is_as_its_document_says(
    tiny_model: Path, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Most of these clients go on sending, or never meant to.
    monkeypatch.setattr(middleware, "_LINGER_S", 0.02)
    with serving(Settings(models=(str(tiny_model),), receive_timeout_s=0.2 if number == 3 else 1.0)) as live:
        # Random bytes are no picture, so not every request that fits the document is accepted.
        options = ["--exclude-checks", "positive_data_acceptance", "--generation-deterministic", "--no-color"]
        if number > 3:
            # Sooner or later a field of a form is no string by intent, `[null]`; on the wire it is one, and accepted.
            options[1] += ",negative_data_rejection"
        # What is slow here may be the machine.
        options += ["--suppress-health-check", "all", "--request-timeout", "60"]
        url = f"http://127.0.0.1:{live.port}/openapi.json"
        command = [sys.executable, "-m", "schemathesis.cli", "run", url, "--max-examples", str(number), *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Tested: 6" in done.stdout
        assert live.http.get("/readyz").status_code == 200


def test_the_examples_of_the_document_can_be_sent_as_they_are(tiny_model: Path) -> None:
    paths = json.loads(documents()["service/openapi.json"])["paths"]
    with serving(Settings(models=(str(tiny_model),))) as live:
        for path in ("/v1/rank", "/v1/score"):
            examples = paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"]
            answer = live.http.post(path, json=examples["upload"]["value"])
            assert answer.status_code == 200
            assert answer.json()["unscored"] == []
            problem(live.http.post(path, json=examples["by hash"]["value"]), 422, "unknown-pictures")
