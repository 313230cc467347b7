"""Answers told as they come about: rows when their pictures are done, the same answer last; and addresses with a version."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.serving import Live, hold, problem, serving, wait_for

NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"


@pytest.fixture(scope="module")
def live(tiny_model: Path) -> Iterator[Live]:
    with serving(Settings(models=(str(tiny_model),))) as live:
        yield live


def form(folder: Path) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (path.name, path.read_bytes())) for path in sorted(folder.glob("*.jpg"))]


def known_and_new(live: Live, folder: Path) -> tuple[Any, list[Any]]:
    """A picture that is known to the service, so that it is done at once, and others that never came before."""
    (field, (name, data)), *others = form(folder)
    live.http.post("/v1/score", files=[(field, (name, data))])
    salt = uuid.uuid4().bytes
    return (field, (name, data)), [(field, (name, data + salt)) for field, (name, data) in others]


def told(response: httpx.Response) -> list[dict[str, Any]]:
    """The events of a response as objects, whichever form it has."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith(NDJSON):
        return [json.loads(line) for line in response.text.splitlines()]
    assert response.headers["content-type"].startswith(EVENTS)
    blocks = [block.split("\n") for block in response.text.strip().split("\n\n")]
    return [
        {"event": first.removeprefix("event: "), **json.loads(data.removeprefix("data: "))} for first, data in blocks
    ]


@pytest.mark.parametrize("kind", [NDJSON, EVENTS])
@pytest.mark.parametrize("path", ["/v1/rank", "/v1/score", "/rank", "/score"])
def test_rows_come_and_then_the_answer_that_comes_without(live: Live, portrait_set: Path, kind: str, path: str) -> None:
    files = [*form(portrait_set), ("images", ("broken.jpg", b"no picture")), ("images", ("sharp.jpg", b"neither"))]
    plain = live.http.post(path, files=files).json()
    *rows, last = told(live.http.post(path, files=files, headers={"Accept": kind}))
    assert last == {"event": "answer", "answer": plain}
    scored = plain["scores"] if "scores" in plain else plain["groups"][0]["ranking"]
    assert {row["row"]["id"] for row in rows if row["event"] == "row"} == {row["id"] for row in scored}
    assert [row["row"] for row in rows if row["event"] == "unscored"] == plain["unscored"]
    assert {row["id"] for row in plain["unscored"]} == {"broken.jpg", "sharp.jpg#2"}
    if "scores" in plain:
        by_id = {row["row"]["id"]: row["row"] for row in rows}
        assert all(by_id[row["id"]] == row for row in scored)


def test_a_row_is_there_before_the_last_picture_is_done(
    live: Live, portrait_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, others = known_and_new(live, portrait_set)
    arrived, go = hold(live, monkeypatch)
    # The first is known, so it is done at once; the others are held until its row has come.
    with live.http.stream("POST", "/v1/score", files=[first, *others], headers={"Accept": NDJSON}) as response:
        lines = response.iter_lines()
        assert json.loads(next(lines))["row"]["id"] == first[1][0]
        assert arrived.wait(20)
        go.set()
        assert json.loads([*lines][-1])["event"] == "answer"


def test_what_is_wrong_before_any_row_keeps_its_status(live: Live, portrait_set: Path) -> None:
    headers = {"Accept": NDJSON}
    problem(live.http.post("/v1/rank", files=[], headers=headers), 415, "unsupported-media-type")
    data = {"attribute": "nothing"}
    problem(live.http.post("/v1/rank", files=form(portrait_set), data=data, headers=headers), 422, "invalid-request")


def test_what_goes_wrong_behind_a_row_is_the_last_event(live: Live) -> None:
    *rows, last = told(
        live.http.post("/v1/rank", files={"images": ("a.jpg", b"no picture")}, headers={"Accept": NDJSON})
    )
    assert [row["event"] for row in rows] == ["unscored"]
    assert last["event"] == "problem"
    assert last["problem"]["type"] == "urn:pqa:problem:nothing-scored"
    assert last["problem"]["status"] == 422
    assert last["problem"]["request_id"]


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("application/json", False),
        ("*/*", False),
        ("", False),
        (f"application/json, {NDJSON};q=0.5", False),
        (f"{NDJSON};q=0", False),
        (f"{NDJSON}, application/json;q=0.9", True),
        ("Application/X-NDJSON ; q=1.0", True),
    ],
)
def test_who_would_rather_have_one_document_gets_it(live: Live, portrait_set: Path, accept: str, streams: bool) -> None:
    answer = live.http.post("/v1/score", files=form(portrait_set)[:1], headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(NDJSON if streams else "application/json")


def test_a_client_that_leaves_takes_its_pictures_along(
    live: Live, portrait_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, others = known_and_new(live, portrait_set)
    arrived, go = hold(live, monkeypatch)
    with live.http.stream("POST", "/v1/score", files=[first, *others], headers={"Accept": NDJSON}) as response:
        next(response.iter_lines())
        assert arrived.wait(20)
    go.set()
    wait_for(lambda: live.state.pipeline.waiting == 0)


def test_one_bare_picture_is_scored(live: Live, portrait_set: Path) -> None:
    data = (portrait_set / "sharp.jpg").read_bytes()
    (row,) = live.http.post("/v1/score", files={"images": ("a.jpg", data)}, data={"attribute": "detail"}).json()[
        "scores"
    ]
    answer = live.http.post("/v1/score?attribute=detail", content=data, headers={"Content-Type": "image/jpeg"})
    (bare,) = answer.json()["scores"]
    assert bare == row | {"id": "image-1"}
    problem(
        live.http.post("/v1/rank", content=data, headers={"Content-Type": "image/jpeg"}), 415, "unsupported-media-type"
    )
    problem(
        live.http.post("/v1/score?model=none", content=data, headers={"Content-Type": "image/jpeg"}),
        422,
        "invalid-request",
    )
    problem(live.http.post("/v1/score?attribute=detail", files={"images": ("a.jpg", data)}), 422, "invalid-request")


def test_both_addresses_give_the_same_answer(live: Live, portrait_set: Path) -> None:
    for name in ("rank", "score"):
        answers = [live.http.post(f"{prefix}/{name}", files=form(portrait_set)).json() for prefix in ("", "/v1")]
        assert answers[0] == answers[1]
    assert live.http.get("/models").json() == live.http.get("/v1/models").json()
