"""Optimiser and learning rates of a recipe: every trainable parameter in exactly one group."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pqa.errors import ConfigurationError
from training.recipe import Group, Optimiser, Schedule

__all__ = ["Plateau", "factor", "freeze", "groups", "optimiser_of", "set_rates"]

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
    """Parameter groups for torch, one a learning rate (`highest`); frozen parameters are in none."""
    rates: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = _group(name, optimiser)
            rates.setdefault(group.rate if group else 1.0, []).append(parameter)
    highest = {rate: optimiser.rate * rate for rate in rates}
    return [{"params": rates[rate], "lr": value, "highest": value} for rate, value in highest.items()]


def _group(name: str, optimiser: Optimiser) -> Group | None:
    found = [group for group in optimiser.groups if name.startswith(group.prefix)]
    return max(found, key=lambda group: len(group.prefix), default=None)


def optimiser_of(model: nn.Module, optimiser: Optimiser) -> torch.optim.Optimizer:
    """The optimiser over the trainable parameters. Raises ConfigurationError where everything is frozen."""
    found = groups(model, optimiser)
    if not found:
        raise ConfigurationError("every parameter of the model is frozen: nothing is left to train")
    return OPTIMISERS[optimiser.kind](found, lr=optimiser.rate, weight_decay=optimiser.decay)


def factor(schedule: Schedule, step: int, steps: int, epochs: int) -> float:
    """Learning rate of step `step` (from zero) as a share of the highest, in a run of `epochs` times `steps`."""
    warm = schedule.warmup * steps
    if step < warm:
        return min(1.0, (step + 1) / warm)  # the first step of a warm-up is not wasted at a rate of zero
    epoch = step / steps
    if schedule.kind == "cosine":
        share = (epoch - schedule.warmup) / max((schedule.period or epochs) - schedule.warmup, 1e-9)
        return schedule.floor + (1.0 - schedule.floor) * 0.5 * (1.0 + math.cos(math.pi * share))
    if schedule.kind == "step":
        return schedule.factor ** (int(epoch) // schedule.every)
    return 1.0


def set_rates(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Every group at `share` of its own highest rate."""
    for group in optimiser.param_groups:
        group["lr"] = group["highest"] * share


class Plateau:
    """`share` of the rate that is left: times `factor` each time that `every` epochs went by without a better score (1.0 for
    other schedules)."""

    def __init__(self, schedule: Schedule) -> None:
        self.share, self.waited = 1.0, 0
        self._schedule = schedule

    def seen(self, epochs: int, *, better: bool) -> None:
        """To be told after each look at the choose part, `epochs` after the last one."""
        self.waited = 0 if better else self.waited + epochs
        if self._schedule.kind == "plateau" and self.waited >= self._schedule.every:
            self.share, self.waited = self.share * self._schedule.factor, 0
