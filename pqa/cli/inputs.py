"""Which pictures a command line means: files, folders, globs, lists on stdin and CSV maps, as one list of Images.

A folder holds `*.jpg` (scene "default"), `scene/*.jpg` or `scene/device/*.jpg`; of several folders each is a scene. A CSV map
has the columns `image`, `scene` and, if wanted, `device`. A RAW file beside a picture of the same name stays with it and is not
scored; one alone is.
"""

from __future__ import annotations

import csv
import dataclasses
import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from pqa.data.tables import unguarded
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
PASSED_OVER = frozenset(
    {"@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "recycler", "lost+found"}
    | {"system volume information", "__macosx"}
)
"""Folders, in lower case, of network stores, systems and archivers: thumbnails, bins, copies. Hidden ones go with them."""
PREVIEWS = ".lrdata"  # Lightroom's folders
JPEGS = (".jpg", ".jpeg", ".jpe", ".jfif")
DEFAULT_SCENE = "default"

Map = Mapping[str, tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was found. `companions` are the RAW files of a picture, by its id; `unscored` is what is known to fail.

    `notes`: what was passed over in folders, a sentence each.
    """

    images: tuple[Image, ...]
    companions: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    unscored: tuple[Unscored, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, Path]:
        """Where each picture lies, by its id."""
        return {image.id: Path(image.source) for image in self.images if isinstance(image.source, str | Path)}


def collect(
    paths: Sequence[str],
    *,
    stdin: TextIO | None = None,
    scene_map: Path | None = None,
    scene: str | None = None,
    follow_links: bool = False,
) -> Inputs:
    """Find the pictures meant by `paths`, in their order, within folders by name.

    A path is a file (taken whatever its name), a folder (searched to its depth), a pattern, a CSV map (its pictures, relative
    to its folder), or "-": one path a line, or separated by NUL, on `stdin`. In folders names that are no pictures' are passed
    over; so are hidden files and folders, those of PASSED_OVER and links, which are counted in `notes`. `follow_links` takes
    links to files, and to folders that were not searched yet.

    Ids are paths relative to the folder, otherwise as given; repeats get `#2`, `#3`, ... Of several folders each is a scene of
    its own, or has them, and ids and scenes begin with its path from the nearest folder that holds them all. `scene` is for
    pictures that no map and no folder within a named one gives a scene. `scene_map` gives scenes and devices to the
    pictures of `paths`, found by id or by file; without `paths` it names the pictures itself.

    A path that cannot be read stays in the list, so that it is reported beside the others' scores. Raises DataError when
    nothing could be scored at all, for a damaged map, and for pictures that `scene_map` does not know.
    """
    if not paths and scene_map is None:
        raise DataError("expected pictures, folders or patterns, got none; name at least one")
    found = list(_expanded(paths or [str(scene_map)], stdin))
    search = _Search(scene, follow_links, _labels([path for path in found if os.path.isdir(path)]))
    for path in found:
        search.add(path)
    images = _unique(search.images)
    if paths and scene_map is not None:
        images = _mapped(images, scene_map)
    return _without_raws(images, search.unscored, search.notes())


def _expanded(paths: Iterable[str], stdin: TextIO | None) -> Iterator[str]:
    """Files, folders and maps: lists read, patterns replaced by what they match, or left where they match nothing."""
    for path in paths:
        if path == "-":
            yield from _lines(stdin)
        elif os.path.lexists(path) or not glob.has_magic(path):
            yield path
        else:
            yield from sorted(glob.glob(path, recursive=True)) or [path]


def _labels(folders: Sequence[str]) -> dict[str, str]:
    """What tells several folders apart: their paths from the nearest folder that holds them all. None for one alone."""
    places = {folder: os.path.abspath(folder) for folder in folders}
    if len(set(places.values())) < 2:
        return {}
    try:
        base = os.path.commonpath([os.path.dirname(place) for place in places.values()])
    except ValueError:  # on several drives
        return {folder: Path(place).as_posix() for folder, place in places.items()}
    return {folder: Path(os.path.relpath(place, base)).as_posix() for folder, place in places.items()}


class _Search:
    def __init__(self, scene: str | None, follow_links: bool, labels: Mapping[str, str]) -> None:
        self.scene = scene
        self.follow_links = follow_links
        self.labels = labels
        self.images: list[Image] = []
        self.unscored: list[Unscored] = []
        self.links = 0
        self.hidden = 0
        self.aside: dict[str, int] = {}
        """Pictures passed over, by the name of the folder that holds them."""

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.aside:
            names = ", ".join(list(self.aside)[:5]) + ", ..." * (len(self.aside) > 5)
            pictures = _count(sum(self.aside.values()), "picture")
            notes.append(f"passed over {pictures} in folders of thumbnails, bins and the like: {names}")
        if self.hidden:
            notes.append(f"passed over {_count(self.hidden, 'hidden picture')}")
        if self.links:
            notes.append(f"passed over {_count(self.links, 'link')}; --follow-links takes them")
        return tuple(notes)

    def add(self, path: str) -> None:
        if os.path.isdir(path):
            self._folder(path)
        elif path.lower().endswith(".csv") and os.path.isfile(path):
            root = Path(path).parent
            for name, (scene, device) in _read_map(Path(path)).items():
                self.images.append(Image(name, root / name, scene, device))
        else:
            self.images.append(Image(Path(path).as_posix(), Path(path), self.scene or DEFAULT_SCENE))

    def _folder(self, root: str) -> None:
        before = len(self.images) + len(self.unscored)
        label = self.labels.get(root)
        own = self.scene or label or DEFAULT_SCENE
        above = () if label is None else (label,)
        for path in sorted(self._walk(Path(root), own)):
            parts = path.relative_to(root).parts
            scene = "/".join((*above, parts[0])) if len(parts) > 1 else own
            self.images.append(Image("/".join((*above, *parts)), path, scene, parts[1] if len(parts) > 2 else None))
        if len(self.images) + len(self.unscored) == before:
            detail = f"{root}: a folder without pictures (looked for {', '.join(sorted(PICTURES))})"
            self.unscored.append(Unscored(Path(root).as_posix(), own, "empty", detail))

    def _walk(self, root: Path, scene: str) -> Iterator[Path]:
        def locked(error: OSError) -> None:
            detail = f"{error.filename}: the folder cannot be read ({error.strerror})"
            self.unscored.append(Unscored(Path(error.filename).as_posix(), scene, "unreadable", detail))

        seen: set[str] = set()
        for folder, subfolders, names in os.walk(root, onerror=locked, followlinks=self.follow_links):
            real = os.path.realpath(folder)
            if real in seen:  # by a link, which may lead round in a circle
                subfolders.clear()
                continue
            seen.add(real)
            subfolders[:] = self._entered(folder, subfolders)
            for name in names:
                if _suffix(name) in PICTURES | RAWS and self._is_taken(folder, name):
                    yield Path(folder, name)

    def _entered(self, folder: str, names: Iterable[str]) -> list[str]:
        """Subfolders to search, links last, so that a folder is found by its own name first."""
        kept: list[str] = []
        links: list[str] = []
        for name in sorted(names):
            path = os.path.join(folder, name)
            link = os.path.islink(path)
            if link and not self.follow_links:
                self.links += 1
            elif name.startswith(".") or name.lower() in PASSED_OVER or name.lower().endswith(PREVIEWS):
                count = sum(_suffix(file) in PICTURES for _, _, files in os.walk(path) for file in files)
                if count:
                    self.aside[name] = self.aside.get(name, 0) + count
            else:
                (links if link else kept).append(name)
        return kept + links

    def _is_taken(self, folder: str, name: str) -> bool:
        if name.startswith("."):
            self.hidden += 1
            return False
        if os.path.islink(os.path.join(folder, name)) and not self.follow_links:
            self.links += 1
            return False
        return True


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


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
                name, scene = (unguarded(str(row[key] or "").strip()).replace("\\", "/") for key in ("image", "scene"))
                if not name or not scene:
                    raise DataError(f"{path}, line {reader.line_num}: expected an image and a scene, got {row}")
                entry = (scene, unguarded(str(row.get("device") or "").strip()) or None)
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


def _without_raws(images: Sequence[Image], unscored: Sequence[Unscored], notes: tuple[str, ...]) -> Inputs:
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
    return Inputs(tuple(pictures), companions, tuple(unscored), notes)


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
