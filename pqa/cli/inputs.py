"""Which pictures a command line means: files, folders, globs, lists on stdin and CSV maps, as one list of Images.

A folder holds `*.jpg` (scene "default"), `scene/*.jpg` or `scene/device/*.jpg`. A CSV map has the columns `image`, `scene`
and, if wanted, `device`. A RAW file beside a picture of the same name stays with it and is not scored; one alone is.
"""

from __future__ import annotations

import csv
import dataclasses
import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from pqa.errors import DataError
from pqa.types import Image, Unscored

__all__ = ["PICTURES", "RAWS", "Inputs", "collect"]

PICTURES = frozenset(
    {".avif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
    | {".bmp", ".gif", ".j2k", ".jp2", ".jpx"}
    | {".psd"}  # not taken, but said so instead of being passed over
)
RAWS = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".iiq", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl"}
    | {".sr2", ".srf", ".srw", ".x3f"}
)
JPEGS = (".jpg", ".jpeg", ".jpe", ".jfif")

Map = Mapping[str, tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was found. `companions` are the RAW files of a picture, by its id; `unscored` is what is known to fail."""

    images: tuple[Image, ...]
    companions: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    unscored: tuple[Unscored, ...] = ()

    @property
    def files(self) -> dict[str, Path]:
        """Where each picture lies, by its id."""
        return {image.id: Path(image.source) for image in self.images if isinstance(image.source, str | Path)}


def collect(
    paths: Sequence[str], *, stdin: TextIO | None = None, scene_map: Path | None = None, scene: str = "default"
) -> Inputs:
    """Find the pictures meant by `paths`, in their order, within folders by name.

    A path is a file (taken whatever its name), a folder (searched to its depth; hidden files and names that are no pictures'
    are passed over), a pattern, a CSV map (its pictures, relative to its folder), or "-": one path a line, or separated by
    NUL, on `stdin`. Ids are paths relative to the folder, otherwise as given; repeats get `#2`, `#3`, ... `scene` is for
    pictures that no folder or map gives one. `scene_map` gives scenes and devices to the pictures of `paths`, found by id
    or by file; without `paths` it names the pictures itself.

    A path that cannot be read stays in the list, so that it is reported beside the others' scores. Raises DataError when
    nothing could be scored at all, for a damaged map, and for pictures that `scene_map` does not know.
    """
    if not paths and scene_map is None:
        raise DataError("expected pictures, folders or patterns, got none; name at least one")
    search = _Search(scene)
    for path in paths or [str(scene_map)]:
        if path == "-":
            for line in _lines(stdin):
                search.add(line)
        elif os.path.lexists(path) or not glob.has_magic(path):
            search.add(path)
        else:
            for match in sorted(glob.glob(path, recursive=True)) or [path]:
                search.add(match)
    images = _unique(search.images)
    if paths and scene_map is not None:
        images = _mapped(images, scene_map)
    return _without_raws(images, search.unscored)


class _Search:
    def __init__(self, scene: str) -> None:
        self.scene = scene
        self.images: list[Image] = []
        self.unscored: list[Unscored] = []

    def add(self, path: str) -> None:
        if os.path.isdir(path):
            self._folder(Path(path))
        elif path.lower().endswith(".csv") and os.path.isfile(path):
            root = Path(path).parent
            for name, (scene, device) in _read_map(Path(path)).items():
                self.images.append(Image(name, root / name, scene, device))
        else:
            self.images.append(Image(Path(path).as_posix(), Path(path), self.scene))

    def _folder(self, root: Path) -> None:
        before = len(self.images) + len(self.unscored)
        for path in sorted(self._walk(root)):
            parts = path.relative_to(root).parts
            scene = parts[0] if len(parts) > 1 else self.scene
            self.images.append(Image("/".join(parts), path, scene, parts[1] if len(parts) > 2 else None))
        if len(self.images) + len(self.unscored) == before:
            detail = f"{root}: a folder without pictures (looked for {', '.join(sorted(PICTURES))})"
            self.unscored.append(Unscored(root.as_posix(), self.scene, "empty", detail))

    def _walk(self, root: Path) -> Iterable[Path]:
        def locked(error: OSError) -> None:
            detail = f"{error.filename}: the folder cannot be read ({error.strerror})"
            self.unscored.append(Unscored(Path(error.filename).as_posix(), self.scene, "unreadable", detail))

        seen: set[str] = set()
        for folder, subfolders, names in os.walk(root, onerror=locked, followlinks=True):
            # Links are followed, since data sets are built of them, but never in circles.
            seen.add(os.path.realpath(folder))
            subfolders[:] = sorted(
                name
                for name in subfolders
                if not name.startswith(".") and os.path.realpath(os.path.join(folder, name)) not in seen
            )
            for name in names:
                if not name.startswith(".") and _suffix(name) in PICTURES | RAWS:
                    yield Path(folder, name)


def _path(image: Image) -> Path:
    return Path(str(image.source))  # every source found here is a path


def _suffix(path: str | Path) -> str:
    return os.path.splitext(path)[1].lower()


def _stem(path: Path) -> str:
    return os.path.splitext(path)[0]


def _lines(stdin: TextIO | None) -> list[str]:
    if stdin is None:
        raise DataError("'-' means a list of paths on standard input, and there is none")
    text = stdin.read()
    lines = text.split("\0") if "\0" in text else text.splitlines()
    return [line for line in lines if line.strip()]


def _unique(images: Iterable[Image]) -> list[Image]:
    images = list(images)
    taken = {image.id for image in images}
    found: set[str] = set()
    result = []
    for image in images:
        id, number = image.id, 1
        while id in found or (number > 1 and id in taken):
            number += 1
            id = f"{image.id}#{number}"
        found.add(id)
        result.append(dataclasses.replace(image, id=id))
    return result


def _read_map(path: Path) -> Map:
    rows: dict[str, tuple[str, str | None]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = {"image", "scene"} - set(reader.fieldnames or ())
            if missing:
                raise DataError(f"{path}: expected the columns image,scene[,device], got {reader.fieldnames}")
            for row in reader:
                # Maps written on Windows.
                name, scene = (str(row[key] or "").strip().replace("\\", "/") for key in ("image", "scene"))
                if not name or not scene:
                    raise DataError(f"{path}, line {reader.line_num}: expected an image and a scene, got {row}")
                entry = (scene, str(row.get("device") or "").strip() or None)
                if rows.setdefault(name, entry) != entry:
                    raise DataError(f"{path}, line {reader.line_num}: {name} has two scenes or devices; keep one")
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: the map cannot be read ({error})") from error
    if not rows:
        raise DataError(f"{path}: expected a line for each picture, got none")
    return rows


def _mapped(images: Sequence[Image], path: Path) -> list[Image]:
    by_id = _read_map(path)
    by_file = {os.path.realpath(path.parent / name): entry for name, entry in by_id.items()}
    result, unknown = [], []
    for image in images:
        entry = by_id.get(image.id) or by_file.get(os.path.realpath(_path(image)))
        if entry is not None:
            result.append(dataclasses.replace(image, scene=entry[0], device=entry[1]))
        elif _suffix(_path(image)) in RAWS:
            result.append(image)
        else:
            unknown.append(image.id)
    if unknown:
        raise DataError(
            f"{len(unknown)} of {len(images)} pictures are not in {path}: {', '.join(unknown[:3])}; "
            "add them, or leave the map out"
        )
    return result


def _without_raws(images: Sequence[Image], unscored: Sequence[Unscored]) -> Inputs:
    raws = {image.id: _path(image) for image in images if _suffix(_path(image)) in RAWS}
    pictures = [image for image in images if image.id not in raws]
    companions: dict[str, tuple[Path, ...]] = {}
    beside = _raws_beside({_path(image).parent for image in pictures})
    # Where a RAW has a JPEG and another picture of its name, it belongs to the JPEG.
    claimed: dict[Path, Path] = {}
    for image in sorted(pictures, key=lambda image: (_suffix(_path(image)) not in JPEGS, str(_path(image)))):
        path = _path(image)
        own = [raw for raw in beside.get(_stem(path), ()) if claimed.setdefault(raw, path) == path]
        if own:
            companions[image.id] = tuple(sorted(own))
    kept = {os.path.realpath(raw) for raw in claimed}
    pictures = [image for image in images if image.id not in raws or os.path.realpath(raws[image.id]) not in kept]
    if all(os.path.isdir(_path(image)) or not os.path.exists(_path(image)) for image in pictures):
        details = [failure.detail for failure in unscored]
        details += [f"{_path(image)}: no such file or folder" for image in pictures]
        more = f" (and {len(details) - 3} more)" if len(details) > 3 else ""
        raise DataError(f"nothing to score: {'; '.join(details[:3]) or 'the list of paths is empty'}{more}")
    return Inputs(tuple(pictures), companions, tuple(unscored))


def _raws_beside(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """RAW files of the folders, by their path without suffix."""
    found: dict[str, list[Path]] = {}
    for folder in sorted(folders):
        try:
            names = sorted(os.listdir(folder))
        except OSError:  # the pictures in it will say so
            continue
        for name in names:
            if _suffix(name) in RAWS:
                found.setdefault(_stem(folder / name), []).append(folder / name)
    return found
