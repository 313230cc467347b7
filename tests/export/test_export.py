"""Export from the command line: names, checkpoints, and what is refused."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import export.onnx
from bench import exports
from export import checkpoint
from export.command import SPREAD, perturb, untrained_spec
from export.onnx import TOLERANCE, torch_scores
from export.onnx import export as export_model
from export.proof import PORTRAITS, proof_views
from pqa import nn
from pqa.cli.main import main
from pqa.data.assets import ASTRONAUT
from pqa.errors import ConfigurationError, DataError, ModelError, UntrainedModel
from pqa.faces import detectors
from pqa.nn.models.hyperiqa import PUBLIC, load_public
from pqa.pixels.source import open_picture
from pqa.pixels.views import make_view
from pqa.runtime.store import ModelStore, load_model
from pqa.simulator.camera import variants
from pqa.spec import ModelSpec, ViewSpec
from pqa.weights import VARIABLE


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


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ("no json", "expected name, size and changes as JSON"),
        (json.dumps({"name": "scene_gate"}), "expected name, size and changes as JSON"),
        (json.dumps({"name": "scene_gate", "size": "tiny", "changes": 3}), "expected name, size and changes as JSON"),
        (json.dumps({"name": "hyperiqa", "size": "tiny", "changes": {}}), "do not fit hyperiqa .tiny."),
        (json.dumps({"name": "scene_gate", "size": "tiny", "changes": {}}), "its spec has other views"),
    ],
)
def test_headers_that_lie_are_named(tmp_path, about, says):
    model = nn.build("scene_gate", "tiny")
    spec = untrained_spec(model, "scene_gate", "tiny")
    spec = dataclasses.replace(spec, views=spec.views[1:])
    path = tmp_path / "c.safetensors"
    save_file(model.state_dict(), path, metadata={checkpoint.KEY: about, "pqa.spec": spec.to_json()})
    with pytest.raises(ModelError, match=says):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["hyperiqua"], "did you mean 'hyperiqa'"),
        (["hyperiqa", "--size", "tinny"], "did you mean 'tiny'"),
        (["weights.pth"], "a pickle can run code and is never read; docs/models.md"),
        (["absent.safetensors"], "absent.safetensors: expected a safetensors checkpoint"),
        (["absent.safetensors", "--size", "tiny"], "a checkpoint has its own size"),
        (["scene_gate", "--size", "tiny", "--proof", "absent"], "absent: expected a folder of at least 16 portraits"),
    ],
)
def test_wrong_requests_end_in_one_line_and_no_file(arguments, says, tmp_path, capsys):
    path = tmp_path / "t.onnx"
    assert main(["export", *arguments, "--out", str(path)]) == 2
    assert says in capsys.readouterr().err
    assert not path.exists()


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    """Seventeen shots of the shipped portrait, one picture without a face, one file that is no picture."""
    folder = tmp_path_factory.mktemp("portraits")
    rgb = open_picture(ASTRONAUT).reduced(256)
    shots = [shot for seed in (0, 1) for _, shot in variants(rgb, seed=seed)]
    for number, shot in enumerate(shots[: PORTRAITS + 1]):
        Image.fromarray(shot).save(folder / f"{number:02}.png")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(folder / "00 grey.png")
    (folder / "00 notes.txt").write_text("no picture")
    return folder


def test_a_folder_of_portraits_is_cut_as_it_will_be_served(portraits):
    views = nn.build("scene_gate", "tiny").views
    proof = proof_views(views, folder=portraits)
    assert {len(values) for values in proof} == {PORTRAITS}
    for number in (0, PORTRAITS - 1):  # those between which nothing else was counted
        source = open_picture(portraits / f"{number:02}.png")
        main_face = detectors.load_detector("mtcnn").detect(source)[0]
        for view, values in zip(views, proof, strict=True):
            np.testing.assert_array_equal(values[number], make_view(source, main_face, view))


def test_a_folder_of_too_few_portraits_is_refused(portraits, tmp_path):
    for name in ("00.png", "00 grey.png", "00 notes.txt"):
        (tmp_path / name).write_bytes((portraits / name).read_bytes())
    with pytest.raises(
        DataError, match=r"takes 16 portraits, found 1 .1 files cannot be read, 1 pictures show no face"
    ):
        proof_views(nn.build("scene_gate", "tiny").views, folder=tmp_path)


def test_the_command_takes_a_folder(portraits, tmp_path, capsys):
    path = tmp_path / "t.onnx"
    assert main(["export", "rq_net", "--size", "tiny", "--proof", str(portraits), "--out", str(path)]) == 0
    assert f"over {PORTRAITS} pictures" in capsys.readouterr().out
    parity = load_model(path).spec.parity
    assert parity.pictures == PORTRAITS
    assert parity.spread >= SPREAD


def test_sar_asks_for_its_detector_where_that_is_at_hand(monkeypatch, tmp_path):
    model = nn.build("sar", "tiny")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    without = untrained_spec(model, "sar", "tiny")
    assert without.detector == "mtcnn"
    assert "light_dsfd, is not at hand" in without.provenance["detector"]
    row = dataclasses.replace(detectors.DETECTORS["light_dsfd"], load=detectors.DETECTORS["mtcnn"].load)
    monkeypatch.setitem(detectors.DETECTORS, "light_dsfd", row)
    at_hand = untrained_spec(model, "sar", "tiny")
    assert (at_hand.detector, at_hand.provenance) == ("light_dsfd", {})


def test_the_detectors_of_the_table_exist():
    assert {row.detector for row in nn.MODELS.values()} <= detectors.DETECTORS.keys()
    assert nn.MODELS["sar"].detector == "light_dsfd"


class Last(torch.nn.Module):
    """Its score is the last of three numbers; `noise` adds what no other run repeats."""

    outputs = ("score",)

    def __init__(self, noise=0.0):
        super().__init__()
        self.noise = noise

    def forward(self, x):
        return (x[:, 2:] + self.noise * torch.rand_like(x[:, 2:]),)


LAST = ModelSpec("r", "0", "r", (ViewSpec("face_geometry", "face_geometry", (3,)),), ("overall",), trained=False)


def numbers(count):
    return [np.random.default_rng(0).random((count, 3), np.float32)]


def test_an_export_that_differs_is_not_written(tmp_path):
    with pytest.raises(ModelError, match="differs from torch"):
        export_model(Last(noise=1e-2), LAST, numbers(8), tmp_path / "r.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_fixes_the_batch_is_refused(tmp_path):
    class Fixed(Last):
        def forward(self, x):
            return (x[:, 2:] * len(x) / 2,)

    with pytest.raises(ModelError, match=r"fails on pictures 0 to 1"):
        export_model(Fixed(), LAST, numbers(4), tmp_path / "r.onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_beyond_one_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export.onnx, "LARGEST", 100_000)
    model = nn.build("scene_gate", "tiny")
    spec = untrained_spec(model, "scene_gate", "tiny")
    with pytest.raises(ModelError, match=r"scene_gate has 0.00 GB of weights; one .onnx file holds"):
        export_model(model, spec, proof_views(spec.views), tmp_path / "t.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_proof_takes_three_pictures(tmp_path):
    with pytest.raises(ConfigurationError, match="at least three pictures, got 2"):
        export_model(Last(), LAST, numbers(2), tmp_path / "r.onnx")


def test_pictures_run_one_by_one_in_torch_and_in_pairs_in_the_graph(tmp_path, monkeypatch):
    model, proof, seen = Last(), numbers(6), []
    hook = model.register_forward_pre_hook(lambda _, views: seen.append(len(views[0])))
    np.testing.assert_array_equal(torch_scores(model, proof), proof[0][:, 2:])
    hook.remove()
    assert seen == [1] * 6
    seen.clear()
    opened = export.onnx.open_session

    class Watched:
        def __init__(self, data, threads):
            self.session = opened(data, threads=threads)

        def run(self, names, feed):
            seen.append(len(feed["face_geometry"]))
            return self.session.run(names, feed)

    monkeypatch.setattr(export.onnx, "open_session", Watched)
    spec = export_model(model, LAST, proof, tmp_path / "r.onnx")
    assert seen == [1, 2, 2, 1]
    assert spec.parity == load_model(tmp_path / "r.onnx").spec.parity


def test_noise_goes_on_until_scores_spread_and_those_scores_are_given():
    torch.manual_seed(0)
    model = nn.build("bdvqa", "tiny")
    proof = [views[:4] for views in proof_views(model.views)]
    assert torch_scores(model.eval(), proof).std() < SPREAD
    scores = perturb(model, proof)
    assert scores.std() >= SPREAD
    np.testing.assert_array_equal(scores, torch_scores(model, proof))


def public_layout(state):
    """Our names turned into the public ones, by the table of prefixes read backwards."""
    theirs = {ours: public for public, ours in reversed(PUBLIC) if ours}
    renamed = {}
    for key, tensor in state.items():
        start = next(start for start in sorted(theirs, key=len, reverse=True) if key.startswith(start))
        renamed[theirs[start] + key[len(start) :]] = tensor
    assert not renamed.keys() & state.keys()
    return renamed


def test_a_public_checkpoint_becomes_a_model_file(tmp_path):
    torch.manual_seed(0)
    model = nn.build("hyperiqa", "tiny")
    proof = [views[:4] for views in proof_views(model.views)]
    scores = perturb(model, proof)
    again = nn.build("hyperiqa", "tiny")
    load_public(again, public_layout(model.state_dict()))
    spec = dataclasses.replace(untrained_spec(again, "hyperiqa", "tiny"), trained=True)
    checkpoint.save(again, tmp_path / "p.safetensors", name="hyperiqa", size="tiny", changes={}, spec=spec)
    loaded, _ = checkpoint.load(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(torch_scores(loaded, proof), scores)


DOCS = (Path(__file__).parents[2] / "docs" / "models.md").read_text()


def test_the_table_of_exports_is_what_was_measured():
    rows = exports.read()
    assert exports.table(rows) in DOCS
    for row in rows:
        assert row.model in nn.MODELS
        assert int(row.pictures) >= PORTRAITS
        assert float(row.spread) >= SPREAD
        assert float(row.difference) <= TOLERANCE * float(row.spread)


def test_the_documented_way_from_a_pickle_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    convert, load = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    size = nn.MODELS["hyperiqa"].sizes["tiny"]
    monkeypatch.setitem(nn.MODELS["hyperiqa"].sizes, "original", size)  # the same code, smaller
    torch.save(public_layout(nn.build("hyperiqa", "tiny").state_dict()), "public.pth")
    exec(compile(convert, "models.md", "exec"), {})
    exec(compile(load, "models.md", "exec"), {})
