"""Answers as files: tables (CSV, JSON, Parquet) and copies of the best pictures."""

from __future__ import annotations

import csv
import filecmp
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pqa.errors import ConfigurationError, DataError, MissingExtra, unknown_key
from pqa.types import RankedScore, Ranking, Score, Unscored

__all__ = ["FORMATS", "check_out", "copy_top", "table", "write_answer"]

Answer = Ranking | Sequence[Score | Unscored]
Row = dict[str, str | int | float | None]


def write_answer(answer: Answer, path: Path) -> None:
    """Write a ranking, or rows of `score`, as `.csv`, `.json` or `.parquet`, told by the name of `path`.

    Tables are as in `table`; JSON is the answer document, or a list of its rows. The file appears whole or not at all,
    in place of an older one. Raises ConfigurationError for another suffix, MissingExtra for Parquet without pyarrow.
    """
    content = check_out(path)(answer)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_out(path: Path) -> Callable[[Answer], bytes]:
    """The function that makes the bytes of `path`; called early, it tells what is amiss before the work is done."""
    if path.suffix.lower() not in FORMATS:
        raise unknown_key(path.suffix.lower(), FORMATS, f"kind of table ({path})")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401 - only asked whether it is there
        except ImportError as error:
            raise MissingExtra("pyarrow", "parquet") from error
    if next(folder for folder in path.absolute().parents if folder.exists()).is_file():
        raise ConfigurationError(f"{path}: its folder is a file")
    return FORMATS[path.suffix.lower()]


SLICE_COLUMNS = {"face_size": "face_share", "luminance": "face_luminance"}
"""Columns by which `pqa evaluate` slices, and the measurement that fills them; `faces` is the third."""


def table(answer: Answer) -> list[Row]:
    """One flat row a scored picture, in the answer's order: image, scene, place, score, then each attribute and its spread.

    Pictures without a score have no row: a table of predictions holds predictions only. `flags` and `reasons` are codes
    separated by blanks; `device` is there where any picture has one, `rank`, `tie_group` and `relative_quality` for
    rankings only.
    """
    rows = _scores(answer)
    attributes = list(dict.fromkeys(name for row in rows for name in row.attributes))
    devices = any(row.device is not None for row in rows)
    return [_row(row, attributes, devices=devices) for row in rows]


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


def _scores(answer: Answer) -> list[Score]:
    if isinstance(answer, Ranking):
        return [row for group in answer.groups for row in group.ranking]
    return [row for row in answer if isinstance(row, Score)]


def _row(row: Score, attributes: Sequence[str], *, devices: bool) -> Row:
    cells: Row = {"image": row.id, "scene": row.scene}
    if devices:
        cells["device"] = row.device
    if isinstance(row, RankedScore):
        cells |= {"rank": row.rank, "tie_group": row.tie_group}
    cells |= {"score": row.score, "score_std": row.score_std}
    if isinstance(row, RankedScore):
        cells["relative_quality"] = row.relative_quality
    cells["joint_score"] = row.joint_score
    for name in attributes:
        estimate = row.attributes.get(name)
        cells[name] = None if estimate is None else estimate.score
        cells[f"{name}_std"] = None if estimate is None else estimate.std
    cells |= {column: row.measurements.get(name) for column, name in SLICE_COLUMNS.items()}
    cells["faces"] = len(row.faces)
    cells["flags"] = " ".join(row.flags)
    cells["reasons"] = " ".join(reason.code for reason in row.reasons)
    return cells


def _csv(answer: Answer) -> bytes:
    rows = table(answer)
    text = io.StringIO()
    writer = csv.DictWriter(
        text, fieldnames=list(rows[0]) if rows else ["image", "scene", "score"], lineterminator="\n"
    )
    writer.writeheader()
    # Floats in their shortest form that reads back as the same number; names of files as the bytes they are.
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", errors="surrogateescape")


def _json(answer: Answer) -> bytes:
    document: Any = answer.to_dict() if isinstance(answer, Ranking) else [row.to_dict() for row in answer]
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


def _parquet(answer: Answer) -> bytes:
    import pyarrow.parquet

    rows = table(answer)
    columns = list(rows[0]) if rows else ["image", "scene", "score"]
    text = {"image", "scene", "flags", "reasons"}
    whole = {"rank", "tie_group"}
    arrays = {}
    for name in columns:
        kind = pyarrow.string() if name in text else pyarrow.int64() if name in whole else pyarrow.float64()
        arrays[name] = pyarrow.array([_storable(row[name]) for row in rows], kind)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays), buffer)
    return buffer.getvalue()


def _storable(cell: str | float | None) -> str | float | None:
    """Names of files need not be text, Parquet's strings are."""
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


FORMATS: Mapping[str, Callable[[Answer], bytes]] = {".csv": _csv, ".json": _json, ".parquet": _parquet}
