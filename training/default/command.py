"""`pqa train --recipe default`."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import torch
from rich.progress import Progress

from pqa.data import biq2021
from pqa.errors import ConfigurationError
from pqa.session import available_cpus
from training.default.cache import Item, build
from training.default.fit import Origin, build_model, fit
from training.default.recipe import BFLOAT16, RECIPE
from training.default.versions import Plan

__all__ = ["run"]

LICENCE = (
    "research: the training data (BIQ2021) is published for research; the code's licence does not cover the weights"
)
OTHER_LICENCE = "the terms of the rated photographs; the code's licence does not cover the weights"


def _commit() -> dict[str, str]:
    """The commit of the checkout that this runs from, if it is one and git is there."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return {"commit": subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}
    except (OSError, subprocess.CalledProcessError):
        return {}


def run(args: argparse.Namespace) -> int:
    """Train the shipped model's recipe on the one folder of `args.data`."""
    if len(args.data) != 1:
        raise ConfigurationError(f"the recipe of the shipped model reads one folder, BIQ2021's; got {len(args.data)}")
    (folder,) = args.data
    recipe = RECIPE
    changes = {key: getattr(args, key) for key in ("epochs", "seed") if getattr(args, key) is not None}
    rows = biq2021.read(folder)
    if args.smoke:
        changes |= {"size": "tiny", "epochs": 1, "batch": 8, "portrait": Plan(2, 1, 2, 1), "precision": "32-true"}
        rows = rows[:: max(1, len(rows) // 120)]
    elif recipe.precision == BFLOAT16 and "AVX512" not in torch.backends.cpu.get_cpu_capability():
        print("this processor does not compute in bfloat16, which would take five times as long: training in float32")
        changes |= {"precision": "32-true"}
    recipe = dataclasses.replace(recipe, **changes)
    items = [Item(row.path, row.mos, row.subset, row.portrait) for row in rows]
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("cutting views", total=len(items))
        cache = build(
            items,
            build_model(recipe).views,
            args.cache or args.out / "cache",
            plans=recipe.plan,
            seed=recipe.seed,
            workers=available_cpus(),
            on_done=lambda: progress.advance(task),
        )
    provenance = {"train.csv sha256": hashlib.sha256((folder / biq2021.FILE).read_bytes()).hexdigest()} | _commit()
    if biq2021.is_released(rows):
        data, licence = f"BIQ2021 training split ({len(items)} photographs, MOS of 30 observers each)", LICENCE
    else:
        data, licence = f"{len(items)} photographs with mean ratings, in BIQ2021's layout", OTHER_LICENCE
    path = fit(recipe, cache, args.out, Origin((data, "simulated camera faults"), licence, provenance))
    print(path)
    return 0
