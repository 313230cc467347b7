"""Export from the command line: names, checkpoints, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from export import checkpoint
from export.command import untrained_spec
from export.onnx import export
from pqa import nn
from pqa.cli.main import main
from pqa.errors import ModelError, UntrainedModel
from pqa.runtime.store import ModelStore


def test_an_untrained_export_says_so_and_is_refused(tmp_path, capsys):
    path = tmp_path / "t.onnx"
    assert main(["export", "scene_gate", "--size", "tiny", "--out", str(path)]) == 0
    assert "differs from torch" in capsys.readouterr().out
    with pytest.raises(UntrainedModel, match="allow-untrained"):
        ModelStore([]).load(path)
    assert not ModelStore([]).load(path, allow_untrained=True).spec.trained


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    torch.manual_seed(1)
    model = nn.build("scene_gate", "tiny", statistics=7).eval()
    spec = dataclasses.replace(untrained_spec(model, "scene_gate", "tiny"), trained=True)
    path = tmp_path / "c.safetensors"
    checkpoint.save(model, path, name="scene_gate", size="tiny", changes={"statistics": 7}, spec=spec)
    again, same = checkpoint.load(path)
    assert same == spec
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_foreign_checkpoints_are_refused(tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(2)}, foreign)
    with pytest.raises(ModelError, match="not of pqa"):
        checkpoint.load(foreign)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="expected a safetensors"):
        checkpoint.load(broken)


def test_an_export_that_differs_is_not_written(tmp_path):
    class Random(torch.nn.Module):
        outputs = ("score",)

        def forward(self, x):
            return (x + 1e-2 * torch.rand_like(x),)

    from pqa.spec import ModelSpec, ViewSpec

    spec = ModelSpec("r", "0", "r", (ViewSpec("face_geometry", "face_geometry", (3,)),), ("a", "b", "c"), trained=False)
    proof = [np.random.default_rng(0).random((8, 3), np.float32)]
    with pytest.raises(ModelError, match="differs from torch"):
        export(Random(), spec, proof, tmp_path / "r.onnx")
    assert not (tmp_path / "r.onnx").exists()
