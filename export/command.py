"""`pqa export`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from export import checkpoint
from export.onnx import Batch, Floats, export, torch_scores
from export.proof import PORTRAITS, proof_views
from pqa import __version__, nn
from pqa.errors import ConfigurationError, MissingWeights, ModelError
from pqa.faces.detectors import load_detector
from pqa.spec import ModelSpec

__all__ = ["SPREAD", "configure", "perturb", "run", "untrained_spec"]

SPREAD = 0.05
"""Least standard deviation of an untrained model's scores over the proof pictures."""

ROUNDS = 12

PICKLES = (".pth", ".pt", ".ckpt", ".pkl", ".bin")
"""Suffixes of what torch and its users pickle."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write a model as one .onnx file with its spec inside. A NAME gives an untrained model (of which rank, score and "
        "serve want to be told --allow-untrained), a CHECKPOINT.safetensors of pqa train a trained one."
    )
    parser.add_argument(
        "model", metavar="NAME|CHECKPOINT", help=f"one of {', '.join(nn.MODELS)}, or a .safetensors file"
    )
    parser.add_argument("--size", help="size of a named model (default: full)")
    parser.add_argument("--seed", type=int, help="seed of a named model's weights (default: 0)")
    parser.add_argument(
        "--proof",
        type=Path,
        metavar="DIR",
        help=f"folder of at least {PORTRAITS} portraits on which the file is compared with torch "
        "(default: the shipped portrait under 24 camera faults)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.onnx")


def run(args: argparse.Namespace) -> int:
    suffix = Path(args.model).suffix
    if suffix in PICKLES:
        raise ModelError(
            f"{args.model}: a pickle can run code and is never read; docs/models.md says how its tensors become safetensors"
        )
    if suffix == ".safetensors":
        if args.size is not None or args.seed is not None:
            raise ConfigurationError(
                "--size and --seed belong to a model's name; a checkpoint has its own size and weights"
            )
        model, spec = checkpoint.load(Path(args.model))
    else:
        torch.manual_seed(args.seed or 0)
        size = args.size or "full"
        model = nn.build(args.model, size)
        spec = untrained_spec(model, args.model, size)
        if "detector" in spec.provenance:
            print(f"{args.model}: {spec.provenance['detector']}")
    proof = proof_views(spec.views, detector=spec.detector, folder=args.proof)
    scores = None if spec.trained else perturb(model, proof)
    spec = export(model, spec, proof, args.out, scores)
    parity = spec.parity
    if parity is not None:
        print(f"{args.out}: differs from torch by at most {parity.max_difference:.1e} over {parity.pictures} pictures")
    return 0


def perturb(model: torch.nn.Module, proof: Batch) -> Floats:
    """Add noise to untrained weights, more each round, until the scores over the proof pictures spread by SPREAD.

    Returns those scores (N, A). Fresh heads give all pictures nearly one score: agreement of two runtimes on it would
    prove nothing. Noise is tried on the darkest and the brightest picture first: a full-size system takes a minute a
    picture. Raises ModelError where no noise helps.
    """
    model = model.eval()
    light = [float(picture.mean()) for picture in proof[0]]
    extremes = [int(np.argmin(light)), int(np.argmax(light))]
    probe = [view[extremes] for view in proof]
    for round_ in range(ROUNDS):
        if torch_scores(model, probe).std(axis=0).min() >= SPREAD:
            scores = torch_scores(model, proof)
            if scores.std(axis=0).min() >= SPREAD:
                return scores
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.02 * (round_ + 1))
    raise ModelError(f"untrained scores spread by less than {SPREAD} over {len(proof[0])} pictures; try another --seed")


def untrained_spec(model: torch.nn.Module, name: str, size: str) -> ModelSpec:
    """The spec of a model that nobody trained.

    It asks for the detector of the model's row. Where that one's weight is not at hand it asks for mtcnn and says so in
    `provenance`: untrained scores mean nothing around any face, and a file that every machine can serve is worth more.
    A trained model never changes its detector.
    """
    detector, provenance = nn.MODELS[name].detector, {}
    try:
        load_detector(detector)
    except MissingWeights:
        provenance["detector"] = f"the published detector, {detector}, is not at hand; the file asks for mtcnn"
        detector = "mtcnn"
    return ModelSpec(
        name=name,
        version=__version__,
        architecture=f"{name} ({size})",
        views=model.views,
        attributes=model.config.attributes,
        trained=False,
        scenes=model.config.scenes,
        branches=model.branch_names,
        detector=detector,
        licence="Apache-2.0",
        description="Untrained: its scores mean nothing.",
        provenance=provenance,
    )
