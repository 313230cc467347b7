"""Averages, schedules, rates by group, freezing, clipping, precision, early end: each does what the recipe says."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pqa.data.sets import read
from pqa.errors import ConfigurationError
from tests.rated_portraits import write_portraits
from training.average import Averaged
from training.checkpoints import LAST
from training.curves import read_curves
from training.gather import few, gather
from training.pictures import Portraits
from training.recipe import Average, Group, Optimiser, Schedule, changed
from training.recipes import RECIPES, smoke
from training.run import BEST, Machine, build_models, fit
from training.schedules import Plateau, factor, freeze, groups, optimiser_of
from training.task import Task, challenge_figures


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return few(gather([read(write_portraits(tmp_path_factory.mktemp("portraits")))]))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def recipe_of(*settings, name="hyperiqa"):
    return changed(smoke(RECIPES[name]), ["batches.size=6", "batches.kind=groups", "batches.scenes=1", *settings])


def train(data, out, cache, *settings, name="hyperiqa", **machine):
    return fit(recipe_of(*settings, name=name), data, out, Machine("cpu", cache=cache, **machine))


def curve(out, name):
    return next(y.tolist() for found, _, y in read_curves(out) if found == name)


@pytest.fixture
def steps(monkeypatch):
    """The weights after each step of the optimiser, and the rates of its groups."""
    seen = []
    step = Task.optimizer_step

    def watched(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        step(self, epoch, batch_idx, optimizer, optimizer_closure)
        weights = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        seen.append((weights, [group["lr"] for group in optimizer.param_groups]))

    monkeypatch.setattr(Task, "optimizer_step", watched)
    return seen


class Sum(nn.Module):
    """One parameter, one running buffer, one counter."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def put(self, value):
        self.weight.data.fill_(value)
        self.mean.fill_(2 * value)
        self.count.fill_(int(value))


def test_the_exponential_average_is_the_plain_recursion():
    model, averaged = Sum(), Averaged(Average("ema", decay=0.6), epochs=1)
    expected = None
    for number in range(1, 8):
        model.put(float(number))
        averaged.after_step(model, 0, last=False)
        decay = min(0.6, (1 + number) / (10 + number))
        expected = number if expected is None else decay * expected + (1 - decay) * number
        got = averaged.weights
        torch.testing.assert_close(got["weight"], torch.tensor([expected]), check_dtype=False)
        torch.testing.assert_close(got["mean"], torch.tensor([2 * expected]), check_dtype=False)
        assert int(got["count"]) == number


def test_the_average_of_epochs_is_their_mean():
    model, averaged = Sum(), Averaged(Average("swa", start=0.5), epochs=6)
    for epoch in range(6):
        for batch in range(2):
            model.put(float(10 * epoch + batch))
            averaged.after_step(model, epoch, last=batch == 1)
        if epoch < 3:
            assert averaged.weights is None
    torch.testing.assert_close(averaged.weights["weight"], torch.tensor([(31 + 41 + 51) / 3]))


@pytest.mark.parametrize(("kind", "settings"), [("ema", ()), ("swa", ("average.start=0.3",)), ("none", ())])
def test_what_is_judged_is_what_is_saved(data, cache, tmp_path, steps, kind, settings):
    """The saved weights, looked at anew, have the score for which they were chosen."""
    settings = ("epochs=4", "optimiser.rate=1e-2", "schedule.kind=constant", f"average.kind={kind}", *settings)
    fitted = train(data, tmp_path, cache, *settings)
    part = fitted.choose
    recipe = recipe_of(*settings)
    pictures = Portraits(part.rows, part.facts, fitted.model.views, part.groups, part.scenes, recipe.augment)
    with torch.no_grad():
        scores = np.concatenate([fitted.model(*(view[None] for view in item["views"]))[0] for item in pictures])
    assert challenge_figures(part.rows, scores)["score"] == pytest.approx(fitted.best_score, abs=1e-6)
    saved = load_file(tmp_path / BEST)
    per_epoch = len(steps) // 4
    chosen = steps[(fitted.best_epoch + 1) * per_epoch - 1][0]
    alike = all(torch.equal(saved[name], value) for name, value in chosen.items())
    assert alike == (kind == "none" or (kind == "swa" and fitted.best_epoch <= 1))


@pytest.mark.parametrize("kind", ["constant", "cosine", "step", "plateau"])
def test_a_warm_up_rises_evenly_to_the_highest_rate(kind):
    schedule = Schedule(kind, warmup=2.0)
    assert [factor(schedule, step, 4, 10) for step in range(8)] == pytest.approx([(step + 1) / 8 for step in range(8)])


def test_schedules_by_hand():
    assert [factor(Schedule("step", every=2, factor=0.5), step, 3, 6) for step in range(18)] == [
        0.5 ** (step // 3 // 2) for step in range(18)
    ]
    cosine = Schedule("cosine", warmup=1.0, period=5, floor=0.1)
    for step in range(3, 30):
        share = (step / 3 - 1) / 4
        assert factor(cosine, step, 3, 10) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2)
    assert factor(cosine, 15, 3, 10) == pytest.approx(0.1)
    assert factor(cosine, 27, 3, 10) == pytest.approx(1.0)  # the way back, as in CosineAnnealingLR


def test_a_plateau_lowers_the_rate_after_epochs_without_a_better_score():
    plateau = Plateau(Schedule("plateau", every=4, factor=0.5))
    shares = []
    for better in (True, False, False, True, False, False, False):
        plateau.seen(2, better=better)
        shares.append(plateau.share)
    assert shares == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    steady = Plateau(Schedule("step", every=1))
    steady.seen(5, better=False)
    assert steady.share == 1.0


def test_plateau_and_warm_up_go_together(data, cache, tmp_path, steps):
    """A rate of zero never gives a better score, so that every look but the first lowers it."""
    settings = ("epochs=4", "schedule.kind=plateau", "schedule.warmup=1", "schedule.every=1", "schedule.factor=0.5")
    settings = (*settings, "optimiser.rate=1e-12", "average.kind=none")
    train(data, tmp_path, cache, *settings, name="rq_net")  # no batch norm, whose statistics would go on
    per_epoch = len(steps) // 4
    shares = [rates[0] / 1e-12 for _, rates in steps]
    assert shares[:per_epoch] == pytest.approx([(step + 1) / per_epoch for step in range(per_epoch)])
    assert shares[per_epoch:] == pytest.approx([share for share in (1.0, 0.5, 0.25) for _ in range(per_epoch)])


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_trainable_parameter_is_in_one_group(name):
    recipe = smoke(RECIPES[name])
    model = build_models(recipe, ("a", "b"))[0]
    freeze(model, recipe.optimiser)
    found = [id(parameter) for group in groups(model, recipe.optimiser) for parameter in group["params"]]
    assert len(found) == len(set(found))
    assert set(found) == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


def test_rates_follow_the_longest_prefix_and_frozen_parts_stay(data, cache, tmp_path, steps):
    chosen = '[{"prefix": "core", "rate": 0.5}, {"prefix": "core.trunk", "frozen": true}]'
    settings = (
        "epochs=1",
        "optimiser.kind=sgd",
        "optimiser.rate=0.01",
        "schedule.kind=constant",
        f"optimiser.groups={chosen}",
    )
    train(data, tmp_path, cache, *settings)
    assert steps[0][1] == [0.005]
    start = dict(build_models(recipe_of(*settings), ())[0].named_parameters())
    moved = {name for name, value in steps[-1][0].items() if not torch.equal(value, start[name])}
    assert moved
    assert not [name for name in moved if name.startswith("core.trunk")]
    assert len(moved) > 0.9 * len([name for name in start if not name.startswith("core.trunk")])


def test_groups_that_fit_nothing_are_told():
    model = nn.ModuleDict({"trunk": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    with pytest.raises(ConfigurationError, match=r"no parameter begins with 'body'.*head, trunk"):
        freeze(model, Optimiser(groups=(Group("body", 0.1),)))
    frozen = Optimiser(groups=(Group("", frozen=True),))
    freeze(model, frozen)
    with pytest.raises(ConfigurationError, match="nothing is left to train"):
        optimiser_of(model, frozen)


def test_clipping_bounds_the_step(data, cache, tmp_path, steps):
    """SGD at a rate of one, without decay: a step is the gradient itself."""
    settings = (
        "optimiser.kind=sgd",
        "optimiser.rate=1",
        "optimiser.decay=0",
        "optimiser.groups=[]",
        "schedule.kind=constant",
    )
    start = build_models(recipe_of(*settings), ())[0].state_dict()

    def first_step():
        return math.sqrt(sum(float(((value - start[name]) ** 2).sum()) for name, value in steps[0][0].items()))

    train(data, tmp_path / "free", cache, *settings, "clip=1e9")
    free = first_step()
    steps.clear()
    train(data, tmp_path / "clipped", cache, *settings, f"clip={free / 10}")
    assert first_step() == pytest.approx(free / 10, rel=1e-3)


def test_bfloat16_computes_roughly_the_same_and_keeps_float32_weights(data, cache, tmp_path):
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        train(data, tmp_path / precision, cache, f"precision={precision}")
        losses[precision] = curve(tmp_path / precision, "train/huber")[0]
        weights = torch.load(tmp_path / precision / LAST, weights_only=True)["state_dict"]
        assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}
    assert losses["bf16-mixed"] != losses["32-true"]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.05)


def test_a_run_ends_after_epochs_without_a_better_score(data, cache, tmp_path, steps):
    settings = ("epochs=9", "patience=3", "optimiser.rate=0", "average.kind=none")
    fitted = train(data, tmp_path, cache, *settings, name="rq_net")
    assert fitted.best_epoch == 0
    assert len(curve(tmp_path, "score")) == 4


def test_a_diverging_run_is_told(data, cache, tmp_path):
    with pytest.raises(ConfigurationError, match="no longer finite after epoch 1: lower"):
        train(data, tmp_path, cache, "optimiser.kind=sgd", "optimiser.rate=1e30", "schedule.kind=constant")
