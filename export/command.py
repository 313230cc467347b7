"""`pqa export`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from export import checkpoint
from export.onnx import Batch, export
from export.proof import proof_views
from pqa import __version__, nn
from pqa.errors import ModelError
from pqa.spec import ModelSpec

__all__ = ["SPREAD", "configure", "perturb", "run", "untrained_spec"]

SPREAD = 0.05
"""Least standard deviation of an untrained model's scores over the proof pictures."""

ROUNDS = 12


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a model as one .onnx file with its spec inside. A NAME gives an untrained model (of which rank, score and "
        "serve want to be told --allow-untrained), a CHECKPOINT.safetensors of pqa train a trained one."
    )
    parser.add_argument(
        "model", metavar="NAME|CHECKPOINT", help=f"one of {', '.join(nn.MODELS)}, or a .safetensors file"
    )
    parser.add_argument("--size", default="full", help="size of a named model (default: full)")
    parser.add_argument("--seed", type=int, default=0, help="seed of an untrained model's weights")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.onnx")


def run(args: argparse.Namespace) -> int:
    if args.model.endswith(".safetensors"):
        model, spec = checkpoint.load(Path(args.model))
    else:
        torch.manual_seed(args.seed)
        model = nn.build(args.model, args.size)
        spec = untrained_spec(model, args.model, args.size)
    proof = proof_views(spec.views)
    if not spec.trained:
        perturb(model, proof)
    spec = export(model, spec, proof, args.out)
    parity = spec.parity
    if parity is not None:
        print(f"{args.out}: differs from torch by at most {parity.max_difference:.1e} over {parity.pictures} pictures")
    return 0


def perturb(model: torch.nn.Module, proof: Batch) -> None:
    """Add noise to untrained weights, more each round, until the scores over the proof pictures spread by SPREAD.

    Fresh heads give all pictures nearly one score: agreement of two runtimes on it would prove nothing. Raises ModelError
    where no noise helps.
    """
    tensors = tuple(torch.from_numpy(values) for values in proof)
    model = model.eval()
    with torch.no_grad():
        for round_ in range(ROUNDS):
            if float(model(*tensors)[model.outputs.index("score")].std(dim=0, correction=0).min()) >= SPREAD:
                return
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.02 * (round_ + 1))
    raise ModelError(f"untrained scores spread by less than {SPREAD} over {len(proof[0])} pictures; try another --seed")


def untrained_spec(model: torch.nn.Module, name: str, size: str) -> ModelSpec:
    """The spec of a model that nobody trained."""
    return ModelSpec(
        name=name,
        version=__version__,
        architecture=f"{name} ({size})",
        views=model.views,
        attributes=model.config.attributes,
        trained=False,
        scenes=model.config.scenes,
        branches=model.branch_names,
        licence="Apache-2.0",
        description="Untrained: its scores mean nothing.",
    )
