"""Two processes train as one does: scene groups stay whole, gradients agree, one of them exports."""

import subprocess
import sys

import pytest
import torch

from pqa.data.sets import read
from tests.rated_portraits import write_portraits
from training.checkpoints import LAST
from training.gather import few, gather
from training.recipe import changed
from training.recipes import RECIPES, smoke
from training.run import Machine, build_models, fit

SETTINGS = [
    "average.kind=none",
    "optimiser.kind=sgd",
    "optimiser.rate=0.01",
    "schedule.kind=constant",
    "batches.size=12",
]


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    return write_portraits(tmp_path_factory.mktemp("portraits"))


def weights(out):
    return torch.load(out / LAST, weights_only=True)["state_dict"]


def flat(tensors):
    return torch.cat([tensor.flatten().double() for tensor in tensors])


def test_two_processes_make_the_steps_of_one(portraits, tmp_path):
    """RQ-Net has no batch norm; two groups of six pictures, one in each process, drawn and mirrored at random."""
    recipe = changed(smoke(RECIPES["rq_net"]), SETTINGS)
    data = few(gather([read(portraits)]))
    fit(recipe, data, tmp_path / "one", Machine("cpu", cache=tmp_path / "cache"))
    given = [
        "--recipe",
        "rq_net",
        "--data",
        portraits,
        "--cache",
        tmp_path / "cache",
        "--out",
        tmp_path / "two",
        "--smoke",
    ]
    more = ["--devices", "2", "--accelerator", "cpu", *(f"--set={setting}" for setting in SETTINGS)]
    command = [sys.executable, "-m", "pqa", "train", *map(str, given), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # One process of the two tells, looks at all of the choose part, and exports.
    assert len([line for line in done.stderr.splitlines() if line.startswith("epoch 1 of 1:")]) == 1
    assert len([line for line in done.stdout.splitlines() if line.endswith("rq_net.onnx")]) == 1
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    start = {f"model.{name}": value for name, value in build_models(recipe, ())[0].state_dict().items()}
    assert one.keys() == two.keys() == start.keys()
    update = flat(one.values()) - flat(start.values())
    difference = flat(two.values()) - flat(one.values())
    assert update.norm() > 1e-3
    # Weights are float32: their rounding is what an update of this size cannot be more exact than.
    rounding = torch.finfo(torch.float32).eps * flat(one.values()).norm()
    assert difference.norm() < 1e-5 * update.norm() + rounding
