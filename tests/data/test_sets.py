"""Every reader of `SETS` beside PIQ23's, on folders made in its layout."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from pqa.data import sets
from pqa.data.rated import RatedSet
from pqa.errors import ConfigurationError, DataError
from pqa.pixels.source import DEFAULT_LIMITS


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)).save(path)


def pictures(folder: Path, names: Sequence[str]) -> None:
    for seed, name in enumerate(names):
        picture(folder / name, seed)


def by_part(found: RatedSet) -> Counter[str]:
    return Counter(row.part for row in found.rows)


def test_koniq_with_its_sets(tmp_path: Path) -> None:
    """A row of the authors' file: MOS 77.38 of 105 ratings, SD 0.527 of five points."""
    (tmp_path / "koniq10k_distributions_sets.csv").write_text(
        "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set\n"
        "10004473376.jpg,0.0,0.0,0.238095238095,0.695238095238,0.0666666666667,105,77.3836206897,0.527277894494,training\n"
        "10007357496.jpg,0.0,0.03125,0.46875,0.489583333333,0.0104166666667,96,68.7285714286,0.580003024795,test\n"
        "10043785683.jpg,0.0,0.0,0.433962264151,0.566037735849,0.0,106,71.2043269231,0.497974333332,validation\n"
    )
    names = ("10004473376.jpg", "10007357496.jpg", "10043785683.jpg")
    pictures(tmp_path / "1024x768", names)
    pictures(tmp_path / "512x384", names)
    found = sets.read(tmp_path)
    assert (found.name, found.per_scene, found.range) == ("koniq", False, (0.0, 100.0))
    assert [row.part for row in found.rows] == ["train", "report", "choose"]
    assert found.rows[0].labels == (77.3836206897,)
    assert found.rows[0].stds[0] == pytest.approx(25 * 0.527277894494 / math.sqrt(105))
    assert {row.path.parent.name for row in found.rows} == {"1024x768"}
    assert {row.scene for row in found.rows} == {"all"}
    assert found.warnings == ()
    table = tmp_path / "koniq10k_distributions_sets.csv"
    table.write_text(table.read_text().replace("validation", "holdout"))
    with pytest.raises(DataError, match="expected the sets training, validation, test, got holdout"):
        sets.read(tmp_path)


def test_koniq_without_sets_takes_the_normalised_mos(tmp_path: Path) -> None:
    names = [f"{k}.jpg" for k in range(60)]
    (tmp_path / "koniq10k_scores_and_distributions.csv").write_text(
        "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,MOS_zscore\n"
        + "".join(f"{name},0,0,1,0,0,100,3.0,0.5,{k}\n" for k, name in enumerate(names))
    )
    pictures(tmp_path / "512x384", names)
    found = sets.read(tmp_path)
    assert [row.labels[0] for row in found.rows] == list(range(60))
    assert set(by_part(found)) == {"train", "choose", "report"}


def test_spaq_asks_for_csv_in_place_of_its_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "MOS and Image attribute scores.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"open .*scores\.xlsx in a spreadsheet program and save it as CSV"):
        sets.read(tmp_path)
    (tmp_path / "Annotations" / "MOS and Image attribute scores.csv").write_text(
        "Image name,MOS,Brightness,Colorfulness,Contrast,Noisiness,Sharpness\n00001.jpg,48.86,47.43,55.57,55.71,37.86,42.57\n"
    )
    picture(tmp_path / "TestImage" / "00001.jpg")
    found = sets.read(tmp_path)
    assert found.name == "spaq"
    assert found.rows[0].labels == (48.86,)
    assert math.isnan(found.rows[0].stds[0])
    assert [warning.code for warning in found.warnings] == ["unverified", "empty_part"]


def cells(names: Sequence[str]) -> np.ndarray:
    """A MATLAB cell array of strings, (N, 1), as the release has it."""
    column = np.empty((len(names), 1), object)
    column[:, 0] = names
    return column


def test_livew_leaves_out_what_taught_the_observers(tmp_path: Path) -> None:
    data = tmp_path / "ChallengeDB_release" / "Data"
    data.mkdir(parents=True)
    names = ["t1.bmp", "3.bmp", "1001.JPG"]
    savemat(data / "AllImages_release.mat", {"AllImages_release": cells(names)})
    savemat(data / "AllMOS_release.mat", {"AllMOS_release": np.array([[63.9, 44.4, 71.0]])})
    savemat(data / "AllStdDev_release.mat", {"AllStdDev_release": np.array([[18.4, 20.3, 17.5]])})
    for name in ("trainingImages/t1.bmp", "3.bmp", "3.png", "1001.JPG"):
        picture(tmp_path / "ChallengeDB_release" / "Images" / name)
    found = sets.read(tmp_path / "ChallengeDB_release")
    assert [row.image for row in found.rows] == ["3.bmp", "1001.JPG"]
    # Of both, the one that can be decoded.
    assert [row.path.name for row in found.rows] == ["3.png", "1001.JPG"]
    assert found.rows[0].labels == (44.4,)
    assert found.rows[0].stds[0] == pytest.approx(20.3 / math.sqrt(175))
    savemat(data / "AllMOS_release.mat", {"AllMOS_release": np.array([[63.9, 44.4]])})
    with pytest.raises(DataError, match="3 names, 2 MOS, 3 s"):
        sets.read(tmp_path / "ChallengeDB_release")
    savemat(data / "AllMOS_release.mat", {"MOS": np.array([[63.9, 44.4]])})
    with pytest.raises(DataError, match="a variable named AllMOS_release"):
        sets.read(tmp_path / "ChallengeDB_release")
    (data / "AllMOS_release.mat").write_bytes(b"no matrix")
    with pytest.raises(DataError, match="cannot be read as a MATLAB file"):
        sets.read(tmp_path / "ChallengeDB_release")


def test_gfiqa_refuses_another_scale(tmp_path: Path) -> None:
    pictures(tmp_path / "image", ["1.png", "2.png"])
    (tmp_path / "mos.csv").write_text("img_name,mos\n1.png,0.71\n2.png,0.2\n")
    found = sets.read(tmp_path)
    assert (found.name, [row.labels for row in found.rows]) == ("gfiqa", [(0.71,), (0.2,)])
    (tmp_path / "mos.csv").write_text("img_name,mos\n1.png,7.1\n2.png,0.2\n")
    with pytest.raises(DataError, match=r"ratings from 0 to 1, 1 are outside: 1\.png"):
        sets.read(tmp_path)


def test_biq2021_keeps_near_duplicates_together(tmp_path: Path) -> None:
    """Each picture twice, the second a little darker: one part for both."""
    rows = ["image,mos,subset,portrait"]
    for k in range(40):
        picture(tmp_path / "images" / f"{k}a.png", k)
        with Image.open(tmp_path / "images" / f"{k}a.png") as original:
            original.point(lambda level: level * 0.9).save(tmp_path / "images" / f"{k}b.png")
        rows += [f"{k}{twin}.png,0.{k:02d},ss0{1 + k % 3},{k % 2}" for twin in "ab"]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    found = sets.read(tmp_path)
    assert (found.name, found.per_scene, found.range) == ("biq2021", False, (0.0, 1.0))
    part = {row.path.stem: row.part for row in found.rows}
    assert all(part[f"{k}a"] == part[f"{k}b"] for k in range(40))
    assert set(by_part(found)) == {"train", "choose", "report"}
    assert {row.scene for row in found.rows} == {"ss01", "ss02", "ss03"}
    assert {row.condition for row in found.rows} == {"", "portrait"}
    (tmp_path / "images" / "0a.png").unlink()
    with pytest.raises(DataError, match="1 of 80 pictures are missing"):
        sets.read(tmp_path)
    assert len(sets.read(tmp_path, allow_missing=True).rows) == 79


def own(folder: Path, scenes: int, devices: int) -> None:
    names = [f"scene{s}/phone{d}/{k}.png" for s in range(scenes) for d in range(devices) for k in range(2)]
    pictures(folder, names)
    (folder / "labels.csv").write_text(
        "image,score,detail\n" + "".join(f"{name},{k / len(names)},{k}\n" for k, name in enumerate(names))
    )


def test_own_folders_say_scene_and_device(tmp_path: Path) -> None:
    own(tmp_path, 10, 5)
    found = sets.read(tmp_path, attributes=("overall", "detail"))
    assert (found.name, found.per_scene, found.range) == ("own", True, (0.0, 99.0))
    assert (found.rows[-1].scene, found.rows[-1].device) == ("scene9", "phone4")
    assert found.rows[1].labels == (0.01, 1.0)
    part = {row.scene: row.part for row in found.rows}
    assert Counter(part.values()) == {"train": 7, "report": 2, "choose": 1}
    assert all(row.part == part[row.scene] for row in found.rows)
    by_device = sets.read(tmp_path, split="device")
    kept = {row.device: row.part for row in by_device.rows}
    assert Counter(kept.values()) == {"train": 3, "report": 1, "choose": 1}
    assert all(row.part == kept[row.device] for row in by_device.rows)
    assert found.warnings == by_device.warnings == ()


def test_own_table_says_scene_and_device(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{k}.png" for k in range(12)])
    lines = [f"{k}.png,s{k // 3},d{k % 3},{k},0.5,dim" for k in range(12)]
    (tmp_path / "ratings.csv").write_text("\n".join(["image,scene,device,mos,std,condition", *lines]))
    found = sets.read(tmp_path)
    row = found.rows[4]
    assert (row.scene, row.device, row.condition, row.labels, row.stds) == ("s1", "d1", "dim", (4.0,), (0.5,))


def test_further_columns_of_an_own_table_are_attributes(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{k}.png" for k in range(12)])
    header = "image,scene,device,mos,std,condition,Colour,colour_std,split,note,sharpness\n"
    lines = [f"{k}.png,{k // 3},2,{k},0.5,1,{-k},0.1,1,{'dim' if k else 3},{k if k % 2 else ''}\n" for k in range(12)]
    (tmp_path / "labels.csv").write_text(header + "".join(lines))
    assert sets.SETS["own"].attributes(tmp_path) == ("overall", "colour", "sharpness")
    found = sets.read(tmp_path, attributes=("overall", "colour", "sharpness"))
    assert found.rows[4].labels[:2] == (4.0, -4.0)
    assert [np.isnan(row.labels[2]) for row in found.rows[4:6]] == [True, False]
    with pytest.raises(ConfigurationError, match="did you mean 'colour'"):
        sets.read(tmp_path, attributes=("color",))


def test_few_scenes_are_divided_by_picture(tmp_path: Path) -> None:
    own(tmp_path, 2, 5)
    found = sets.read(tmp_path)
    assert by_part(found) == {"train": 14, "report": 4, "choose": 2}
    assert [warning.code for warning in found.warnings] == ["divided_by_picture"]


def test_one_scale_without_scenes(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{k}.png" for k in range(10)])
    (tmp_path / "labels.csv").write_text("image,mos\n" + "".join(f"{k}.png,{k % 5 + 1}\n" for k in range(10)))
    found = sets.read(tmp_path)
    assert (found.per_scene, found.range) == (False, (1.0, 5.0))
    with pytest.raises(DataError, match="a device split needs the device of each picture, and own says none"):
        sets.read(tmp_path, split="device")


def test_what_is_not_recognised_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data set is recognised .*piq23: Scores_Overall\.csv.*own: labels\.csv"):
        sets.read(tmp_path)
    with pytest.raises(DataError, match=r"expected mos_val_rating\.csv or mos\.csv .*gfiqa"):
        sets.read(tmp_path, "gfiqa")
    with pytest.raises(ConfigurationError, match="did you mean 'koniq'"):
        sets.read(tmp_path, "koniq10k")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="got a file"):
        sets.read(tmp_path / "file")


def test_every_row_says_where_its_columns_were_read() -> None:
    assert {name for name, row in sets.SETS.items() if row.status == "unverified"} == {"spaq", "gfiqa"}
    assert all(row.source and row.licence and row.files for row in sets.SETS.values())


def test_pictures_of_a_set_may_be_larger_than_an_upload() -> None:
    assert sets.LIMITS.max_bytes > 6 * 150_000_000 > DEFAULT_LIMITS.max_bytes


def test_links_in_circles_end(tmp_path: Path) -> None:
    own(tmp_path, 3, 1)
    (tmp_path / "scene0" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(sets.read(tmp_path).rows) == 6


def test_an_empty_part_is_said(tmp_path: Path) -> None:
    pictures(tmp_path, ["a.png"])
    (tmp_path / "labels.csv").write_text("image,mos\na.png,1\n")
    assert sets.read(tmp_path).warnings[-1].message.startswith("no picture is in choose or report")
