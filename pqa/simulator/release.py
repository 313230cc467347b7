"""A simulated data set's tables, in the layout and with the columns of PIQ23's official release.

`Scores/Scores_<Attribute>.csv`, `Test split/Scene Split.csv`, `Test split/Device Split.csv`, `Metadata/Image Metadata.csv`;
beside them `Truth.csv`, which no release has: what the observers tried to see.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pqa.simulator.dataset import SceneResult
from pqa.simulator.psychometrics import ATTRIBUTES

__all__ = ["COLUMNS", "write_release"]

COLUMNS = (
    "IMAGE PATH",
    "JOD",
    "JOD STD",
    "CI LOW",
    "CI HIGH",
    "CI RANGE",
    "QUALITY LEVEL",
    "CLUSTER",
    "TOTAL COMPARISONS",
    "IMAGE",
    "SCENE",
    "ATTRIBUTE",
    "SCENE IDX",
    "CONDITION",
)
"""Of the score files. QUALITY LEVEL counts whole JOD above the scene's worst; CLUSTER is -1, none: how the official ones
were formed is not published."""

Cell = str | int | float


def write_release(folder: Path, scenes: Sequence[SceneResult], test_devices: frozenset[str]) -> None:
    """Write the tables of `scenes` under `folder`; `test_devices` are those of the device split's test part."""
    for attribute in ATTRIBUTES:
        rows = (row for scene in scenes for row in _scores(scene, attribute))
        _write(folder / "Scores" / f"Scores_{attribute}.csv", COLUMNS, rows)
    pictures = [picture for scene in scenes for picture in scene.pictures]
    split = folder / "Test split"
    parts = ((scene.name, scene.part, len(scene.pictures)) for scene in scenes)
    _write(split / "Scene Split.csv", ("SCENE", "SPLIT", "NB IMAGES"), parts)
    devices = ((each.image, "Test" if each.device.name in test_devices else "Train") for each in pictures)
    _write(split / "Device Split.csv", ("IMAGE", "SPLIT"), devices)
    metadata = ((each.image, each.device.name) for each in pictures)
    _write(folder / "Metadata" / "Image Metadata.csv", ("Image", "Device"), metadata)
    truth = [row for scene in scenes for row in _truth(scene)]
    _write(folder / "Truth.csv", tuple(truth[0]), (tuple(row.values()) for row in truth))


def _scores(scene: SceneResult, attribute: str) -> list[tuple[Cell, ...]]:
    scaling = scene.scales[attribute]
    rows: list[tuple[Cell, ...]] = []
    for k in np.argsort(scaling.jod, kind="stable").tolist():
        jod, low, high = float(scaling.jod[k]), float(scaling.low[k]), float(scaling.high[k])
        image = scaling.conditions[k]
        rows.append(
            (
                f"{attribute}\\{image}",
                jod,
                float(scaling.std[k]),
                low,
                high,
                high - low,
                int(jod - float(scaling.jod.min())),
                -1.0,
                float(scaling.comparisons[k]),
                image,
                scene.name,
                attribute,
                scene.index,
                scene.light.condition,
            )
        )
    return rows


def _truth(scene: SceneResult) -> list[dict[str, Cell]]:
    """A row a picture: true qualities, then losses, facts, light and device, each under its own prefix."""
    light = {f"light {name}": value for name, value in asdict(scene.light).items()}
    return [
        {
            "IMAGE": each.image,
            "SCENE": scene.name,
            "PORTRAIT": scene.portrait,
            "DEVICE": each.device.name,
            **{f"TRUE {name.upper()}": value for name, value in each.quality.items()},
            **{f"loss {name}": value for name, value in each.losses.items()},
            **{f"fact {name}": value for name, value in asdict(each.facts).items()},
            **light,
            **{f"device {name}": value for name, value in asdict(each.device).items() if name != "name"},
        }
        for each in scene.pictures
    ]


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
