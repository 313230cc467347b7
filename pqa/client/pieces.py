"""Which pictures go into which request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pqa.errors import ConfigurationError
from pqa.types import Image

__all__ = ["Pieces", "packed", "read", "split"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Pieces:
    """The size of one upload: at most `pictures` files of `mib` MiB (1,048,576 bytes) together, but always one file.

    Raises ConfigurationError below one picture or for no bytes.
    """

    pictures: int = 32
    mib: float = 64.0

    def __post_init__(self) -> None:
        if self.pictures < 1 or not self.mib > 0:
            raise ConfigurationError(f"expected at least one picture and some bytes in a piece, got {self}")

    def hold(self, images: Sequence[Image]) -> bool:
        """Whether these pictures go together in one request."""
        return len(images) <= self.pictures and sum(map(_size, images)) <= self.mib * MIB


def packed(images: Sequence[Image], pieces: Pieces, *, pooled: bool) -> list[list[Image]]:
    """Requests in the order of the pictures. `pooled`: a scene is never divided, even where it is over the limits."""
    units: dict[object, list[Image]] = {}
    for position, image in enumerate(images):
        units.setdefault(image.scene if pooled else position, []).append(image)
    requests: list[list[Image]] = []
    for unit in units.values():
        if requests and pieces.hold([*requests[-1], *unit]):
            requests[-1] += unit
        else:
            requests.append(list(unit))
    return requests


def split(images: Sequence[Image], pieces: Pieces) -> Iterator[list[Image]]:
    """The pictures of one request in uploads that keep to the limits."""
    return iter(packed(images, pieces, pooled=False))


def read(image: Image) -> bytes:
    """The file's bytes. Raises OSError for a path that cannot be read, ConfigurationError for an array."""
    if isinstance(image.source, bytes):
        return image.source
    if isinstance(image.source, str | Path):
        return Path(image.source).read_bytes()
    raise ConfigurationError(f"{image.id}: expected a path or the bytes of a file, got {type(image.source).__name__}")


def _size(image: Image) -> int:
    if isinstance(image.source, str | Path):
        try:
            return Path(image.source).stat().st_size
        except OSError:
            return 0
    return len(image.source) if isinstance(image.source, bytes) else 0
