"""One file a model; `MODELS` is the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from pqa.nn.models import scene_gate

__all__ = ["MODELS", "ModelRow"]


@dataclass(frozen=True)
class ModelRow:
    """`sizes` maps a size's name to the configuration that `build` is given."""

    build: type[nn.Module]
    sizes: dict[str, Any]
    paper: str


MODELS: dict[str, ModelRow] = {
    "scene_gate": ModelRow(scene_gate.SceneGate, dict(scene_gate.SIZES), "this project"),
}
