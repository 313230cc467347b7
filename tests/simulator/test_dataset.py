"""`pqa simulate`: PIQ23's own format, determinism, splits, the hidden preset, errors."""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy import stats

from pqa.cli import simulate as simulate_command
from pqa.cli.main import main
from pqa.data import piq23
from pqa.data.assets import ASTRONAUT
from pqa.data.labels import read_labels, take_split
from pqa.errors import ConfigurationError, DataError
from pqa.pixels.source import open_picture
from pqa.simulator.dataset import PRESETS, Portrait, Settings, held_out_devices, simulate
from pqa.simulator.devices import EDITED
from pqa.simulator.psychometrics import ATTRIBUTES
from pqa.simulator.release import COLUMNS, write_release

FACE = (170.0, 70.0, 280.0, 200.0)
SMALL = {"side": 96, "observers": 8}


def picture(number: int) -> Image.Image:
    """Pictures of one face that no thumbnail takes for each other."""
    with Image.open(ASTRONAUT) as image:
        rgb = image.convert("RGB")
    turned = (rgb, ImageOps.mirror(rgb), rgb.crop((96, 0, 352, 256)), ImageOps.mirror(rgb).crop((160, 0, 416, 256)))
    return turned[number % 4]


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> list[Portrait]:
    folder = tmp_path_factory.mktemp("portraits")
    made = []
    for number in range(4):
        path = folder / f"{number}.png"
        with Image.open(ASTRONAUT) as image:
            image.convert("RGB").rotate(number).save(path)
        made.append(Portrait(path, FACE))
    return made


def build(portraits: Sequence[Portrait], folder: Path, settings: Settings, workers: int = 1) -> Path:
    write_release(folder, simulate(portraits, folder, settings, workers), held_out_devices(settings))
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


SETTINGS = Settings("phones", 4, 5, 7, **SMALL)


@pytest.fixture(scope="module")
def phones(portraits: list[Portrait], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(portraits, tmp_path_factory.mktemp("phones"), SETTINGS)


@pytest.fixture(scope="module")
def hidden(portraits: list[Portrait], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(portraits, tmp_path_factory.mktemp("hidden"), Settings("hidden", 4, 6, 7, **SMALL))


def test_the_reader_of_piq23_takes_it_unedited(phones: Path) -> None:
    for split in ("scene", "device"):
        found = piq23.read(phones, ("overall", "detail", "exposure"), split)
        assert {row.part for row in found.rows} >= {"train", "report"}
        assert all(row.path.is_file() and row.device and row.condition for row in found.rows)
        assert len(found.rows) == len(rows(phones / "Truth.csv"))


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_score_files_hold_what_the_official_ones_hold(phones: Path, attribute: str) -> None:
    path = phones / "Scores" / f"Scores_{attribute}.csv"
    table = rows(path)
    assert tuple(table[0]) == COLUMNS
    assert path.read_bytes().splitlines(keepends=True)[0].endswith(b"\r\n")
    scenes: dict[str, list[float]] = {}
    for row in table:
        jod, low, high = (float(row[name]) for name in ("JOD", "CI LOW", "CI HIGH"))
        assert low <= jod <= high
        assert float(row["CI RANGE"]) == pytest.approx(high - low, abs=1e-12)
        assert float(row["JOD STD"]) > 0
        assert float(row["TOTAL COMPARISONS"]) == 4 * SETTINGS.observers
        assert row["IMAGE PATH"] == f"{attribute}\\{row['IMAGE']}"
        assert row["IMAGE"].endswith(f"_{row['SCENE']}.jpg")
        assert row["SCENE"] == f"{row['CONDITION']}_Scene_{row['SCENE IDX']}"
        assert (phones / attribute / row["IMAGE"]).is_file()
        scenes.setdefault(row["SCENE"], []).append(jod)
    assert len(scenes) == SETTINGS.scenes
    for jods in scenes.values():
        assert np.mean(jods) == pytest.approx(0.0, abs=1e-9)
        assert jods == sorted(jods)


def test_columns_are_the_official_ones() -> None:
    folder = os.environ.get("PQA_PIQ23_DIR")
    if not folder:
        pytest.skip("PQA_PIQ23_DIR does not name a folder with PIQ23's label files")
    found = next(Path(folder).rglob("Scores_Overall.csv"))
    assert tuple(rows(found)[0]) == COLUMNS


def test_labels_follow_the_truth(phones: Path) -> None:
    truth = {row["IMAGE"]: row for row in rows(phones / "Truth.csv")}
    for attribute in ATTRIBUTES:
        labels = read_labels(phones / "Scores" / f"Scores_{attribute}.csv")
        agreement = []
        for scene in sorted(set(labels.scene)):
            here = [k for k, each in enumerate(labels.scene) if each == scene]
            true = [float(truth[labels.image[k]][f"TRUE {attribute.upper()}"]) for k in here]
            agreement.append(stats.spearmanr(true, labels.value[here])[0])
        assert np.median(agreement) > 0.8


def test_pictures_differ_within_a_scene_and_share_its_size(phones: Path) -> None:
    for scene in {row["SCENE"] for row in rows(phones / "Truth.csv")}:
        files = sorted((phones / "Overall").glob(f"*_{scene}.jpg"))
        sizes = {open_picture(path).size for path in files}
        assert len(sizes) == 1
        assert sorted(sizes.pop()) == [96, 128]
        assert len({path.read_bytes() for path in files}) == len(files)


def test_no_portrait_is_in_two_scenes_and_no_device_on_both_sides(phones: Path) -> None:
    truth = rows(phones / "Truth.csv")
    assert len({row["PORTRAIT"] for row in truth}) == len({row["SCENE"] for row in truth}) == SETTINGS.scenes
    labels = read_labels(phones / "Scores" / "Scores_Overall.csv")
    scenes = [set(take_split(labels, "scene", part).scene) for part in ("train", "test")]
    devices = [set(take_split(labels, "device", part).columns["device"]) for part in ("train", "test")]
    for train, test in (scenes, devices):
        assert train
        assert test
        assert not train & test


def test_the_same_seed_gives_the_same_bits_whatever_the_processes(
    phones: Path, portraits: list[Portrait], tmp_path: Path
) -> None:
    assert hashes(build(portraits, tmp_path / "two", SETTINGS, workers=2)) == hashes(phones)
    other = hashes(build(portraits, tmp_path / "other", Settings("phones", 4, 5, 8, **SMALL)))
    assert other["Truth.csv"] != hashes(phones)["Truth.csv"]


def test_the_hidden_preset_is_as_the_private_set(hidden: Path, phones: Path) -> None:
    assert (PRESETS["hidden"].scenes, PRESETS["hidden"].devices) == (96, 6)
    truth = rows(hidden / "Truth.csv")
    scenes = {scene: [row for row in truth if row["SCENE"] == scene] for scene in {row["SCENE"] for row in truth}}
    for pictures in scenes.values():
        assert len({row["DEVICE"] for row in pictures}) == len(pictures) == 7
        best = max(pictures, key=lambda row: float(row["TRUE OVERALL"]))
        assert best["DEVICE"] == EDITED.name
    assert all(float(row["device generation"]) >= 0.85 for row in truth)
    assert not {row["DEVICE"] for row in truth} & {row["DEVICE"] for row in rows(phones / "Truth.csv")}
    for split in ("Scene Split.csv", "Device Split.csv"):
        assert {row["SPLIT"] for row in rows(hidden / "Test split" / split)} == {"Test"}


def test_face_faults_lower_the_quality_of_detail(phones: Path, portraits: list[Portrait], tmp_path: Path) -> None:
    settings = Settings("phones", 2, 5, 7, **SMALL, face_faults=1.0)
    spoilt = {row["IMAGE"]: row for row in rows(build(portraits, tmp_path / "spoilt", settings) / "Truth.csv")}
    assert all(float(row["fact face_blur"]) > float(row["fact frame_blur"]) for row in spoilt.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenes": 1}, "expected at least 2, one to train and one to test"),
        ({"devices": 1}, "devices: expected at least 2"),
        ({"side": 20}, "side: expected at least 96"),
        ({"observers": 1}, "observers: expected at least 2"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"face_faults": 1.5}, "face_faults: expected 0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings(**{"preset": "phones", "scenes": 4, "devices": 5, "seed": 0, **change})


def test_fewer_portraits_than_scenes_are_refused(portraits: list[Portrait], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 scenes need as many portraits with a face, got 3"):
        simulate(portraits[:3], tmp_path, SETTINGS)


def test_a_portrait_too_small_is_named(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny.png"
    picture(0).resize((64, 64)).save(tiny)
    with pytest.raises(DataError, match=r"tiny\.png: expected a portrait of at least 96 pixels"):
        simulate([Portrait(tiny, (20, 10, 35, 25))] * 2, tmp_path / "out", Settings("phones", 2, 2, 0, **SMALL))


def command(*args: str | Path) -> int:
    return main(["simulate", *map(str, args), "--devices", "3", "--side", "96", "--observers", "4", "--workers", "1"])


def test_the_command_finds_faces_and_names_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(3):
        picture(number).save(source / f"{number}.png")
    picture(0).save(source / "again.png")
    Image.new("RGB", (300, 300), (90, 120, 150)).save(source / "no_face.png")
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    assert command(source, tmp_path / "out", "--scenes", "3", "--seed", "2") in (0, 3)
    out = capsys.readouterr().out
    assert "pictures of 3 scenes" in out
    used = {row["PORTRAIT"] for row in rows(tmp_path / "out" / "Truth.csv")}
    assert used <= {"0.png", "1.png", "2.png", "again.png"}
    assert not {"0.png", "again.png"} <= used
    assert command(source, tmp_path / "more", "--scenes", "5") == 2
    err = capsys.readouterr().err
    assert "found 3 among 6 pictures; not readable: broken.jpg" in err
    assert not (tmp_path / "more").exists()


def test_the_command_refuses_a_full_folder_and_an_empty_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert command(tmp_path / "empty", tmp_path / "out") == 2
    assert "a folder without pictures" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    assert command(tmp_path / "empty", tmp_path / "full") == 2
    assert "expected an empty folder or none" in capsys.readouterr().err
    assert command(tmp_path / "empty", tmp_path / "out", "--preset", "hiden") == 2
    assert "hiden" in capsys.readouterr().err


def test_evaluate_reads_the_labels(phones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions = tmp_path / "p.csv"
    with predictions.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "score"))
        writer.writerows((row["IMAGE"], row["TRUE OVERALL"]) for row in rows(phones / "Truth.csv"))
    labels = phones / "Scores" / "Scores_Overall.csv"
    assert main(["evaluate", "--labels", str(labels), "--predictions", str(predictions), "--part", "both"]) == 0
    assert "SRCC" in capsys.readouterr().out


def test_the_commands_in_the_docs_are_commands() -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    found = re.findall(r"pqa (simulate [^`\n]*)", text)
    assert len(found) >= 3
    parser = argparse.ArgumentParser()
    simulate_command.configure(parser)
    for line in found:
        args = parser.parse_args(["IN", "OUT", *line.split("...")[-1].split()] if "..." in line else line.split()[1:])
        assert args.preset in PRESETS
