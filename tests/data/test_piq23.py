"""PIQ23's official layout: a small synthetic release, and the official files where PQA_PIQ23_DIR names them."""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pqa.data import sets
from pqa.data.check import leakage
from pqa.errors import ConfigurationError, DataError

HEADER = (
    "IMAGE PATH,JOD,JOD STD,CI LOW,CI HIGH,CI RANGE,QUALITY LEVEL,CLUSTER,TOTAL COMPARISONS,IMAGE,SCENE,ATTRIBUTE,"
    "SCENE IDX,CONDITION"
)
SCENES = tuple(f"{kind}_Scene_{k}" for k, kind in enumerate(["Indoor", "Indoor", "Night", "Outdoor"] * 3))
TEST = ("Indoor_Scene_1", "Night_Scene_10")
SUFFIXES = (".jpg", ".JPG", ".tiff", ".jpeg")


def score_rows(attribute: str, shift: float) -> list[str]:
    rows = [HEADER]
    for index, scene in enumerate(SCENES):
        for k, suffix in enumerate(SUFFIXES):
            name, jod = f"{k}_{scene}{suffix}", shift + k - 1.5
            path = f"{attribute}\\{name}"
            rows.append(
                f"{path},{jod},0.4,{jod - 0.8},{jod + 0.8},1.6,{k},-1.0,100.0,{name},{scene},{attribute},{index},"
                f"{scene.split('_')[0]}"
            )
    return rows


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes of four pictures; scores in `Scores/`, pictures in the three folders of the attributes."""
    root = tmp_path_factory.mktemp("PIQ23")
    tables = {
        f"Scores/Scores_{a}.csv": score_rows(a, s) for a, s in (("Overall", 0), ("Details", 0.25), ("Exposure", 0.5))
    }
    names = [f"{k}_{scene}{suffix}" for scene in SCENES for k, suffix in enumerate(SUFFIXES)]
    tables["Metadata/Image Metadata.csv"] = ["Image,Device", *(f"{n},Phone{i % 5}" for i, n in enumerate(names))]
    tables["Test split/Device Split.csv"] = [
        "IMAGE,SPLIT",
        *(f"{n},{'Test' if i % 5 == 0 or i == 3 else 'Train'}" for i, n in enumerate(names)),
    ]
    tables["Test split/Scene Split.csv"] = [
        "SCENE,SPLIT,NB IMAGES",
        *(f"{scene},{'Test' if scene in TEST else 'Train'},4" for scene in SCENES),
    ]
    for place, lines in tables.items():
        (root / place).parent.mkdir(exist_ok=True)
        (root / place).write_bytes(("\r\n".join(lines) + "\r\n").encode())
    for i, name in enumerate(names):
        for j, folder in enumerate(("Overall", "Details", "Exposure")):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(np.full((4, 4, 3), 5 * i + j, np.uint8)).save(root / folder / name)
    return root


@pytest.fixture
def copy(release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(release, tmp_path / "PIQ23"))


def test_three_attributes_are_joined(release: Path) -> None:
    found = sets.read(release, attributes=("overall", "Details", "exposure"))
    assert (found.name, found.attributes, found.per_scene) == ("piq23", ("overall", "detail", "exposure"), True)
    assert len(found.rows) == 48
    row = found.rows[1]
    assert row.image == "1_Indoor_Scene_0.JPG"
    assert row.path == release / "Overall" / "1_Indoor_Scene_0.JPG"
    assert row.labels == pytest.approx((-0.5, -0.25, 0.0))
    assert row.stds == pytest.approx((0.4, 0.4, 0.4))
    assert (row.scene, row.device, row.condition) == ("Indoor_Scene_0", "Phone1", "Indoor")
    assert found.range == (-2.0, 2.0)
    assert [path.name for path in found.files[-2:]] == ["Scene Split.csv", "Image Metadata.csv"]
    assert [warning.code for warning in found.warnings] == ["regions"]


def test_each_attribute_has_its_own_pictures(release: Path) -> None:
    rows = sets.read(release, "piq23", attributes=("detail",)).rows
    assert {row.path.parent.name for row in rows} == {"Details"}


def test_the_scene_split_is_official_and_joined_on_its_column(release: Path) -> None:
    """A substring of Indoor_Scene_1 would take Night_Scene_10 and Outdoor_Scene_11 with it."""
    rows = sets.read(release).rows
    part = {row.scene: row.part for row in rows}
    assert {scene for scene, each in part.items() if each == "report"} == set(TEST)
    assert all(row.part == part[row.scene] for row in rows)
    assert 1 <= Counter(part.values())["choose"] <= 2
    assert sets.read(release) == sets.read(release)


def test_the_device_split_chooses_whole_devices(release: Path) -> None:
    found = sets.read(release, split="device")
    assert Counter(row.part for row in found.rows)["report"] == 11
    chosen = {row.device for row in found.rows if row.part == "choose"}
    assert len(chosen) == 1
    assert not chosen & {row.device for row in found.rows if row.part == "train"}
    # Phone0 is in the test part alone, Phone3 with one picture.
    assert leakage(found) == (1, 2, 1, 11)


def test_a_picture_that_lacks_a_label_gets_nan(copy: Path) -> None:
    table = copy / "Scores" / "Scores_Details.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *lines[2:]]))
    rows = sets.read(copy, attributes=("overall", "detail")).rows
    assert math.isnan(rows[0].labels[1])
    assert math.isnan(rows[0].stds[1])
    assert rows[0].labels[0] == -1.5
    assert not any(map(math.isnan, rows[1].labels))


def test_pictures_are_found_by_other_cases_suffixes_and_folders(copy: Path) -> None:
    """As unpacked elsewhere: scores at the top, one folder of pictures with other suffixes."""
    for table in (copy / "Scores").iterdir():
        table.rename(copy / table.name)
    shutil.rmtree(copy / "Details")
    shutil.rmtree(copy / "Exposure")
    (copy / "Overall").rename(copy / "images")
    (copy / "images" / "0_Indoor_Scene_0.jpg").rename(copy / "images" / "0_INDOOR_scene_0.JPEG")
    (copy / "images" / "2_Indoor_Scene_0.tiff").rename(copy / "images" / "2_Indoor_Scene_0.png")
    rows = sets.read(copy, attributes=("exposure",)).rows
    assert [row.path.name for row in rows[:3]] == [
        "0_INDOOR_scene_0.JPEG",
        "1_Indoor_Scene_0.JPG",
        "2_Indoor_Scene_0.png",
    ]


def test_another_attributes_pictures_are_named(copy: Path) -> None:
    shutil.rmtree(copy / "Details")
    found = sets.read(copy, attributes=("detail",))
    assert [warning.code for warning in found.warnings] == ["other_region"]
    assert "48 of 48 pictures are not in Details" in found.warnings[0].message


def test_folders_with_the_same_pictures_need_no_warning(copy: Path) -> None:
    """As a simulated set has them."""
    for folder in ("Details", "Exposure"):
        shutil.rmtree(copy / folder)
        shutil.copytree(copy / "Overall", copy / folder)
    assert sets.read(copy, attributes=("detail", "exposure")).warnings == ()


def test_a_simulated_set_is_not_under_the_releases_terms(copy: Path) -> None:
    assert "PIQ23" in sets.read(copy).licence
    (copy / "Truth.csv").write_text("IMAGE\n")
    made = sets.read(copy)
    assert made.name == "simulated"
    assert "PIQ23" not in made.licence


def test_missing_pictures_stop_unless_allowed(copy: Path) -> None:
    for folder in ("Overall", "Details", "Exposure"):
        for path in sorted((copy / folder).iterdir())[::2]:
            path.unlink()
    with pytest.raises(DataError, match=r"24 of 48 pictures are missing, first .* and 21 more; .*--allow-missing"):
        sets.read(copy)
    found = sets.read(copy, allow_missing=True)
    assert len(found.rows) == 24
    assert "missing_pictures" in {warning.code for warning in found.warnings}
    shutil.rmtree(copy / "Overall")
    shutil.rmtree(copy / "Details")
    shutil.rmtree(copy / "Exposure")
    with pytest.raises(DataError, match="none of its 48 labelled pictures"):
        sets.read(copy, allow_missing=True)


def test_bad_labels(copy: Path) -> None:
    table = copy / "Scores" / "Scores_Overall.csv"
    text = table.read_text()
    table.write_text(text.replace(",-0.5,0.4,", ",nan,0.4,", 1))
    found = sets.read(copy)
    assert len(found.rows) == 47
    assert "1 of 48 labels are not usable numbers: 1_Indoor_Scene_0.JPG" in found.warnings[0].message
    table.write_text(text.replace("3_Indoor_Scene_0.jpeg", "0_Indoor_Scene_0.jpg"))
    with pytest.raises(DataError, match=r"labelled more than once: 0_Indoor_Scene_0\.jpg"):
        sets.read(copy)


def test_a_scene_with_one_picture_is_named(copy: Path) -> None:
    for folder in ("Overall", "Details", "Exposure"):
        for k in (0, 1, 2):
            (copy / folder / f"{k}_Night_Scene_2{SUFFIXES[k]}").unlink()
    found = sets.read(copy, allow_missing=True)
    assert found.warnings[-1].code == "lone_picture"
    assert "Night_Scene_2" in found.warnings[-1].message


def test_wrong_requests_say_what_there_is(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'exposure'"):
        sets.read(copy, attributes=("exposures",))
    (copy / "Scores" / "Scores_Exposure.csv").unlink()
    with pytest.raises(ConfigurationError, match="Known: detail, overall"):
        sets.read(copy, attributes=("exposure",))
    with pytest.raises(DataError, match="got none"):
        sets.read(tmp_path / "nowhere")
    (copy / "Test split" / "Device Split.csv").unlink()
    with pytest.raises(DataError, match=r"Device Split\.csv"):
        sets.read(copy, split="device")


@pytest.fixture(scope="module")
def official() -> Path:
    folder = os.environ.get("PQA_PIQ23_DIR")
    if not folder:
        pytest.skip("PQA_PIQ23_DIR does not name a folder with PIQ23's score files, which are released on request only")
    return Path(folder)


@pytest.mark.parametrize("attribute", ["overall", "detail", "exposure"])
def test_official_counts(official: Path, attribute: str) -> None:
    scene = sets.read_all(official, "piq23", (attribute,), "scene").rows
    assert (len(scene), len({row.scene for row in scene})) == (5116, 50)
    assert Counter(row.part == "report" for row in scene) == {True: 1486, False: 3630}
    device = sets.read_all(official, "piq23", (attribute,), "device").rows
    assert Counter(row.part == "report" for row in device) == {True: 1512, False: 3604}
    for rows, split in ((scene, "scene"), (device, "device")):
        counts = Counter(row.part for row in rows)
        assert counts["choose"] / (counts["choose"] + counts["train"]) == pytest.approx(0.12, abs=0.02)
        kept = {part: {getattr(row, split) for row in rows if row.part == part} for part in ("choose", "train")}
        assert not kept["choose"] & kept["train"]


def test_official_test_scenes(official: Path) -> None:
    """By number, as published with the release."""
    rows = sets.read_all(official, "piq23", ("overall",), "scene").rows
    numbers = {int(row.scene.rsplit("_", 1)[1]) for row in rows if row.part == "report"}
    assert numbers == {1, 5, 10, 11, 16, 17, 20, 28, 30, 31, 33, 34, 43, 45, 46}


def test_official_device_split_leaks(official: Path) -> None:
    assert leakage(sets.read_all(official, "piq23", ("overall",), "device")) == (64, 93, 1282, 1512)


def test_official_attributes_share_their_pictures(official: Path) -> None:
    rows = sets.read_all(official, "piq23").rows
    assert len(rows) == 5116
    assert not any(math.isnan(label) for row in rows for label in (*row.labels, *row.stds))
    assert len({row.device for row in rows}) == 194
    assert {row.condition for row in rows} == {"Indoor", "Outdoor", "Lowlight", "Night"}
    assert {Path(row.image).suffix for row in rows} == {".jpg", ".JPG", ".jpeg", ".tif", ".tiff"}
