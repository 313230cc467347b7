"""A torch model to one `.onnx` file with its ModelSpec inside, and the proof that both give the same numbers."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from pqa.errors import ConfigurationError, ModelError
from pqa.runtime.session import open_session
from pqa.spec import SPEC_KEY, ModelSpec, Parity

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
    when the two runtimes differ by more than TOLERANCE of the spread; nothing is written then.
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
        onnx.save(_graph(model, spec, proof), part)
        onnx.checker.check_model(str(part), full_check=True)
        spec = dataclasses.replace(spec, parity=_parity(part, spec, proof, scores))
        # Protobuf messages written one after the other are merged: the spec joins the file without a second copy of it.
        note = onnx.StringStringEntryProto(key=SPEC_KEY, value=spec.to_json())
        with part.open("ab") as file:
            file.write(onnx.ModelProto(metadata_props=[note]).SerializeToString())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return spec


def torch_scores(model: nn.Module, proof: Batch) -> Floats:
    """Scores (N, A) of the proof's pictures, one at a time: memory stays that of one picture."""
    outputs: Any = model.outputs
    column = outputs.index("score")
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


def _graph(model: Any, spec: ModelSpec, proof: Batch) -> onnx.ModelProto:
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            tuple(torch.from_numpy(np.asarray(view[:2])) for view in proof),
            input_names=[view.name for view in spec.views],
            output_names=list(model.outputs),
            dynamic_shapes=tuple({0: batch} for _ in proof),
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
    edges = [0, *range(1, len(scores), 2), len(scores)]
    rows = [
        session.run(["score"], {view.name: values[a:b] for view, values in zip(spec.views, proof, strict=True)})[0]
        for a, b in pairwise(edges)
    ]
    difference = float(np.abs(np.concatenate(rows) - scores).max())
    spread = float(scores.std(axis=0).min())
    if not difference <= max(TOLERANCE * spread, ROUNDING * float(np.abs(scores).max())):
        raise ModelError(
            f"the exported graph differs from torch by {difference:.2g} over {len(scores)} pictures, "
            f"more than {TOLERANCE} of torch's own spread {spread:.2g}"
        )
    return Parity(max_difference=difference, spread=spread, pictures=len(scores))
