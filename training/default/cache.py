"""The training cache: views of every picture, and of versions of it, cut once by the one pixel path.

A folder holds `samples.json` (what each row is), `PICTURE_VIEW.npy` (N, H, W, 3) uint8 before normalisation and
`VECTOR_VIEW.npy` (N, D) float32, all in one order. Faces are found on the untouched picture and serve its versions,
but for the worst of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import numpy.typing as npt

from pqa.data.duplicates import duplicate_groups, thumbnail
from pqa.data.parts import Part, parts
from pqa.errors import DataError
from pqa.faces.detectors import load_detector
from pqa.pixels.source import open_picture
from pqa.pixels.views import view_row
from pqa.spec import ViewSpec
from pqa.types import Face
from training.default.versions import FALLS, Plan, Version, versions

__all__ = ["Cache", "Item", "Sample", "build"]

WORKING_SIDE = 1024
"""Short side to which pictures are reduced before anything is done to them; a fault's strength is relative to it."""

AGAIN = 0.5
"""Where no more than this is left of the rating the face is looked for again: one that is not found belongs to the fault."""

WHOLE = (1.0, 1.0, 1.0)


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
    """One row of the cache. `base` is the row of the untouched picture, whose `version` is empty; `group` the number of its
    near-duplicates; the rest as in `training.default.versions.Version`."""

    name: str
    base: int
    group: int
    mos: float
    subset: str
    portrait: bool
    part: Part
    version: str
    ladder: int
    strength: float
    keep: tuple[float, float, float]
    faces: int
    face_share: float


@dataclass(frozen=True, slots=True)
class Cache:
    """An opened cache; picture views are memory-mapped."""

    samples: tuple[Sample, ...]
    views: dict[str, npt.NDArray[Any]]

    @classmethod
    def open(cls, folder: Path) -> Cache:
        rows = json.loads((folder / "samples.json").read_text())
        samples = tuple(Sample(**row | {"keep": tuple(row["keep"])}) for row in rows)
        return cls(samples, {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))})


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big"))


_detector: Any = None


def _cut(job: tuple[Item, Plan, int, tuple[ViewSpec, ...]]) -> tuple[list[dict[str, Any]], dict[str, list[Any]]]:
    """Every sample of one picture: (fields that differ between samples, view arrays)."""
    global _detector
    cv2.setNumThreads(1)
    _detector = _detector or load_detector("mtcnn")
    item, plan, seed, views = job
    rgb = open_picture(item.path).reduced(WORKING_SIDE)
    faces: tuple[Face, ...] = tuple(_detector.detect(open_picture(rgb))) if item.portrait else ()
    rows: list[dict[str, Any]] = []
    arrays: dict[str, list[Any]] = {view.name: [] for view in views}
    untouched = Version("", -1, 0.0, WHOLE, rgb, faces)
    for version in (untouched, *versions(rgb, faces, plan, _generator(item.path.name, seed))):
        picture, found = open_picture(version.pixels), version.faces
        if found and min(version.keep) <= AGAIN:
            found = tuple(_detector.detect(picture))
        main = found[0] if found else None
        for view in views:
            arrays[view.name].append(view_row(view).make(picture, main, view, None))
        rows.append(
            {
                "version": version.name,
                "ladder": version.ladder,
                "strength": version.strength,
                "keep": version.keep,
                "faces": len(found),
                "face_share": main.side / min(picture.size) if main else 0.0,
            }
        )
    return rows, arrays


def _key(items: Sequence[Item], views: tuple[ViewSpec, ...], plans: Callable[[Item, Part], Plan], seed: int) -> str:
    """Hash of all that a cache depends on, but for the contents of the pictures."""
    counts = [[asdict(plans(item, part)) for part in get_args(Part)] for item in items]
    about = [[repr(item) for item in items], [repr(view) for view in views], counts, sorted(FALLS.items()), AGAIN, seed]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _thumbnail(path: Path) -> npt.NDArray[np.float32]:
    return thumbnail(open_picture(path))


def build(
    items: Sequence[Item],
    views: tuple[ViewSpec, ...],
    folder: Path,
    *,
    plans: Callable[[Item, Part], Plan],
    seed: int,
    workers: int,
    on_done: Callable[[], None] = lambda: None,
) -> Cache:
    """Cut the views of `items` into `folder`, or open what is there. `plans` says which versions a picture gets.

    Raises DataError when the folder holds the views of other pictures, views or versions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(items, views, plans, seed)
    if (folder / "samples.json").is_file():
        if (folder / "key").read_text() != key:
            raise DataError(
                f"{folder}: holds views cut for other pictures or settings; remove it or name another --cache"
            )
        return Cache.open(folder)
    # Not by fork: a child would inherit pools of threads without their threads.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        groups = duplicate_groups(list(pool.map(_thumbnail, [item.path for item in items], chunksize=16)))
        division = parts([item.path.name for item in items], groups)
        chosen = [plans(item, part) for item, part in zip(items, division, strict=True)]
        total = sum(plan.count for plan in chosen) + len(items)
        samples: list[Sample] = []
        stores: dict[str, npt.NDArray[Any]] = {}
        jobs = [(item, plan, seed, views) for item, plan in zip(items, chosen, strict=True)]
        cut_all = zip(items, division, groups, pool.map(_cut, jobs, chunksize=4), strict=True)
        for item, part, group, (rows, arrays) in cut_all:
            base = len(samples)
            for name, cut in arrays.items():
                if name not in stores:
                    stores[name] = np.lib.format.open_memmap(
                        folder / f"{name}.npy", mode="w+", dtype=cut[0].dtype, shape=(total, *cut[0].shape)
                    )
                stores[name][base : base + len(cut)] = cut
            for row in rows:
                about = (item.path.name, base, int(group), item.mos, item.subset, item.portrait, part)
                samples.append(Sample(*about, **row))
            on_done()
    for store in stores.values():
        store.flush()
    (folder / "key").write_text(key)
    (folder / "samples.json").write_text(json.dumps([asdict(sample) for sample in samples]))
    return Cache.open(folder)
