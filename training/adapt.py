"""Add one scene to a trained model file, or refine one, from as few as twenty labelled pictures of it.

The network stays as it is. On the new scene a picture's score is linear in what the graph says of it already: the scores of
its attributes, its branches alone, its embedding. It is fitted by ridge regression that shrinks towards the model's own score,
the penalty chosen by leave-one-out error. The scene takes part where it is named (`scene_mode` known) and nowhere else: its
posterior is zero, so that the scores of all other scenes stay what they were to the last bit. A refined scene keeps its old
row for the mixture, under the name "NAME (before)".

Scene-adaptive rescaling (Chahine et al., "Generalized Portrait Quality Assessment", 2024) does the same with two numbers a
scene; more are taken here because two cannot change an order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

import pqa
from pqa.data.labels import NO_SCENE
from pqa.data.rated import Rated
from pqa.data.sets import LIMITS, SETS, known_as, read
from pqa.data.tables import some
from pqa.errors import ConfigurationError, DataError
from pqa.runtime.predictor import Prediction
from pqa.spec import SPEC_KEY, ModelSpec
from pqa.types import Image

__all__ = ["LEAST", "Adapted", "Linear", "adapt", "add_scene", "fit_linear", "rows_of"]

LEAST = 20
"""Labelled pictures that a scene needs."""

PENALTIES = (1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e9)
"""Ridge penalties tried, a picture; the last leaves the model's own score with a new gain and offset."""

Array = npt.NDArray[np.float64]

FEATURES = ("score", "branches", "embedding")
"""Outputs of the graph that the new scene reads, in this order, as far as the graph has them."""


@dataclass(frozen=True, slots=True)
class Linear:
    """`weights` (F, A) and `offset` (A,) of the scene; `penalty` of each attribute (infinite: own score kept).

    `before` and `after`: KRCC (tau-a) of the first attribute with the labels, by the model's own score and by the new one,
    each picture ordered against the others by the fit without it.
    """

    weights: Array
    offset: Array
    before: float
    after: float
    penalty: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Adapted:
    """What was done: the new file, the scene, how many pictures stand behind it, and the fit."""

    path: Path
    scene: str
    pictures: int
    linear: Linear


def adapt(model: Path, scene: str, rows: Sequence[Rated], out: Path) -> Adapted:
    """Write the file of `model` with `scene` learnt from `rows` to `out`.

    Labels are those of the model's attributes, in its order (NaN where there is none); an attribute without labels keeps the
    model's score. Raises DataError for fewer than LEAST usable pictures, ConfigurationError for a model that has scenes
    without a score for each, and for an `out` that would overwrite the model.
    """
    if out.resolve() == model.resolve():
        raise ConfigurationError(f"{out}: is the model itself, which stays as it is; name another folder")
    assessor = pqa.load(model, limits=LIMITS)
    spec = assessor.predictor.spec
    if spec.scenes and "score_by_scene" not in {node.name for node in assessor.predictor.model.session.get_outputs()}:
        raise ConfigurationError(
            f"{spec.name} names {len(spec.scenes)} scenes but has no score for each: it cannot take another"
        )
    if any(len(row.labels) != len(spec.attributes) for row in rows):
        raise DataError(
            f"{spec.name} scores {', '.join(spec.attributes)}: expected one label for each (NaN: not rated)"
        )
    outcomes = [(row, assessor.assess(Image(row.image, row.path, row.scene))) for row in rows]
    usable = [(row, found) for row, found in outcomes if isinstance(found, Prediction) and not np.isnan(row.labels[0])]
    if len(usable) < LEAST:
        raise DataError(
            f"scene {scene!r} needs {LEAST} labelled pictures that can be read, got {len(usable)} of {len(rows)}"
        )
    features = np.array([_features(found) for _, found in usable], np.float64)
    own = np.array([found.score for _, found in usable], np.float64)
    labels = np.array([row.labels for row, _ in usable], np.float64)
    linear = fit_linear(features, own, labels)
    add_scene(model, spec, scene, linear, len(usable), out)
    return Adapted(out, scene, len(usable), linear)


def rows_of(folder: Path, kind: str | None, attributes: Sequence[str], scene: str) -> list[Rated]:
    """The labelled pictures of one scene of a data set, their labels in the order of `attributes` (NaN: the set has none).

    A set that names no scenes is all of the scene: a flat folder of pictures with their labels. Raises DataError where the
    set has other scenes, or none of the attributes.
    """
    there = SETS[known_as(folder, kind)].attributes(folder)
    found = tuple(name for name in attributes if name in there)
    if not found:
        raise DataError(f"{folder}: rates {', '.join(there)}, the model {', '.join(attributes)}: nothing in common")
    every = read(folder, kind, attributes=found).rows
    scenes = sorted({row.scene for row in every})
    rows = [row for row in every if row.scene == scene or scenes == [NO_SCENE]]
    if not rows:
        raise DataError(
            f"{folder}: has no scene {scene!r} but {some(scenes)}; name one of them, or leave scenes out of labels and folders"
        )
    place = {name: index for index, name in enumerate(found)}

    def ordered(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values[place[name]] if name in place else float("nan") for name in attributes)

    return [dataclasses.replace(row, labels=ordered(row.labels), stds=ordered(row.stds)) for row in rows]


def _features(found: Prediction) -> list[float]:
    embedding = [] if found.embedding is None else found.embedding.tolist()
    return [*found.score.tolist(), *found.branches.values(), *embedding]


def fit_linear(features: Array, own: Array, labels: Array) -> Linear:
    """Ridge regression of (N, A) labels on (N, F) features around the model's own (N, A) scores.

    label = offset + gain own + w (feature - mean) / deviation, the penalty on w alone; gain and offset are free. Pictures
    without a label (NaN) take no part; of an attribute with fewer than LEAST labels the own score stays.
    """
    count, attributes = labels.shape
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)
    z = (features - mean) / scale
    weights, offsets = np.eye(features.shape[1], attributes), np.zeros(attributes)  # the scores are the first features
    penalties, before, after = [np.inf] * attributes, float("nan"), float("nan")
    for a in range(attributes):
        rated = np.isfinite(labels[:, a])
        if rated.sum() < LEAST:
            continue
        x, y = np.column_stack([np.ones(count), own[:, a], z])[rated], labels[rated, a]
        found = [_ridge(x, y, penalty) for penalty in PENALTIES]
        best = int(np.argmin([each.error for each in found]))
        solution = found[best].solution
        w = solution[2:] / scale
        offsets[a] = solution[0] - mean @ w
        w[a] += solution[1]
        weights[:, a], penalties[a] = w, PENALTIES[best]
        if a == 0:
            before, after = _order(np.tile(own[rated, a], (len(y), 1)), y), _order(found[best].left_out, y)
    return Linear(weights, offsets, before, after, tuple(penalties))


@dataclass(frozen=True, slots=True)
class Ridge:
    """`left_out` (N, N): row i holds all predictions by the fit without picture i; `error` the mean square of its diagonal."""

    solution: Array
    left_out: Array
    error: float


def _ridge(x: Array, y: Array, penalty: float) -> Ridge:
    """Offset and gain, the first two columns of `x`, are not penalised. Fits without a picture by Sherman and Morrison."""
    inverse = np.linalg.pinv(
        x.T @ x + np.diag([1e-9, 1e-9, *np.full(x.shape[1] - 2, penalty * len(y))]), hermitian=True
    )
    solution, hat = inverse @ x.T @ y, x @ inverse @ x.T
    errors = (y - x @ solution) / np.maximum(1.0 - np.diag(hat), 1e-6)
    return Ridge(solution, x @ solution - errors[:, None] * hat, float(np.mean(errors**2)))


def _order(predictions: Array, y: Array) -> float:
    """Tau-a of each picture against the others, by the (N, N) predictions without it."""
    signs = np.sign(np.diag(predictions)[:, None] - predictions) * np.sign(y[:, None] - y[None, :])
    return float(signs.sum() / (len(y) * (len(y) - 1)))


def add_scene(model: Path, spec: ModelSpec, scene: str, linear: Linear, pictures: int, out: Path) -> None:
    """Write the graph of `model` with one more row in `score_by_scene` and a zero in `scene_probabilities`."""
    proto = onnx.load(model)
    graph = proto.graph
    outputs = {node.name for node in graph.output}
    used = [name for name in FEATURES if name in outputs]
    a = len(spec.attributes)
    own = f"adapt{len(spec.scenes)}."  # a file may be adapted again
    _constant(graph, f"{own}weights", linear.weights.astype(np.float32))
    _constant(graph, f"{own}offset", linear.offset.astype(np.float32))
    _constant(graph, f"{own}axis", np.array([1], np.int64))
    _constant(graph, f"{own}column", np.eye(a, 1, dtype=np.float32))
    nodes = [
        helper.make_node("Concat", used, [f"{own}features"], axis=1),
        helper.make_node("MatMul", [f"{own}features", f"{own}weights"], [f"{own}product"]),
        helper.make_node("Add", [f"{own}product", f"{own}offset"], [f"{own}score"]),
        helper.make_node("Unsqueeze", [f"{own}score", f"{own}axis"], [f"{own}row"]),
        # (N, 1) of zeros that follows the batch
        helper.make_node("MatMul", ["score", f"{own}column"], [f"{own}first"]),
        helper.make_node("Sub", [f"{own}first", f"{own}first"], [f"{own}zero"]),
    ]
    for name in ("score_by_scene", "scene_probabilities"):
        _rename(graph, name, f"{own}{name}" if spec.scenes else f"{own}inner.{name}")
    if not spec.scenes:  # the model's own score becomes that of its only scene, which is certain
        _constant(graph, f"{own}unit", np.ones((1, 1), np.float32))
        nodes.append(helper.make_node("Unsqueeze", ["score", f"{own}axis"], [f"{own}score_by_scene"]))
        nodes.append(helper.make_node("Add", [f"{own}zero", f"{own}unit"], [f"{own}scene_probabilities"]))
    for name, added in (("score_by_scene", "row"), ("scene_probabilities", "zero")):
        nodes.append(helper.make_node("Concat", [f"{own}{name}", f"{own}{added}"], [name], axis=1))
    graph.node.extend(nodes)
    scenes = _scenes(spec, scene)
    kept = [node for node in graph.output if node.name not in ("score_by_scene", "scene_probabilities")]
    del graph.output[:]
    graph.output.extend(kept)
    batch = kept[0].type.tensor_type.shape.dim[0].dim_param or "batch"
    for name, shape in (("score_by_scene", [batch, len(scenes), a]), ("scene_probabilities", [batch, len(scenes)])):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    note = f"{scene}: {pictures} pictures, KRCC {linear.before:.3f} by the model, {linear.after:.3f} leave-one-out"
    spec = dataclasses.replace(spec, scenes=scenes, provenance={**spec.provenance, f"adapted to {scene}": note})
    entry = next(entry for entry in proto.metadata_props if entry.key == SPEC_KEY)
    entry.value = spec.to_json()
    onnx.checker.check_model(proto, full_check=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, out)


def _scenes(spec: ModelSpec, scene: str) -> tuple[str, ...]:
    """The scenes with the new one last; one of the same name makes way."""
    known = spec.scenes or ("any",)
    if scene not in known:
        return (*known, scene)
    number, before = 1, f"{scene} (before)"
    while before in known:
        number += 1
        before = f"{scene} (before {number})"
    return (*(before if name == scene else name for name in known), scene)


def _constant(graph: onnx.GraphProto, name: str, value: npt.NDArray[np.generic]) -> None:
    graph.initializer.append(numpy_helper.from_array(value, name))


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """A tensor under another name, where it is made and wherever it is read."""
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
