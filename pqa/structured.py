"""Plain JSON values to dataclasses: model specs, recipes and answers are read by their annotations, strictly."""

from __future__ import annotations

import collections.abc
import dataclasses
import types as pytypes
import typing
from typing import Any, Literal, TypeVar

from pqa.errors import ConfigurationError, unknown_key

__all__ = ["structured"]

T = TypeVar("T")


def structured(kind: type[T], raw: Any, where: str) -> T:
    """The dataclass `kind` from what `json.loads` or `dataclasses.asdict` gives, nested dataclasses and tuples included.

    Raises ConfigurationError for an unknown key (with the nearest one), a missing one, or a value of another type; the
    message names the place, beginning with `where`.
    """
    built: T = _build(kind, raw, where)
    return built


def _build(kind: Any, raw: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(raw, dict):
            raise ConfigurationError(f"{where}: expected an object, got {type(raw).__name__}")
        hints = typing.get_type_hints(kind)
        for key in raw:
            if key not in hints:
                raise unknown_key(key, hints, f"{where} key")
        values = {key: _build(hints[key], value, f"{where}.{key}") for key, value in raw.items()}
        try:
            return kind(**values)
        except TypeError as error:
            raise ConfigurationError(f"{where}: {error}") from error
    if origin is tuple:
        if not isinstance(raw, list | tuple):
            raise ConfigurationError(f"{where}: expected a list, got {type(raw).__name__}")
        parts = typing.get_args(kind)
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(_build(parts[0], item, f"{where}[{i}]") for i, item in enumerate(raw))
        if len(parts) != len(raw):
            raise ConfigurationError(f"{where}: expected {len(parts)} values, got {len(raw)}")
        return tuple(_build(part, item, f"{where}[{i}]") for i, (part, item) in enumerate(zip(parts, raw, strict=True)))
    if origin is dict:
        if not isinstance(raw, dict):
            raise ConfigurationError(f"{where}: expected an object, got {type(raw).__name__}")
        return dict(raw)
    if origin is collections.abc.Mapping:
        if not isinstance(raw, dict):
            raise ConfigurationError(f"{where}: expected an object, got {type(raw).__name__}")
        value = typing.get_args(kind)[1]
        return {key: _build(value, item, f"{where}.{key}") for key, item in raw.items()}
    if origin is Literal:
        if raw not in typing.get_args(kind):
            raise ConfigurationError(f"{where}: expected one of {typing.get_args(kind)}, got {raw!r}")
        return raw
    if origin in (typing.Union, pytypes.UnionType):
        options = [part for part in typing.get_args(kind) if part is not type(None)]
        return None if raw is None else _build(options[0], raw, where)
    if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, kind) or (kind is int and isinstance(raw, bool)):
        raise ConfigurationError(f"{where}: expected {kind.__name__}, got {type(raw).__name__}")
    return raw
