"""`python -m bench.loading --data DIR --recipe NAME`: pictures a second of the loader alone, by number of workers, against
those that the training step takes on this machine's device. A ratio above one keeps the device busy."""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pqa import nn
from pqa.data.sets import read
from pqa.session import available_cpus
from training.facts import find_facts
from training.gather import gather
from training.loading import Division, divide, drawn
from training.recipe import Recipe, changed
from training.recipes import RECIPES
from training.run import build_models
from training.schedules import optimiser_of

BATCHES = 12


def _for_ever(recipe: Recipe, division: Division, views: Any, workers: int) -> Iterator[dict[str, Any]]:
    loader: Any = drawn(recipe, division, views, workers=workers)
    for epoch in itertools.count():
        loader.batch_sampler.set_epoch(epoch)
        yield from loader


def _rate(batches: Iterator[dict[str, Any]], count: int) -> float:
    """Pictures a second; the first batch, with which workers start, is not counted."""
    next(batches)
    start, pictures = time.perf_counter(), 0
    for batch in itertools.islice(batches, count):
        pictures += len(batch["row"])
    return pictures / (time.perf_counter() - start)


def _step_rate(recipe: Recipe, model: torch.nn.Module, batch: dict[str, Any], count: int) -> float:
    """Forward, backward and step on one batch at hand."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).train()
    views = [view.to(device) for view in batch["views"]]
    optimiser = optimiser_of(model, recipe.optimiser)
    start = 0.0
    for step in range(count + 1):
        if step == 1:  # the first one warms up
            start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16-mixed"):
            total = sum(output.float().mean() for output in model(*views) if output.requires_grad)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
    return count * len(batch["row"]) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recipe", default="scene_gate", choices=tuple(RECIPES))
    parser.add_argument("--size", default="full")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, *range(1, available_cpus() + 1)])
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--batches", type=int, default=BATCHES)
    args = parser.parse_args()
    recipe = changed(RECIPES[args.recipe], ["pretrained=false", f"size={args.size}", *args.set])
    data = gather([read(args.data, attributes=recipe.attributes, allow_missing=True)])
    rows = data.part("train")
    scenes = sorted({row.scene for row in rows})
    model, tested, _ = build_models(recipe, scenes)
    with tempfile.TemporaryDirectory() as folder:
        facts = find_facts(
            [row.path for row in rows],
            tested.views,
            nn.MODELS[recipe.model].detector,
            args.cache or Path(folder),
            workers=available_cpus(),
        )
    division = divide(rows, facts, scenes, recipe.scene_by)
    step = _step_rate(recipe, model, next(_for_ever(recipe, division, model.views, 0)), max(2, args.batches // 4))
    size = sum(row.path.stat().st_size for row in rows) / len(rows) / 2**20
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    print(
        f"{recipe.model} ({recipe.size}), {len(rows)} pictures of {size:.2f} MiB on average, {recipe.batches.size} a step; "
        f"the step takes {step:.1f} pictures/s ({device})\n"
    )
    print("| workers | pictures/s | of one's | of the step's |\n|---|---|---|---|")
    rates: dict[int, float] = {}
    for workers in args.workers:
        rates[workers] = _rate(_for_ever(recipe, division, model.views, workers), args.batches)
        first = rates[min(rates, key=lambda number: abs(number - 1))]
        print(
            f"| {workers} | {rates[workers]:.1f} | {rates[workers] / first:.2f} | {rates[workers] / step:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
