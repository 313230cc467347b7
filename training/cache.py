"""The training cache: views of every picture, and of faulted versions of it, cut once by the one pixel path.

A folder holds `samples.json` (what each row is), `PICTURE_VIEW.npy` (N, H, W, 3) uint8 before normalisation and
`VECTOR_VIEW.npy` (N, D) float32, all in one order. Faces are found on the untouched picture and serve its faulted versions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqa import imaging
from pqa.data import camera
from pqa.data.duplicates import duplicate_groups, thumbnail
from pqa.data.parts import Part, parts
from pqa.runtime.detectors import load_detector
from pqa.spec import ViewSpec
from pqa.types import Face
from pqa.views import view_row

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
    """One row of the cache. `base` is the row of the untouched picture, `fault` empty for that row itself."""

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


def _faulted(rgb: npt.NDArray[np.uint8], count: int, rng: np.random.Generator) -> Iterator[tuple[str, str, float, Any]]:
    """`count` faulted versions: distinct faults in random order, strengths uniform in [0.1, 1]."""
    names = rng.permutation(list(camera.FAULTS))
    for index in range(count):
        name = str(names[index % len(names)])
        strength = float(rng.uniform(0.1, 1.0))
        yield name, camera.FAULTS[name].kind, strength, camera.apply(rgb, name, strength, rng)


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
    versions = [("", "", 0.0, rgb), *_faulted(rgb, count, _seed(item.path.name, seed))]
    for fault, kind, strength, pixels in versions:
        picture = imaging.open(pixels)
        for view in views:
            arrays[view.name].append(view_row(view).make(picture, main, view))
        share = main.side / min(source.size) if main else 0.0
        rows.append({"fault": fault, "kind": kind, "strength": strength, "faces": len(faces), "face_share": share})
    return rows, arrays


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
    """Cut the views of `items` into `folder`. `versions` says how many faulted versions a picture gets."""
    folder.mkdir(parents=True, exist_ok=True)
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
    (folder / "samples.json").write_text(json.dumps([asdict(sample) for sample in samples]))
    return Cache.open(folder)
