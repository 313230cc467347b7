"""What every loss checks of its input."""

from __future__ import annotations

import torch
from torch import Tensor

from pqa.errors import ConfigurationError

__all__ = ["all_pairs", "check_choice", "check_positive", "check_vectors"]


def check_vectors(first: Tensor, second: Tensor, least: int = 1) -> None:
    """Raise ValueError unless both are vectors of one length, `least` or more."""
    if first.shape != second.shape or first.ndim != 1 or len(first) < least:
        raise ValueError(
            f"expected two vectors of one length >= {least}, got {tuple(first.shape)} and {tuple(second.shape)}"
        )


def check_positive(name: str, value: float) -> None:
    """Raise ConfigurationError unless the option is above zero."""
    if not value > 0.0:
        raise ConfigurationError(f"{name} must be above 0, got {value}")


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ConfigurationError unless the option is one of the known words."""
    if value not in known:
        raise ConfigurationError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def all_pairs(values: Tensor) -> Tensor:
    """(n,) to (n (n - 1) / 2,): value i less value j for all i < j."""
    i, j = torch.triu_indices(len(values), len(values), offset=1, device=values.device)
    return values[i] - values[j]
