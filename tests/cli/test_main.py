"""The frame of the command line: finding commands, help, errors as one line, exit codes."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

import pqa
from pqa.cli import main as frame
from pqa.errors import ConfigurationError, MissingExtra, ModelNotFound

Install = Callable[[Callable[[argparse.Namespace], int]], None]


def absent(extra: str) -> str:
    return f"is not installed; install it with: pip install 'pqa[{extra}]'\n"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(run)` makes `run` the only command, named `probe`, with one option `--number`."""

    def put(run: Callable[[argparse.Namespace], int]) -> None:
        module = ModuleType("probe_command")
        module.configure = lambda parser: parser.add_argument("--number", type=int, default=0)
        module.run = run
        monkeypatch.setitem(sys.modules, "probe_command", module)
        points = [EntryPoint("probe", "probe_command", frame.GROUP)]
        monkeypatch.setattr(frame, "entry_points", lambda group: points if group == frame.GROUP else [])

    return put


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


def test_every_registered_command_has_a_summary_and_the_other_way_round() -> None:
    assert set(frame._commands()) == set(frame.SUMMARIES)


def test_help_names_every_command_and_loads_none() -> None:
    code = (
        "import sys; from pqa.cli.main import main; assert main(['--help']) == 0; "
        "heavy = {'numpy', 'rich', 'cv2', 'onnxruntime', 'torch', 'fastapi'} & set(sys.modules); "
        "assert not heavy, heavy; assert 'pqa.cli.rank' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, summary in frame.SUMMARIES.items():
        assert f"{name} " in done.stdout
        assert summary in done.stdout


def test_python_m_pqa_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "pqa", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"pqa {pqa.__version__}\n"


def test_no_command_prints_the_help_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main([]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "commands:" in err


def test_unknown_command_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["rnak", "a.jpg"]) == 2
    assert "did you mean 'rank'?" in capsys.readouterr().err


def test_arguments_reach_the_command_and_its_code_comes_back(install: Install) -> None:
    install(lambda args: int(args.number))
    assert frame.main(["probe", "--number", "3"]) == 3


@pytest.mark.parametrize(
    "argv", [["probe", "--number", "x"], ["probe", "--nmber", "1"], ["--number"], ["probe", "--num=1"]]
)
def test_wrong_use_is_one_line_and_code_2(
    install: Install, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    install(lambda args: 0)
    assert frame.main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("pqa: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigurationError("first\nsecond"), 2, "pqa: first second\n"),
        (ConfigurationError("no \x1b[31m.jpg"), 2, "pqa: no \\x1b[31m.jpg\n"),
        (ModelNotFound("no model named 'x'"), 2, "pqa: no model named 'x'\n"),
        (MissingExtra("pyarrow", "parquet"), 2, f"pqa: pyarrow {absent('parquet')}"),
        (ModuleNotFoundError("no", name="torch.nn"), 2, f"pqa: torch {absent('train')}"),
        (PermissionError(13, "Permission denied", "out.csv"), 2, "pqa: out.csv: Permission denied\n"),
        (KeyboardInterrupt(), 130, "pqa: interrupted\n"),
    ],
)  # fmt: skip
def test_known_errors_are_one_line(
    install: Install, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    install(raising(error))
    assert frame.main(["probe"]) == code
    assert capsys.readouterr() == ("", said)


def test_a_broken_installation_is_not_taken_for_a_missing_extra(install: Install) -> None:
    install(raising(ModuleNotFoundError("no", name="pqa.gone")))
    with pytest.raises(ModuleNotFoundError):
        frame.main(["probe"])


def test_not_installed_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(frame, "entry_points", lambda group: [])
    assert frame.main(["rank"]) == 2
    assert "pip install" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "pqa", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.close()
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (141, "")


@pytest.mark.parametrize("command", ["rank", "score", "models", "demo"])
def test_help_of_a_command_fits_a_terminal_and_shows_examples(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert frame.main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert f"\n  pqa {command}" in out


OWN = ("service", "training", "export")
ROOT = Path(pqa.__file__).parents[1]


def shadowed(folder: Path, *argv: str, kind: str = "file", path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    """`pqa ARGV` by `python -m` in a folder whose owner has files or folders of our packages' names."""
    for name in OWN:
        if kind == "file":
            (folder / f"{name}.py").write_text("raise RuntimeError('another project')\n")
        else:
            (folder / name).mkdir(parents=True)
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-m", "pqa", *argv], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_files_of_the_caller_do_not_stand_before_our_packages(tmp_path: Path, kind: str) -> None:
    done = shadowed(tmp_path, "serve", "--help", kind=kind)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: pqa serve")


def test_a_foreign_package_on_pythons_path_is_named_and_not_run(tmp_path: Path) -> None:
    done = shadowed(tmp_path, "train", "--help", path=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 2
    assert done.stderr == (
        f"pqa: {tmp_path / 'training.py'} stands before the package 'training' that the command 'train' needs; "
        "rename it, or leave its folder out of PYTHONPATH\n"
    )


def test_in_a_checkout_its_own_packages_are_taken(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pqa", tmp_path / "pqa", ignore=shutil.ignore_patterns("__pycache__", "artifacts", "assets"))
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").touch()
    (tmp_path / "training" / "command.py").write_text(
        "def configure(parser): pass\ndef run(args): print('of this checkout'); return 0\n"
    )
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    argv = [sys.executable, "-m", "pqa", "train"]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "of this checkout\n", "")
