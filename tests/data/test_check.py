"""`pqa data`: what is wrong with a data set, its faces alone, the list of sets."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pqa.cli.main import main
from pqa.data import sets
from pqa.data.check import Checked, check
from pqa.data.faces import copy_faces, face_only
from pqa.errors import DataError
from pqa.pixels.source import Source, open_picture
from pqa.types import Face


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Five scenes of two devices, three pictures each."""
    folder = tmp_path / "own"
    rows = ["image,score"]
    for k in range(30):
        path = folder / f"s{k // 6}" / f"d{k // 3 % 2}" / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(k).integers(0, 255, (24, 24, 3), np.uint8)).save(path)
        rows.append(f"{path.relative_to(folder).as_posix()},{k}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


def codes(found: Checked) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.names for finding in found.findings}


def test_a_sound_set_has_no_findings(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(own), "--deep"]) == 0
    out = capsys.readouterr().out
    assert "own\n30 pictures, 5 scenes of 6 to 6, 2 devices; labels: overall" in out
    assert "scene split: 18 train, 6 choose, 6 report" in out
    assert out.endswith("nothing found\n")


def test_every_fault_is_found(own: Path) -> None:
    (own / "s0" / "d0" / "0.png").unlink()
    (own / "s0" / "d0" / "1.png").write_bytes(b"no picture")
    shutil.copy(own / "s1" / "d0" / "6.png", own / "s1" / "d0" / "7.png")
    for k in range(13, 18):
        (own / "s2" / f"d{k // 3 % 2}" / f"{k}.png").unlink()
    Image.new("RGB", (9, 9)).save(own / "s3" / "extra.png")
    text = (own / "labels.csv").read_text()
    (own / "labels.csv").write_text(text.replace("d1/29.png,29", "d1/29.png,"))
    found = check(own)
    assert codes(found)["missing"] == ("s0/d0/0.png", *(f"s2/d{k // 3 % 2}/{k}.png" for k in range(13, 18)))
    assert codes(found)["unreadable"][0].startswith("s0/d0/1.png (not a picture in any known format")
    assert codes(found)["same_bytes"] == ("s1/d0/6.png = s1/d0/7.png",)
    assert codes(found)["lone_picture"] == ("s2",)
    assert "bad_label" in codes(found)
    notes = {note.code: note.message for note in found.notes}
    # The picture with the unusable label counts as unlabelled too.
    assert notes["unlabelled"] == "2 picture files have no label: extra.png, 29.png"


def test_damage_behind_the_header_needs_a_deep_look(own: Path) -> None:
    path = own / "s0" / "d0" / "0.png"
    data = path.read_bytes()
    path.write_bytes(data[:400] + bytes(100) + data[500:])
    assert not check(own).findings
    assert list(codes(check(own, deep=True))) == ["unreadable"]


def test_near_duplicates_across_parts(own: Path) -> None:
    """A picture of the test part, a little darker, among the training pictures."""
    rows = sets.read(own).rows
    reported = next(row for row in rows if row.part == "report")
    trained = next(row for row in rows if row.part == "train")
    with Image.open(reported.path) as picture:
        picture.point(lambda level: level * 0.9).save(trained.path)
    found = check(own, deep=True)
    (names,) = codes(found)["near_duplicates"]
    assert f"{reported.image} (report)" in names
    assert f"{trained.image} (train)" in names
    assert "near_duplicates" not in codes(check(own))


def test_devices_in_both_parts_are_a_note(own: Path) -> None:
    notes = {note.code: note.message for note in check(own).notes}
    assert "of 2 test devices" in notes["device_leak"] or "of 1 test devices" in notes["device_leak"]


def test_json_has_every_name(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(own / "s0")
    assert main(["data", "check", str(own), "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "own"
    assert document["scenes"]["s1"] == 6
    assert [(each["code"], len(each["names"])) for each in document["findings"]] == [("missing", 6)]


def test_labels_that_cannot_be_read_are_a_finding(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = own / "labels.csv"
    table.write_text(table.read_text().replace("1.png,1\n", "0.png,1\n", 1))
    assert main(["data", "check", str(own)]) == 3
    assert "labelled more than once: s0/d0/0.png" in capsys.readouterr().out


@pytest.mark.parametrize("line", ["check nowhere", "check . --kind piq32", "check .", "faces nowhere out", "sort", ""])
def test_wrong_use(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *line.split()]) == 2
    assert capsys.readouterr().err.startswith("pqa: ")


def test_only_the_face_is_left() -> None:
    rgb = np.random.default_rng(0).integers(1, 255, (20, 30, 3), np.uint8)
    masked = face_only(rgb, Face((4.6, -3.0, 10.2, 8.9), (), 1.0))
    assert (masked[:9, 4:11] == rgb[:9, 4:11]).all()
    assert masked.astype(bool).sum() == 9 * 7 * 3
    assert face_only(masked, Face((4.6, -3.0, 10.2, 8.9), (), 1.0)).tobytes() == masked.tobytes()
    assert not face_only(rgb, Face((40.0, 0.0, 50.0, 5.0), (), 1.0)).any()
    assert rgb.all(), "the picture itself must stay"


def test_faces_of_a_set_in_the_same_layout(own: Path, tmp_path: Path, astronaut: bytes) -> None:
    """One real portrait among noise: it alone is written, and the copy reads as the same set."""
    (own / "s1" / "d0" / "6.png").write_bytes(astronaut)
    (own / "s0" / "d0" / "0.png").write_bytes(b"no picture")
    out = tmp_path / "faces"
    assert main(["data", "faces", str(own), str(out), "--workers", "1"]) == 3
    (row,) = sets.read(out, allow_missing=True).rows
    assert row.image == "s1/d0/6.png"
    original, masked = (open_picture(path).reduced(512) for path in (own / row.image, row.path))
    inside = masked.any(axis=2)
    assert 0.02 < inside.mean() < 0.25
    assert (masked[inside] == original[inside]).all()


def test_an_interrupted_copy_goes_on(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    seen: list[Source] = []

    def everywhere(source: Source) -> tuple[Face, ...]:
        seen.append(source)
        return (Face((0, 0, 9, 9), (), 1.0),)

    assert copy_faces(own, out, everywhere).written == 30
    (out / "s0" / "d0" / "0.png").unlink()
    assert copy_faces(own, out, everywhere).written == 30
    assert len(seen) == 31
    assert not list(out.rglob("*.part"))


def test_copies_that_would_be_lost_are_refused(own: Path) -> None:
    def nobody(source: Source) -> tuple[Face, ...]:
        return ()

    with pytest.raises(DataError, match="outside"):
        copy_faces(own, own / "faces", nobody)
    shutil.copy(own / "s0" / "d0" / "0.png", own / "s0" / "d0" / "0.jpg")
    with pytest.raises(DataError, match=r"differ in nothing but their suffix: s0/d0/0\.png"):
        copy_faces(own, own.parent / "out", nobody)


def test_the_list_of_sets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "sets"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}: {row.status}" in out for name, row in sets.SETS.items())
    assert main(["data", "sets", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(sets.SETS)


def test_the_documents_say_the_same() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    for name, row in sets.SETS.items():
        assert f"| `{name}` | `{row.files[0]}`" in text
        assert name == "own" or re.search(rf"^\| `{name}` .* {row.status} \|$", text, re.MULTILINE)
    source = (Path(__file__).parents[2] / "pqa" / "data" / "check.py").read_text()
    codes = set(re.findall(r'Finding\(\s*"(\w+)"', source)) | {"bad_label"}
    assert set(re.findall(r"^\| `(\w+)` \| [a-z]", text, re.MULTILINE)) >= codes
    assert len(codes) == 8


def test_the_documents_own_example_is_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    lines = re.findall(r"^    (image,score|\w+/phone_\w/\d\.jpg,.*)$", text, re.MULTILINE)
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    for line in lines[1:]:
        path = tmp_path / line.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    found = sets.read(tmp_path)
    assert [(row.scene, row.device, row.labels) for row in found.rows] == [
        ("window", "phone_a", (0.7,)),
        ("window", "phone_b", (0.4,)),
        ("garden", "phone_a", (0.9,)),
    ]
