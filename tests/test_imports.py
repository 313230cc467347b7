"""The light side stays light: serving runs without torch, and this test is itself shown able to fail."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "open_clip",
    "facenet_pytorch",
    "lightning",
    "onnx",
    "onnxscript",
    "sklearn",
    "skimage",
}

RANK_OVER_HTTP = """
import json, sys, time
from pathlib import Path
from starlette.testclient import TestClient
from pqa.data.assets import ASTRONAUT
from service.app import create_app
from service.settings import Settings
with TestClient(create_app(Settings())) as client:
    until = time.monotonic() + 120
    while client.get("/readyz").status_code != 200 and time.monotonic() < until:
        time.sleep(0.05)
    answer = client.post("/rank", files=[("images", ("a.png", ASTRONAUT.read_bytes(), "image/png"))])
    assert answer.status_code == 200, answer.text
    assert answer.json()["groups"][0]["order"] == ["a.png"]
"""


def modules_after(code: str) -> set[str]:
    """Top-level names in sys.modules after `code` ran in a fresh interpreter."""
    code += "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_ranking_over_http_loads_nothing_heavy():
    assert modules_after(RANK_OVER_HTTP) & HEAVY == set()


def test_the_test_above_can_fail():
    assert "torch" in modules_after("import pqa.nn")


def test_help_loads_no_command():
    loaded = modules_after(
        "import contextlib, io, pqa.cli.main as m\nwith contextlib.redirect_stdout(io.StringIO()): m.main(['--help'])"
    )
    assert loaded & (HEAVY | {"service", "training", "export", "fastapi", "cv2"}) == set()


def test_light_requirements_name_no_torch():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *extras["cpu"], *extras["gpu"], *extras["heic"]]:
        assert not any(name in requirement for name in ("torch", "timm", "lightning")), requirement


def test_public_names_exist():
    import pqa

    assert all(getattr(pqa, name) is not None for name in pqa.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pqa.nothing


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("pqa/ranking.py", "import service.app", True),
        ("service/problems.py", "import pqa.nn", True),
        ("pqa/runtime/store.py", "import pqa.nn.models", True),
        ("export/onnx.py", "import training.run", True),
        ("pqa/ranking.py", "import json", False),
    ],
)
def test_import_rules_are_watched(tmp_path, module, line, broken):
    """A copy of the tree with one forbidden import must fail the check that the clean copy passes."""
    import shutil

    for name in ("pqa", "service", "training", "export", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
        else:
            shutil.copy(source, tmp_path / name)
    target = tmp_path / module
    target.write_text(target.read_text() + f"\n{line}\n")
    program = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())"
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert (run.returncode != 0) == broken, run.stdout + run.stderr
    assert ("BROKEN" in run.stdout) == broken
