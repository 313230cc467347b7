"""The client against a real service: the answers of `pqa.load()`, in one request or in pieces, and its patience."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import pqa
from pqa.cli.main import main
from pqa.client import AsyncClient, Client, Pieces, Retry
from pqa.client.pieces import packed
from pqa.client.steps import Call, Lost, Reply, Wait, answered
from pqa.errors import ConfigurationError, DataError, ServiceError
from pqa.structured import structured
from pqa.types import Image, Ranking, Score, Unscored
from service.settings import Settings
from tests.serving import Live, serving

PATIENT = Retry(attempts=3, first_s=1.0, jitter=lambda: 0.0)
ONE_BY_ONE = Pieces(pictures=1)


@pytest.fixture(scope="module")
def live(tiny_model: Path) -> Iterator[Live]:
    with serving(Settings(models=(str(tiny_model),), max_images=3, max_file_mib=1)) as running:
        yield running


@pytest.fixture(scope="module")
def shots(astronaut: bytes) -> list[bytes]:
    """Five small portraits of different brightness."""
    portrait = Pillow.open(io.BytesIO(astronaut)).convert("RGB").resize((160, 160))
    return [jpeg(portrait.point(lambda value, k=k: int(value * k / 5))) for k in range(1, 6)]


def jpeg(picture: Pillow.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    return buffer.getvalue()


def client(live: Live, **options: Any) -> Client:
    return Client(f"http://127.0.0.1:{live.port}/", **{"retry": PATIENT, **options})


@pytest.fixture
def inputs(shots: list[bytes], tmp_path: Path) -> list[Any]:
    """Names, scenes and devices of all kinds; two pictures that cannot be scored, one of them not there at all."""
    (tmp_path / "file.jpg").write_bytes(shots[0])
    return [
        Image("a.jpg", shots[1], "garden", "phone"),
        Image("a.jpg", shots[2], "garden"),
        Image('quote " and \\.jpg', shots[3], "office"),
        Image("人像.jpg", shots[4], "garden"),
        Image("broken.jpg", b"no picture", "garden"),
        tmp_path / "file.jpg",
        tmp_path / "not there.jpg",
        shots[0],
    ]


def comparable(unscored: tuple[Unscored, ...] | list[Any]) -> list[tuple[str, str, str]]:
    """Rows without their words: a file that is not there is found out here, not by the decoder."""
    return [(row.id, row.scene, row.status) for row in unscored]


@pytest.mark.parametrize("pieces", [Pieces(pictures=3), Pieces(pictures=2), ONE_BY_ONE, Pieces(mib=0.001)])
def test_ranks_like_python_to_the_last_bit(live: Live, inputs: list[Any], tiny_model: Path, pieces: Pieces) -> None:
    here = pqa.load(tiny_model).rank(inputs, scene="street")
    with client(live, pieces=pieces) as there:
        ranking = there.rank(inputs, scene="street")
    assert dataclasses.replace(ranking, unscored=()) == dataclasses.replace(here, unscored=())
    assert comparable(ranking.unscored) == comparable(here.unscored)
    assert len(ranking.unscored) == 2


@pytest.mark.parametrize("scene_mode", ["image", "group"])
def test_scores_like_python_to_the_last_bit(live: Live, inputs: list[Any], tiny_model: Path, scene_mode: Any) -> None:
    options = {"scene": "street", "attribute": "detail", "scene_mode": scene_mode}
    here = pqa.load(tiny_model).score(inputs, **options)
    with client(live, pieces=Pieces(pictures=2)) as there:
        rows = there.score(inputs, **options)
    assert [row for row in rows if isinstance(row, Score)] == [row for row in here if isinstance(row, Score)]
    assert comparable(rows) == comparable(here)


def test_the_asynchronous_client_is_the_same(live: Live, inputs: list[Any]) -> None:
    async def ask() -> tuple[Ranking, list[Score | Unscored]]:
        async with AsyncClient(f"http://127.0.0.1:{live.port}", pieces=ONE_BY_ONE) as there:
            return await there.rank(inputs), await there.score(inputs)

    with client(live) as there:
        assert asyncio.run(ask()) == (there.rank(inputs), there.score(inputs))


def test_a_scene_beyond_the_limit_of_a_request_is_ranked_whole(live: Live, shots: list[bytes]) -> None:
    done: list[None] = []
    with client(live, pieces=Pieces(pictures=3)) as there:
        ranking = there.rank(shots, on_done=lambda: done.append(None))
    assert len(shots) > live.state.settings.max_images
    assert len(ranking.groups[0].order) == len(shots) == len(done)


def test_pieces_over_a_limit_are_halved_until_one_picture_is_too_large(live: Live, shots: list[bytes]) -> None:
    inputs = [*shots, shots[0] + bytes(1 << 20)]
    with client(live, pieces=Pieces(pictures=10)) as there:
        ranking = there.rank(inputs)
        assert comparable(ranking.unscored) == [("image-6", "default", "too_large")]
        assert len(ranking.groups[0].order) == 5
        with pytest.raises(ServiceError, match="413"):
            there.rank(inputs[5:])


def test_what_the_service_forgot_is_sent_again(live: Live, shots: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    cache = live.state.pipeline.cache
    original, asked = cache.get, []

    def forgetful(key: Any) -> Any:
        asked.append(key)
        return None if len(asked) <= 9 else original(key)

    with client(live, pieces=ONE_BY_ONE) as there:
        expected = there.rank(shots)
        monkeypatch.setattr(cache, "get", forgetful)
        assert there.rank(shots) == expected
    # Five looked for on arrival, all five of the ranking (four forgotten), then the four again and the whole once more.
    assert len(asked) == 5 + 5 + 4 + 5


def test_a_service_that_always_forgets_is_given_up(tiny_model: Path, shots: list[bytes]) -> None:
    with (
        serving(Settings(models=(str(tiny_model),), cache_pictures=1)) as live,
        client(live, pieces=ONE_BY_ONE) as there,
        pytest.raises(ServiceError, match="not known") as caught,
    ):
        there.rank(shots)
    assert caught.value.code == "unknown-pictures"


def test_waits_as_long_as_it_is_asked_to(live: Live, shots: list[bytes]) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        live.state.closing = len(slept) < 2

    live.state.closing = True
    with client(live, sleep=sleep) as there:
        assert there.rank(shots[:1]).groups
    assert slept == [1.0, 2.0]


def test_gives_up_in_the_end(live: Live, shots: list[bytes]) -> None:
    slept: list[float] = []
    live.state.closing = True
    try:
        with client(live, sleep=slept.append) as there, pytest.raises(ServiceError, match="3 attempts") as caught:
            there.rank(shots[:1])
    finally:
        live.state.closing = False
    assert (caught.value.status, caught.value.code) == (503, "unavailable")
    assert slept == [1.0, 2.0]


def test_no_service_and_no_picture_are_one_error(live: Live, shots: list[bytes], tmp_path: Path) -> None:
    with (
        Client("http://127.0.0.1:1", retry=PATIENT, sleep=lambda _: None) as nowhere,
        pytest.raises(ServiceError, match="no answer") as caught,
    ):
        nowhere.rank(shots)
    assert caught.value.status == 0
    with client(live) as there:
        with pytest.raises(ServiceError, match="none of 1 pictures") as caught:
            there.rank([b"no picture"])
        assert caught.value.code == "nothing-scored"
        for ask in (there.rank, there.score):
            with pytest.raises(DataError, match="none at"):
                ask([tmp_path / "not there.jpg"])
            with pytest.raises(DataError, match="empty list"):
                ask([])
        assert comparable(there.score([b"no picture"])) == [("image-1", "default", "unreadable")]
        with pytest.raises(ServiceError, match="did you mean 'overall'"):
            there.rank(shots, attribute="overal")


def test_rows_come_as_uploads_are_answered(live: Live, shots: list[bytes], tmp_path: Path) -> None:
    with client(live, pieces=ONE_BY_ONE) as there:
        inputs = [*shots, tmp_path / "not there.jpg", tmp_path / "nor this.jpg", b"no picture"]
        asked, post = [], there._post
        there._post = lambda call: (asked.append(call), post(call))[1]
        rows = there.stream(inputs)
        first = next(rows)
        assert len(asked) == 1
        assert [first, *rows] == there.score(inputs)
        assert list(there.stream(shots, scene_mode="group")) == there.score(shots, scene_mode="group")


@pytest.mark.parametrize("url", ["localhost:1", "127.0.0.1:8000", "ftp://scores.example"])
def test_an_address_that_is_none_is_said_at_once(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ConfigurationError, match=r"expected the address of a service, http://\.\.\., got"):
            kind(url)


def test_the_commands_rank_and_score_there(
    live: Live, shots: list[bytes], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, data in enumerate(shots):
        (tmp_path / f"scene-{number % 2}").mkdir(exist_ok=True)
        (tmp_path / f"scene-{number % 2}" / f"{number}.jpg").write_bytes(data)
    printed = []
    for where in (["--server", f"http://127.0.0.1:{live.port}"], ["--model", str(tiny_model)]):
        for command in ("rank", "score"):
            assert main([command, str(tmp_path), "--json", *where]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert main(["rank", str(tmp_path), "--server", f"http://127.0.0.1:{live.port}", "--model", "tinny"]) == 2
    assert "did you mean 'tiny'" in capsys.readouterr().err


@pytest.mark.parametrize("inputs", ["a.jpg", b"bytes", [np.zeros((4, 4, 3), np.uint8)]])
def test_wrong_inputs_are_told_before_anything_is_sent(live: Live, inputs: Any) -> None:
    with client(live) as there, pytest.raises(ConfigurationError):
        there.rank(inputs)


@pytest.mark.parametrize(
    ("status", "retry_after", "waits"),
    [
        (429, "", [1.0, 2.0]),
        (503, "7", [7.0, 7.0]),
        (503, "900", [30.0, 30.0]),
        (502, "Thu", [1.0, 2.0]),
        (500, "", []),
    ],
)
def test_only_what_passes_is_tried_again(status: int, retry_after: str, waits: list[float]) -> None:
    steps = answered(Call("/rank"), PATIENT)
    slept: list[float] = []

    def drive() -> None:
        step = next(steps)
        while True:
            if isinstance(step, Wait):
                slept.append(step.seconds)
            step = steps.send(None if isinstance(step, Wait) else Reply(status, retry_after, None))

    with pytest.raises(ServiceError, match=str(status)):
        drive()
    assert slept == waits


def test_a_lost_connection_is_tried_again_and_jitter_spreads_the_pauses() -> None:
    steps = answered(Call("/rank"), dataclasses.replace(PATIENT, jitter=lambda: 0.5))
    assert isinstance(next(steps), Call)
    assert steps.send(Lost(OSError("gone"))) == Wait(1.5)
    assert isinstance(steps.send(None), Call)
    with pytest.raises(StopIteration) as end:
        steps.send(Reply(200, "", {"a": 1}))
    assert end.value.value == {"a": 1}


def test_scenes_stay_together_in_requests() -> None:
    images = [Image(str(n), b"x" * 100, "abcb"[n % 4]) for n in range(8)]
    grouped = packed(images, Pieces(pictures=4), pooled=True)
    assert [{image.scene for image in request} for request in grouped] == [{"a"}, {"b"}, {"c"}]
    assert [len(request) for request in packed(images, Pieces(pictures=3), pooled=False)] == [3, 3, 2]
    assert [len(request) for request in packed(images, Pieces(mib=250 / (1 << 20)), pooled=False)] == [2, 2, 2, 2]
    with pytest.raises(ConfigurationError):
        Pieces(pictures=0)


def test_answers_are_read_strictly(live: Live, shots: list[bytes]) -> None:
    document = live.http.post("/rank", files=[("images", ("a", shots[0]))]).json()
    assert json.loads(json.dumps(structured(Ranking, document, "answer").to_dict())) == document
    document["groups"][0]["ranking"][0]["attributes"]["overall"] = {"score": "high", "std": None}
    with pytest.raises(ConfigurationError, match=r"attributes\.overall\.score: expected float"):
        structured(Ranking, document, "answer")
    with pytest.raises(ConfigurationError, match="expected an object"):
        structured(Score, {"branches": []}, "row")
