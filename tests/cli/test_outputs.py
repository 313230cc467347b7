"""Answers as tables, and copies of the best pictures."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet
import pytest

from pqa import ranking
from pqa.cli.outputs import check_out, copy_top, open_rows, table, write_ranking
from pqa.data.labels import read_labels
from pqa.data.predictions import common, read_predictions
from pqa.errors import ConfigurationError, DataError, MissingExtra
from pqa.spec import Calibration
from pqa.types import Estimate, ModelInfo, Ranking, Reason, Scale, Score, Unscored

BROKEN = Unscored("broken.jpg", "park", "unreadable", "truncated")


def score(id: str, value: float, scene: str = "park", std: float | None = 0.25) -> Score:
    return Score(
        id=id,
        scene=scene,
        score=value,
        score_std=std,
        joint_score=None,
        attributes={
            "overall": Estimate(value, std),
            "detail": Estimate(value / 3, std),
            "exposure": Estimate(0.5, None),
        },
        branches={},
        gate=None,
        scene_probabilities={},
        width=4,
        height=3,
        faces=(),
        reasons=(Reason("face_blur", 2.0, 1.0, "px"), Reason("noise", 2.0, 1.0, "")),
        flags=("no_face",),
    )


def answer(*groups: Sequence[Score]) -> Ranking:
    return Ranking(
        model=ModelInfo("tiny", "1", "0" * 64, True, Scale(0, 1)),
        attribute="overall",
        scene_mode="group",
        groups=tuple(ranking.rank(group, calibration=Calibration()) for group in groups),
        unscored=(BROKEN,),
    )


def write_rows(rows: Sequence[Score | Unscored], path: Path) -> None:
    with open_rows(path, devices=any(isinstance(row, Score) and row.device for row in rows)) as write:
        for row in rows:
            write(row)


THREE = [score("a.jpg", 0.1), score("b.jpg", 2 / 3), score("c, d.jpg", 0.30000000000000004)]


def test_csv_reads_back_to_the_same_numbers(tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    write_ranking(answer(THREE, [score("e.jpg", 0.5, "beach", None)]), out)
    with out.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("image", "scene", "rank", "tie_group", "score", "score_std", "relative_quality", "joint_score"),
        *("overall", "overall_std", "detail", "detail_std", "exposure", "exposure_std"),
        *("face_size", "luminance", "faces", "flags", "reasons"),
    ]
    assert [row["image"] for row in rows] == ["b.jpg", "c, d.jpg", "a.jpg", "e.jpg"]
    assert [float(row["score"]) for row in rows] == [2 / 3, 0.30000000000000004, 0.1, 0.5]
    assert [float(row["detail"]) for row in rows] == [2 / 9, 0.30000000000000004 / 3, 0.1 / 3, 0.5 / 3]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "1"]
    assert rows[3]["score_std"] == rows[3]["relative_quality"] == rows[0]["exposure_std"] == ""
    assert (rows[0]["flags"], rows[0]["reasons"]) == ("no_face", "face_blur noise")


def test_csv_names_devices_where_they_are_known(tmp_path: Path) -> None:
    write_rows([dataclasses.replace(THREE[0], device="phone"), THREE[1]], tmp_path / "p.csv")
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [row["device"] for row in rows] == ["phone", ""]


def test_csv_of_scores_keeps_input_order_without_ranks(tmp_path: Path) -> None:
    write_rows([*THREE, BROKEN], tmp_path / "p.csv")
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert [row["image"] for row in rows] == ["a.jpg", "b.jpg", "c, d.jpg"]
    assert not {"rank", "tie_group", "relative_quality"} & set(rows[0])


def test_names_that_are_no_text_keep_their_bytes(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    for kind in ("csv", "json", "parquet"):
        write_rows([score(odd, 0.5)], tmp_path / f"p.{kind}")
    assert b"\ncaf\xe9.jpg,park," in (tmp_path / "p.csv").read_bytes()
    assert json.loads((tmp_path / "p.json").read_text())[0]["id"] == odd
    assert pyarrow.parquet.read_table(tmp_path / "p.parquet")["image"].to_pylist() == ["caf\\udce9.jpg"]


def test_json_is_the_document(tmp_path: Path) -> None:
    document = answer(THREE)
    write_ranking(document, tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text()) == json.loads(json.dumps(document.to_dict()))


def test_parquet_holds_the_same_table_with_types(tmp_path: Path) -> None:
    document = answer(THREE)
    write_ranking(document, tmp_path / "p.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "p.parquet")
    assert found.to_pylist() == table(document)
    assert {name: str(found.schema.field(name).type) for name in ("image", "rank", "score", "exposure_std")} == {
        "image": "string",
        "rank": "int64",
        "score": "double",
        "exposure_std": "double",
    }


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pqa\[parquet\]"):
        check_out(tmp_path / "p.parquet")


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_nothing_scored_still_gives_a_file(tmp_path: Path, kind: str) -> None:
    write_rows([BROKEN], tmp_path / f"p.{kind}")
    assert (tmp_path / f"p.{kind}").stat().st_size > 0
    if kind == "csv":
        assert (tmp_path / "p.csv").read_text(encoding="utf-8-sig") == "image,scene,score\n"
    if kind == "json":
        assert [row["id"] for row in json.loads((tmp_path / "p.json").read_text())] == ["broken.jpg"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "p.csv"
    out.write_text("old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="space"):
        write_ranking(answer(THREE), out)
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
    assert out.read_text() == "old"


def parts(folder: Path) -> list[Path]:
    return list(folder.glob("*.part"))


def test_rows_are_in_the_file_as_soon_as_they_are_given(tmp_path: Path) -> None:
    for kind in ("csv", "json"):
        with open_rows(tmp_path / f"p.{kind}", devices=False) as write:
            for count, row in enumerate(THREE, 1):
                write(row)
                (part,) = parts(tmp_path)
                text = part.read_text(encoding="utf-8-sig")
                if kind == "csv":
                    assert [row["image"] for row in csv.DictReader(text.splitlines())] == [
                        "a.jpg",
                        "b.jpg",
                        "c, d.jpg",
                    ][:count]
                else:
                    assert len(json.loads(text + "]")) == count
                assert not (tmp_path / f"p.{kind}").exists()
        assert not parts(tmp_path)


def interrupted(write: Callable[[Score], None]) -> None:
    write(THREE[0])
    write(THREE[1])
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_rows_until_an_error_are_kept_apart_and_named(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"p.{kind}"
    out.write_text("old")
    with pytest.raises(KeyboardInterrupt), open_rows(out, devices=False) as write:
        interrupted(write)
    assert out.read_text() == "old"
    (part,) = parts(tmp_path)
    assert capsys.readouterr().err == f"pqa: ended early; 2 rows are in {part}\n"
    if kind == "csv":
        assert read_predictions(part).image == ("a.jpg", "b.jpg")
    elif kind == "json":
        assert [row["id"] for row in json.loads(part.read_text())] == ["a.jpg", "b.jpg"]
    else:
        assert pyarrow.parquet.read_table(part)["image"].to_pylist() == ["a.jpg", "b.jpg"]


def test_an_error_before_the_first_row_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError), open_rows(tmp_path / "p.csv", devices=False):
        raise ConfigurationError("no such attribute")
    assert not list(tmp_path.iterdir())


FORMULAS = [
    "=1+1.jpg",
    "+a.jpg",
    "-b.jpg",
    "@c.jpg",
    "\td.jpg",
    "\re.jpg",
    "'=f.jpg",
    "''-g.jpg",
    "'h.jpg",
    "i=j.jpg",
    '=,"k.jpg',
]


@pytest.mark.parametrize("whole", [True, False])
def test_no_cell_is_a_formula_and_names_come_back(tmp_path: Path, whole: bool) -> None:
    rows = [score(name, -0.5 + 0.1 * k, scene="=cmd()") for k, name in enumerate(FORMULAS)]
    out = tmp_path / "p.csv"
    if whole:
        write_ranking(answer(rows), out)
    else:
        write_rows(rows, out)
    with out.open(newline="", encoding="utf-8-sig") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not number(cell)] == []
    assert sum(map(number, cells)) > len(rows)
    found = read_predictions(out)
    assert dict(zip(found.image, found.score, strict=True)) == {row.id: row.score for row in rows}
    assert set(found.columns["scene"]) == {"=cmd()"}
    # A person's own table has the names as they are.
    (tmp_path / "labels.csv").write_text("image,mos\n" + "".join(f"{name},1\n" for name in FORMULAS[:4]))
    assert common(read_labels(tmp_path / "labels.csv"), [found])[0].image == tuple(FORMULAS[:4])


def number(cell: str) -> bool:
    try:
        return bool(float(cell)) or True
    except ValueError:
        return False


def test_an_unknown_suffix_is_told_early(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean '\.csv'"):
        check_out(tmp_path / "p.cvs")


def pictures(root: Path, *names: str) -> dict[str, Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"content of {name}")
    return {name: root / name for name in names}


def listing(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_the_best_are_copied_with_their_companions(tmp_path: Path) -> None:
    files = pictures(tmp_path / "in", "a.jpg", "b.jpg", "c, d.jpg", "b.cr2")
    copies = copy_top(answer(THREE), 2, tmp_path / "out", files, {"b.jpg": [files["b.cr2"]]})
    assert [path.name for path in copies] == ["b.jpg", "b.cr2", "c, d.jpg"]
    assert listing(tmp_path / "out") == ["b.cr2", "b.jpg", "c, d.jpg"]
    assert (tmp_path / "out" / "b.cr2").read_text() == "content of b.cr2"


def test_a_folder_for_each_of_several_scenes(tmp_path: Path) -> None:
    files = pictures(tmp_path / "in", "x/a.jpg", "y/a.jpg")
    document = answer([score("x/a.jpg", 0.5, "../../x")], [score("y/a.jpg", 0.5, "..")])
    copy_top(document, 1, tmp_path / "out", files)
    assert listing(tmp_path) == ["in/x/a.jpg", "in/y/a.jpg", "out/_.._x/a.jpg", "out/_/a.jpg"]


def test_nothing_is_overwritten_and_a_second_run_adds_nothing(tmp_path: Path) -> None:
    files = pictures(tmp_path / "in", "one/a.jpg", "two/a.jpg", "two/a.nef")
    out = tmp_path / "out"
    pictures(out, "a.jpg")
    document = answer([score("one/a.jpg", 0.9), score("two/a.jpg", 0.1)])
    companions = {"two/a.jpg": [files["two/a.nef"]]}
    for _ in range(2):
        copy_top(document, 2, out, files, companions)
        assert {name: (out / name).read_text() for name in listing(out)} == {
            "a.jpg": "content of a.jpg",
            "a-2.jpg": "content of one/a.jpg",
            "a-3.jpg": "content of two/a.jpg",
            "a-3.nef": "content of two/a.nef",
        }


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    files = pictures(tmp_path / "in", "a.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    copy_top(answer([score("a.jpg", 0.5)]), 1, tmp_path / "out", files)
    assert not (tmp_path / "elsewhere.jpg").exists()
    assert (tmp_path / "out" / "a-2.jpg").read_text() == "content of a.jpg"


def test_ids_never_become_paths(tmp_path: Path) -> None:
    files = pictures(tmp_path / "in", "a.jpg")
    copy_top(answer([score("../../evil/a.jpg", 0.5)]), 1, tmp_path / "out", {"../../evil/a.jpg": files["a.jpg"]})
    assert listing(tmp_path) == ["in/a.jpg", "out/a.jpg"]


def test_copies_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        copy_top(answer(THREE), 0, tmp_path, {})
    with pytest.raises(DataError, match="no file"):
        copy_top(answer(THREE), 1, tmp_path, {})
