"""Everything that imports torch: models, losses, backbones. Serving never imports this package."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pqa.errors import ConfigurationError, unknown_key
from pqa.nn.models import MODELS

__all__ = ["MODELS", "build"]


def build(name: str, size: str = "full", pretrained: bool = False, **changes: Any) -> nn.Module:
    """Build a model of the table `MODELS`; `changes` replace single keys of the size's configuration.

    Raises ConfigurationError for an unknown model, size or key, with the nearest name, and for values of which no model can
    be made. So does calling the model with tensors that are not its views.
    """
    if name not in MODELS:
        raise unknown_key(name, MODELS, "model")
    row = MODELS[name]
    if size not in row.sizes:
        raise unknown_key(size, row.sizes, f"size of {name}")
    config = row.sizes[size]
    known = {item.name for item in dataclasses.fields(config)}
    for key in changes:
        if key not in known:
            raise unknown_key(key, known, f"configuration key of {name}")
    changed = dataclasses.replace(config, **changes)
    for key in ("attributes", "scenes"):
        if getattr(config, key) and not getattr(changed, key):
            raise ConfigurationError(f"{name} needs the names of its {key}, got none")
    model = row.build(changed, pretrained=pretrained)
    model.register_forward_pre_hook(_check_views)
    return model


def _check_views(model: Any, views: Sequence[Tensor]) -> None:
    """Raises ConfigurationError unless there is one tensor a view, of the view's shape."""
    if len(views) != len(model.views):
        names = ", ".join(view.name for view in model.views)
        raise ConfigurationError(f"{type(model).__name__} takes {len(model.views)} views ({names}), got {len(views)}")
    for view, tensor in zip(model.views, views, strict=True):
        picture = (*((view.crops,) if view.crops > 1 else ()), 3, *view.size)
        shape = view.size if len(view.size) == 1 else picture
        if tuple(tensor.shape[1:]) != shape:
            raise ConfigurationError(
                f"view {view.name} must have the shape (N, {', '.join(map(str, shape))}), got {tuple(tensor.shape)}"
            )
