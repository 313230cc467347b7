"""Training end to end on pictures made here: from a rated folder to a model file that ranks."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch

import pqa
from pqa.cli.main import main
from pqa.data import biq2021
from pqa.data.assets import ASTRONAUT
from pqa.errors import DataError
from pqa.nn.trees import Trees
from pqa.pixels.source import open_picture
from training.calibrate import calibrate, within
from training.default import card
from training.default.cache import Cache
from training.default.conditions import CONDITIONS, conditions
from training.default.examples import FAULT_TREES, LEAVES, fault_trees, tensors


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """60 pictures of different content in BIQ2021's layout, rated by how little they were blurred."""
    folder = tmp_path_factory.mktemp("rated")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        coarse = cv2.resize(rng.integers(0, 256, (5, 5, 3), np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
        blur = rng.uniform(0.3, 4)
        noise = cv2.GaussianBlur(rng.normal(0, 60, coarse.shape), (0, 0), blur) * blur
        name = f"{number:03}.png"
        cv2.imwrite(str(folder / "images" / name), np.clip(coarse + noise, 0, 255).astype(np.uint8))
        rows.append({"image": name, "mos": f"{1 - blur / 4:.3f}", "subset": f"ss0{number % 2}", "portrait": "1"})
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "mos", "subset", "portrait"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def trained(rated, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    assert main(["train", "--recipe", "default", "--data", str(rated), "--out", str(out), "--smoke"]) == 0
    return out


def test_a_run_leaves_what_it_promises(trained):
    assert {path.name for path in trained.iterdir()} >= {
        "recipe.json",
        "metrics.json",
        "scene_gate.onnx",
        "scene_gate.safetensors",
    }
    metrics = json.loads((trained / "metrics.json").read_text())
    assert len(metrics["choose"]) == 1
    assert metrics["parity"]["max_difference"] <= 1e-4 * metrics["parity"]["spread"]


def test_the_model_ranks_and_knows_that_it_is_trained(trained):
    ranking = pqa.load(trained / "scene_gate.onnx").rank([ASTRONAUT, open_picture(ASTRONAUT).reduced(40)])
    assert ranking.model.trained
    assert len(ranking.groups[0].order) == 2


def test_the_checkpoint_exports_to_the_same_scores(trained, tmp_path, capsys):
    path = tmp_path / "again.onnx"
    assert main(["export", str(trained / "scene_gate.safetensors"), "--out", str(path)]) == 0
    rgb = open_picture(ASTRONAUT).reduced(512)
    a, b = (pqa.load(model).score([rgb])[0].score for model in (trained / "scene_gate.onnx", path))
    assert a == pytest.approx(b, abs=1e-6)


def test_a_card_names_whose_ratings_they_are_and_sets_seeds_side_by_side(rated, trained, capsys):
    model = str(trained / "scene_gate.onnx")
    arguments = ["--model", model, "--data", str(rated), "--cache", str(trained / "cache"), "--seeds", model]
    assert card.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "Data: 60 photographs with mean ratings, in BIQ2021's layout; simulated camera faults.\n" in shown
    assert "Terms: the terms of the rated photographs" in shown
    assert "--cache RUN/cache --seeds OTHER/scene_gate.onnx`" in shown
    assert "raters of BIQ2021" not in shown
    assert "| portraits of ss00 | " in shown
    *_, first, again = shown.strip().splitlines()
    assert first.startswith("| this one |")
    assert first.endswith("| 1.000 | 0.000 |")
    assert again.split("|")[2:] == first.split("|")[2:]


def test_nothing_of_the_report_part_is_faulted_and_groups_stay_whole(trained):
    samples = Cache.open(trained / "cache").samples
    assert all(row == sample.base for row, sample in enumerate(samples) if sample.part == "report")
    assert {samples[sample.base].part for sample in samples if sample.version} == {"train", "choose"}
    assert all(samples[sample.base].part == sample.part for sample in samples)


def test_fault_trees_say_what_share_of_the_rating_faults_took(trained):
    cache = Cache.open(trained / "cache")
    rows = np.array([row for row, sample in enumerate(cache.samples) if sample.part == "train"])
    taken = np.array([1 - cache.samples[row].keep[0] for row in rows])
    trees = Trees(FAULT_TREES, LEAVES)
    trees.fill(fault_trees(cache, seed=0))
    said = trees(tensors(cache, rows)[0]).numpy()
    assert np.corrcoef(said, taken)[0, 1] > 0.9
    assert abs(said.mean() - taken.mean()) < 0.05


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("mos", "rating"), "no column for the mean rating"),
        (lambda text: text.replace("001.png", "000.png"), "named more than once"),
        (lambda text: text.replace("001.png", "nowhere.png"), "1 of 60 pictures are missing"),
        (lambda text: text.replace("000.png,", "000.png,x"), "mos is no number"),
        (lambda text: text.replace("000.png,0", "000.png,7"), "from 0 to 1"),
        (lambda text: text.replace(text.splitlines()[5], "004.png"), "line 6: expected 4 cells, got 1"),
    ],
)
def test_bad_tables_are_named(rated, tmp_path, change, says):
    (tmp_path / "images").symlink_to(rated / "images")
    (tmp_path / "train.csv").write_text(change((rated / "train.csv").read_text()))
    with pytest.raises(DataError, match=says):
        biq2021.read(tmp_path)


def test_a_cache_of_other_pictures_is_not_used(rated, trained, tmp_path, capsys):
    few = tmp_path / "few"
    few.mkdir()
    (few / "images").symlink_to(rated / "images")
    (few / "train.csv").write_text("\n".join((rated / "train.csv").read_text().splitlines()[:30]))
    arguments = [
        "train",
        "--data",
        str(few),
        "--out",
        str(tmp_path / "out"),
        "--cache",
        str(trained / "cache"),
        "--smoke",
    ]
    assert main(arguments) == 2
    assert "cut for other pictures" in capsys.readouterr().err


def test_wrong_use_is_one_line(rated, tmp_path, capsys):
    assert main(["train", "--recipe", "scene_gat", "--data", str(rated), "--out", str(tmp_path)]) == 2
    assert "did you mean 'scene_gate'" in capsys.readouterr().err
    assert main(["train", "--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "found no train.csv" in capsys.readouterr().err


def test_calibration_makes_spreads_honest():
    rng = np.random.default_rng(0)
    mos = rng.normal(0, 1, 600)
    std = rng.uniform(0.5, 1.5, 600)
    score = mos + 0.4 * std * rng.standard_normal(600)
    got = calibrate(score, std, mos)
    assert got.std_scale == pytest.approx(0.4, rel=0.1)
    # Errors are independent and normal here, so a slope of about one is the truth (a little less, for the ratings spread too).
    assert 0.8 < got.win_slope < 1.1


def test_calibration_within_scenes_ignores_their_offsets_and_the_scale():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 20)
    truth = rng.normal(0, 1, 600)
    std = rng.uniform(0.5, 1.5, 600)
    score = truth + 0.4 * std * rng.standard_normal(600)
    plain = calibrate(score, std, truth, groups)
    assert plain.std_scale == pytest.approx(0.4, rel=0.15)
    shifted = calibrate(score + rng.normal(0, 5, 30)[groups], std, 3 * truth + rng.normal(0, 5, 30)[groups], groups)
    assert shifted.std_scale == pytest.approx(plain.std_scale, rel=1e-6)
    assert shifted.win_slope == pytest.approx(plain.win_slope, rel=1e-3)
    with pytest.raises(DataError, match="nothing to calibrate on"):
        calibrate(score, std, truth, np.arange(600))


def test_errors_that_shots_of_a_scene_share_make_their_difference_surer():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 10)
    mos = rng.normal(0, 1, 60)[groups] + rng.normal(0, 1, 600)
    std = np.full(600, 1.0)
    score = mos + rng.normal(0, 1, 60)[groups] + 0.3 * rng.standard_normal(600)
    across = calibrate(score, std, mos)
    got = within(across, score, std, mos, groups)
    assert got.win_slope == across.win_slope
    assert got.scene_slope > 2 * across.scene_slope
    with pytest.raises(DataError, match="nothing to calibrate on"):
        within(across, score, std, mos, np.arange(600))


def test_conditions_are_named_by_light():
    rng = np.random.default_rng(0)
    centres = {"bright": (0.8, 0, 0), "neutral": (0.5, 0, 0), "warm": (0.55, 0.2, 1.5), "dark": (0.1, 0, 0)}
    lab = np.concatenate([np.array(centres[name]) + 0.02 * rng.standard_normal((50, 3)) for name in CONDITIONS])
    got = conditions(lab, np.ones(200, bool), seed=0)
    assert got.tolist() == np.repeat(np.arange(4), 50).tolist()
    torch.testing.assert_close(
        torch.from_numpy(conditions(lab, np.arange(200) % 2 == 0, seed=0)), torch.from_numpy(got)
    )
