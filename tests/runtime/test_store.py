"""The model store: what is wrong with a file is said when it is opened, and never hides the others."""

import numpy as np
import pytest

from pqa import session
from pqa.errors import ModelError, ModelNotFound, UntrainedModel
from pqa.faces.cascade import FOLDER
from pqa.runtime.store import ModelStore, load_model
from pqa.spec import Calibration, ViewSpec

GLOBAL = ViewSpec("global", "global", (64, 64))


def face(**changes):
    return ViewSpec("face", **({"kind": "face", "size": (64, 64)} | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"attributes": ("overall", "detail", "exposure", "bokeh")}, "'score' has the shape \\(4,\\)"),
        ({"scenes": ("indoor", "outdoor", "moon")}, "scene"),
        ({"branches": ("global",)}, "'branches' has the shape \\(1,\\)"),
        ({"views": (GLOBAL, face(size=(32, 32)))}, "'face' has the shape \\(3, 32, 32\\)"),
        ({"views": (GLOBAL, face(crops=5))}, "'face' has the shape \\(5, 3, 64, 64\\)"),
        ({"views": (GLOBAL,)}, "spec names \\['global'\\]"),
        ({"views": (GLOBAL, face(kind="fase"))}, "did you mean 'face'"),
        ({"views": (GLOBAL, face(mean=(0.5,)))}, "mean \\(0.5,\\)"),
        ({"views": (GLOBAL, face(short_side=-1))}, "negative short_side"),
        ({"detector": "mtcn"}, "did you mean 'mtcnn'"),
        ({"calibration": Calibration(std_scale=0.0)}, "positive constants"),
    ],
)
def test_a_spec_that_does_not_fit_its_graph_is_refused(make_model, tmp_path, changes, says):
    path = make_model(tmp_path / "m.onnx", **changes)
    with pytest.raises(ModelError, match=says):
        load_model(path)


def test_damaged_files_never_hide_the_others(make_model, tmp_path):
    make_model(tmp_path / "good.onnx", name="good")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    entries = {entry.path.name: entry for entry in ModelStore([tmp_path]).entries()}
    assert entries["good.onnx"].model is not None
    assert entries["bad.onnx"].model is None
    assert "not a model" in entries["bad.onnx"].error


def test_names(make_model, tmp_path, untrained_model):
    make_model(tmp_path / "good.onnx", name="good")
    store = ModelStore([tmp_path])
    assert store.load("good").spec.name == "good"
    assert store.load("default").spec.name == "scene_gate"
    with pytest.raises(ModelNotFound, match="known: good"):
        store.load("better")
    with pytest.raises(UntrainedModel):
        store.load(untrained_model)


def test_a_large_model_keeps_no_memory_and_gives_the_same_bits(monkeypatch):
    data = (FOLDER / "onet.onnx").read_bytes()
    faces = np.random.default_rng(0).normal(size=(3, 3, 48, 48)).astype(np.float32)
    small = session.open_session(data)
    monkeypatch.setattr(session, "LARGE", len(data) - 1)
    large = session.open_session(data)
    assert small.get_session_options().enable_cpu_mem_arena
    assert not large.get_session_options().enable_cpu_mem_arena
    for ours, theirs in zip(large.run(None, {"image": faces}), small.run(None, {"image": faces}), strict=True):
        np.testing.assert_array_equal(ours, theirs)
