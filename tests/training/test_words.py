"""Training on words beside ratings: targets, warnings, weights by how fast losses fall, a run on lists, resumed to the bit."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from pqa import nn
from pqa.data.assets import ASTRONAUT
from pqa.data.rated import Rated
from pqa.data.sets import read
from pqa.errors import ConfigurationError
from pqa.nn.losses import fidelity_class, fidelity_several
from pqa.pixels.source import open_picture
from training.aspects import Aspects, untold
from training.balance import Balance
from training.checkpoints import LAST
from training.curves import read_curves
from training.gather import gather
from training.recipe import changed
from training.recipes import RECIPES, smoke
from training.run import Machine, fit
from training.task import Task

RECIPE = changed(smoke(RECIPES["liqe"]), ["optimiser.rate=1e-3"])
SETS = ("csiq", "kadid10k")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.build("liqe", "tiny")


def rows(tmp_path, *said):
    return [
        Rated(f"{k}.png", tmp_path, "all", (0.5,), (math.nan,), content=c, distortion=d)
        for k, (c, d) in enumerate(said)
    ]


def test_targets_are_the_words_and_silent_rows_take_no_part(tmp_path, model):
    told = rows(tmp_path, (("human", "night"), "blur"), ((), ""), (("animal",), ""))
    outputs = dict(zip(model.outputs, model(torch.randn(4, 15, 3, 32, 32)), strict=True))
    got = Aspects(model, RECIPE, told)(outputs, torch.tensor([2, 1, 0, 1]))
    scenes, faults = outputs["scene_probabilities"], outputs["distortion_probabilities"]
    present = torch.zeros(2, 9)
    present[0, 0] = present[1, 2] = present[1, 5] = 1.0
    torch.testing.assert_close(got["scene"], fidelity_several(scenes[[0, 2]], present))
    torch.testing.assert_close(got["distortion"], fidelity_class(faults[[2]], torch.tensor([3])) / 11)
    assert Aspects(model, RECIPE, told)(outputs, torch.tensor([1, 1, 1, 1])) == {}
    assert (
        Aspects(model, replace(RECIPE, scene_weight=0.0, distortion_weight=0.0), told)(outputs, torch.arange(3)) == {}
    )


def test_a_word_the_model_does_not_know_offers_the_nearest(tmp_path, model):
    with pytest.raises(ConfigurationError, match="did you mean 'human'"):
        Aspects(model, RECIPE, rows(tmp_path, (("humans",), "")))
    with pytest.raises(ConfigurationError, match="did you mean 'blur'"):
        Aspects(model, RECIPE, rows(tmp_path, ((), "blurr")))


def test_what_no_row_says_is_told(tmp_path):
    assert [warning.code for warning in untold(RECIPE, rows(tmp_path, ((), "")))] == ["no_content", "no_distortion"]
    assert [warning.code for warning in untold(RECIPE, rows(tmp_path, (("human",), "")))] == ["no_distortion"]
    assert untold(smoke(RECIPES["scene_gate"]), rows(tmp_path, ((), ""))) == []


def test_a_model_without_distortions_is_refused(tmp_path):
    recipe = replace(smoke(RECIPES["monet"]), distortion_weight=1.0)
    model = nn.build("monet", "tiny")
    with pytest.raises(ConfigurationError, match="distortion_weight needs the output 'distortion_probabilities'"):
        Task(model, model, recipe, [], tmp_path / "best")


def losses(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


def test_balance_by_hand():
    """Ratios 1/2 and 1 at T = 2: the loss that stands still weighs more; the two weights sum to two."""
    balance = Balance()
    assert balance.weights(0) == {}
    for epoch, quality in enumerate((0.8, 0.4)):
        balance.add(epoch, losses(quality=quality - 0.1, scene=0.3))
        balance.add(epoch, losses(quality=quality + 0.1))
        assert balance.weights(epoch) == {}
    got = balance.weights(2)
    share = math.exp(0.25) / (math.exp(0.25) + math.exp(0.5))
    assert got == pytest.approx({"quality": 2 * share, "scene": 2 * (1 - share)})


def test_balance_leaves_out_what_an_epoch_did_not_have():
    balance = Balance()
    balance.add(0, losses(quality=0.5))
    balance.add(1, losses(quality=0.25, scene=0.3))
    assert balance.weights(2) == {"quality": 1.0}
    balance.add(2, losses(quality=0.0, scene=0.3))
    balance.add(3, losses(quality=0.0, scene=0.3))
    assert balance.weights(4) == {"scene": 1.0}


def test_balance_goes_on_from_its_state():
    whole, first, second = Balance(), Balance(), Balance()
    for epoch in range(4):
        for step in range(3):
            one = losses(quality=0.9 / (epoch + step + 1), scene=0.5 - 0.1 * epoch)
            whole.add(epoch, one)
            (first if epoch < 2 else second).add(epoch, one)
        if epoch == 1:
            second.restore(first.state())
    assert second.weights(4) == whole.weights(4)


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """Two sets in the authors' layout: the shipped portrait, blurred or dark, by lists."""
    rng = np.random.default_rng(0)
    whole = open_picture(ASTRONAUT).reduced(120)
    folders = []
    for name in SETS:
        folder = tmp_path_factory.mktemp(name)
        place = folder / "splits2" / "1"
        place.mkdir(parents=True)
        for part, count in (("train", 8), ("val", 4), ("test", 4)):
            lines = []
            for k in range(count):
                blur, light = (rng.uniform(0.3, 4.0), 1.0) if k % 2 else (0.1, rng.uniform(0.1, 1.0))
                made = cv2.GaussianBlur(whole, (0, 0), blur) * light
                cv2.imwrite(str(folder / f"{part}{k}.png"), made.astype(np.uint8)[..., ::-1])
                fault = "gaussian blur" if k % 2 else "darken"
                lines.append(f"{part}{k}.png\t{light / (1 + blur):.4f}\t{fault}\thuman\tindoor\tinvalid\n")
            (place / f"{name}_{part}_clip.txt").write_text("".join(lines))
        folders.append(folder)
    return gather([read(folder) for folder in folders])


def train(data, out, *, resume=False, epochs=4):
    return fit(
        replace(RECIPE, epochs=epochs), data, out, Machine("cpu", every=1, resume=resume, cache=out.parent / "cache")
    )


class Cut(Exception):
    pass


def test_a_run_on_lists_learns_all_three_and_resumes_to_the_bit(six, tmp_path, monkeypatch):
    whole = train(six, tmp_path / "whole")
    assert whole.warnings == ()
    assert whole.model.config.scenes == nn.MODELS["liqe"].sizes["tiny"].scenes
    assert {"train/fidelity_all", "train/scene", "train/distortion"} <= {
        name for name, *_ in read_curves(tmp_path / "whole")
    }
    step = Task.training_step

    def cut(self, batch, index):
        if self.current_epoch == 3 and index == 1:
            raise Cut
        return step(self, batch, index)

    monkeypatch.setattr(Task, "training_step", cut)
    with pytest.raises(Cut):
        train(six, tmp_path / "cut")
    monkeypatch.undo()
    train(six, tmp_path / "cut", resume=True)
    a, b = (torch.load(tmp_path / name / LAST, weights_only=True) for name in ("whole", "cut"))
    assert a["balance"] == b["balance"]
    assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])
