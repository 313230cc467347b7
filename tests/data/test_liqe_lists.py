"""LIQE's lists: columns, divisions, parts, what is refused. Rows of the tests are rows of the authors' lists."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pqa.data import sets
from pqa.data.check import check
from pqa.data.faces import copy_faces
from pqa.data.sets import read
from pqa.errors import DataError
from pqa.types import Face

LINES = {
    "train": "dst_imgs/awgn/geckos.AWGN.1.png\t0.971\twhite noise\tanimal\tinvalid\tinvalid\n",
    "val": "dst_imgs/blur/family.BLUR.5.png\t0.144\tgaussian blur\thuman\tlandscape\tnight\n",
    "test": "dst_imgs/fnoise/roping.fnoise.2.png\t0.861\tfnoise\thuman\tstill_life\tinvalid\n",
}


def write(folder: Path, division: int = 1, name: str = "csiq", **lines: str) -> Path:
    """A set in the layout of the repository, its pictures as PNG whatever the list says."""
    place = folder / "splits2" / str(division)
    place.mkdir(parents=True)
    for part, text in {**LINES, **lines}.items():
        (place / f"{name}_{part}_clip.txt").write_text(text)
        for line in text.splitlines():
            path = (folder / line.split("\t")[0]).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((24, 24, 3), 99, np.uint8)).save(path)
    return folder


def test_columns_and_parts(tmp_path):
    found = read(write(tmp_path))
    assert (found.name, found.attributes, found.per_scene, found.range) == ("csiq", ("overall",), False, (0.0, 1.0))
    rows = {row.part: row for row in found.rows}
    assert rows["train"].image == "dst_imgs/awgn/geckos.AWGN.1.png"
    assert (rows["train"].labels, rows["train"].content, rows["train"].distortion) == ((0.971,), ("animal",), "noise")
    assert rows["choose"].content == ("human", "landscape", "night")
    assert (rows["choose"].distortion, rows["report"].distortion) == ("blur", "noise")
    assert len(found.files) == 3
    assert not found.warnings


def test_a_folder_is_its_first_division_and_another_is_asked_for_by_its_own(tmp_path):
    write(tmp_path)
    write(tmp_path, 7, test="dst_imgs/jpeg/elk.JPEG.3.png\t0.78\tjpeg compression\tanimal\tinvalid\tinvalid\n")
    assert {row.image for row in read(tmp_path).rows if row.part == "report"} == {"dst_imgs/fnoise/roping.fnoise.2.png"}
    seventh = read(tmp_path / "splits2" / "7")
    assert {row.image for row in seventh.rows if row.part == "report"} == {"dst_imgs/jpeg/elk.JPEG.3.png"}
    assert all(row.path.is_file() for row in seventh.rows)


def test_bmp_named_in_a_list_is_found_as_png(tmp_path):
    line = "fastfading/img51.bmp\t26.930639\twhite noise\thuman\tstill_life\tinvalid\n"
    found = read(write(tmp_path, name="live", train=line))
    (row,) = [row for row in found.rows if row.part == "train"]
    assert (found.name, row.path.name, row.distortion) == ("live", "img51.png", "noise")


def test_own_label_files_come_first_unless_told(tmp_path):
    line = "1024x768/10953973716.jpg\t3.669903\tother realistic\thuman\tindoor\tinvalid\n"
    write(tmp_path, name="koniq10k", train=line)
    (tmp_path / "koniq10k_scores_and_distributions.csv").write_text("image_name,MOS\n")
    assert sets.known_as(tmp_path) == "koniq"
    assert read(tmp_path, "liqe_lists").name == "koniq10k"


def test_a_picture_in_two_lists_is_reported_on_and_not_trained_on(tmp_path):
    found = read(write(tmp_path, train=LINES["train"] + LINES["test"]))
    assert [row.part for row in found.rows if row.image.endswith("roping.fnoise.2.png")] == ["report"]
    assert [warning.code for warning in found.warnings] == ["listed_twice"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a.png\t0.5\twhite noise\tanimal\tinvalid\n", "line 2: expected 6 cells parted by tabs, got 5"),
        ("a.png\thigh\twhite noise\tanimal\tinvalid\tinvalid\n", "line 2: the rating is no number: 'high'"),
        ("a.png\tnan\twhite noise\tanimal\tinvalid\tinvalid\n", "line 2: the rating is no number: 'nan'"),
        ("a.png\t0.5\twhite noises\tanimal\tinvalid\tinvalid\n", "line 2: .*did you mean 'white noise'"),
        ("a.png\t0.5\twhite noise\tanimals\tinvalid\tinvalid\n", "line 2: .*did you mean 'animal'"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, says):
    with pytest.raises(DataError, match=rf"csiq_train_clip\.txt, {says}"):
        read(write(tmp_path, train=LINES["train"] + line))


def test_missing_and_empty_lists(tmp_path):
    write(tmp_path)
    listed = tmp_path / "splits2" / "1" / "csiq_val_clip.txt"
    listed.write_text("")
    with pytest.raises(DataError, match="expected a line for each picture, got none"):
        read(tmp_path)
    listed.unlink()
    with pytest.raises(DataError, match=r"csiq_val_clip\.txt: cannot be read"):
        read(tmp_path)
    with pytest.raises(DataError, match="liqe_lists"):
        read(tmp_path / "dst_imgs", "liqe_lists")


def test_a_broken_picture_is_named_from_any_folder_of_the_set(tmp_path, monkeypatch):
    (write(tmp_path / "CSIQ") / "dst_imgs/blur/family.BLUR.5.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    for folder, place in (("CSIQ", ""), ("CSIQ/splits2/1", "../../")):
        (finding,) = [each for each in check(Path(folder)).findings if each.code == "unreadable"]
        assert finding.names[0].startswith(f"{place}dst_imgs/blur/family.BLUR.5.png (not a picture")


def test_a_copy_of_the_faces_keeps_the_lists(tmp_path):
    copy_faces(write(tmp_path / "a"), tmp_path / "b", lambda source: (Face((2, 2, 9, 9), (), 1.0),))
    assert [row.path.is_file() for row in read(tmp_path / "b").rows] == [True] * 3
