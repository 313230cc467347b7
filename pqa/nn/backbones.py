"""Trunks: the only caller of timm, and the only place that may touch a hub (only with `pretrained=True`)."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

__all__ = ["trunk"]


def trunk(name: str, options: dict[str, Any], *, pretrained: bool = False) -> tuple[nn.Module, int]:
    """A timm model without its classifier, and the width C of its pooled feature.

    The module maps (N, 3, H, W) to (N, C). `options` are timm's own arguments for that model (widths, depths).
    """
    module = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    width: Any = module.num_features
    return module, int(width)
