"""Every recipe from rated pictures to a model file, by the command itself and in seconds."""

import importlib
import json

import pytest

import pqa
from pqa.cli.main import main
from pqa.data.assets import ASTRONAUT
from pqa.data.sets import read
from tests.rated_portraits import write_portraits
from training.checkpoints import LAST
from training.recipe import from_json, to_json
from training.recipes import RECIPES, smoke


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    return write_portraits(tmp_path_factory.mktemp("portraits"))


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_smoke_run_leaves_what_a_run_promises(portraits, tmp_path, capsys, name):
    arguments = ["--recipe", name, "--data", portraits, "--cache", portraits / "cache", "--out", tmp_path, "--smoke"]
    assert main(["train", *map(str, arguments)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == str(tmp_path / f"{name}.onnx")
    assert "epoch 1 of 1: loss" in told.err
    left = {path.name for path in tmp_path.iterdir()}
    files = {"metrics.json", "recipe.json", "predictions.csv", "report-overall.html", LAST}
    assert left >= files | {f"{name}.onnx", f"{name}.safetensors", "log"}
    assert from_json((tmp_path / "recipe.json").read_text()) == smoke(RECIPES[name])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["pictures"] == {"train": 18, "choose": 6, "report": 6}
    assert metrics["report"]["overall"]["labels"]["pictures"] == 6
    assert metrics["parity"]["max_difference"] <= max(1e-4 * metrics["parity"]["spread"], 1e-5)
    page = (tmp_path / "report-overall.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 6  # every picture of the report part is among the worst twelve
    assert "train/" in page
    spec = pqa.load(tmp_path / f"{name}.onnx").predictor.spec
    assert spec.trained
    assert spec.data == ("own",)
    assert spec.provenance["labels.csv"]
    shots = sorted((portraits / "place_0").rglob("*.jpg"))[:2]
    ranking = pqa.load(tmp_path / f"{name}.onnx").rank([ASTRONAUT, *shots])
    assert sorted(ranking.groups[0].order) == sorted(row.id for row in ranking.groups[0].ranking)


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_is_saved_and_read_back(name):
    assert from_json(to_json(RECIPES[name])) == RECIPES[name]


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_s_header_has_its_command_and_what_was_published(name):
    """The text of the file is the place where both are looked for."""
    text = importlib.import_module(f"training.recipes.{name}").__doc__
    assert f"pqa train --recipe {name}" in text
    assert "SRCC" in text or "no figure of ours" in text


def test_the_set_that_recipes_are_tried_on_has_all_parts(portraits):
    assert {row.part for row in read(portraits).rows} == {"train", "choose", "report"}
