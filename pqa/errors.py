"""Every exception that pqa raises on purpose.

    PqaError
    ├── InputError            a picture cannot be used; `status` says why
    │   ├── EmptyImage        no bytes
    │   ├── UnreadableImage   truncated, damaged or lying about itself
    │   ├── UnsupportedImage  a format outside the allow-list, or a missing extra
    │   ├── ImageTooLarge     over the limit on bytes or pixels
    │   └── ImageTimeout      not finished before the deadline
    ├── ModelError            a model file cannot be used, or failed while running
    │   ├── ModelNotFound     no model of that name
    │   ├── MissingWeights    pretrained weights out of reach
    │   └── UntrainedModel    exported without training and not explicitly allowed
    ├── ConfigurationError    a setting, option or key is wrong; the nearest name is offered
    ├── MissingExtra          an optional dependency is absent; names the extra
    ├── DataError             labels, tables or folders do not fit together
    └── ServiceError          a service did not answer, or refused

Messages say what was expected, what came, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Status = Literal["ok", "unreadable", "unsupported", "too_large", "empty", "timeout", "model_error"]
"""The `status` of a picture in every answer."""

__all__ = [
    "ConfigurationError",
    "DataError",
    "EmptyImage",
    "ImageTimeout",
    "ImageTooLarge",
    "InputError",
    "MissingExtra",
    "MissingWeights",
    "ModelError",
    "ModelNotFound",
    "PqaError",
    "ServiceError",
    "Status",
    "UnreadableImage",
    "UnsupportedImage",
    "UntrainedModel",
    "unknown_key",
]


class PqaError(Exception):
    """Base of everything that pqa raises on purpose."""


class InputError(PqaError):
    """A picture that cannot be scored; `status` is the word used in every answer."""

    status: Status = "unreadable"


class EmptyImage(InputError):
    status = "empty"


class UnreadableImage(InputError):
    status = "unreadable"


class UnsupportedImage(InputError):
    status = "unsupported"


class ImageTooLarge(InputError):
    status = "too_large"


class ImageTimeout(InputError):
    status = "timeout"


class ModelError(PqaError):
    """A model file that is damaged, foreign or without a spec, or that failed while running."""

    status: Status = "model_error"


class ModelNotFound(ModelError):
    """No model of that name in the store."""


class MissingWeights(ModelError):
    """Pretrained weights that are neither in the named folder nor to be had from their origin."""


class UntrainedModel(ModelError):
    """A model exported without training, used without `allow_untrained`."""


class ConfigurationError(PqaError):
    """A setting, option or key that nothing reads, or a value outside its range."""


class MissingExtra(PqaError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; install it with: pip install 'pqa[{extra}]'")
        self.package = package
        self.extra = extra


class DataError(PqaError):
    """Labels, tables or folders that do not fit together."""


class ServiceError(PqaError):
    """A service that refused, failed or could not be reached.

    `status` is its HTTP status, 0 where no answer came; `document` is the problem document, empty where there is none.
    """

    def __init__(self, message: str, *, status: int = 0, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document = document or {}

    @property
    def code(self) -> str:
        """The end of the problem's `type`: `busy`, `unknown-pictures`, ...; empty where there is none."""
        return str(self.document.get("type", "")).rpartition(":")[2]


def unknown_key(key: str, known: Iterable[str], what: str = "key") -> ConfigurationError:
    """The error for a name that nothing reads: lists what is known and offers the nearest."""
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return ConfigurationError(f"unknown {what} {key!r}{hint} Known: {', '.join(names) or 'none'}")
