"""The pictures a model misjudges most, with thumbnails where the pictures are at hand."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from pqa.errors import InputError
from pqa.evaluation.mappings import fit
from pqa.evaluation.metrics import by_scene
from pqa.pixels.source import open_picture
from pqa.report.markup import section
from pqa.report.study import Model, Study

__all__ = ["outliers", "residuals", "thumbnail"]

Array = npt.NDArray[np.float64]

SHOWN = 12
SIDE = 180  # shorter side of a thumbnail in pixels


def residuals(model: Model, labels: Array, scenes: tuple[str, ...]) -> Array:
    """(N,) predicted - rated, in rating units. The score's own scale is taken out by the monotonic cubic of each scene."""
    out = np.empty(labels.size)
    for index in by_scene(scenes, labels.size).values():
        x, y = model.score[index], labels[index]
        found = fit("cubic", x, y)
        # Without a fit the score's unit is unknown; only its distance from the scene's mean can be told.
        out[index] = found(x) - y if found.name != "raw" else x - x.mean() - (y - y.mean())
    return out


def thumbnail(path: Path) -> str | None:
    """A data address of the reduced picture, None where it cannot be opened."""
    try:
        pixels = open_picture(path).reduced(SIDE)
    except InputError:
        return None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def outliers(study: Study, images: Path | Mapping[str, Path] | None) -> str:
    """The section of the page: for each model the pictures with the largest residuals.

    `images`: their folder, or the file of each by its name in the labels.
    """
    find = None if images is None else _in_folder(images) if isinstance(images, Path) else images.get
    parts = []
    for model in study.models:
        error = residuals(model, study.labels.value, study.labels.scene)
        worst = np.argsort(-np.abs(error), kind="stable")[:SHOWN]
        shown = "".join(_figure(study, model, int(k), float(error[k]), find) for k in worst)
        parts.append(f'<h3>{escape(model.name)}</h3><div class="photos">{shown}</div>')
    text = "Largest residuals after the monotonic cubic of each scene: + the score flatters the picture, − it is too strict."
    return section("Misjudged most", text, *parts)


def _in_folder(folder: Path) -> Callable[[str], Path | None]:
    """The picture at its place in `folder`, or else anywhere in it by its last name."""
    by_name = {path.name: path for path in sorted(folder.rglob("*")) if path.is_file()}

    def find(name: str) -> Path | None:
        whole = folder / name
        return whole if whole.is_file() else by_name.get(PurePosixPath(name).name)

    return find


def _figure(study: Study, model: Model, k: int, error: float, find: Callable[[str], Path | None] | None) -> str:
    name, scene = study.labels.image[k], study.labels.scene[k]
    photo = ""
    if find is not None:
        found = find(name)
        address = thumbnail(found) if found else None
        photo = f'<img alt="" src="{address}">' if address else '<div class="blank"></div>'
    values = f"{error:+.2f} · rated {study.labels.value[k]:.2f}, scored {model.score[k]:.3g}"
    return f"<figure>{photo}<b>{escape(values)}</b><figcaption>{escape(name)}<br>{escape(scene)}</figcaption></figure>"
