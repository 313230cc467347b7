"""A torch model to one `.onnx` file with its ModelSpec inside, and the proof that both give the same numbers."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import nn

from pqa.errors import ModelError
from pqa.spec import SPEC_KEY, ModelSpec, Parity

__all__ = ["TOLERANCE", "export", "forget_traces"]

TOLERANCE = 1e-4
"""Largest difference between ONNX Runtime and torch, as a share of torch's spread of scores over the proof pictures."""

Batch = Sequence[npt.NDArray[np.float32]]


def export(model: nn.Module, spec: ModelSpec, proof: Batch, path: Path) -> ModelSpec:
    """Write `model` to `path`; returns the spec as written, with the measured parity.

    `model` takes the spec's views in order and names its outputs in `model.outputs`. `proof` holds one (N, ...) array a view
    of at least two real pictures. The batch axis stays free, other sizes are fixed. Raises ModelError when the two runtimes
    differ by more than TOLERANCE of the spread; nothing is written then.
    """
    model = model.eval()
    names = [view.name for view in spec.views]
    tensors = tuple(torch.from_numpy(np.asarray(values)) for values in proof)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            tuple(values[:2] for values in tensors),
            input_names=names,
            output_names=list(model.outputs),
            dynamic_shapes=tuple({0: batch} for _ in tensors),
            dynamo=True,
            optimize=True,
            verbose=False,
        )
        expected = [output.numpy() for output in model(*tensors)]
    proto = program.model_proto
    forget_traces(proto)
    spec = dataclasses.replace(spec, parity=_parity(proto, names, proof, list(model.outputs), expected))
    entry = proto.metadata_props.add()
    entry.key, entry.value = SPEC_KEY, spec.to_json()
    onnx.checker.check_model(proto, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, path)
    return spec


def forget_traces(proto: onnx.ModelProto) -> None:
    """Drop what the exporter notes of the code and the machine it ran on: stack traces with paths."""
    for part in (proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def _parity(
    proto: onnx.ModelProto, names: list[str], proof: Batch, outputs: list[str], expected: list[npt.NDArray[np.float32]]
) -> Parity:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    got = dict(zip(outputs, session.run(outputs, dict(zip(names, proof, strict=True))), strict=True))
    score = expected[outputs.index("score")]
    difference = float(np.abs(got["score"] - score).max())
    spread = float(score.std(axis=0).min())
    if difference > TOLERANCE * spread:
        raise ModelError(
            f"the exported graph differs from torch by {difference:.2g} over {len(score)} pictures, "
            f"more than {TOLERANCE} of torch's own spread {spread:.2g}"
        )
    return Parity(max_difference=difference, spread=spread, pictures=len(score))
