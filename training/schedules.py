"""Optimiser and learning-rate schedule of a recipe: every trainable parameter in exactly one group."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import nn

from pqa.errors import ConfigurationError
from training.recipe import Group, Optimiser, Recipe, Schedule

__all__ = ["configured", "factor", "freeze", "groups"]

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


def freeze(model: nn.Module, optimiser: Optimiser) -> None:
    """Stop the gradients of the parameters in frozen groups. Raises ConfigurationError for a prefix that none has."""
    names = [name for name, _ in model.named_parameters()]
    for group in optimiser.groups:
        if not any(name.startswith(group.prefix) for name in names):
            parts = sorted({name.partition(".")[0] for name in names})
            raise ConfigurationError(
                f"no parameter begins with {group.prefix!r}; the model's parts: {', '.join(parts)}"
            )
    for name, parameter in model.named_parameters():
        group = _group(name, optimiser)
        if group is not None and group.frozen:
            parameter.requires_grad_(False)


def groups(model: nn.Module, optimiser: Optimiser) -> list[dict[str, Any]]:
    """Parameter groups for torch, one a learning rate; frozen parameters are in none."""
    rates: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = _group(name, optimiser)
            rates.setdefault(group.rate if group else 1.0, []).append(parameter)
    return [{"params": parameters, "lr": optimiser.rate * rate} for rate, parameters in rates.items()]


def _group(name: str, optimiser: Optimiser) -> Group | None:
    found = [group for group in optimiser.groups if name.startswith(group.prefix)]
    return max(found, key=lambda group: len(group.prefix), default=None)


def factor(schedule: Schedule, epoch: float, epochs: int) -> float:
    """Learning rate as a share of the highest, `epoch` (with its fraction) epochs into a run of `epochs`."""
    if epoch < schedule.warmup:
        return epoch / schedule.warmup
    if schedule.kind == "cosine":
        period = schedule.period or epochs
        share = min(1.0, (epoch - schedule.warmup) / max(period - schedule.warmup, 1e-9))
        return schedule.floor + (1.0 - schedule.floor) * 0.5 * (1.0 + math.cos(math.pi * share))
    if schedule.kind == "step":
        return schedule.factor ** (int(epoch) // schedule.every)
    return 1.0


def configured(model: nn.Module, recipe: Recipe, trainer: lightning.Trainer) -> Any:
    """What Lightning's `configure_optimizers` returns."""
    optimiser = OPTIMISERS[recipe.optimiser.kind](
        groups(model, recipe.optimiser), lr=recipe.optimiser.rate, weight_decay=recipe.optimiser.decay
    )
    steps = max(1, int(trainer.estimated_stepping_batches) // recipe.epochs)
    # The first step of a warm-up is not wasted at a rate of zero.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: factor(recipe.schedule, (step + 1) / steps, recipe.epochs)
    )
    found = [{"scheduler": schedule, "interval": "step"}]
    if recipe.schedule.kind == "plateau":
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, mode="max", factor=recipe.schedule.factor, patience=recipe.schedule.every
        )
        if recipe.schedule.warmup == 0.0:
            found = []
        found.append({"scheduler": plateau, "interval": "epoch", "monitor": "score", "frequency": recipe.watch})
    return [optimiser], found
