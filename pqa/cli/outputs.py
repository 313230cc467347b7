"""Answers as files: tables (CSV, JSON, Parquet) and copies of the best pictures."""

from __future__ import annotations

import csv
import filecmp
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from pqa.cli.text import plain
from pqa.data.tables import guarded
from pqa.errors import ConfigurationError, DataError, MissingExtra, unknown_key
from pqa.types import RankedScore, Ranking, Score, Unscored

__all__ = ["FORMATS", "check_out", "check_writable", "copy_top", "open_rows", "table", "write_ranking"]

Row = dict[str, str | int | float | None]

NO_ROWS = ("image", "scene", "score")
"""The columns of a table in which nothing was scored."""


def write_ranking(ranking: Ranking, path: Path) -> None:
    """Write a ranking as `.csv`, `.json` or `.parquet`, told by the name of `path`.

    Tables are as in `table`; JSON is the answer document. The file appears whole or not at all, in place of an older one.
    Raises ConfigurationError for another suffix, MissingExtra for Parquet without pyarrow.
    """
    check_out(path)
    part = _part(path)
    try:
        with part.open("wb") as file:
            if path.suffix.lower() == ".json":
                file.write((json.dumps(ranking.to_dict(), indent=2, allow_nan=False) + "\n").encode())
            else:
                rows = FORMATS[path.suffix.lower()](file, devices=_devices(ranking))
                for row in _ranked(ranking):
                    rows.add(row)
                rows.end()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def open_rows(path: Path, *, devices: bool) -> Iterator[Callable[[Score | Unscored], None]]:
    """A file of rows of `score`, written through row by row; gives the function to call with each row.

    Rows lie in `NAME.PID.part` beside `path`, which takes the name of `path`, in place of an older file, when all is done: a
    file of that name is always whole. A process that is killed leaves the part: of CSV all rows, each whole; of JSON the list
    without its closing bracket; of Parquet, which is written at the end, nothing. Where an error ends the block, the part is
    made whole, kept and named on standard error; without a row it goes. `devices`: the table has that column.

    JSON is a list with a row on every line, pictures without a score among them; CSV and Parquet are as in `table`. Raises
    ConfigurationError for another suffix or a place where no file can be, MissingExtra for Parquet without pyarrow.
    """
    check_out(path)
    part = _part(path)
    count = 0
    try:
        with part.open("wb", buffering=0) as file:
            rows = FORMATS[path.suffix.lower()](file, devices=devices)

            def add(row: Score | Unscored) -> None:
                nonlocal count
                rows.add(row)
                count += 1

            try:
                yield add
            finally:
                rows.end()
        part.replace(path)
    except BaseException:
        if count:
            print(f"pqa: ended early; {count} rows are in {plain(str(part))}", file=sys.stderr)
        else:
            part.unlink(missing_ok=True)
        raise


def _part(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def check_out(path: Path) -> None:
    """Raises what `open_rows` or `write_ranking` would raise: called early, before any work is done."""
    if path.suffix.lower() not in FORMATS:
        raise unknown_key(path.suffix.lower(), FORMATS, f"kind of table ({path})")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401 - only asked whether it is there
        except ImportError as error:
            raise MissingExtra("pyarrow", "parquet") from error
    check_writable(path)


def check_writable(path: Path) -> None:
    """Raises ConfigurationError for a place at which no file can be written; writes nothing, makes no folder."""
    try:
        if path.is_dir():
            raise ConfigurationError(f"{path}: expected the name of a file, this is a folder")
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        if folder.is_file():
            raise ConfigurationError(f"{path}: its folder is a file")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigurationError(f"{path}: no file can be written there ({error.strerror})") from error


SLICE_COLUMNS = {"face_size": "face_share", "luminance": "face_luminance"}
"""Columns by which `pqa evaluate` slices, and the measurement that fills them; `faces` is the third."""


def table(ranking: Ranking) -> list[Row]:
    """One flat row a scored picture, best first: image, scene, place, score, then each attribute and its spread.

    Pictures without a score have no row: a table of predictions holds predictions only. `flags` and `reasons` are codes
    separated by blanks; `device` is there where any picture has one, `rank`, `tie_group` and `relative_quality` for
    rankings only.
    """
    return [_row(row, devices=_devices(ranking)) for row in _ranked(ranking)]


def copy_top(
    ranking: Ranking,
    count: int,
    folder: Path,
    files: Mapping[str, Path],
    companions: Mapping[str, Sequence[Path]] | None = None,
) -> list[Path]:
    """Copy the `count` best of each scene, with their companions, to `folder`, or `folder/scene` for several scenes.

    `files` and `companions` are paths by id (`pqa.cli.inputs.Inputs`). Nothing is overwritten: a file that is there with
    the same content is left, with other content the copies get `-2`, `-3`, ... before their suffix, a picture and its
    companions the same. Scenes are made safe as folder names, so nothing lands outside `folder`. Returns the copies,
    best first. Raises ConfigurationError for a count below one, DataError for a picture that is no file.
    """
    if count < 1:
        raise ConfigurationError(f"expected at least one picture to copy a scene, got {count}")
    copies = []
    for group in ranking.groups:
        place = folder / _safe(group.scene) if len(ranking.groups) > 1 else folder
        for id in group.order[:count]:
            if id not in files:
                raise DataError(f"{id} is no file, so it cannot be copied")
            place.mkdir(parents=True, exist_ok=True)
            copies += _copy([files[id], *(companions or {}).get(id, ())], place)
    return copies


def _copy(sources: Sequence[Path], folder: Path) -> list[Path]:
    number = 1
    while True:
        suffix = "" if number == 1 else f"-{number}"
        targets = [folder / f"{source.stem}{suffix}{source.suffix}" for source in sources]
        if all(_free(source, target) for source, target in zip(sources, targets, strict=True)):
            break
        number += 1
    for source, target in zip(sources, targets, strict=True):
        if not os.path.lexists(target):
            # Opened exclusively: a file that appeared since is not overwritten either.
            with source.open("rb") as original, target.open("xb") as copy:
                shutil.copyfileobj(original, copy)
            shutil.copystat(source, target)
    return targets


def _free(source: Path, target: Path) -> bool:
    return not os.path.lexists(target) or (target.is_file() and filecmp.cmp(source, target, shallow=False))


def _safe(name: str) -> str:
    """`name` as one component of a path on every system: no separators, no leading dot, at most 100 characters."""
    return re.sub(r"[^\w .()+=,#-]", "_", name)[:100].strip(" .") or "_"


def _ranked(ranking: Ranking) -> list[RankedScore]:
    return [row for group in ranking.groups for row in group.ranking]


def _devices(ranking: Ranking) -> bool:
    return any(row.device is not None for row in _ranked(ranking))


def _row(row: Score, *, devices: bool) -> Row:
    cells: Row = {"image": row.id, "scene": row.scene}
    if devices:
        cells["device"] = row.device
    if isinstance(row, RankedScore):
        cells |= {"rank": row.rank, "tie_group": row.tie_group}
    cells |= {"score": row.score, "score_std": row.score_std}
    if isinstance(row, RankedScore):
        cells["relative_quality"] = row.relative_quality
    cells["joint_score"] = row.joint_score
    for name, estimate in row.attributes.items():
        cells |= {name: estimate.score, f"{name}_std": estimate.std}
    cells |= {column: row.measurements.get(name) for column, name in SLICE_COLUMNS.items()}
    cells["faces"] = len(row.faces)
    cells["flags"] = " ".join(row.flags)
    cells["reasons"] = " ".join(reason.code for reason in row.reasons)
    return cells


class Rows(Protocol):
    """A kind of table that is written row by row."""

    def __init__(self, file: BinaryIO, *, devices: bool) -> None: ...
    def add(self, row: Score | Unscored) -> None: ...
    def end(self) -> None: ...


class _Csv:
    """Begins with a byte-order mark, without which spreadsheets take UTF-8 for something else."""

    def __init__(self, file: BinaryIO, *, devices: bool) -> None:
        self._file = file
        self._devices = devices
        self._begun = False

    def add(self, row: Score | Unscored) -> None:
        if isinstance(row, Score):
            cells = _row(row, devices=self._devices)
            self._begin(cells)
            self._line(cells.values())

    def end(self) -> None:
        self._begin(NO_ROWS)

    def _begin(self, columns: Iterable[str]) -> None:
        if not self._begun:
            self._file.write("\ufeff".encode())
            self._line(columns)
        self._begun = True

    def _line(self, cells: Iterable[str | float | None]) -> None:
        text = io.StringIO()
        # Floats in their shortest form that reads back as the same number; names of files as the bytes they are. The writer's
        # own line ends, since it quotes a cell for what is in them, and readers take both for an end.
        writer = csv.writer(text)
        writer.writerow(guarded(cell) if isinstance(cell, str) else cell for cell in cells)
        line = text.getvalue().removesuffix("\r\n") + "\n"
        self._file.write(line.encode("utf-8", errors="surrogateescape"))


class _Json:
    def __init__(self, file: BinaryIO, *, devices: bool) -> None:
        self._file = file
        self._before = "[\n"

    def add(self, row: Score | Unscored) -> None:
        self._file.write((self._before + json.dumps(row.to_dict(), allow_nan=False)).encode())
        self._before = ",\n"

    def end(self) -> None:
        self._file.write(b"[]\n" if self._before == "[\n" else b"\n]\n")


class _Parquet:
    def __init__(self, file: BinaryIO, *, devices: bool) -> None:
        self._file = file
        self._devices = devices
        self._rows: list[Row] = []

    def add(self, row: Score | Unscored) -> None:
        if isinstance(row, Score):
            self._rows.append(_row(row, devices=self._devices))

    def end(self) -> None:
        import pyarrow.parquet

        text = {"image", "scene", "device", "flags", "reasons"}
        whole = {"rank", "tie_group"}
        arrays = {}
        for name in self._rows[0] if self._rows else NO_ROWS:
            kind = pyarrow.string() if name in text else pyarrow.int64() if name in whole else pyarrow.float64()
            arrays[name] = pyarrow.array([_storable(row[name]) for row in self._rows], kind)
        pyarrow.parquet.write_table(pyarrow.table(arrays), self._file)


def _storable(cell: str | float | None) -> str | float | None:
    """Names of files need not be text, Parquet's strings are."""
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


FORMATS: Mapping[str, type[Rows]] = {".csv": _Csv, ".json": _Json, ".parquet": _Parquet}
