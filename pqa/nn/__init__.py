"""Everything that imports torch: models, losses, backbones. Serving never imports this package."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from pqa.errors import unknown_key
from pqa.nn.models import MODELS

__all__ = ["MODELS", "build"]


def build(name: str, size: str = "full", pretrained: bool = False, **changes: Any) -> nn.Module:
    """Build a model of the table `MODELS`; `changes` replace single keys of the size's configuration.

    Raises ConfigurationError for an unknown model, size or key, with the nearest name.
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
    return row.build(dataclasses.replace(config, **changes), pretrained=pretrained)
