"""The data sets that can be trained on, by name, and the one way to read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from pqa.data import biq2021, gfiqa, koniq, liqe_lists, livew, own, piq23, spaq
from pqa.data.labels import Split
from pqa.data.parts import Part
from pqa.data.rated import RatedSet
from pqa.data.reading import find_file
from pqa.data.tables import some
from pqa.errors import DataError, unknown_key
from pqa.pixels.source import Limits
from pqa.types import Warn

__all__ = ["LIMITS", "SETS", "SetRow", "known_as", "read", "read_all", "spelling"]

LIMITS = Limits(max_bytes=1024 * 2**20, max_pixels=200_000_000)
"""For pictures of a data set: uncompressed TIFFs of 16 bits are larger than any other file of a camera."""


@dataclass(frozen=True, slots=True)
class SetRow:
    """One data set.

    `read` gives every labelled picture, whether its file is there or not; `attributes` those that a folder has labels for;
    `files` are what a folder is recognised by; `source` says where the columns were read, `verified` whether that was in
    files of the set or of its authors.
    """

    read: Callable[[Path, tuple[str, ...], Split], RatedSet]
    attributes: Callable[[Path], tuple[str, ...]]
    here: Callable[[Path], bool]
    files: tuple[str, ...]
    source: str
    status: Literal["verified", "unverified"]
    licence: str


def _overall(folder: Path) -> tuple[str, ...]:
    return ("overall",)


def _has(*files: str) -> Callable[[Path], bool]:
    return lambda folder: find_file(folder, files) is not None


SETS: dict[str, SetRow] = {
    "piq23": SetRow(
        piq23.read,
        piq23.attributes,
        _has(*piq23.FILES.values()),
        tuple(piq23.FILES.values()),
        "score, split and metadata files of github.com/DXOMARK-Research/PIQ2023; places of the pictures by its README",
        "verified",
        piq23.LICENCE,
    ),
    "biq2021": SetRow(
        biq2021.rated_set,
        _overall,
        biq2021.mentions,
        (biq2021.FILE,),
        "train.csv of a part of the training split",
        "verified",
        biq2021.LICENCE,
    ),
    "koniq": SetRow(
        koniq.read,
        _overall,
        _has(*koniq.FILES),
        koniq.FILES,
        "metadata/koniq10k_distributions_sets.csv of github.com/subpic/koniq (the authors); MOS_zscore in readers of the set",
        "verified",
        koniq.LICENCE,
    ),
    "spaq": SetRow(
        spaq.read,
        _overall,
        _has(*spaq.FILES, *spaq.SHEETS),
        spaq.FILES,
        "pyiqa/data/meta_info/meta_info_SPAQDataset.csv of github.com/chaofengc/IQA-PyTorch, a copy of the spreadsheets",
        "unverified",
        spaq.LICENCE,
    ),
    "livew": SetRow(
        livew.read,
        _overall,
        _has(*livew.FILES),
        livew.FILES,
        "the readme of the release (files, order, counts); names of the variables in readers of the set",
        "verified",
        livew.LICENCE,
    ),
    "gfiqa": SetRow(
        gfiqa.read,
        _overall,
        _has(*gfiqa.FILES),
        gfiqa.FILES,
        "two independent readers of the set, one of them that of github.com/chencn2020/PromptIQA",
        "unverified",
        gfiqa.LICENCE,
    ),
    "liqe_lists": SetRow(
        liqe_lists.read,
        _overall,
        lambda folder: liqe_lists.lists(folder) is not None,
        liqe_lists.FILES,
        "the lists of six sets in IQA_Database of github.com/zwx8981/LIQE (the authors)",
        "verified",
        liqe_lists.LICENCE,
    ),
    "own": SetRow(
        own.read,
        own.attributes,
        lambda folder: own.label_file(folder) is not None,
        (own.FILE,),
        "docs/data.md",
        "verified",
        own.LICENCE,
    ),
}


def spelling(attribute: str) -> str:
    """Our name of an attribute: lower case, and `detail` for what PIQ23's files call Details."""
    lower = attribute.lower()
    return "detail" if lower == "details" else lower


def known_as(folder: Path, kind: str | None = None) -> str:
    """The name of the set in a folder: `kind` where its files are there; None: the first whose files are.

    Raises DataError that lists what was looked for, ConfigurationError for an unknown `kind`.
    """
    if kind is not None and kind not in SETS:
        raise unknown_key(kind, SETS, "data set")
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected the folder of a data set, {'got a file' if folder.exists() else 'got none'}"
        )
    if kind is not None:
        files = SETS[kind].files
        if find_file(folder, files) is None and not SETS[kind].here(folder):
            raise DataError(f"{folder}: expected {' or '.join(files)} in it or one folder below ({kind}), found none")
        return kind
    for name, row in SETS.items():
        if row.here(folder):
            return name
    looked = "; ".join(f"{name}: {', '.join(row.files)}" for name, row in SETS.items())
    raise DataError(
        f"{folder}: no data set is recognised in it or one folder below; pictures of your own need {own.FILE} beside them, "
        f"with the columns image and score (docs/data.md); looked for {looked}"
    )


def read_all(
    folder: Path, kind: str | None = None, attributes: tuple[str, ...] | None = None, split: Split = "scene"
) -> RatedSet:
    """Like `read`, but with the pictures whose files are not there; `attributes` None: all that have labels."""
    name = known_as(folder, kind)
    row = SETS[name]
    known = row.attributes(folder)
    wanted = known if attributes is None else tuple(dict.fromkeys(map(spelling, attributes)))
    if not wanted:
        raise DataError(
            f"{folder}: expected at least one attribute, got none; it has {', '.join(known) or 'no labels'}"
        )
    for attribute in wanted:
        if attribute not in known:
            raise unknown_key(attribute, known, f"attribute of {folder}")
    found = row.read(folder, wanted, split)
    if split == "device" and not any(each.device for each in found.rows):
        raise DataError(f"{folder}: a device split needs the device of each picture, and {name} says none; use scene")
    if row.status == "unverified":
        told = Warn("unverified", f"the columns of {name} were read in {row.source}, not in its own files")
        found = replace(found, warnings=(*found.warnings, told))
    return found


def read(
    folder: Path,
    kind: str | None = None,
    *,
    attributes: tuple[str, ...] = ("overall",),
    split: Split = "scene",
    allow_missing: bool = False,
) -> RatedSet:
    """Read a data set: `kind` is a name of `SETS`, None: recognised by its files.

    `split` says what the parts keep apart, scenes or devices; sets on one scale have one division of their own. Pictures
    without a file raise DataError, or are left out with a warning where `allow_missing`. Raises DataError for a missing
    folder, unusable labels or a set that is not recognised, ConfigurationError for an unknown set or attribute.
    """
    found = read_all(folder, kind, attributes, split)
    lost = [row.image for row in found.rows if not row.path.is_file()]
    if len(lost) == len(found.rows):
        raise DataError(f"{folder}: none of its {len(lost)} labelled pictures is there, first {some(lost, 3)}")
    if lost and not allow_missing:
        raise DataError(
            f"{folder}: {len(lost)} of {len(found.rows)} pictures are missing, first {some(lost, 3)}; "
            "bring them, or train without them with --allow-missing"
        )
    warnings = list(found.warnings)
    if lost:
        warnings.append(Warn("missing_pictures", f"{len(lost)} of {len(found.rows)} left out: {some(lost)}"))
    gone = set(lost)
    rows = tuple(row for row in found.rows if row.image not in gone)
    alone = sorted(scene for scene, count in Counter(row.scene for row in rows).items() if count == 1)
    if found.per_scene and alone:
        warnings.append(
            Warn("lone_picture", f"{len(alone)} scenes have one picture, nothing to compare it with: {some(alone)}")
        )
    empty = [part for part in get_args(Part) if part not in {row.part for row in rows}]
    if empty:
        warnings.append(
            Warn("empty_part", f"no picture is in {' or '.join(empty)}: too few scenes or pictures to divide")
        )
    return replace(found, rows=rows, warnings=tuple(warnings))
