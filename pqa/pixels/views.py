"""Views: the tensors a model asks for, cut from a `Source`.

The only place where pixels become tensors; training, export parity, the service and the command line all come through it.
Training hands over a generator, from which windows and patches then draw their places; without one they are fixed. A view
enlarges only where its spec says so, for a published protocol that does: elsewhere a picture of fewer pixels than the
tensor is continued by mirroring, since interpolation would look like blur.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pqa.errors import unknown_key
from pqa.pixels import fragments, statistics
from pqa.pixels.source import Source, bounded
from pqa.spec import CropRule, ViewSpec
from pqa.types import Face

__all__ = ["VIEWS", "ViewRow", "crop_box", "make_view", "normalise", "view_row"]

Pixels = npt.NDArray[np.uint8]
Tensor = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]
Rng = np.random.Generator


def crop_box(rule: CropRule, face: Face | None, width: int, height: int) -> Box:
    """The crop that `rule` makes of a face in a picture of `width` x `height` pixels (x1, y1, x2, y2).

    Without a face: the whole picture, or its centred square (`rule.fallback`). The crop is moved to lie inside the
    picture and cut only where it is larger than the picture.
    """
    if face is None:
        if rule.fallback == "whole":
            return (0.0, 0.0, float(width), float(height))
        side = float(min(width, height))
        return ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    x1, y1, x2, y2 = face.box
    wide, high = x2 - x1, y2 - y1
    if rule.square:
        wide = high = max(wide, high)
    wide = max(wide * rule.scale + 2 * rule.margin_px, rule.min_side)
    high = max(high * rule.scale + 2 * rule.margin_px, rule.min_side)
    wide, high = min(wide, width), min(high, height)
    left = min(max((x1 + x2 - wide) / 2, 0.0), width - wide)
    top = min(max((y1 + y2 - high) / 2, 0.0), height - high)
    return (left, top, left + wide, top + high)


def normalise(rgb: Pixels, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(..., H, W, 3) uint8 to (..., 3, H, W) float32: (pixel / 255 - mean) / std."""
    scale = (1.0 / (255.0 * np.asarray(std))).astype(np.float32)
    shift = (np.asarray(mean) / np.asarray(std)).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(rgb.astype(np.float32) * scale - shift, -1, -3))


def _window(rgb: Pixels, size: tuple[int, ...], centre: tuple[float, float]) -> Pixels:
    """The `size` window of `rgb` nearest to `centre` (x, y); mirrored outwards where the picture is smaller."""
    corner = [
        int(min(max(round(middle + max(0, side - length) // 2 - side / 2), 0), max(0, length - side)))
        for middle, side, length in zip(centre[::-1], size, rgb.shape, strict=False)
    ]
    window: Pixels = fragments.cut(rgb, size, [(corner[0], corner[1])])[0]
    return window


def _global(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Pixels:
    """The picture reduced to `short_side` (default: the view's), windowed about the face's centre or its own, or drawn."""
    rgb = source.reduced(view.short_side or min(view.size))
    width, height = source.size
    x, y = width / 2, height / 2
    if draw is not None:
        x, y = (edge * float(place) for edge, place in zip(source.size, draw.random(2), strict=True))
    elif face is not None:
        x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    ratio = rgb.shape[1] / width
    return _window(rgb, view.size, (x * ratio, y * ratio))


def _face_crop(source: Source, face: Face | None, view: ViewSpec, side: int) -> Pixels:
    return source.region(crop_box(view.crop or CropRule(), face, *source.size), side)


def _face(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Pixels:
    """The face's crop by the spec's rule, reduced to the tensor's side; without a face, as the rule's fallback says."""
    rgb = _face_crop(source, face, view, max(view.size))
    return _window(rgb, view.size, (rgb.shape[1] / 2, rgb.shape[0] / 2))


def _crops(made: Pixels) -> Pixels:
    """(K, H, W, 3), or (H, W, 3) where K is one: the axis of crops exists only where there are several."""
    return made if len(made) > 1 else made[0]


def _squashed(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Pixels:
    """The whole picture, both edges reduced to `short_side`, windowed at the fixed positions."""
    # Through twice the side, so that the filter which changes the shape also makes the sharpness.
    side = view.short_side or max(view.size)
    rgb = fragments.squashed(source.reduced(2 * side), side)
    return _crops(fragments.windows(rgb, view.size, view.crops, draw))


def _fragments(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Pixels:
    """Patches, one a cell of the 7 x 7 grid over the picture reduced to `short_side` (0: native), joined."""
    rgb = source.reduced(view.short_side) if view.short_side else source.whole()
    return _crops(fragments.fragments(rgb, view.size, view.crops, draw))


def _part(source: Source, face: Face | None, view: ViewSpec) -> Pixels:
    """The face's crop, where the spec has a crop rule, or else the whole picture.

    Either is reduced until its shorter edge has `short_side` pixels (0: native).
    """
    if view.crop is None:
        return source.reduced(view.short_side) if view.short_side else source.whole()
    box = crop_box(view.crop, face, *source.size)
    edges = (box[2] - box[0], box[3] - box[1])
    side = bounded(view.short_side, edges) * max(edges) / min(edges)
    return source.region(box, max(1, round(side)) if view.short_side else None)


def _patches(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Pixels:
    """Evenly spread windows of the picture or of the face's crop."""
    return _crops(fragments.dense(_part(source, face, view), view.size, view.crops, draw))


def _test_crops(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Pixels:
    """Windows of the picture or of the face's crop at the fixed positions; enlarged before where the spec says so."""
    rgb = _part(source, face, view)
    if view.enlarge:
        rgb = fragments.enlarged(rgb, max(view.short_side, *view.size))
    return _crops(fragments.windows(rgb, view.size, view.crops, draw))


def _strided(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Pixels:
    """Windows at multiples of 32 pixels, evenly chosen, of the picture or of the face's crop."""
    return _crops(fragments.strided(_part(source, face, view), view.size, view.crops))


def _statistics(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Tensor:
    """Natural-scene statistics (`pqa.pixels.statistics`) of the picture reduced to `short_side`."""
    return statistics.statistics(source.reduced(view.short_side))


def _face_statistics(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Tensor:
    """Natural-scene statistics of the face's crop, its longer edge reduced to `short_side`."""
    return statistics.statistics(_face_crop(source, face, view, view.short_side))


def _face_geometry(source: Source, face: Face | None, view: ViewSpec, draw: Rng | None) -> Tensor:
    """(3,): face present (0 or 1), its longer edge over the picture's short side, confidence; zeros without one."""
    if face is None:
        return np.zeros(3, np.float32)
    return np.array([1.0, face.side / min(source.size), face.confidence], np.float32)


@dataclass(frozen=True, slots=True)
class ViewRow:
    """One kind of view: `make` gives uint8 pixels, (H, W, 3) or (K, H, W, 3) for K > 1 crops, or a (D,) float32 vector
    where `vector` is true. Its last argument is the generator to draw places from, or None. `whole`: the same whichever
    face it is made for."""

    make: Callable[[Source, Face | None, ViewSpec, Rng | None], npt.NDArray[Any]]
    vector: bool
    description: str
    whole: bool = False


VIEWS: dict[str, ViewRow] = {
    "global": ViewRow(_global, False, "the whole picture, reduced"),
    "face": ViewRow(_face, False, "the face's crop, reduced and never enlarged"),
    "squashed": ViewRow(
        _squashed, False, "the whole picture, both edges reduced alike, at fixed positions", whole=True
    ),
    "fragments": ViewRow(_fragments, False, "patches of a 7 x 7 grid, joined, at fixed positions", whole=True),
    "crops": ViewRow(_test_crops, False, "windows of the picture or of the face's crop at fixed positions"),
    "patches": ViewRow(_patches, False, "evenly spread windows of the picture or of the face's crop"),
    "strided": ViewRow(_strided, False, "windows at multiples of 32 pixels, evenly chosen"),
    "statistics": ViewRow(_statistics, True, "natural-scene statistics of the picture", whole=True),
    "face_statistics": ViewRow(_face_statistics, True, "natural-scene statistics of the face's crop"),
    "face_geometry": ViewRow(_face_geometry, True, "face present, relative size, confidence"),
}


def view_row(view: ViewSpec) -> ViewRow:
    """The row of `VIEWS` that makes this view. Raises ConfigurationError for a kind that no row makes."""
    if view.kind not in VIEWS:
        raise unknown_key(view.kind, VIEWS, "view")
    return VIEWS[view.kind]


def make_view(source: Source, face: Face | None, view: ViewSpec) -> Tensor:
    """One input of the graph for one picture, at fixed places, without the batch axis: ([K,] 3, H, W) or (D,) float32."""
    row = view_row(view)
    made = row.make(source, face, view, None)
    return made if row.vector else normalise(made, view.mean, view.std)
