"""`pqa demo`: ranks, leaves the contact sheet, asks the service for the same and stops it."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest

from pqa.cli import demo
from pqa.cli.main import main
from pqa.errors import ModelError


def test_demo_asks_a_real_service_and_stops_it(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--dir", str(tmp_path / "demo"), "--model", str(tiny_model)]) == 0
    out, err = capsys.readouterr()
    pictures = sorted(path.name for path in (tmp_path / "demo" / "portraits").iterdir())
    assert len(pictures) == 12
    assert all(out.count(name) >= 3 for name in pictures)  # in the table, in curl's line, in the service's order
    assert "the same answer as on the command line, to the last bit" in out
    assert (tmp_path / "demo" / "contact-sheet.html").stat().st_size > 10_000
    # What is left to type works: the last lines start a service and ask that one.
    *_, serve, curl = out.splitlines()
    assert serve.strip() == f"pqa serve --port 8000 --model {tiny_model}"
    assert curl.endswith(" http://127.0.0.1:8000/rank")
    assert set(re.findall(r"(?:port |127\.0\.0\.1:)(\d+)", out)) == {"8000"}
    # The one that was asked is gone.
    *_, started = re.findall(r'"port": (\d+)|127\.0\.0\.1:(\d+)', (tmp_path / "demo" / "serve.log").read_text())
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int("".join(started)))) != 0
    assert err == ""


def test_demo_without_service(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--no-serve", "--dir", str(tmp_path), "--model", str(tiny_model)]) == 0
    assert "curl" not in capsys.readouterr().out
    assert not (tmp_path / "serve.log").exists()


def test_a_service_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "serve.log"
    with pytest.raises(ModelError, match=re.escape(str(log))), demo._service(["--model", "absent"], log):
        pytest.fail("it must not become ready")
    assert "absent" in log.read_text()


def test_a_service_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = tmp_path / "idle.sh"
    idle.write_text("#!/bin/sh\nexec sleep 60\n")
    idle.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(idle))
    monkeypatch.setattr(demo, "START_SECONDS", 0.3)
    with pytest.raises(ModelError, match="not ready within"), demo._service([], tmp_path / "serve.log"):
        pytest.fail("it must not become ready")
