"""A torch model to one `.onnx` file with its ModelSpec inside, and the proof that both give the same numbers."""

from __future__ import annotations

import base64
import dataclasses
import inspect
import logging
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from pqa.errors import ConfigurationError, ModelError
from pqa.runtime.joint import open_set_head
from pqa.session import open_session
from pqa.spec import SETS_KEY, SPEC_KEY, ModelSpec, Parity

__all__ = ["LARGEST", "TOLERANCE", "export", "forget_traces", "torch_scores"]

TOLERANCE = 1e-4
"""Largest difference between ONNX Runtime and torch, as a share of torch's spread of scores over the proof pictures."""

ROUNDING = 32 * float(np.finfo(np.float32).eps)
"""Difference that is always allowed, as a share of the largest score: a model that says nearly the same of every picture
has no spread to compare with, but still rounds."""

LARGEST = 2_000_000_000
"""Bytes of weights that go into one file: a protobuf message ends at 2 GiB, graph and constants included."""

Floats = npt.NDArray[np.float32]
Batch = Sequence[Floats]


def export(model: nn.Module, spec: ModelSpec, proof: Batch, path: Path, scores: Floats | None = None) -> ModelSpec:
    """Write `model` to `path`; returns the spec as written, with the measured parity.

    `model` takes the spec's views in order and names its outputs in `model.outputs`. `proof` holds one (N, ...) array a view
    of at least three real pictures. The batch axis stays free, other sizes are fixed. `scores` are `torch_scores` of that
    proof, where the caller has them. Raises ConfigurationError for fewer pictures, ModelError for weights beyond LARGEST and
    when the two runtimes differ by more than TOLERANCE of the spread; nothing is written then. Where the model has a set
    head, `model.joint`, the file carries it too, under the same proof with all pictures as one set.
    """
    if len(proof[0]) < 3:
        raise ConfigurationError(f"a proof takes at least three pictures, got {len(proof[0])}")
    weight = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    if weight > LARGEST:
        raise ModelError(
            f"{spec.name} has {weight / 1e9:.2f} GB of weights; one .onnx file holds {LARGEST / 1e9:.0f} GB: "
            "choose a smaller size"
        )
    model = model.eval()
    if scores is None:
        scores = torch_scores(model, proof)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        inputs = {view.name: values for view, values in zip(spec.views, proof, strict=True)}
        onnx.save(_graph(model, inputs, model.outputs), part)
        onnx.checker.check_model(str(part), full_check=True)
        head: nn.Module | None = getattr(model, "joint", None)
        spec = dataclasses.replace(spec, parity=_parity(part, spec, proof, scores), sets=head is not None)
        notes = {SPEC_KEY: spec.to_json()}
        if head is not None:
            notes[SETS_KEY] = _set_head(head, _torch_output(model, proof, "embedding"), scores)
        # Protobuf messages written one after the other are merged: the notes join the file without a second copy of it.
        note = onnx.ModelProto()
        onnx.helper.set_model_props(note, notes)
        with part.open("ab") as file:
            file.write(note.SerializeToString())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return spec


def torch_scores(model: nn.Module, proof: Batch) -> Floats:
    """Scores (N, A) of the proof's pictures, one at a time: memory stays that of one picture."""
    return _torch_output(model, proof, "score")


def _torch_output(model: nn.Module, proof: Batch, name: str) -> Floats:
    outputs: Any = model.outputs
    column = outputs.index(name)
    with torch.no_grad():
        rows = [
            model(*(torch.from_numpy(np.asarray(view[n : n + 1])) for view in proof))[column].numpy()
            for n in range(len(proof[0]))
        ]
    return np.concatenate(rows)


def forget_traces(proto: onnx.ModelProto) -> None:
    """Drop what the exporter notes of the code and the machine it ran on: stack traces with paths."""
    for part in (proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def _graph(model: nn.Module, inputs: Mapping[str, Floats], outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph of `model`, traced on `inputs` in their order; the size of their first axis stays free."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes: tuple[Any, ...] = tuple({0: batch} for _ in inputs)
    if any(one.kind is one.VAR_POSITIONAL for one in inspect.signature(model.forward).parameters.values()):
        shapes = (shapes,)  # `*views` is one argument to torch
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter comments on the names of axes and on its own parts; what it made is compared with torch afterwards.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            tuple(torch.from_numpy(np.asarray(values[:2])) for values in inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    proto: onnx.ModelProto = program.model_proto
    forget_traces(proto)
    return proto


def _parity(path: Path, spec: ModelSpec, proof: Batch, scores: Floats) -> Parity:
    """The graph runs as it is served, fully optimised: the first picture alone, the others two by two."""
    session = open_session(path.read_bytes(), threads=torch.get_num_threads())
    rows = []
    for a, b in pairwise([0, *range(1, len(scores), 2), len(scores)]):
        feed = {view.name: values[a:b] for view, values in zip(spec.views, proof, strict=True)}
        try:
            rows.append(session.run(["score"], feed)[0])
        except Exception as error:  # ONNX Runtime raises classes of its own that share no public base
            raise ModelError(
                f"the exported graph fails on pictures {a} to {b}: {str(error).splitlines()[0]}"
            ) from error
    return _agreement(np.concatenate(rows), scores, "graph")


def _agreement(got: Floats, expected: Floats, what: str) -> Parity:
    difference = float(np.abs(got - expected).max())
    spread = float(expected.std(axis=0).min())
    if not difference <= max(TOLERANCE * spread, ROUNDING * float(np.abs(expected).max())):
        raise ModelError(
            f"the exported {what} differs from torch by {difference:.2g} over {len(expected)} pictures, "
            f"more than {TOLERANCE} of torch's own spread {spread:.2g}"
        )
    return Parity(max_difference=difference, spread=spread, pictures=len(expected))


def _set_head(head: nn.Module, embedding: Floats, score: Floats) -> str:
    """The graph of a set head as the model file carries it, compared with torch over the proof as one set."""
    proto = _graph(head, {"embedding": embedding, "score": score}, ["joint"])
    onnx.checker.check_model(proto, full_check=True)
    text = base64.b64encode(proto.SerializeToString()).decode()
    opened = open_set_head({SETS_KEY: text}, embedding=embedding.shape[1], attributes=score.shape[1])
    with torch.no_grad():
        expected = head(torch.from_numpy(embedding), torch.from_numpy(score)).numpy()
    _agreement(opened.scores(embedding, score), expected, "set head")
    return text
