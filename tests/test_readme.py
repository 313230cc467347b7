"""README's commands and example are run as they stand, so that prose cannot drift from the program."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from bench import models as bench_models
from pqa.cli import data, simulate
from pqa.cli.main import main
from pqa.data import published
from pqa.data.assets import ASTRONAUT
from pqa.pixels.source import open_picture
from pqa.simulator.camera import variants
from training import command as train

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONFIGURE = {"data": data.configure, "simulate": simulate.configure, "train": train.configure}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """a.jpg, b.jpg, c.jpg here and in `photos` and `unsorted`, as README's commands expect them."""
    from PIL import Image

    shots = variants(open_picture(ASTRONAUT).reduced(256))
    for folder in (tmp_path, tmp_path / "photos", tmp_path / "unsorted"):
        folder.mkdir(exist_ok=True)
        for name, (_, rgb) in zip("abc", (shots[0], shots[2], shots[6]), strict=True):
            Image.fromarray(rgb).save(folder / f"{name}.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(start):
    found = re.findall(rf"^    ({start} [^\n#]*)", README, re.MULTILINE)
    assert found, f"README shows no command that starts with {start!r}"
    return [line.strip() for line in found]


@pytest.mark.parametrize(
    "line", commands("pqa rank photos") + commands("pqa rank unsorted") + commands("pqa score photos")
)
def test_commands_run(line, photos, capsys):
    assert main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


def test_the_python_example_runs_and_ranks_the_sharp_shot_first(photos, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("('a.jpg'")


def test_evaluate_and_scale_lines_name_real_options(photos):
    Path("ratings.csv").write_text("image,mos\na.jpg,0.9\nb.jpg,0.2\nc.jpg,0.4\n")
    assert main(["score", "photos", "--out", "scores.csv"]) == 0
    (evaluate,) = commands("pqa evaluate")
    assert main(shlex.split(evaluate)[1:]) == 0
    assert Path("report.html").read_text().startswith("<!")


def test_the_published_table_is_the_data():
    assert published.markdown(published.read("portrait_challenge")).strip() in README


def test_the_table_of_models_is_printed_by_its_command(capsys):
    bench_models.main()
    assert capsys.readouterr().out.strip() in README


def test_every_link_leads_to_a_file():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("name", ["make demo", "make test"])
def test_make_targets_exist(name):
    assert re.search(rf"^{name.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", commands("pqa data") + commands("pqa simulate") + commands("pqa train"))
def test_lines_on_data_and_training_name_real_options(line):
    name, *arguments = shlex.split(line)[1:]
    parser = argparse.ArgumentParser()
    CONFIGURE[name](parser)
    parser.parse_args(arguments)


@pytest.mark.parametrize(
    "command",
    ["rank", "score", "models", "demo", "serve", "evaluate", "scale", "data", "simulate", "train", "export"],
)
def test_every_command_helps(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"pqa {command}" in capsys.readouterr().out
