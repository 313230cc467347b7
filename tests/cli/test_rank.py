"""`pqa rank` and `pqa score` end to end, through `main()` as a shell would call it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pqa
from pqa.cli.main import main
from pqa.data.predictions import read_predictions

Run = Callable[..., tuple[int, str, str]]
SHOTS = ["dark.jpg", "noisy.jpg", "sharp.jpg", "soft.jpg"]


@pytest.fixture
def run(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("rank", ...)` gives exit code, stdout and stderr; with the tiny model unless another is named."""

    def call(command: str, *arguments: object) -> tuple[int, str, str]:
        argv = [command, *map(str, arguments)]
        if "--model" not in argv:
            argv += ["--model", str(tiny_model)]
        code = main(argv)
        return (code, *capsys.readouterr())

    return call


def failed(outcome: tuple[int, str, str]) -> str:
    """The one line of an outcome that is wrong use."""
    code, out, err = outcome
    assert (code, out) == (2, "")
    assert err.startswith("pqa: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture
def small(portrait_set: Path, tmp_path: Path) -> Path:
    """A folder of two shots that a test may add to."""
    folder = tmp_path / "small"
    folder.mkdir()
    for name in ("sharp.jpg", "soft.jpg"):
        shutil.copy(portrait_set / name, folder)
    return folder


def test_rank_prints_the_document_that_python_gives(run: Run, portrait_set: Path, tiny_model: Path) -> None:
    code, out, err = run("rank", portrait_set, "--json")
    images = [pqa.Image(name, portrait_set / name) for name in SHOTS]
    assert json.loads(out) == json.loads(json.dumps(pqa.load(tiny_model).rank(images).to_dict()))
    assert (code, err) == (0, "")


def test_score_prints_one_line_a_picture_in_input_order(run: Run, portrait_set: Path) -> None:
    order = [portrait_set / name for name in reversed(SHOTS)]
    code, out, err = run("score", *order, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["id"] for row in rows] == [path.as_posix() for path in order]
    assert not {"rank", "tie_group"} & rows[0].keys()
    assert (code, err) == (0, "")


def test_a_picture_alone_scores_the_same_in_both_commands(run: Run, portrait_set: Path) -> None:
    scored = json.loads(run("score", portrait_set / "soft.jpg", "--json")[1])
    (group,) = json.loads(run("rank", portrait_set / "soft.jpg", "--json")[1])["groups"]
    assert group["ranking"][0]["score"] == scored["score"]


@pytest.mark.parametrize("command", ["rank", "score"])
def test_table_for_people(run: Run, portrait_set: Path, command: str) -> None:
    code, out, _ = run(command, portrait_set)
    assert code == 0
    assert all(name in out for name in SHOTS)
    assert "±" in out


def test_list_on_stdin(run: Run, portrait_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{portrait_set / name}\n" for name in SHOTS[:2])))
    _, out, _ = run("score", "-", "--json")
    assert len(out.splitlines()) == 2


def test_scenes_by_folder_and_by_name(run: Run, portrait_set: Path, tmp_path: Path) -> None:
    for scene in ("b", "a"):
        (tmp_path / scene).mkdir()
        shutil.copy(portrait_set / "sharp.jpg", tmp_path / scene)
    groups = json.loads(run("rank", tmp_path, "--json")[1])["groups"]
    assert [(group["scene"], group["order"]) for group in groups] == [("a", ["a/sharp.jpg"]), ("b", ["b/sharp.jpg"])]
    (group,) = json.loads(run("rank", portrait_set, "--scene", "yard", "--json")[1])["groups"]
    assert group["scene"] == "yard"


def test_known_scene_is_one_of_the_model(run: Run, portrait_set: Path) -> None:
    document = json.loads(run("rank", portrait_set, "--scene", "indoor", "--scene-mode", "known", "--json")[1])
    assert document["groups"][0]["ranking"][0]["scene_probabilities"] == {"indoor": 1.0, "outdoor": 0.0}
    said = failed(run("rank", portrait_set, "--scene", "attic", "--scene-mode", "known"))
    assert "'attic'" in said
    assert "indoor, outdoor" in said


def test_scenes_found_by_likeness(run: Run, portrait_set: Path, tmp_path: Path) -> None:
    shutil.copy(portrait_set / "sharp.jpg", tmp_path / "a.jpg")
    shutil.copy(portrait_set / "noisy.jpg", tmp_path / "b.jpg")
    board = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((40, 40)))
    Image.fromarray((255 * board).astype(np.uint8)).save(tmp_path / "c.png")
    groups = json.loads(run("rank", tmp_path, "--group", "auto", "--json")[1])["groups"]
    assert sorted(sorted(group["order"]) for group in groups) == [["a.jpg", "b.jpg"], ["c.png"]]


def test_groups_are_answered_in_the_order_of_their_numbers(run: Run, portrait_set: Path, tmp_path: Path) -> None:
    exif, later = Image.Exif(), Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:01 12:00:00"
    later.get_ifd(0x8769)[0x9003] = "2024:05:02 12:00:00"
    for shot in (exif, later):
        shot[0x0110] = "A"
    # By name the later day comes first.
    with Image.open(portrait_set / "sharp.jpg") as picture:
        picture.save(tmp_path / "a.jpg", exif=later)
        picture.save(tmp_path / "b.jpg", exif=exif)
    groups = json.loads(run("rank", tmp_path, "--group", "auto", "--json")[1])["groups"]
    assert [(group["scene"], group["order"]) for group in groups] == [
        ("group-001", ["b.jpg"]),
        ("group-002", ["a.jpg"]),
    ]


def test_attribute_and_map(run: Run, portrait_set: Path, tmp_path: Path) -> None:
    table = tmp_path / "map.csv"
    table.write_text("image,scene\n" + "".join(f"{portrait_set / name},yard\n" for name in SHOTS[:3]))
    document = json.loads(run("rank", "--map", table, "--attribute", "detail", "--json")[1])
    assert document["attribute"] == "detail"
    (group,) = document["groups"]
    assert (group["scene"], len(group["order"])) == ("yard", 3)
    row = group["ranking"][0]
    assert row["score"] == row["attributes"]["detail"]["score"]


def test_files_beside_the_answer(run: Run, small: Path, tmp_path: Path) -> None:
    (small / "sharp.dng").write_bytes(b"raw")
    sheet, best = tmp_path / "sheet.html", tmp_path / "best"
    options = ["--out", tmp_path / "r.csv", "--sheet", sheet, "--top", 1, "--copy-to", best, "--xmp"]
    code, out, _ = run("rank", small, "--json", *options)
    (order,) = [group["order"] for group in json.loads(out)["groups"]]
    assert code == 0
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8-sig") as file:
        assert [row["image"] for row in csv.DictReader(file)] == order
    assert order[0] in sheet.read_text(encoding="utf-8")
    expected = {"sharp.jpg", "sharp.dng"} if order[0] == "sharp.jpg" else {order[0]}
    assert {path.name for path in best.iterdir()} == expected
    assert {path.name for path in small.glob("*.xmp")} == {"sharp.xmp", "soft.xmp"}


def test_table_of_scores_starts_with_image(run: Run, portrait_set: Path, tmp_path: Path) -> None:
    assert run("score", portrait_set, "--out", tmp_path / "p.csv")[0] == 0
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert next(iter(rows[0])) == "image"
    assert all(float(row["score"]) for row in rows)


KILLED = """
import os, pathlib, sys, time
from pqa.cli.main import main
from pqa.runtime.assess import Assessor

assess = Assessor.assess

def dying(self, image):
    if image.id == "sharp.jpg":
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for part in pathlib.Path(sys.argv[1]).glob("*.part"):
                if b"noisy.jpg" in part.read_bytes():
                    os.kill(os.getpid(), 9)
            time.sleep(0.01)
    return assess(self, image)

Assessor.assess = dying
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("form", [["--json"], []])
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_process_that_is_killed_loses_no_row(
    portrait_set: Path, tiny_model: Path, tmp_path: Path, form: list[str], kind: str
) -> None:
    out = tmp_path / f"p.{kind}"
    command = ["score", str(portrait_set), "--model", str(tiny_model), "--out", str(out), *form]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    assert all(name in done.stdout for name in ("dark.jpg", "noisy.jpg"))
    (part,) = tmp_path.iterdir()
    assert part.name.startswith(f"p.{kind}.")
    if kind == "csv":
        assert read_predictions(part).image == ("dark.jpg", "noisy.jpg")
    else:
        assert [row["id"] for row in json.loads(part.read_text() + "]")] == ["dark.jpg", "noisy.jpg"]


def test_untrained_model_is_refused_unless_allowed(run: Run, portrait_set: Path, untrained_model: Path) -> None:
    asked = ("rank", portrait_set, "--model", untrained_model)
    assert "--allow-untrained" in failed(run(*asked))
    code, out, _ = run(*asked, "--allow-untrained", "--json")
    document = json.loads(out)
    assert code == 0
    assert [warning["code"] for warning in document["warnings"]] == ["untrained_model"]
    assert all("untrained_model" in row["flags"] for row in document["groups"][0]["ranking"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "nothing"], "no model named 'nothing'"),
        (["--attribute", "detial"], "did you mean 'detail'?"),
        (["--out", "ranking.xlsx"], ".csv"),
        (["--provider", "tpu"], "--provider"),
        (["--workers", "0"], "--workers"),
        (["--top", "2"], "--copy-to"),
        (["--group", "auto", "--scene", "x"], "--group auto"),
        (["--map", "absent.csv"], "absent.csv"),
    ],
)
def test_wrong_use_is_said_before_any_work(run: Run, portrait_set: Path, arguments: list[str], said: str) -> None:
    assert said in failed(run("rank", portrait_set, *arguments))


def test_no_pictures_named(run: Run) -> None:
    assert "none" in failed(run("rank"))


@pytest.mark.parametrize("command", ["rank", "score"])
@pytest.mark.parametrize(
    ("out", "said"),
    [("folder.csv", "this is a folder"), ("file.txt/p.csv", "its folder is a file"), ("p" * 300, "long")],
)
def test_an_output_that_cannot_be_written_is_found_before_any_work(
    run: Run, portrait_set: Path, tmp_path: Path, command: str, out: str, said: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.txt").touch()
    place = tmp_path / (out if out.endswith(".csv") else f"{out}.csv")
    assert said in failed(run(command, portrait_set, "--out", place))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.txt", "folder.csv"]


def test_a_folder_that_takes_no_file_is_found_before_any_work(
    run: Run, portrait_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Not by chmod: the super-user may write everywhere.
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert "Permission denied" in failed(run("score", portrait_set, "--out", tmp_path / "p.csv"))
    assert "Permission denied" in failed(run("rank", portrait_set, "--sheet", tmp_path / "s.html"))


def test_a_disk_that_is_full_in_the_end_loses_no_answer(
    run: Run, portrait_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", full)
    code, out, err = run("rank", portrait_set, "--json", "--out", tmp_path / "r.csv")
    assert (code, err) == (2, f"pqa: {tmp_path / 'r.csv'}: No space left on device\n")
    assert len(json.loads(out)["groups"][0]["order"]) == 4


# --- Bad input -------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A PNG that promises 65,535 x 65,535 pixels."""
    header = struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(side: int, value: int = 0) -> Image.Image:
    return Image.new("RGB", (side, side), (value,) * 3)


def portrait(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "text.jpg": (lambda _: b"not a picture at all, but a line of text", "unreadable"),
    "empty.jpg": (lambda _: b"", "empty"),
    "truncated.jpg": (lambda png: encoded(portrait(png), "JPEG")[:9000], "unreadable"),
    "truncated.png": (lambda png: png[:9000], "unreadable"),
    "bomb.png": (lambda _: bomb(), "too_large"),
    "cmyk.jpg": (lambda png: encoded(portrait(png).convert("CMYK"), "JPEG"), "ok"),
    "animated.webp": (lambda _: encoded(grey(64), "WEBP", save_all=True, append_images=[grey(64, 200)]), "ok"),
    "wrong-extension.jpg": (lambda png: png, "ok"),
    "one-pixel.png": (lambda _: encoded(grey(1), "PNG"), "ok"),
    "black.jpg": (lambda _: encoded(grey(300), "JPEG"), "ok"),
    "thin.png": (lambda _: encoded(Image.new("RGB", (3000, 1)), "PNG"), "ok"),
    "\udcff.jpg": (lambda _: b"", "empty"),
}


def add_bad(folder: Path, content: bytes, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).write_bytes(BAD[name][0](content))


@pytest.mark.parametrize("command", ["rank", "score"])
def test_no_bad_picture_costs_another_its_result(run: Run, small: Path, astronaut: bytes, command: str) -> None:
    add_bad(small, astronaut, BAD)
    code, out, err = run(command, small, "--json")
    rows = [json.loads(line) for line in out.splitlines()] if command == "score" else flat(json.loads(out))
    expected = {name: status for name, (_, status) in BAD.items()} | {"sharp.jpg": "ok", "soft.jpg": "ok"}
    assert {row["id"]: row["status"] for row in rows} == expected
    assert all(row["detail"] for row in rows if row["status"] != "ok")
    assert all(np.isfinite(row["score"]) for row in rows if row["status"] == "ok")
    assert (code, err) == (3, "")


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
@pytest.mark.parametrize("command", ["rank", "score"])
def test_bad_pictures_in_every_kind_of_answer(
    run: Run, small: Path, astronaut: bytes, tmp_path: Path, command: str, kind: str
) -> None:
    add_bad(small, astronaut, [name for name, (_, status) in BAD.items() if status != "ok"])
    code, out, err = run(command, small, "--out", tmp_path / f"p.{kind}")
    assert (code, err) == (3, "")
    assert "truncated.jpg" in out
    assert "too_large" in out
    assert (tmp_path / f"p.{kind}").stat().st_size > 0


def test_decoders_say_nothing_of_their_own_about_damaged_pictures(tiny_model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey16 = encoded(Image.fromarray(rng.integers(0, 65536, (90, 90)).astype(np.uint16)), "TIFF")
    (tmp_path / "strips.tif").write_bytes(grey16[:-9000])  # OpenCV's log
    (tmp_path / "tags.tif").write_bytes(
        encoded(grey(90), "TIFF").replace(b"\x01\x01\x04\x00\x01", b"\x01\x01\x04\x00\xff")
    )
    (tmp_path / "exif.jpg").write_bytes(
        encoded(grey(90), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0" + b"\x0f\x01" * 9)
    )
    command = [sys.executable, "-m", "pqa", "score", str(tmp_path), "--model", str(tiny_model)]
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_LOG_LEVEL"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (3, "")
    assert "strips.tif" in done.stdout


def test_bad_pictures_on_the_contact_sheet(run: Run, small: Path, astronaut: bytes, tmp_path: Path) -> None:
    names = ["one-pixel.png", "thin.png", "truncated.jpg", "\udcff.jpg"]
    add_bad(small, astronaut, names)
    code, _, err = run("rank", small, "--group", "auto", "--sheet", tmp_path / "sheet.html")
    assert (code, err) == (3, "")
    html = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert all(name in html for name in [*names[:3], "\\udcff.jpg"])


def flat(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for group in document["groups"] for row in group["ranking"]] + document["unscored"]


def test_all_pictures_bad(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    code, out, _ = run("rank", tmp_path, "--json")
    document = json.loads(out)
    assert (code, document["groups"]) == (3, [])
    assert run("rank", tmp_path, "--sheet", tmp_path / "sheet.html")[0] == 3


def test_unreadable_path_beside_a_good_one(run: Run, portrait_set: Path, tmp_path: Path) -> None:
    code, out, _ = run("rank", portrait_set / "sharp.jpg", tmp_path / "absent.jpg", "--json")
    document = json.loads(out)
    assert code == 3
    assert len(document["groups"][0]["order"]) == 1
    assert [row["status"] for row in document["unscored"]] == ["unreadable"]


def test_nothing_to_score(run: Run, tmp_path: Path) -> None:
    assert "absent.jpg" in failed(run("rank", tmp_path / "absent.jpg"))
    assert "without pictures" in failed(run("rank", tmp_path))


def test_folder_without_pictures_beside_a_good_one(run: Run, portrait_set: Path, tmp_path: Path) -> None:
    code, out, _ = run("rank", portrait_set, tmp_path, "--json")
    document = json.loads(out)
    assert code == 3
    assert len(document["groups"][0]["order"]) == 4
    assert document["unscored"][0]["status"] == "empty"


def test_duplicate_ids(run: Run, portrait_set: Path) -> None:
    path = portrait_set / "sharp.jpg"
    code, out, _ = run("rank", path, path, portrait_set / "soft.jpg", "--json")
    rows = flat(json.loads(out))
    assert code == 0
    assert len({row["id"] for row in rows}) == 3
    scores = {row["id"]: row["score"] for row in rows}
    assert scores[path.as_posix()] == scores[f"{path.as_posix()}#2"]


def test_limits_can_be_moved(run: Run, portrait_set: Path, tmp_path: Path) -> None:
    Image.new("RGB", (1200, 1000)).save(tmp_path / "large.png")
    code, out, _ = run("rank", tmp_path, "--json", "--max-megapixels", 1)
    assert (code, json.loads(out)["unscored"][0]["status"]) == (3, "too_large")
    assert run("rank", tmp_path, "--json", "--max-megapixels", 2)[0] == 0


def test_damaged_model(run: Run, portrait_set: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model")
    assert "not a model" in failed(run("rank", portrait_set, "--model", damaged))
    assert "absent.onnx" in failed(run("rank", portrait_set, "--model", tmp_path / "absent.onnx"))
