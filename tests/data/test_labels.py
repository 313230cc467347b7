"""Official label files (a small synthetic set in their format; the real ones when PQA_PIQ23_DIR names them)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pqa.data.labels import Labels, read_labels, take_split
from pqa.data.predictions import common, read_predictions
from pqa.errors import DataError
from pqa.evaluation import metrics

HEADER = (
    "IMAGE PATH,JOD,JOD STD,CI LOW,CI HIGH,CI RANGE,QUALITY LEVEL,CLUSTER,TOTAL COMPARISONS,IMAGE,SCENE,ATTRIBUTE,"
    "SCENE IDX,CONDITION"
)
SCENES = ("Indoor_Scene_1", "Indoor_Scene_12", "Night_Scene_2")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Three scenes of four pictures in the official format: backslash paths, CRLF, a byte-order mark on one file."""
    rng = np.random.default_rng(0)
    lines, devices, sides = [HEADER], ["Image,Device"], ["IMAGE,SPLIT"]
    for index, scene in enumerate(SCENES):
        for k, jod in enumerate(rng.normal(size=4)):
            name = f"{k}_{scene}.jpg"
            lines.append(
                f"Overall\\{name},{jod},0.4,{jod - 0.8},{jod + 0.7},1.5,{k},-1.0,100.0,{name},{scene},Overall,{index},"
                f"{scene.split('_')[0]}"
            )
            devices.append(f"{name},Phone{k}")
            sides.append(f"{name},{'Test' if k == 0 else 'Train'}")
    (tmp_path / "Scores").mkdir()
    for folder, file, text in (
        ("Scores", "Scores_Overall.csv", lines),
        ("Metadata", "Image Metadata.csv", devices),
        ("Test split", "Device Split.csv", sides),
        (
            "Test split",
            "Scene Split.csv",
            ["SCENE,SPLIT,NB IMAGES", *(f"{s},{'Test' if s[-2:] == '_1' else 'Train'},4" for s in SCENES)],
        ),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        encoding = "utf-8-sig" if folder == "Scores" else "utf-8"
        (tmp_path / folder / file).write_bytes(("\r\n".join(text) + "\r\n").encode(encoding))
    return tmp_path / "Scores" / "Scores_Overall.csv"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_official_format_with_its_devices(release: Path) -> None:
    labels = read_labels(release)
    assert len(labels) == 12
    assert labels.image[0] == "0_Indoor_Scene_1.jpg"
    assert labels.scene[4] == "Indoor_Scene_12"
    assert labels.std is not None
    assert labels.ci is not None
    assert labels.std == pytest.approx(0.4)
    assert labels.ci == pytest.approx(0.75)
    assert labels.columns["condition"][-1] == "Night"
    assert labels.columns["device"][:4] == ("Phone0", "Phone1", "Phone2", "Phone3")
    assert labels.warnings == ()


def test_scene_split_joins_on_the_column_not_on_a_substring(release: Path) -> None:
    """Indoor_Scene_1 is in test, Indoor_Scene_12 in train."""
    labels = read_labels(release)
    assert set(take_split(labels, "scene").scene) == {"Indoor_Scene_1"}
    assert set(take_split(labels, "scene", "train").scene) == {"Indoor_Scene_12", "Night_Scene_2"}
    assert take_split(labels, "device").image == tuple(f"0_{scene}.jpg" for scene in SCENES)
    with pytest.raises(DataError, match="part 'validation'"):
        take_split(labels, "device", "validation")


def test_missing_or_foreign_split_is_named(release: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Scene Split.csv"):
        take_split(read_labels(write(tmp_path / "x.csv", "image,mos\na,1\n")), "scene")
    write(tmp_path / "Test split" / "Scene Split.csv", "SCENE,SPLIT\nIndoor_Scene_1,Test\n")
    with pytest.raises(DataError, match="2 of the labels' scene keys: Indoor_Scene_12, Night_Scene_2"):
        take_split(read_labels(release), "scene")


def test_generic_table_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "image,mos,std,set,face_size\na.jpg,0.5,0.1,x,10\nb.jpg,,0.1,x,\nc.jpg,nan,0.1,y,3\nd.jpg,1,-1,y,4\n",
    )
    labels = read_labels(path)
    assert labels.image == ("a.jpg",)
    assert [w.code for w in labels.warnings] == ["bad_label"]
    assert "3 of 4" in labels.warnings[0].message
    assert "b.jpg, c.jpg, d.jpg" in labels.warnings[0].message
    assert labels.columns == {"face_size": ("10",)}
    one = read_labels(write(tmp_path / "o.csv", "image,detail\na,1\nb,2\n"), column="detail")
    assert one.scene == ("all", "all")
    assert [w.code for w in one.warnings] == ["one_scene"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,quality\na,1\n", "no column for the mean rating; expected one of jod, mos"),
        ("name,mos\na,1\n", "no column for the picture"),
        ("image,mos\na,good\n", "line 2: mos is no number: 'good'"),
        ("image,mos\na,1\na,2\n", "1 pictures are labelled more than once: a"),
        ("image,mos\na\n", "line 2: expected 2 cells, got 1"),
        ("image,mos,mos\na,1,1\n", "column is named twice"),
        ("image,mos\n", "at least one row"),
        ("image,mos\na,nan\n", "none of 1 rows"),
    ],
)
def test_unusable_tables_say_why(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(write(tmp_path / "t.csv", text))
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path / "absent.csv")


def test_predictions_leave_nothing_out_in_silence(tmp_path: Path) -> None:
    rows = ("./a.jpg,s,1,0.1,5,1", "b.jpg,s,,,,0", "a.jpg,s,1,0.1,5,1", "s\\c.jpg,s,3,0.3,6,2")
    text = "\n".join(("image,scene,score,score_std,detail,faces", *rows))
    found = read_predictions(write(tmp_path / "model.csv", text))
    assert (found.name, found.image, list(found.score)) == ("model", ("a.jpg", "s/c.jpg"), [1, 3])
    assert found.std == pytest.approx([0.1, 0.3])
    assert found.columns["faces"] == ("1", "2")
    assert {w.code: w.message.split(": ")[1] for w in found.warnings} == {
        "repeated": "1 rows repeat a picture with the same score",
        "no_score": "1 of 4 rows have no usable score",
    }
    detail = read_predictions(tmp_path / "model.csv", column="detail")
    assert list(detail.score) == [5, 6]
    assert detail.std is None
    with pytest.raises(DataError, match=r"a.jpg has two scores, 1.0 and 2.0"):
        read_predictions(write(tmp_path / "two.csv", "image,score\na.jpg,1\na.jpg,2\n"))
    with pytest.raises(DataError, match="none of 1 rows"):
        read_predictions(write(tmp_path / "none.csv", "image,score\na.jpg,\n"))
    odd = read_predictions(write(tmp_path / "odd.csv", "image,score,std\na.jpg,1,0.1\nb.jpg,2,\n"))
    assert odd.std is None
    assert odd.warnings[0].code == "bad_std"


def labels_of(tmp_path: Path, names: str) -> Labels:
    return read_labels(
        write(tmp_path / "l.csv", "image,mos\n" + "".join(f"{n},{k}\n" for k, n in enumerate(names.split())))
    )


def test_join_by_whole_name_then_by_file_name(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "x/a.jpg y/a.jpg b.jpg c.jpg")
    first = read_predictions(
        write(tmp_path / "p.csv", "image,score\nz/c.jpg,9\ny/a.jpg,8\nin/b.jpg,7\nx/a.jpg,6\nother.jpg,5\n")
    )
    joined, (aligned,), warnings = common(labels, [first])
    assert joined.image == labels.image
    assert list(aligned.score) == [6, 8, 7, 9]
    assert [w.code for w in warnings] == ["missing_labels"]
    assert "1 of 5 scored pictures have no label here: other.jpg" in warnings[0].message


def test_several_predictors_share_their_pictures(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "a b c")
    one = read_predictions(write(tmp_path / "one.csv", "image,score\na,1\nb,2\nc,3\n"))
    two = read_predictions(write(tmp_path / "two.csv", "image,score\nc,3\na,1\n"))
    joined, aligned, warnings = common(labels, [one, two])
    assert joined.image == ("a", "c")
    assert [list(each.score) for each in aligned] == [[1, 3], [1, 3]]
    assert [w.code for w in warnings] == ["missing_predictions", "common_pictures"]
    assert "two: 1 of 3 labelled pictures have no score: b" in warnings[0].message
    with pytest.raises(DataError, match="no picture has both"):
        common(labels, [read_predictions(write(tmp_path / "q.csv", "image,score\nq,1\n"))])


@pytest.fixture
def official() -> Path:
    folder = os.environ.get("PQA_PIQ23_DIR")
    if not folder:
        pytest.skip("PQA_PIQ23_DIR does not name a folder with PIQ23's score files, which are released on request only")
    return next(Path(folder).rglob("Scores_Overall.csv"))


def test_official_files(official: Path) -> None:
    labels = read_labels(official)
    assert len(labels) == 5116
    assert len(set(labels.scene)) == 50
    assert all(labels.columns["device"])
    scene, device = take_split(labels, "scene"), take_split(labels, "device")
    assert (len(scene), len(set(scene.scene)), len(device), len(set(device.scene))) == (1486, 15, 1512, 50)
    assert len(take_split(labels, "scene", "train")) == 3630
    perfect = metrics.evaluate(labels.value, labels.value, labels.scene)
    assert [getattr(perfect, m) for m in metrics.METRICS] == pytest.approx([1, 1, 1, 0, 0, 1], abs=1e-12)
    assert min(s.score for s in perfect.scenes) == pytest.approx(1, abs=1e-12)
    assert perfect.warnings == ()


def test_known_noise_costs_what_theory_says_on_the_official_files(official: Path) -> None:
    """JOD has s.d. 1.4 in every scene: noise of 0.7 leaves Pearson's r at 1 / sqrt(1 + 0.25), MAE at 0.7 sqrt(2 / pi)."""
    labels = read_labels(official)
    noise = np.random.default_rng(0).normal(size=len(labels))
    result = metrics.evaluate(labels.value + 0.7 * noise, labels.value, labels.scene)
    assert result.plcc == pytest.approx(1 / np.sqrt(1.25), abs=0.01)
    assert result.mae == pytest.approx(0.7 * np.sqrt(2 / np.pi), abs=0.02)
    simulated = []
    for seed in range(20):
        fresh = np.random.default_rng([1, seed]).normal(size=len(labels))
        simulated.append(metrics.evaluate(labels.value + 0.7 * fresh, labels.value, labels.scene).score)
    assert result.score == pytest.approx(np.mean(simulated), abs=4 * np.std(simulated))
