"""`pqa train`."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from pathlib import Path

from rich.progress import Progress

from pqa.data import biq2021
from pqa.errors import unknown_key
from pqa.runtime.session import available_cpus
from training.cache import Item, build
from training.fit import Origin, build_model, fit
from training.recipes import RECIPES

__all__ = ["configure", "run"]

LICENCE = (
    "research: the training data (BIQ2021) is published for research; the code's licence does not cover the weights"
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Train a recipe on rated photographs and export the result as one ONNX file."
    parser.add_argument("--recipe", default="scene_gate", help=f"one of: {', '.join(RECIPES)}")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="BIQ2021's training split")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where checkpoint, model and metrics go")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where cut views are kept (default: OUT/cache)")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    parser.add_argument("--smoke", action="store_true", help="tiny model, few pictures, one epoch: does it run?")


def run(args: argparse.Namespace) -> int:
    if args.recipe not in RECIPES:
        raise unknown_key(args.recipe, RECIPES, "recipe")
    recipe = RECIPES[args.recipe]
    changes = {key: getattr(args, key) for key in ("epochs", "seed") if getattr(args, key) is not None}
    rows = biq2021.read(args.data)
    if args.smoke:
        changes |= {"size": "tiny", "epochs": 1, "batch": 8, "portrait_versions": 2, "precision": "32-true"}
        rows = rows[:: max(1, len(rows) // 120)]
    recipe = dataclasses.replace(recipe, **changes)
    items = [Item(row.path, row.mos, row.subset, row.portrait) for row in rows]
    folder = args.cache or args.out / "cache"
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("cutting views", total=len(items))
        cache = build(
            items,
            build_model(recipe).views,
            folder,
            versions=recipe.versions,
            seed=recipe.seed,
            workers=available_cpus(),
            on_done=lambda: progress.advance(task),
        )
    data = (f"BIQ2021 training split ({len(items)} photographs, MOS of 30 observers each)", "simulated camera faults")
    provenance = {"train.csv sha256": hashlib.sha256((args.data / "train.csv").read_bytes()).hexdigest()}
    path = fit(recipe, cache, args.out, Origin(data, LICENCE, provenance))
    print(path)
    return 0
