"""Fixtures of all tests: a small model file without weights, the shipped portrait, a small set of its variants."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pqa.simulator import camera
from pqa.spec import SPEC_KEY, Calibration, CropRule, ModelSpec, ViewSpec

ASSETS = Path(__file__).parent.parent / "pqa" / "data" / "assets"
ATTRIBUTES = ("overall", "detail", "exposure")
SCENES = ("indoor", "outdoor")
SIDE = 64

MakeModel = Callable[..., Path]


def tiny_spec(**changes: Any) -> ModelSpec:
    """The spec of the model for tests; `changes` replace fields of it."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "version": "1",
        "architecture": "tiny",
        "views": (
            ViewSpec("global", "global", (SIDE, SIDE)),
            ViewSpec("face", "face", (SIDE, SIDE), crop=CropRule(scale=1.3)),
        ),
        "attributes": ATTRIBUTES,
        "trained": True,
        "scenes": SCENES,
        "range": (0.0, 1.0),
        "branches": ("global", "face"),
        "licence": "Apache-2.0",
        "data": ("none",),
        "description": "Brightness and contrast of neighbouring pixels, for tests: says nothing about quality.",
        "calibration": Calibration(source="none, for tests"),
    }
    return ModelSpec(**{**fields, **changes})


def tiny_graph() -> onnx.ModelProto:
    """A graph with every output of the spec's contract, over four numbers: mean and mean step of both views.

    A sharp, bright picture scores high; the two scenes weigh both numbers differently, so that the scene mode matters.
    """
    views = ("global", "face")
    rows, columns = len(SCENES), len(ATTRIBUTES)
    overall, detail, exposure = [0.02, 0.04, 0.2, 0.5], [0.0, 0.0, 0.3, 0.9], [0.05, 0.1, 0.0, 0.0]
    by_scene = np.array([[overall, detail, exposure], [exposure, detail, overall]], np.float32)
    constants = {
        "image_axes": np.array([1, 2, 3], np.int64),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "two_three": np.array([2, 3], np.int64),
        "three": np.array([3], np.int64),
        "first": np.array([0], np.int64),
        "last": np.array([SIDE - 1], np.int64),
        "end": np.array([SIDE], np.int64),
        "w_score": by_scene.reshape(rows * columns, 4).T.copy(),
        "b_score": np.full(rows * columns, 0.4, np.float32),
        "s_score": np.array([-1, rows, columns], np.int64),
        "w_scene": np.array([[1, -1], [0, 0], [0, 0], [0, 0]], np.float32),
        "w_branch": np.array([[0.1, 0], [0, 0.1], [0.5, 0], [0, 0.5]], np.float32),
        "w_gate": np.array([[-1], [1], [0], [0]], np.float32),
        "spread": np.float32(0.05),
        "floor": np.float32(0.02),
    }
    nodes = []
    for view in views:
        nodes += [
            helper.make_node("ReduceMean", [view, "image_axes"], [f"{view}_mean4"], keepdims=1),
            helper.make_node("Squeeze", [f"{view}_mean4", "two_three"], [f"{view}_mean"]),
            helper.make_node("Slice", [view, "one", "end", "three"], [f"{view}_right"]),
            helper.make_node("Slice", [view, "first", "last", "three"], [f"{view}_left"]),
            helper.make_node("Sub", [f"{view}_right", f"{view}_left"], [f"{view}_difference"]),
            helper.make_node("Abs", [f"{view}_difference"], [f"{view}_absolute"]),
            helper.make_node("ReduceMean", [f"{view}_absolute", "image_axes"], [f"{view}_step4"], keepdims=1),
            helper.make_node("Squeeze", [f"{view}_step4", "two_three"], [f"{view}_step"]),
        ]
    features = [f"{view}_mean" for view in views] + [f"{view}_step" for view in views]
    nodes += [
        helper.make_node("Concat", features, ["x"], axis=1),
        helper.make_node("Gemm", ["x", "w_score", "b_score"], ["flat_score"]),
        helper.make_node("Reshape", ["flat_score", "s_score"], ["score_by_scene"]),
        helper.make_node("MatMul", ["x", "w_scene"], ["scene_logits"]),
        helper.make_node("Softmax", ["scene_logits"], ["scene_probabilities"], axis=1),
        helper.make_node("Unsqueeze", ["scene_probabilities", "two"], ["scene_weights"]),
        helper.make_node("Mul", ["scene_weights", "score_by_scene"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "one"], ["score"], keepdims=0),
        helper.make_node("Sigmoid", ["score"], ["squashed"]),
        helper.make_node("Mul", ["squashed", "spread"], ["scaled"]),
        helper.make_node("Add", ["scaled", "floor"], ["std"]),
        helper.make_node("MatMul", ["x", "w_branch"], ["branches"]),
        helper.make_node("MatMul", ["x", "w_gate"], ["gate_logit"]),
        helper.make_node("Sigmoid", ["gate_logit"], ["gate_column"]),
        helper.make_node("Squeeze", ["gate_column", "one"], ["gate"]),
    ]
    shapes = {
        "score": ["N", columns],
        "std": ["N", columns],
        "scene_probabilities": ["N", rows],
        "score_by_scene": ["N", rows, columns],
        "branches": ["N", 2],
        "gate": ["N"],
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(view, TensorProto.FLOAT, ["N", 3, SIDE, SIDE]) for view in views],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """`make_model(path, **changes)` writes the tiny model there, with fields of its spec replaced; returns the path."""

    def make(path: Path, **changes: Any) -> Path:
        model = tiny_graph()
        helper.set_model_props(model, {SPEC_KEY: tiny_spec(**changes).to_json()})
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, path)
        return path

    return make


@pytest.fixture(scope="session")
def tiny_model(make_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a small `.onnx` with a valid spec, said to be trained; made anew in each session."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def untrained_model(make_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with `trained: false`."""
    return make_model(tmp_path_factory.mktemp("models") / "untrained.onnx", name="untrained", trained=False)


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    """Bytes of the shipped portrait (a PNG)."""
    return (ASSETS / "astronaut.png").read_bytes()


@pytest.fixture(scope="session")
def portrait_set(astronaut: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four shots of the portrait, `sharp.jpg`, `dark.jpg`, `noisy.jpg` and `soft.jpg`; not to be changed."""
    folder = tmp_path_factory.mktemp("portraits")
    rgb = np.asarray(Image.open(io.BytesIO(astronaut)).convert("RGB"))
    for name, fault in {"sharp": None, "soft": "defocus", "dark": "under_exposure", "noisy": "sensor_noise"}.items():
        shot = rgb if fault is None else camera.apply(rgb, fault, 0.5, np.random.default_rng(0))
        Image.fromarray(shot).save(folder / f"{name}.jpg", quality=95)
    return folder
