"""The Python face: what comes when, what one picture may cost, what is nothing to score."""

from __future__ import annotations

import dataclasses
import io
import json
import threading
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ExifTags, ImageCms

import pqa
from pqa.errors import ConfigurationError, DataError
from pqa.runtime.assess import Assessor, Outcome
from pqa.types import Image, Ranking, Score, Unscored

NAMES = ("dark.jpg", "noisy.jpg", "sharp.jpg", "soft.jpg")
SECONDS = 60.0
WIDE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
"""A profile that does not fit RGB pixels: ignored, of a file and of an opened picture alike."""


@pytest.fixture
def assessor(tiny_model: Path) -> Assessor:
    return pqa.load(tiny_model, workers=2)


def shots(folder: Path, scenes: str) -> list[Image]:
    return [Image(name, folder / name, scene) for name, scene in zip(NAMES, scenes, strict=True)]


@pytest.mark.parametrize("scene_mode", ["image", "known"])
def test_a_row_comes_before_later_pictures_are_done(
    assessor: Assessor, portrait_set: Path, monkeypatch: pytest.MonkeyPatch, scene_mode: str
) -> None:
    seen, assess = threading.Event(), assessor.assess

    def waiting(image: Image) -> Outcome:
        if image.id == NAMES[2]:
            assert seen.wait(SECONDS), "the first rows were held back"
        return assess(image)

    monkeypatch.setattr(assessor, "assess", waiting)
    images = [Image(name, portrait_set / name, "indoor") for name in NAMES]
    rows = assessor.stream(images, scene_mode=scene_mode)
    first = [next(rows), next(rows)]
    seen.set()
    assert [row.id for row in (*first, *rows)] == list(NAMES)


def test_pooled_rows_come_with_their_scene_and_are_those_of_the_ranking(
    assessor: Assessor, portrait_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, assess = [], assessor.assess
    monkeypatch.setattr(assessor, "assess", lambda image: (assess(image), done.append(image.id))[0])
    images = shots(portrait_set, "aabb")
    rows = list(assessor.stream(images, scene_mode="group"))
    ranked = {row.id: row.score for group in assessor.rank(images).groups for row in group.ranking}
    assert [(row.id, row.score) for row in rows] == [(name, ranked[name]) for name in NAMES]
    assert [row.score for row in rows] != [row.score for row in assessor.score(images)]


@pytest.mark.parametrize(("scenes", "waits"), [("aabb", 2), ("abab", 4), ("abba", 4), ("abbb", 1)])
def test_pooled_rows_wait_for_no_other_scene(
    assessor: Assessor, portrait_set: Path, monkeypatch: pytest.MonkeyPatch, scenes: str, waits: int
) -> None:
    seen, assess = threading.Event(), assessor.assess

    def waiting(image: Image) -> Outcome:
        if waits < len(NAMES) and image.id == NAMES[waits]:
            assert seen.wait(SECONDS), "the rows of a complete scene were held back"
        return assess(image)

    monkeypatch.setattr(assessor, "assess", waiting)
    rows = assessor.stream(shots(portrait_set, scenes), scene_mode="group")
    first = next(rows)
    seen.set()
    assert [row.id for row in (first, *rows)] == list(NAMES)


@pytest.mark.parametrize("step", ["prepare", "infer"])
def test_a_picture_that_does_not_fit_into_memory_is_one_unscored_row(
    assessor: Assessor, portrait_set: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    calls, method = [], getattr(assessor.predictor, step)

    def full(argument: object) -> object:
        calls.append(argument)
        if len(calls) == 2:
            raise MemoryError
        return method(argument)

    monkeypatch.setattr(assessor.predictor, step, full)
    (group,), unscored = (lambda ranking: (ranking.groups, ranking.unscored))(
        assessor.rank(shots(portrait_set, "aaaa"))
    )
    assert len(group.order) == 3
    assert [(row.status, "memory" in row.detail) for row in unscored] == [("too_large", True)]


def test_what_was_asked_is_checked_before_the_first_row(assessor: Assessor, portrait_set: Path) -> None:
    with pytest.raises(ConfigurationError, match="'detail'"):
        assessor.stream(shots(portrait_set, "aaaa"), attribute="detial")


@pytest.mark.parametrize("inputs", [[], ["absent.jpg"], [Path("absent.jpg"), "."]])
def test_nothing_to_score_is_an_error(assessor: Assessor, inputs: list[str | Path]) -> None:
    for ask in (assessor.rank, assessor.score, assessor.stream):
        with pytest.raises(DataError, match="expected"):
            ask(inputs)


def test_a_missing_file_beside_others_is_a_row(assessor: Assessor, portrait_set: Path) -> None:
    rows = assessor.score([portrait_set / "sharp.jpg", "absent.jpg"])
    assert isinstance(rows[1], Unscored)
    assert not isinstance(assessor.score(["absent.jpg", np.zeros((40, 40, 3), np.uint8)])[1], Unscored)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_picture_opened_by_pillow_is_the_file(assessor: Assessor, astronaut: bytes, orientation: int) -> None:
    exif, stored = PIL.Image.Exif(), PIL.Image.open(io.BytesIO(astronaut)).convert("RGB")
    exif[ExifTags.Base.Orientation] = orientation
    for kind, options in (("PNG", {"icc_profile": WIDE}), ("TIFF", {})):
        buffer = io.BytesIO()
        stored.save(buffer, kind, exif=exif, **options)
        opened, file = assessor.score([PIL.Image.open(buffer), buffer.getvalue()])
        assert dataclasses.replace(opened, id=file.id) == file


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
def test_pillow_pictures_of_every_mode(assessor: Assessor, astronaut: bytes, mode: str) -> None:
    picture = PIL.Image.open(io.BytesIO(astronaut)).convert("RGB")
    if mode == "I;16":
        picture = PIL.Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    (row,) = assessor.score([picture])
    assert isinstance(row, Score)
    assert (row.width, row.height) == picture.size


def test_pillow_pictures_that_are_none_are_rows(assessor: Assessor, astronaut: bytes) -> None:
    closed = PIL.Image.open(io.BytesIO(astronaut))
    closed.close()
    cut = PIL.Image.open(io.BytesIO(astronaut[:9000]))
    rows = assessor.score([closed, cut, PIL.Image.new("F", (40, 40)), PIL.Image.new("RGB", (0, 9))])
    assert [row.status for row in rows] == ["unreadable", "unreadable", "unsupported", "unreadable"]
    with pytest.raises(ConfigurationError, match="put it in a list"):
        assessor.score(PIL.Image.new("RGB", (40, 40)))


def test_a_document_is_read_back_to_the_ranking_it_was_made_from(assessor: Assessor, portrait_set: Path) -> None:
    ranking = assessor.rank([*shots(portrait_set, "aaab"), Image("broken", b"x", "b")])
    assert Ranking.from_dict(ranking.to_dict()) == ranking
    assert Ranking.from_dict(json.loads(json.dumps(ranking.to_dict()))) == ranking
    with pytest.raises(ConfigurationError, match="did you mean 'groups'"):
        Ranking.from_dict(ranking.to_dict() | {"group": []})
