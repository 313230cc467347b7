"""Checkpoints for exchange: safetensors whose header says which model they are and carries the spec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pqa import nn
from pqa.errors import ModelError
from pqa.spec import ModelSpec

__all__ = ["load", "save"]

KEY = "pqa.checkpoint"


def save(model: torch.nn.Module, path: Path, *, name: str, size: str, changes: dict[str, Any], spec: ModelSpec) -> None:
    """Write the weights of `nn.build(name, size, **changes)` with what is needed to build it again."""
    about = json.dumps({"name": name, "size": size, "changes": changes})
    save_file(model.state_dict(), path, metadata={KEY: about, "pqa.spec": spec.to_json()})


def load(path: Path) -> tuple[torch.nn.Module, ModelSpec]:
    """The model and spec of a checkpoint.

    Raises ModelError for another file or for weights of another model, ConfigurationError for a model, size or key that
    `nn.build` does not know.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: expected a safetensors checkpoint: {error}") from error
    if KEY not in about or "pqa.spec" not in about:
        raise ModelError(
            f"{path}: a safetensors file, but not of pqa: its header lacks {KEY!r}; write it with pqa train"
        )
    try:
        build = json.loads(about[KEY])
        name, size, changes = build["name"], build["size"], dict(build["changes"])
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path}: expected name, size and changes as JSON under {KEY!r} in its header, got {about[KEY]!r}"
        ) from error
    model = nn.build(name, size, **changes)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{path}: its weights do not fit {name} ({size}): {error}") from error
    spec = ModelSpec.from_json(about["pqa.spec"])
    if spec.views != model.views:
        raise ModelError(f"{path}: its spec has other views than {name} ({size}): {spec.views}, not {model.views}")
    return model.eval(), spec
