"""Which pictures a command line means."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from pqa.cli.inputs import PICTURES, RAWS, Inputs, collect
from pqa.errors import DataError


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def ids(found: Inputs) -> list[str]:
    return [image.id for image in found.images]


def scenes(found: Inputs) -> dict[str, tuple[str, str | None]]:
    return {image.id: (image.scene, image.device) for image in found.images}


def test_three_layouts_of_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "b.jpg", "a.PNG", "park/c.webp", "park/phone/d.heic", "park/phone/burst/e.jpg", "notes.txt")
    found = collect([str(tmp_path)])
    assert scenes(found) == {
        "a.PNG": ("default", None),
        "b.jpg": ("default", None),
        "park/c.webp": ("park", None),
        "park/phone/burst/e.jpg": ("park", "phone"),
        "park/phone/d.heic": ("park", "phone"),
    }
    assert ids(found) == sorted(ids(found))
    assert found.files["park/c.webp"] == tmp_path / "park" / "c.webp"


def test_a_name_for_pictures_without_a_scene(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "park/b.jpg")
    assert scenes(collect([str(tmp_path)], scene="beach")) == {"a.jpg": ("beach", None), "park/b.jpg": ("park", None)}


def test_hidden_files_are_passed_over_in_folders_only(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", ".b.jpg", ".cache/c.jpg", "odd.dat")
    assert ids(collect([str(tmp_path)])) == ["a.jpg"]
    named = [str(tmp_path / ".b.jpg"), str(tmp_path / "odd.dat")]
    assert ids(collect(named)) == named


def test_files_keep_their_order_and_repeats_are_numbered(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg", "more/b.jpg", "more/b.jpg#2")
    b, a = str(tmp_path / "b.jpg"), str(tmp_path / "a.jpg")
    assert ids(collect([b, a, b, b])) == [b, a, f"{b}#2", f"{b}#3"]
    taken = f"{b}#2"
    Path(taken).write_bytes(b"x")
    assert ids(collect([b, b, taken])) == [b, f"{b}#3", taken]
    assert ids(collect([str(tmp_path / "more"), str(tmp_path / "more")])) == ["b.jpg", "b.jpg#2"]


def test_patterns(tmp_path: Path) -> None:
    make(tmp_path, "x/b.jpg", "x/a.jpg", "y/c.jpg", "[1].jpg")
    pattern = str(tmp_path / "*" / "*.jpg")
    assert ids(collect([pattern])) == [str(tmp_path / name) for name in ("x/a.jpg", "x/b.jpg", "y/c.jpg")]
    literal = str(tmp_path / "[1].jpg")
    assert ids(collect([literal])) == [literal]
    none = str(tmp_path / "*.png")
    assert ids(collect([none, literal])) == [none, literal]
    with pytest.raises(DataError, match="nothing to score"):
        collect([none])


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_a_list_on_stdin(tmp_path: Path, separator: str) -> None:
    make(tmp_path, "a b.jpg", "c.jpg")
    names = [str(tmp_path / "c.jpg"), str(tmp_path / "a b.jpg")]
    found = collect(["-"], stdin=io.StringIO(separator.join([*names, ""])))
    assert ids(found) == names


def test_stdin_without_paths() -> None:
    with pytest.raises(DataError, match="standard input"):
        collect(["-"])
    with pytest.raises(DataError, match="empty"):
        collect(["-"], stdin=io.StringIO("\n\n"))
    with pytest.raises(DataError, match="at least one"):
        collect([])


def test_a_missing_picture_stays_beside_others(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    gone, here = str(tmp_path / "gone.jpg"), str(tmp_path / "a.jpg")
    assert ids(collect([gone, here])) == [gone, here]
    with pytest.raises(DataError, match=r"gone\.jpg: no such file"):
        collect([gone])
    with pytest.raises(DataError, match="nothing to score"):
        collect([""])


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    make(tmp_path, "empty/notes.txt", "a.jpg")
    with pytest.raises(DataError, match=r"without pictures \(looked for \.avif"):
        collect([str(tmp_path / "empty")])
    found = collect([str(tmp_path / "empty"), str(tmp_path / "a.jpg")])
    assert [(row.id, row.status) for row in found.unscored] == [((tmp_path / "empty").as_posix(), "empty")]


def test_links_are_passed_over_and_counted_unless_asked_for(tmp_path: Path) -> None:
    top = tmp_path / "in"
    make(tmp_path, "in/set/real/a.jpg", "in/b.jpg", "out/far.jpg")
    os.symlink(tmp_path / "out", top / "set" / "data", target_is_directory=True)
    os.symlink(top, top / "set" / "real" / "up", target_is_directory=True)
    os.symlink(top / "b.jpg", top / "set" / "c.jpg")
    os.symlink(top / "set" / "real", top / "set" / "again", target_is_directory=True)
    found = collect([str(top / "set")])
    assert ids(found) == ["real/a.jpg"]
    assert found.notes == ("passed over 4 links; --follow-links takes them",)
    found = collect([str(top / "set")], follow_links=True)
    # Through `up` comes the parent, but no folder a second time.
    assert ids(found) == ["c.jpg", "data/far.jpg", "real/a.jpg", "real/up/b.jpg"]
    assert found.notes == ()


def test_links_that_are_named_are_taken(tmp_path: Path) -> None:
    make(tmp_path, "real/a.jpg")
    os.symlink(tmp_path / "real", tmp_path / "data", target_is_directory=True)
    os.symlink(tmp_path / "real" / "a.jpg", tmp_path / "b.jpg")
    found = collect([str(tmp_path / "data"), str(tmp_path / "b.jpg")])
    assert ids(found) == ["a.jpg", str(tmp_path / "b.jpg")]


def test_bins_thumbnails_and_previews_are_passed_over_and_counted(tmp_path: Path) -> None:
    aside = ["@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".thumbnails", ".Trash-1000", "My Previews.lrdata"]
    make(tmp_path, "a.jpg", "park/b.jpg", "._a.jpg", ".git/objects/x", "lost+found/none.txt")
    make(tmp_path, *(f"park/{name}/b.jpg/c.jpg" for name in aside))
    found = collect([str(tmp_path)])
    assert ids(found) == ["a.jpg", "park/b.jpg"]
    pictures, hidden = found.notes
    assert pictures.startswith("passed over 7 pictures in folders of thumbnails, bins and the like: #recycle, ")
    assert hidden == "passed over 1 hidden picture"
    assert collect([str(tmp_path / "park")]).notes == (pictures,)


def test_such_a_folder_is_taken_when_it_is_named(tmp_path: Path) -> None:
    make(tmp_path, "#recycle/a.jpg")
    assert ids(collect([str(tmp_path / "#recycle")])) == ["a.jpg"]


@pytest.mark.parametrize("pattern", [False, True])
def test_of_several_folders_each_is_a_scene(tmp_path: Path, pattern: bool) -> None:
    make(tmp_path, "scenes/garden/a.jpg", "scenes/office/a.jpg", "scenes/office/more/phone/b.jpg")
    paths = (
        [str(tmp_path / "scenes" / "*" / "")]
        if pattern
        else [str(tmp_path / "scenes" / n) for n in ("garden", "office")]
    )
    assert scenes(collect(paths)) == {
        "garden/a.jpg": ("garden", None),
        "office/a.jpg": ("office", None),
        "office/more/phone/b.jpg": ("office/more", "phone"),
    }
    named = scenes(collect(paths, scene="beach"))
    assert [scene for scene, _ in named.values()] == ["beach", "beach", "office/more"]


def test_ids_of_several_folders_tell_them_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "mon/garden/a.jpg", "tue/garden/a.jpg", "tue/garden/b.nef", "c.jpg")
    monkeypatch.chdir(tmp_path)
    found = collect(["mon/garden", "./tue/../tue/garden/", "c.jpg"])
    assert scenes(found) == {
        "mon/garden/a.jpg": ("mon/garden", None),
        "tue/garden/a.jpg": ("tue/garden", None),
        "tue/garden/b.nef": ("tue/garden", None),
        "c.jpg": ("default", None),
    }
    # A folder and one within it: both are named, neither is "."
    assert ids(collect(["tue", "mon", "mon/garden"]))[-2:] == ["mon/garden/a.jpg", "mon/garden/a.jpg#2"]


def test_a_locked_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    # Not by chmod: the super-user may read everything.
    monkeypatch.setattr(os, "scandir", refuse)
    found = collect([str(tmp_path)])
    assert ids(found) == ["a.jpg"]
    assert [(row.status, "Permission denied" in row.detail) for row in found.unscored] == [("unreadable", True)]


def test_raw_files_stay_with_their_pictures(tmp_path: Path) -> None:
    make(tmp_path, "1.jpg", "1.CR2", "1.dng", "2.HEIC", "2.DNG", "3.nef", "4.png", "4.jpg", "4.arw")
    found = collect([str(tmp_path)])
    assert ids(found) == ["1.jpg", "2.HEIC", "3.nef", "4.jpg", "4.png"]
    assert found.companions == {
        "1.jpg": (tmp_path / "1.CR2", tmp_path / "1.dng"),
        "2.HEIC": (tmp_path / "2.DNG",),
        "4.jpg": (tmp_path / "4.arw",),
    }
    assert not found.unscored


def test_raw_files_are_found_beside_named_pictures(tmp_path: Path) -> None:
    make(tmp_path, "1.jpg", "1.cr3", "2.cr3")
    picture = str(tmp_path / "1.jpg")
    assert collect([picture]).companions == {picture: (tmp_path / "1.cr3",)}
    named = collect([str(tmp_path / name) for name in ("1.cr3", "1.jpg", "2.cr3")])
    assert ids(named) == [picture, str(tmp_path / "2.cr3")]
    assert ids(collect([str(tmp_path / "2.cr3")])) == [str(tmp_path / "2.cr3")]


def test_no_raw_format_counts_as_a_picture() -> None:
    assert not PICTURES & RAWS


def test_a_map_names_pictures(tmp_path: Path) -> None:
    make(tmp_path, "p/a.jpg", "b.jpg")
    table = tmp_path / "map.csv"
    table.write_text("\ufeffimage,scene,device\np\\a.jpg,park,phone\nb.jpg,beach,\n", encoding="utf-8")
    expected = {"p/a.jpg": ("park", "phone"), "b.jpg": ("beach", None)}
    assert scenes(collect([str(table)])) == expected
    assert scenes(collect([], scene_map=table)) == expected


def test_a_map_gives_scenes_to_named_pictures(tmp_path: Path) -> None:
    make(tmp_path, "set/a.jpg", "set/b.jpg", "set/b.nef", "set/c.jpg")
    table = tmp_path / "map.csv"
    table.write_text("image,scene\na.jpg,one\nset/b.jpg,two\n")
    with pytest.raises(DataError, match=r"1 of 4 pictures are not in .*: c\.jpg"):
        collect([str(tmp_path / "set")], scene_map=table)
    (tmp_path / "set" / "c.jpg").unlink()
    # The first by its id, the second by its file.
    found = collect([str(tmp_path / "set")], scene_map=table)
    assert scenes(found) == {"a.jpg": ("one", None), "b.jpg": ("two", None)}
    assert found.companions == {"b.jpg": (tmp_path / "set" / "b.nef",)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "columns"),
        ("file,scene\na.jpg,x\n", "columns"),
        ("image,scene\n", "line for each picture"),
        ("image,scene\na.jpg\n", "line 2"),
        ("image,scene\na.jpg,x\na.jpg,y\n", "two scenes"),
    ],
)
def test_damaged_maps(tmp_path: Path, text: str, says: str) -> None:
    make(tmp_path, "a.jpg")
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        collect([str(tmp_path)], scene_map=tmp_path / "map.csv")


def test_a_missing_map(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    with pytest.raises(DataError, match="cannot be read"):
        collect([str(tmp_path)], scene_map=tmp_path / "none.csv")
