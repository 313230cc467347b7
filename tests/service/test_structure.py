"""JSON of too much structure is refused before it is parsed, and faults are counted, not collected."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import requests, structure
from service.problems import Problem
from service.requests import form_options, json_request

MOST = 256
MIB = 1 << 20

TOO_MUCH = {
    "empty pictures": b'{"images":[' + b",".join([b"{}"] * 400_000) + b"]}",
    "empty lists": b'{"images":[' + b",".join([b"[]"] * 400_000) + b"]}",
    "numbers": b'{"images":[' + b",".join([b"1"] * 500_000) + b"]}",
    "members": b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}",
    "empty texts": b'{"images":[' + b",".join([b'""'] * 300_000) + b"]}",
    "scenes": b'{"images":[],"scenes":{' + b",".join(b'"%d":"s"' % number for number in range(100_000)) + b"}}",
    "depth": b"[" * MIB,
    "quotation marks": b'{"images":[{"id":"' + b'\\"' * MIB + b'"}]}',
    "blanks": b'{"images":[' + b" " * MIB + b"]}",
    "backslashes": b'{"images":[{"data":"' + rb"\/" * 8 * MIB + b'"}]}',
    "wide text": b'{"images":[{"data":"' + b"a" * 16 * MIB + "😀".encode() + b'"}]}',
    "wide text, escaped": b'{"images":[{"data":"' + b"a" * 16 * MIB + rb"\ud83d\ude00" + b'"}]}',
}


@pytest.mark.parametrize("body", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_too_much_structure_is_refused_before_it_takes_memory(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as caught:
            json_request(body, MOST)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "too-large"
    # The body itself was there before.
    assert peak < 2 * len(body) + MIB


def picture(number: int) -> dict[str, str]:
    """The largest entry that there may be but for its name, which needs the most quotation marks."""
    return {"id": f'{number}, {{["so: called"]}} ä.jpg', "sha256": "0" * 64, "scene": f"scene {number}"}


def test_as_many_entries_as_may_be_are_taken() -> None:
    document = {
        "images": [picture(number) for number in range(MOST)],
        "scenes": {f'"{number}"': "s" for number in range(MOST)},
    }
    asked = json_request(json.dumps(document).encode(), MOST)
    assert [image.id for image in asked.images] == [image["id"] for image in document["images"]]
    assert asked.scenes == document["scenes"]
    with pytest.raises(Problem, match="at most 256 pictures"):
        json_request(json.dumps({"images": [*document["images"], picture(0)]}).encode(), MOST)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_what_is_json_is_parsed_as_it_is(value: object, plain: bool) -> None:
    text = json.dumps(value, ensure_ascii=plain)
    try:
        body = text.encode()
    except UnicodeEncodeError:
        return
    try:
        parsed = structure.parse(body, 1000, "it")
    except ValueError as error:
        assert "surrogate" in str(error) or "escape" in str(error)  # noqa: PT017
    else:
        assert parsed == value


@pytest.mark.parametrize("body", [b'{"a":1,"a":1}', b'{"a":[{"b":1,"c":2,"b":3}]}', rb'{"a":"\\","a":"\""}'])
def test_a_member_that_comes_twice_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="twice"):
        structure.parse(body, 10, "it")


@pytest.mark.parametrize(
    ("body", "count", "first"),
    [
        ({"images": [{}] * MOST}, MOST, "images.0"),
        ({"images": [{str(number): 1 for number in range(900)}]}, 901, "images.0.0"),
        ({"images": [], **{str(number): 1 for number in range(900)}}, 900, "0"),
        ({"images": [], "scenes": {str(number): "" for number in range(MOST)}}, MOST, "scenes.0.1"),
        ({"images": [{"id": 5, "data": 5, "sha256": "x", "scene": ""}] * MOST}, 4 * MOST, "images.0.id"),
    ],
)
def test_ten_faults_are_built_and_all_are_counted(
    body: object, count: int, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    original = requests.unknown_key
    monkeypatch.setattr(requests, "unknown_key", lambda *given: (built.append(given[0]), original(*given))[1])
    with pytest.raises(Problem) as caught:
        json_request(json.dumps(body).encode(), MOST)
    assert caught.value.code == "invalid-request"
    assert len(caught.value.extra["errors"]) == 10
    assert caught.value.extra["errors"][0]["at"] == first
    assert caught.value.detail.endswith(f"and {count - 1} more")
    assert len(built) <= 10


def test_the_scenes_of_a_form_are_bounded_alike() -> None:
    lines = ",".join(f'"{number}":"s"' for number in range(100_000))
    with pytest.raises(Problem) as caught:
        form_options({"scenes": "{" + lines + "}"}, MOST)
    assert caught.value.code == "too-large"
    with pytest.raises(Problem, match=r"scenes\.a\.1: .* and 1 more"):
        form_options({"scenes": '{"a": "", "b": 5}'}, MOST)
    assert form_options({"scenes": '{"a": "x"}'}, MOST).scenes == {"a": "x"}
