"""`pqa models`: everything the store holds, damaged files included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pqa.cli.main import main
from pqa.runtime.store import SHIPPED
from tests.conftest import MakeModel


@pytest.fixture
def store(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good model and its card, an untrained one, and a file that is no model."""
    make_model(tmp_path / "good.onnx")
    (tmp_path / "good.md").write_text("# Good\n\nRated by nobody.\n", encoding="utf-8")
    make_model(tmp_path / "raw.onnx", trained=False)
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    monkeypatch.setenv("PQA_MODELS_DIR", str(tmp_path))
    return tmp_path


def test_json_lists_every_file(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == {"good", "raw", "damaged"} | {path.stem for path in SHIPPED.glob("*.onnx")}
    assert (rows["good"]["trained"], rows["raw"]["trained"]) == (True, False)
    assert len(rows["good"]["sha256"]) == 64
    assert rows["good"]["bytes"] == (store / "good.onnx").stat().st_size
    assert rows["good"]["provider"] == "CPUExecutionProvider"
    assert "not a model" in rows["damaged"]["error"]


def test_table_for_people(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for said in (
        "good",
        "damaged",
        "not a model",
        "its scores mean nothing",
        "overall, detail, exposure",
        "Apache-2.0",
    ):
        assert said in out


def test_card(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--card", "good"]) == 0
    assert capsys.readouterr().out == "# Good\n\nRated by nobody.\n"


@pytest.mark.parametrize("name", ["raw", "absent"])
def test_no_card(store: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["models", "--card", name]) == 2
    assert "good" in capsys.readouterr().err


def test_weights_are_listed_with_size_licence_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "liqe.safetensors").write_bytes(b"here")
    monkeypatch.setenv("PQA_WEIGHTS_DIR", str(tmp_path))
    assert main(["models", "--weights", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["liqe"]["path"] == str(tmp_path / "liqe.safetensors")
    assert rows["resnet50.tv_in1k"]["path"] is None
    assert main(["models", "--weights"]) == 0
    out = capsys.readouterr().out
    for row in rows.values():
        assert f"{row['name']}: {row['megabytes']} MB, licence {row['licence']}" in out
        assert f"{row['path'] or row['origin']}, sha256 {row['sha256'] or 'unknown'}" in out
    assert "PQA_WEIGHTS_DIR" in out
