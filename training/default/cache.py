"""The training cache: views of every picture, and of faulted versions of it, cut once by the one pixel path.

A folder holds `samples.json` (what each row is), `PICTURE_VIEW.npy` (N, H, W, 3) uint8 before normalisation and
`VECTOR_VIEW.npy` (N, D) float32, all in one order. Faces are found on the untouched picture and serve its faulted versions.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from pqa import imaging
from pqa.data import camera
from pqa.data.duplicates import duplicate_groups, thumbnail
from pqa.data.parts import Part, parts
from pqa.errors import DataError
from pqa.runtime.detectors import load_detector
from pqa.spec import ViewSpec
from pqa.types import Face
from pqa.views import view_row

Pixels = npt.NDArray[np.uint8]

__all__ = ["Cache", "Item", "Sample", "build"]

WORKING_SIDE = 1024
"""Short side to which pictures are reduced before faults are applied; a fault's strength is relative to it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One rated picture: `mos` in [0, 1]; `subset` names the slice it is reported in.

    No face is looked for where `portrait` is false: the data set says that there is no clear one, and a detector's many
    looks at such a picture take most of the time.
    """

    path: Path
    mos: float
    subset: str
    portrait: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of the cache. `base` is the row of the untouched picture, `fault` empty there and on sound versions of it."""

    name: str
    base: int
    mos: float
    subset: str
    portrait: bool
    part: Part
    fault: str
    kind: str
    strength: float
    faces: int
    face_share: float


@dataclass(frozen=True, slots=True)
class Cache:
    """An opened cache; picture views are memory-mapped."""

    samples: tuple[Sample, ...]
    views: dict[str, npt.NDArray[Any]]

    @classmethod
    def open(cls, folder: Path) -> Cache:
        samples = tuple(Sample(**row) for row in json.loads((folder / "samples.json").read_text()))
        return cls(samples, {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))})


def _seed(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big"))


def _resampled(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture at 0.7 to 0.95 of its side: quality as before, but the traces of its own JPEG are gone."""
    short = min(rgb.shape[:2])
    return imaging.open(rgb).reduced(max(1, round(short * rng.uniform(0.7, 0.95))))


def _filed(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture as a file of good quality would keep it: JPEG at 80 to 97."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=int(rng.integers(80, 98)))
    return imaging.open(buffer.getvalue()).reduced(min(rgb.shape[:2]))


def _versions(rgb: Pixels, count: int, rng: np.random.Generator) -> Iterator[tuple[str, str, float, Pixels]]:
    """One sound version and `count` - 1 with distinct faults in random order, strengths uniform in [0.1, 1].

    Half of them start from a resampled picture and half end as a JPEG. Otherwise whether a picture still carries the traces
    of the JPEG it came in would tell faulted from sound, and every camera picture that was reduced would look faulted.
    """
    names = rng.permutation(list(camera.FAULTS))
    for index in range(count):
        name, strength = ("", 0.0) if index == 0 else (str(names[index % len(names)]), float(rng.uniform(0.1, 1.0)))
        start = _resampled(rgb, rng) if index == 0 or rng.random() < 0.5 else rgb
        made = camera.apply(start, name, strength, rng) if name else start
        made = _filed(made, rng) if rng.random() < 0.5 else made
        yield name, camera.FAULTS[name].kind if name else "", strength, made


def _scaled(face: Face, factor: float) -> Face:
    x1, y1, x2, y2 = (factor * edge for edge in face.box)
    return replace(face, box=(x1, y1, x2, y2))


_detector: Any = None


def _cut(job: tuple[Item, int, int, tuple[ViewSpec, ...]]) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """Every sample of one picture: (fields that differ between samples, view arrays)."""
    global _detector
    _detector = _detector or load_detector("mtcnn")
    item, count, seed, views = job
    rgb = imaging.open(item.path).reduced(WORKING_SIDE)
    source = imaging.open(rgb)
    faces: Sequence[Face] = _detector.detect(source) if item.portrait else ()
    main = faces[0] if faces else None
    rows: list[dict[str, Any]] = []
    arrays: dict[str, list[Any]] = {view.name: [] for view in views}
    versions = [("", "", 0.0, rgb), *_versions(rgb, count, _seed(item.path.name, seed))]
    for fault, kind, strength, pixels in versions:
        picture = imaging.open(pixels)
        found = _scaled(main, pixels.shape[1] / rgb.shape[1]) if main else None
        for view in views:
            arrays[view.name].append(view_row(view).make(picture, found, view, None))
        share = main.side / min(source.size) if main else 0.0
        rows.append({"fault": fault, "kind": kind, "strength": strength, "faces": len(faces), "face_share": share})
    return rows, arrays


def _key(items: Sequence[Item], views: tuple[ViewSpec, ...], versions: Callable[[Item, Part], int], seed: int) -> str:
    """Hash of all that a cache depends on, but for the contents of the pictures."""
    counts = [[versions(item, part) for part in get_args(Part)] for item in items]
    about = [[repr(item) for item in items], [repr(view) for view in views], counts, sorted(camera.FAULTS), seed]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _thumbnail(path: Path) -> npt.NDArray[np.float32]:
    return thumbnail(imaging.open(path))


def build(
    items: Sequence[Item],
    views: tuple[ViewSpec, ...],
    folder: Path,
    *,
    versions: Callable[[Item, Part], int],
    seed: int,
    workers: int,
    on_done: Callable[[], None] = lambda: None,
) -> Cache:
    """Cut the views of `items` into `folder`, or open what is there. `versions` says how many versions a picture gets.

    Raises DataError when the folder holds the views of other pictures, views or versions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(items, views, versions, seed)
    if (folder / "samples.json").is_file():
        if (folder / "key").read_text() != key:
            raise DataError(
                f"{folder}: holds views cut for other pictures or settings; remove it or name another --cache"
            )
        return Cache.open(folder)
    with ProcessPoolExecutor(workers) as pool:
        groups = duplicate_groups(list(pool.map(_thumbnail, [item.path for item in items], chunksize=16)))
        division = parts([item.path.name for item in items], groups)
        counts = [versions(item, part) for item, part in zip(items, division, strict=True)]
        total = sum(counts) + len(items)
        samples: list[Sample] = []
        stores: dict[str, npt.NDArray[Any]] = {}
        jobs = [(item, count, seed, views) for item, count in zip(items, counts, strict=True)]
        for item, part, (rows, arrays) in zip(items, division, pool.map(_cut, jobs, chunksize=4), strict=True):
            base = len(samples)
            for name, cut in arrays.items():
                if name not in stores:
                    stores[name] = np.lib.format.open_memmap(
                        folder / f"{name}.npy", mode="w+", dtype=cut[0].dtype, shape=(total, *cut[0].shape)
                    )
                stores[name][base : base + len(cut)] = cut
            for row in rows:
                samples.append(Sample(item.path.name, base, item.mos, item.subset, item.portrait, part, **row))
            on_done()
    for store in stores.values():
        store.flush()  # type: ignore[attr-defined]
    (folder / "key").write_text(key)
    (folder / "samples.json").write_text(json.dumps([asdict(sample) for sample in samples]))
    return Cache.open(folder)
