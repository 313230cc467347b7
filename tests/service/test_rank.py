"""`POST /rank` and `POST /score` over a real socket, with good pictures, bad ones and wrong requests."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pydantic import TypeAdapter

import pqa
from pqa.types import Ranking
from service.rank import Scores
from service.settings import Settings
from tests.serving import Live, problem, serving

Files = list[tuple[str, tuple[str, bytes] | tuple[None, str]]]


@pytest.fixture(scope="module")
def live(tiny_model: Path) -> Iterator[Live]:
    settings = Settings(models=(str(tiny_model),), max_images=20, max_file_mib=2, max_request_mib=8, max_json_mib=4)
    with serving(settings) as running:
        yield running


@pytest.fixture(scope="module")
def pictures(astronaut: bytes) -> dict[str, bytes]:
    """The portrait, a blurred and a dark one, and the portrait as JPEG."""
    portrait = Image.open(io.BytesIO(astronaut)).convert("RGB")
    return {
        "sharp.png": astronaut,
        "soft.jpg": encode(portrait.filter(ImageFilter.GaussianBlur(4)), "JPEG", quality=90),
        "dark.png": encode(portrait.point(lambda value: value // 4), "PNG"),
        "plain.jpg": encode(portrait, "JPEG", quality=90),
    }


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def upload(pictures: dict[str, bytes], **fields: str) -> Files:
    return [(key, (None, value)) for key, value in fields.items()] + [
        ("images", (name, data)) for name, data in pictures.items()
    ]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def scores(document: dict[str, Any]) -> dict[str, float]:
    return {row["id"]: row["score"] for group in document["groups"] for row in group["ranking"]}


def bomb() -> bytes:
    """A PNG of 100 bytes whose header promises 65,535 x 65,535 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_same_score_to_the_last_bit_through_python_multipart_base64_and_hash(
    live: Live, pictures: dict[str, bytes], tiny_model: Path
) -> None:
    python = pqa.load(tiny_model).rank([pqa.Image(name, data) for name, data in pictures.items()]).to_dict()
    document = json.loads(json.dumps(python))
    multipart = live.http.post("/rank", files=upload(pictures)).json()
    base = live.http.post("/rank", json={"images": [{"id": k, "data": b64(v)} for k, v in pictures.items()]}).json()
    known = live.http.post("/rank", json={"images": [{"id": k, "sha256": digest(v)} for k, v in pictures.items()]})
    assert multipart == document
    assert base == document
    assert known.json() == document
    assert len(set(scores(document).values())) == len(pictures)


def test_scores_come_in_order_and_alone_like_python(live: Live, pictures: dict[str, bytes], tiny_model: Path) -> None:
    document = live.http.post("/score", files=upload(pictures, attribute="detail")).json()
    TypeAdapter(Scores).validate_python(document)
    assert document["scene_mode"] == "image"
    assert document["attribute"] == "detail"
    rows = pqa.load(tiny_model).score([pqa.Image(k, v) for k, v in pictures.items()], attribute="detail")
    assert document["scores"] == json.loads(json.dumps([row.to_dict() for row in rows]))
    again = live.http.post("/score", files=upload({"sharp.png": pictures["sharp.png"]}, attribute="detail")).json()
    assert again["scores"] == document["scores"][:1]


def test_the_answer_is_the_documented_type(live: Live, pictures: dict[str, bytes]) -> None:
    document = live.http.post("/rank", files=upload(pictures)).json()
    TypeAdapter(Ranking).validate_python(document)
    assert document["schema_version"] == 1
    assert document["model"]["name"] == "tiny"
    assert document["groups"][0]["order"][0] == document["groups"][0]["best"]["id"]


def test_order_of_upload_changes_no_score(live: Live, pictures: dict[str, bytes]) -> None:
    forth = live.http.post("/rank", files=upload(pictures)).json()
    back = live.http.post("/rank", files=upload(dict(reversed(pictures.items())))).json()
    assert scores(forth) == scores(back)
    assert forth["groups"][0]["order"] == back["groups"][0]["order"]


def test_scenes_by_request_by_name_and_by_picture(live: Live, pictures: dict[str, bytes]) -> None:
    scenes = {"sharp.png": "a", "soft.jpg": "b", "dark.png": "default", "plain.jpg": "default"}
    form = upload(pictures, scenes=json.dumps({"sharp.png": "a", "soft.jpg": "b"}))
    entries = [{"id": k, "data": b64(v), "scene": scenes[k]} for k, v in pictures.items()]
    for response in (live.http.post("/rank", files=form), live.http.post("/rank", json={"images": entries})):
        groups = response.json()["groups"]
        assert {row["id"]: group["scene"] for group in groups for row in group["ranking"]} == scenes
    one = live.http.post("/rank", files=upload(pictures, scene="garden")).json()
    assert [group["scene"] for group in one["groups"]] == ["garden"]


def test_a_known_scene_is_used(live: Live, pictures: dict[str, bytes]) -> None:
    document = live.http.post("/rank", files=upload(pictures, scene_mode="known", scene="outdoor")).json()
    assert document["scene_mode"] == "known"
    assert document["groups"][0]["ranking"][0]["scene_probabilities"] == {"indoor": 0.0, "outdoor": 1.0}


BROKEN = {
    "not an image": (b"GIF, or so it says", "unreadable unsupported"),
    "empty": (b"", "empty"),
    "bomb": (bomb(), "too_large"),
    "html": (b"<html><body>hello</body></html>", "unreadable unsupported"),
    "zeros": (b"\0" * 5000, "unreadable unsupported"),
}


@pytest.mark.parametrize("kind", [*BROKEN, "truncated"])
def test_one_broken_picture_never_fails_a_set(live: Live, pictures: dict[str, bytes], kind: str) -> None:
    data, statuses = BROKEN.get(kind) or (pictures["plain.jpg"][:3000], "unreadable")
    alone = scores(live.http.post("/rank", files=upload({"sharp.png": pictures["sharp.png"]})).json())
    response = live.http.post("/rank", files=upload({"broken": data, "sharp.png": pictures["sharp.png"]}))
    assert response.status_code == 200
    document = response.json()
    assert scores(document).keys() == alone.keys()
    assert [row["id"] for row in document["unscored"]] == ["broken"]
    assert document["unscored"][0]["status"] in statuses.split()
    assert document["unscored"][0]["detail"]


def test_all_broken_is_a_problem_that_lists_them(live: Live) -> None:
    response = live.http.post("/rank", files=upload({name: data for name, (data, _) in BROKEN.items()}))
    document = problem(response, 422, "nothing-scored")
    assert [row["id"] for row in document["unscored"]] == list(BROKEN)


def odd_pictures(portrait: Image.Image) -> dict[str, bytes]:
    frames = [portrait.rotate(angle) for angle in (0, 5, 10)]
    return {
        "cmyk.jpg": encode(portrait.convert("CMYK"), "JPEG"),
        "animated.webp": encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "wrong-extension.jpg": encode(portrait, "PNG"),
        "one-pixel.png": encode(Image.new("RGB", (1, 1), "red"), "PNG"),
        "black.png": encode(Image.new("RGB", (300, 300)), "PNG"),
        "grey.png": encode(portrait.convert("L"), "PNG"),
        "palette.png": encode(portrait.convert("P"), "PNG"),
        "alpha.png": encode(portrait.convert("RGBA"), "PNG"),
    }


def test_odd_pictures_are_scored_or_say_why(live: Live, astronaut: bytes) -> None:
    sent = odd_pictures(Image.open(io.BytesIO(astronaut)).convert("RGB"))
    document = live.http.post("/score", files=upload(sent)).json()
    scored = {row["id"]: row for row in document["scores"]}
    refused = {row["id"]: row["status"] for row in document["unscored"]}
    assert scored.keys() | refused.keys() == sent.keys()
    assert {"cmyk.jpg", "wrong-extension.jpg", "black.png", "grey.png", "palette.png", "alpha.png"} <= scored.keys()
    assert "no_face" in scored["black.png"]["flags"]
    assert all(np.isfinite(row["score"]) for row in scored.values())
    assert set(refused.values()) <= {"unsupported", "unreadable"}


def test_further_formats_are_taken_where_a_setting_names_them(live: Live, astronaut: bytes) -> None:
    portrait = Image.open(io.BytesIO(astronaut)).convert("RGB")
    sent = {"a.bmp": encode(portrait, "BMP"), "a.gif": encode(portrait, "GIF"), "a.png": encode(portrait, "PNG")}
    document = live.http.post("/score", files=upload(sent)).json()
    assert {row["id"]: row["status"] for row in document["unscored"]} == {
        "a.bmp": "unsupported",
        "a.gif": "unsupported",
    }
    with serving(Settings(formats=("BMP", "PNG"))) as further:
        document = further.http.post("/score", files=upload(sent)).json()
    assert [row["id"] for row in document["scores"]] == ["a.bmp", "a.png"]
    assert len({row["score"] for row in document["scores"]}) == 1


def test_an_interrupted_copy_is_scored_and_says_so(live: Live, astronaut: bytes) -> None:
    whole = encode(Image.open(io.BytesIO(astronaut)).convert("RGB"), "JPEG")
    sent = {"cut.jpg": whole[: len(whole) * 4 // 5], "less.jpg": whole[: len(whole) // 3], "whole.jpg": whole}
    document = live.http.post("/score", files=upload(sent)).json()
    cut, whole_row = document["scores"]
    assert "truncated" in cut["flags"]
    assert 0.5 <= cut["measurements"]["rows_decoded"] < 1
    assert cut["height"] < whole_row["height"]
    assert "truncated" not in whole_row["flags"]
    assert [(row["id"], row["status"]) for row in document["unscored"]] == [("less.jpg", "unreadable")]


def test_further_faces_have_a_quality_where_that_is_set(astronaut: bytes) -> None:
    portrait = np.asarray(Image.open(io.BytesIO(astronaut)).convert("RGB"))
    group = encode(Image.fromarray(np.concatenate([portrait, portrait[:, ::-1]], axis=1)), "PNG")
    with serving(Settings(faces=8)) as live:
        (row,) = live.http.post("/score", files=upload({"group.png": group})).json()["scores"]
    assert len(row["faces"]) == 2
    assert all(isinstance(face["quality"], float) for face in row["faces"])


def test_the_type_a_client_claims_for_a_part_changes_nothing(live: Live, pictures: dict[str, bytes]) -> None:
    data = pictures["sharp.png"]
    claimed = live.http.post("/score", files=[("images", ("a", data, "text/html"))]).json()
    plain = live.http.post("/score", files=[("images", ("a", data))]).json()
    assert claimed == plain


def test_names_are_only_labels(live: Live, pictures: dict[str, bytes]) -> None:
    data = pictures["sharp.png"]
    names = ["../../etc/passwd", "/etc/passwd", "人像 😀.jpg", "a.jpg", "a.jpg", "a.jpg", "con:|*?.jpg"]
    document = live.http.post("/score", files=[("images", (name, data)) for name in names]).json()
    expected = ["../../etc/passwd", "/etc/passwd", "人像 😀.jpg", "a.jpg", "a.jpg#2", "a.jpg#3", "con:|*?.jpg"]
    assert [row["id"] for row in document["scores"]] == expected
    assert len({row["score"] for row in document["scores"]}) == 1


def test_pictures_without_names_are_numbered(live: Live, pictures: dict[str, bytes]) -> None:
    document = live.http.post("/score", json={"images": [{"data": b64(pictures["sharp.png"])}] * 2}).json()
    assert [row["id"] for row in document["scores"]] == ["image-1", "image-2"]


def test_base64_of_the_wrong_length_is_one_unreadable_picture(live: Live, pictures: dict[str, bytes]) -> None:
    good = b64(pictures["sharp.png"])
    images = [
        {"id": "cut", "data": good[:-3]},
        {"id": "signs", "data": "é$"},
        {"id": "lines", "data": good[:9] + "\n" + good[9:]},
    ]
    document = live.http.post("/rank", json={"images": images}).json()
    assert {row["id"]: row["status"] for row in document["unscored"]} == {"cut": "unreadable", "signs": "unreadable"}
    assert document["groups"][0]["order"] == ["lines"]


def test_unknown_hashes_are_named_and_nothing_is_run(live: Live, pictures: dict[str, bytes]) -> None:
    missing = [digest(b"one"), digest(b"two")]
    images = [{"sha256": key} for key in missing] + [{"data": b64(pictures["sharp.png"])}]
    document = problem(live.http.post("/rank", json={"images": images}), 422, "unknown-pictures")
    assert document["sha256"] == sorted(missing)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"attribute": "overal"}, "did you mean 'overall'"),
        ({"model": "tinny"}, "did you mean 'tiny'"),
        ({"scene_mode": "groups"}, "did you mean 'group'"),
        ({"scene_mode": "known", "scene": "moon"}, "indoor, outdoor"),
        ({"atribute": "overall"}, "did you mean 'attribute'"),
        ({"scenes": "{"}, "scenes"),
        ({"scenes": "[]"}, "scenes"),
        ({"scenes": '{"other.jpg": "a"}'}, "other.jpg"),
        ({"scene": ""}, "scene"),
    ],
)
def test_wrong_fields_are_named(live: Live, pictures: dict[str, bytes], fields: dict[str, str], text: str) -> None:
    document = problem(
        live.http.post("/rank", files=upload({"a.png": pictures["sharp.png"]}, **fields)), 422, "invalid-request"
    )
    assert text in document["detail"]


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("{", "malformed", "no JSON"),
        ("", "malformed", "no JSON"),
        ("[]", "invalid-request", "object"),
        ("{}", "invalid-request", "images"),
        ('{"images": []}', "invalid-request", "no pictures"),
        ('{"images": [{}]}', "invalid-request", "either data or sha256"),
        ('{"images": [{"data": "", "sha256": "' + "0" * 64 + '"}]}', "invalid-request", "either data or sha256"),
        ('{"images": [{"sha256": "abc"}]}', "invalid-request", "images.0.sha256"),
        ('{"images": [{"data": 5}]}', "invalid-request", "images.0.data"),
        ('{"images": [{"date": "x"}]}', "invalid-request", "did you mean 'data'"),
        ('{"images": [{"data": ""}], "atribute": "overall"}', "invalid-request", "did you mean 'attribute'"),
        ('{"images": [{"data": ""}], "attribute": "overal"}', "invalid-request", "did you mean 'overall'"),
        ("[" * 10_000, "malformed", "no JSON"),
        ('{"images": [NaN]}', "malformed", "no JSON"),
        ('{"images": [' + "9" * 5000 + "]}", "malformed", "no JSON"),
        ('{"images": [], "images": [{"data": ""}]}', "malformed", "twice"),
    ],
)
def test_wrong_json_is_explained(live: Live, body: str, code: str, text: str) -> None:
    response = live.http.post("/rank", content=body, headers={"Content-Type": "application/json"})
    document = problem(response, 400 if code == "malformed" else 422, code)
    assert text in json.dumps(document)


def test_no_pictures_and_other_types(live: Live, pictures: dict[str, bytes]) -> None:
    document = problem(live.http.post("/rank", files=[("scene", (None, "a"))]), 422, "invalid-request")
    assert "images" in document["detail"]
    problem(
        live.http.post("/rank", content=b"x", headers={"Content-Type": "image/jpeg"}), 415, "unsupported-media-type"
    )
    problem(live.http.post("/rank", data={"images": "x"}), 415, "unsupported-media-type")
    problem(live.http.post("/rank"), 415, "unsupported-media-type")
    wrong = live.http.post("/rank", files=[("image", ("a.png", pictures["sharp.png"]))])
    assert "did you mean 'images'" in problem(wrong, 422, "invalid-request")["detail"]
    twice = live.http.post("/rank", files=[("scene", (None, "a")), ("scene", (None, "b"))])
    assert "twice" in problem(twice, 422, "invalid-request")["detail"]


def test_a_request_over_a_limit_is_413(live: Live) -> None:
    problem(live.http.post("/rank", files=[("images", ("a", b"x" * (2 << 20) + b"y"))]), 413, "too-large")
    problem(live.http.post("/rank", files=[("images", ("a", b""))] * 21), 413, "too-large")
    problem(live.http.post("/rank", files=[("images", ("a", b""))] * 10_000), 413, "too-large")
    problem(live.http.post("/rank", files=[("other", (None, "a"))] * 10_000), 422, "invalid-request")
    problem(live.http.post("/rank", json={"images": [{"data": ""}] * 21}), 413, "too-large")
    problem(live.http.post("/rank", json={"images": [{"data": "A" * (3 << 20)}]}), 413, "too-large")
    problem(live.http.post("/rank", json={"images": [{"data": "A" * (5 << 20)}]}), 413, "too-large")


def test_a_promise_of_too_much_is_refused_before_the_body(live: Live) -> None:
    head = b"POST /rank HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    answer = live.send(head + b"Content-Length: 99999999\r\n\r\n", until_closed=False)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(live: Live) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"--b\r\n"
        for number in range(100):
            yield f'Content-Disposition: form-data; name="images"; filename="{number}"\r\n\r\n'.encode()
            yield b"x" * (1 << 20) + b"\r\n--b\r\n"

    response = live.http.post("/rank", content=chunks(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    problem(response, 413, "too-large")


def test_the_model_must_be_named_before_the_pictures(
    tiny_model: Path, make_model: Any, tmp_path: Path, astronaut: bytes
) -> None:
    other = make_model(tmp_path / "other.onnx", name="other", scenes=("beach", "office"))
    with serving(Settings(models=(str(tiny_model), str(other)))) as live:
        files = [("images", ("a", astronaut)), ("model", (None, "other"))]
        document = problem(live.http.post("/rank", files=files), 422, "invalid-request")
        assert "before the first picture" in document["detail"]
        right = live.http.post("/rank", files=files[::-1]).json()
        assert right["model"]["name"] == "other"
        # The cache belongs to one model: the other one has never seen this picture.
        images = [{"sha256": digest(astronaut)}]
        problem(live.http.post("/rank", json={"images": images}), 422, "unknown-pictures")
        assert live.http.post("/rank", json={"images": images, "model": "other"}).json() == {
            **right,
            "groups": json.loads(json.dumps(right["groups"]).replace('"a"', '"image-1"')),
        }
