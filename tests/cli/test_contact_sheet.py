"""The contact sheet and the table of a ranking: complete, escaped, self-contained, readable."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from rich.console import Console

from pqa import ranking
from pqa.cli import contact_sheet, table, words
from pqa.spec import Calibration
from pqa.types import Estimate, Face, Image, ModelInfo, Ranking, Reason, Scale, Score, Unscored, Warn

VOID = {"meta", "img", "line", "circle"}
HOSTILE = '<script>alert("x")</script>&\x1b[31m[red].jpg'


def scored(id: str, score: float, std: float | None = 0.05, scene: str = "default", **changes: object) -> Score:
    face = Face((10.0, 5.0, 30.0, 35.0), ((15.0, 15.0),) * 5, 0.99, used=True)
    fields: dict[str, object] = {
        "id": id,
        "scene": scene,
        "score": score,
        "score_std": std,
        "joint_score": None,
        "attributes": {"overall": Estimate(score, std)},
        "branches": {},
        "gate": None,
        "scene_probabilities": {},
        "width": 40,
        "height": 50,
        "faces": (face,),
        "reasons": (Reason("face_blur", 4.25, 2.2, "% of the face"),),
        "flags": (),
    }
    return Score(**{**fields, **changes})


def answer(*scenes: list[Score], unscored: tuple[Unscored, ...] = (), warnings: tuple[Warn, ...] = ()) -> Ranking:
    model = ModelInfo("tiny", "1", "0" * 64, True, Scale(0.0, 1.0))
    groups = tuple(ranking.rank(rows, calibration=Calibration()) for rows in scenes)
    return Ranking(model, "overall", "group", groups, unscored, warnings)


class Reader(HTMLParser):
    """Tags in balance, every text, every link."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def printed(document: Ranking) -> str:
    console = Console(file=io.StringIO(), width=160)
    table.print_ranking(console, document)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_sheet_shows_every_picture_best_first_with_its_ties() -> None:
    document = answer([scored("low", 0.1), scored("near", 0.79), scored("top", 0.8)], [scored("b", 0.3, scene="other")])
    texts = read(contact_sheet.html(document, {})).texts
    assert [text for text in texts if text in ("top", "near", "low", "b")] == ["top", "near", "low", "b"]
    assert "Ranks 1 to 2: too close to call" in texts
    assert "Rank 3" in texts
    assert "0.800 ± 0.050" in texts
    assert "the face is blurred (4.25 % of the face, limit 2.2)" in texts


def test_sheet_escapes_everything_and_fetches_nothing() -> None:
    document = answer(
        [scored(HOSTILE, 0.5, flags=(HOSTILE,), scene=HOSTILE), scored("b", 0.4, scene=HOSTILE)],
        unscored=(Unscored(HOSTILE, HOSTILE, "unreadable", HOSTILE),),
        warnings=(Warn("code", HOSTILE),),
    )
    html = contact_sheet.html(document, {"b": "data:image/jpeg;base64,AAAA"})
    reader = read(html)
    assert "script" not in reader.tags
    assert "\x1b" not in html
    assert reader.links == ["data:image/jpeg;base64,AAAA"]
    assert not re.search(r"url\(|@import|https?://", html)
    assert sum('<script>alert("x")</script>&\\x1b[31m[red].jpg' in text for text in reader.texts) >= 5


def test_sheet_is_written_with_thumbnails_of_what_can_still_be_read(tmp_path: Path) -> None:
    pixels = np.zeros((600, 480, 3), np.uint8)
    pixels[:300] = (250, 20, 20)
    gone = tmp_path / "gone.png"
    document = answer([scored("a", 0.5, width=480, height=600), scored("gone", 0.2)])
    target = tmp_path / "new" / "sheet.html"
    contact_sheet.write(target, document, [Image("a", pixels), Image("gone", gone), Image("not ranked", pixels)])
    (uri,) = read(target.read_text(encoding="utf-8")).links
    small = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert small.shape == (300, 240, 3)
    assert np.abs(small[10, 10].astype(int) - (250, 20, 20)).max() <= 6
    assert small[290, 10].max() <= 6


def test_face_box_is_drawn_where_the_face_is() -> None:
    html = contact_sheet.html(answer([scored("a", 0.5)]), {"a": "data:,"})
    assert "left:25.00%;top:10.00%;width:50.00%;height:60.00%" in html


def test_heat_table_is_cut_and_says_so() -> None:
    many = answer([scored(f"p{number:02}", number / 100) for number in range(contact_sheet.MAX_HEAT + 5)])
    reader = read(contact_sheet.html(many, {}))
    assert reader.tags.count("td") == contact_sheet.MAX_HEAT**2
    assert any("the first 30 of 35" in text for text in reader.texts)


def test_sheet_and_table_without_spread() -> None:
    document = answer([scored("a", 0.5, None), scored("b", 0.5, None)])
    assert "±" not in contact_sheet.html(document, {}) + printed(document)


def test_table_is_for_people() -> None:
    document = answer(
        [scored("top.jpg", 0.8), scored("near.jpg", 0.79), scored("low.jpg", 0.1, flags=("no_face",), reasons=())],
        unscored=(Unscored("broken.jpg", "default", "unreadable", "the file ends early"),),
        warnings=(Warn("untrained_model", "means nothing"),),
    )
    lines = printed(document).splitlines()
    first, second, third = (next(line for line in lines if name in line) for name in ("top.", "near.", "low."))
    assert lines.index(first) < lines.index(second) < lines.index(third)
    assert [line.partition("0.")[0].strip() for line in (first, second, third)] == ["1 ┐", "2 ┘", "3"]
    below = lines[lines.index(first) + 1]
    assert (below.split()[0], "the face is blurred (4.25 % of the face, limit 2.2)" in below) == ("│", True)
    assert "no face found" in lines[lines.index(third) + 1]
    assert any("broken.jpg" in line and "unreadable" in line and "ends early" in line for line in lines)
    assert "warning: means nothing" in lines


def test_table_takes_names_literally() -> None:
    text = printed(answer([scored("[red]a[/red]\x1b[2J.jpg", 0.8)]))
    assert "[red]a[/red]\\x1b[2J.jpg" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("chance", "said"), [(0.0, "under 1 %"), (0.004, "under 1 %"), (0.5, "50 %"), (1.0, "over 99 %")]
)
def test_a_chance_is_never_called_certain(chance: float, said: str) -> None:
    assert words.percent(chance) == said
