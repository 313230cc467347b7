"""A run that is cut off and continued ends with the weights and figures of one that was not."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from pqa.data.sets import read
from pqa.errors import ConfigurationError
from tests.rated_portraits import write_portraits
from training.checkpoints import LAST, Stopped, place_in
from training.curves import read_curves
from training.gather import few, gather
from training.recipe import changed
from training.recipes import RECIPES, smoke
from training.run import BEST, Machine, fit
from training.task import Task

SETTINGS = {
    "epochs": 3,
    "accumulate": 2,
    "batches.size": 3,
    "batches.scenes": 1,
    "optimiser.rate": 1e-3,
    "schedule.warmup": 0.5,
}
"""Of scene_gate's: dropout, EMA, a cosine and draws stay as they are. Six batches an epoch, three steps."""


class Cut(Exception):
    pass


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    return write_portraits(tmp_path_factory.mktemp("portraits"))


@pytest.fixture(scope="module")
def data(portraits):
    return few(gather([read(portraits)]))


def recipe_of(**settings):
    return changed(smoke(RECIPES["scene_gate"]), [f"{key}={value}" for key, value in {**SETTINGS, **settings}.items()])


def train(data, out, *, resume=False, workers=0, every=1, **settings):
    machine = Machine("cpu", workers=workers, every=every, resume=resume, cache=data.rows[0].path.parents[2] / "cache")
    fitted = fit(recipe_of(**settings), data, out, machine)
    return fitted.best_score, fitted.best_epoch


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The run that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole")
    train(data, out)
    return out


def at(monkeypatch, epoch, index, happens):
    """`happens` in the middle of a training step, once."""
    step = Task.training_step

    def disturbed(self, batch, number):
        if (self.current_epoch, number) == (epoch, index):
            monkeypatch.setattr(Task, "training_step", step)
            happens()
        return step(self, batch, number)

    monkeypatch.setattr(Task, "training_step", disturbed)


def cut():
    raise Cut


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def assert_same(a, b):
    """Both runs ended with the same state to the bit: weights, moments, average, what was chosen and how good it was."""
    one, other = (torch.load(out / LAST, weights_only=True) for out in (a, b))
    for key in ("state_dict", "optimizer_states", "average", "best", "plateau", "place"):
        torch.testing.assert_close(one[key], other[key], rtol=0, atol=0)
    torch.testing.assert_close(load_file(a / BEST), load_file(b / BEST), rtol=0, atol=0)


@pytest.mark.parametrize(("epoch", "index", "place"), [(0, 0, (0, 2)), (1, 2, (1, 4)), (2, 5, (2, 4))])
def test_sigterm_ends_behind_the_step_and_resume_goes_on(data, whole, tmp_path, monkeypatch, epoch, index, place):
    """Accumulation ends with every second batch. The last one of an epoch leads to the look at the choose part, which ends."""
    before = signal.getsignal(signal.SIGTERM)
    at(monkeypatch, epoch, index, terminate)
    with pytest.raises(
        Stopped, match=f"stopped, saved after {place[1]} batches of epoch {epoch + 1}; continue with --res"
    ):
        train(data, tmp_path, every=100 if index < 5 else 1)
    assert signal.getsignal(signal.SIGTERM) is before
    assert place_in(tmp_path / LAST) == place
    train(data, tmp_path, resume=True)
    assert_same(whole, tmp_path)


def test_an_exception_loses_the_steps_since_the_last_checkpoint_alone(data, whole, tmp_path, monkeypatch):
    at(monkeypatch, 1, 3, cut)
    with pytest.raises(Cut):
        train(data, tmp_path)
    assert place_in(tmp_path / LAST) == (1, 2)
    train(data, tmp_path, resume=True)
    assert_same(whole, tmp_path)


def test_a_cut_in_the_first_steps_of_a_later_epoch_goes_on_from_its_start(data, whole, tmp_path, monkeypatch):
    at(monkeypatch, 2, 1, cut)
    with pytest.raises(Cut):
        train(data, tmp_path, every=100)
    assert place_in(tmp_path / LAST) == (2, 0)
    train(data, tmp_path, resume=True)
    assert_same(whole, tmp_path)


def test_workers_change_nothing(data, whole, tmp_path, monkeypatch):
    at(monkeypatch, 1, 2, terminate)
    with pytest.raises(Stopped):
        train(data, tmp_path, workers=1)
    train(data, tmp_path, workers=1, resume=True)
    assert_same(whole, tmp_path)


def test_plateau_and_epoch_averages_go_on(data, tmp_path, monkeypatch):
    settings = {
        "epochs": 5,
        "schedule.kind": "plateau",
        "schedule.every": 1,
        "schedule.factor": 0.5,
        "average.kind": "swa",
        "average.start": 0.3,
    }
    a, b = tmp_path / "whole", tmp_path / "cut"
    train(data, a, **settings)
    at(monkeypatch, 3, 2, terminate)
    with pytest.raises(Stopped):
        train(data, b, **settings)
    train(data, b, resume=True, **settings)
    assert_same(a, b)
    assert torch.load(a / LAST, weights_only=True)["plateau"][0] < 1.0


def test_the_logs_of_both_pieces_make_one_curve(data, whole, tmp_path, monkeypatch):
    at(monkeypatch, 1, 2, terminate)
    with pytest.raises(Stopped):
        train(data, tmp_path)
    train(data, tmp_path, resume=True)
    one, other = ({name: (x.tolist(), y.tolist()) for name, x, y in read_curves(out)} for out in (whole, tmp_path))
    assert one.keys() == other.keys()
    assert one["score"] == other["score"]
    assert [x for x, _ in one.values()] == [[0.0, 1.0, 2.0]] * len(one)


def test_a_finished_run_stays_as_it_is(data, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "again")
    best = train(data, tmp_path / "again", resume=True)
    assert (tmp_path / "again" / LAST).read_bytes() == (whole / LAST).read_bytes()
    assert best == torch.load(whole / LAST, weights_only=True)["best"][:2]


def test_a_run_that_stopped_early_does_not_train_on(data, tmp_path):
    settings = {"epochs": 6, "patience": 1, "optimiser.rate": 0.0, "average.kind": "none"}
    assert train(data, tmp_path, **settings)[1] == 0
    assert place_in(tmp_path / LAST) == (2, 0)
    train(data, tmp_path, resume=True, **settings)
    assert place_in(tmp_path / LAST) == (2, 0)


def test_checkpoints_that_cannot_be_resumed_are_told(data, whole, tmp_path):
    with pytest.raises(ConfigurationError, match="nothing to resume"):
        train(data, tmp_path, resume=True)
    with pytest.raises(ConfigurationError, match="holds a run already"):
        train(data, whole)
    with pytest.raises(ConfigurationError, match="another recipe"):
        train(data, whole, resume=True, epochs=4)
    (tmp_path / "recipe.json").write_bytes((whole / "recipe.json").read_bytes())
    other = tmp_path / "other.pt"
    torch.save({"model": torch.zeros(3)}, other)
    for damage in ((whole / LAST).read_bytes()[:1000], b"", b"what is this", other.read_bytes()):
        (tmp_path / LAST).write_bytes(damage)
        with pytest.raises(ConfigurationError, match="no checkpoint of pqa train, or cut short"):
            train(data, tmp_path, resume=True)


def test_the_command_ends_at_sigterm_with_one_line(portraits, tmp_path):
    """A process of its own, stopped from outside as soon as it has told about its first epoch."""
    given = [
        "--recipe",
        "scene_gate",
        "--data",
        portraits,
        "--out",
        tmp_path,
        "--cache",
        portraits / "cache",
        "--smoke",
    ]
    command = [sys.executable, "-m", "pqa", "train", *map(str, given), "--set=epochs=1000", "--set=patience=0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("epoch 1 of 1000"):
                process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    assert lines[-1].startswith("pqa: stopped, saved after")
    assert not [line for line in lines[:-1] if not line.startswith(("epoch", "warning"))]
    assert place_in(tmp_path / LAST) > (0, 0)
    assert not (tmp_path / f"{LAST}.part").exists()
