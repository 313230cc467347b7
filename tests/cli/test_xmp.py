"""Star ratings in XMP sidecars."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pqa import ranking
from pqa.cli.xmp import RATING, sidecars, stars, with_rating, write_sidecars
from pqa.errors import DataError
from pqa.spec import Calibration
from pqa.types import Group, ModelInfo, Ranking, Scale, Score

# As Lightroom writes it (shortened): rating as an attribute, other fields as attributes and as elements.
LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmp:Rating="2" xmp:Label="Red" crs:Exposure2012="+0.35">
   <!-- keywords -->
   <dc:subject><rdf:Bag><rdf:li>Zoë &amp; Åsa</rdf:li></rdf:Bag></dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
# As some cameras write it: the rating as an element, in the second of two descriptions, inside a packet.
ELEMENT = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"><tiff:Make>C</tiff:Make></rdf:Description>
 <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"><xmp:Rating>0</xmp:Rating></rdf:Description>
</rdf:RDF>
<?xpacket end="w"?>
"""


def group(*values: float, scene: str = "s") -> Group:
    scores = [
        Score(f"{scene}/{i}.jpg", scene, value, 0.1, None, {}, {}, None, {}, 1, 1, (), (), ())
        for i, value in enumerate(values)
    ]
    return ranking.rank(scores, calibration=Calibration())


def answer(*groups: Group) -> Ranking:
    return Ranking(ModelInfo("tiny", "1", "", True, Scale(0, 1)), "overall", "group", groups)


def ratings(content: bytes) -> list[str]:
    root = ET.fromstring(content)
    found = [element.get(RATING) or "" for element in root.iter() if RATING in element.attrib]
    return found + [element.text or "" for element in root.iter(RATING)]


def without_rating(content: bytes) -> list[tuple[str, dict[str, str], str]]:
    rows = []
    for element in ET.fromstring(content).iter():
        if element.tag != RATING:
            fields = {key: value for key, value in element.attrib.items() if key != RATING}
            rows.append((element.tag, fields, (element.text or "").strip()))
    return rows


def test_stars_follow_the_tie_groups() -> None:
    assert stars(group(9, 8, 7, 6, 5, 4, 3)) == {f"s/{i}.jpg": n for i, n in enumerate([5, 4, 3, 2, 1, 1, 1])}
    assert stars(group(0.5, 0.0, 0.51)) == {"s/0.jpg": 5, "s/2.jpg": 5, "s/1.jpg": 4}


def test_three_stars_where_nothing_can_be_told_apart() -> None:
    assert stars(group(0.5, 0.51)) == {"s/0.jpg": 3, "s/1.jpg": 3}
    assert stars(group(0.5)) == {"s/0.jpg": 3}


@pytest.mark.parametrize("before", [LIGHTROOM, ELEMENT])
def test_only_the_rating_of_an_existing_sidecar_changes(before: str) -> None:
    after = with_rating(before.encode(), 4)
    assert ratings(after) == ["4"]
    assert without_rating(after) == without_rating(before.encode())
    assert with_rating(after, 4) == after


def test_comments_and_prefixes_are_kept() -> None:
    text = with_rating(LIGHTROOM.encode(), 4).decode()
    assert 'xmp:Rating="4"' in text
    assert 'crs:Exposure2012="+0.35"' in text
    assert "<!-- keywords -->" in text
    assert "Zoë &amp; Åsa" in text
    assert "<x:xmpmeta" in text


def test_a_sidecar_without_a_rating_gets_one() -> None:
    bare = LIGHTROOM.replace('xmp:Rating="2" ', "")
    assert ratings(with_rating(bare.encode(), 5)) == ["5"]
    empty = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
    assert ratings(with_rating(empty.encode(), 5)) == ["5"]
    assert ratings(with_rating(None, 1)) == ["1"]


@pytest.mark.parametrize("content", [b"", b"plain", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"\xff\xfe<"])
def test_what_is_no_xmp_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="left as it was"):
        with_rating(content, 3)


def test_names_of_sidecars() -> None:
    picture, raw = Path("d/a.b.jpg"), Path("d/a.b.CR2")
    assert sidecars(picture, [raw]) == [Path("d/a.b.xmp")]
    assert sidecars(picture, [raw], "darktable") == [Path("d/a.b.jpg.xmp"), Path("d/a.b.CR2.xmp")]


def test_sidecars_lie_beside_the_pictures(tmp_path: Path) -> None:
    files = {f"s/{i}.jpg": tmp_path / f"{i}.jpg" for i in range(2)}
    (tmp_path / "1.xmp").write_text(LIGHTROOM, encoding="utf-8")
    written = write_sidecars(answer(group(0.9, 0.1)), files)
    assert written == [tmp_path / "0.xmp", tmp_path / "1.xmp"]
    assert [ratings(path.read_bytes()) for path in written] == [["5"], ["4"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.xmp", "1.xmp"]
    both = write_sidecars(answer(group(0.9, 0.1)), files, {"s/0.jpg": [tmp_path / "0.nef"]}, "darktable")
    assert [path.name for path in both] == ["0.jpg.xmp", "0.nef.xmp", "1.jpg.xmp"]


def test_a_foreign_sidecar_stops_no_other(tmp_path: Path) -> None:
    files = {f"s/{i}.jpg": tmp_path / f"{i}.jpg" for i in range(2)}
    (tmp_path / "0.xmp").write_text("something else")
    with pytest.raises(DataError, match=r"1 of 2 sidecars .*0\.xmp"):
        write_sidecars(answer(group(0.9, 0.1)), files)
    assert (tmp_path / "0.xmp").read_text() == "something else"
    assert ratings((tmp_path / "1.xmp").read_bytes()) == ["4"]


def test_two_pictures_never_fight_over_a_sidecar(tmp_path: Path) -> None:
    files = {"s/0.jpg": tmp_path / "a.jpg", "s/1.jpg": tmp_path / "a.png"}
    with pytest.raises(DataError, match="share the sidecar"):
        write_sidecars(answer(group(0.9, 0.1)), files)
    assert list(tmp_path.iterdir()) == []
    assert len(write_sidecars(answer(group(0.9, 0.1)), files, naming="darktable")) == 2
    with pytest.raises(DataError, match="no file"):
        write_sidecars(answer(group(0.9, 0.1)), {})
