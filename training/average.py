"""Averaged weights beside those that train: they are what is judged and exported."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from training.recipe import Average

__all__ = ["Averaged", "weights_of"]


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer of `model` by name, detached, not copied."""
    return {name: value.detach() for name, value in (*model.named_parameters(), *model.named_buffers())}


class Averaged:
    """The running average that `average` asks for, over parameters and buffers alike (those of integers are copied).

    `ema`: after every step a share 1 - decay of the new weights, where the decay grows to its value as (1 + n) / (10 + n)
    over the steps n, so that a short run is not judged by its random start. `swa`: the mean of the weights at the end of
    every epoch from `start` of `epochs` on (Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
    Generalization", UAI 2018); statistics of batch norms are averaged, not taken anew. `weights` is None before the first one.
    """

    def __init__(self, average: Average, epochs: int) -> None:
        self.weights: dict[str, Tensor] | None = None
        self._average, self._count = average, 0
        self._first = min(int(average.start * epochs), epochs - 1)

    def after_step(self, model: nn.Module, epoch: int, *, last: bool) -> None:
        """To be called after each step of the optimiser; `last`: the step that ends `epoch` (counted from zero)."""
        if self._average.kind == "ema":
            self._count += 1
            self._take(model, 1.0 - min(self._average.decay, (1 + self._count) / (10 + self._count)))
        elif self._average.kind == "swa" and last and epoch >= self._first:
            self._count += 1
            self._take(model, 1.0 / self._count)

    def _take(self, model: nn.Module, share: float) -> None:
        new = weights_of(model)
        if self.weights is None:
            self.weights = {name: value.clone() for name, value in new.items()}
            return
        for name, value in new.items():
            kept = self.weights[name].to(value.device)
            self.weights[name] = kept.lerp_(value, share) if value.is_floating_point() else value.clone()

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"weights": self.weights, "count": self._count}

    def restore(self, state: dict[str, Any]) -> None:
        self.weights, self._count = state["weights"], state["count"]
