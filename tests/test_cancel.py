"""Every step of the work on a picture can be its last: between pieces of a file, looks, views, measures, nodes of a graph."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from pqa import cancel
from pqa.cancel import Token, watched_by
from pqa.errors import ImageTimeout
from pqa.pixels.source import open_picture
from pqa.runtime.predictor import Predictor
from pqa.runtime.store import load_model
from pqa.session import open_session


class Counting(Token):
    """Cancels itself at its `last` question."""

    def __init__(self, last: int | None = None) -> None:
        super().__init__()
        self.asked = 0
        self.last = last

    def check(self) -> None:
        self.asked += 1
        if self.asked == self.last:
            self.cancel()
        super().check()


class Asked(Token):
    """Tells that it was asked: cancelled after that, it is the running graph that must stop."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def check(self) -> None:
        super().check()
        self.asked.set()


def endless() -> bytes:
    """A graph that doubles `x` as long as it is at least 0: for 0 it never ends."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["x_in", "x_in"], ["x_out"]),
            helper.make_node("GreaterOrEqual", ["x_out", "zero"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("was", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_in", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_out", TensorProto.FLOAT, []),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "start", "x"], ["y"], body=body)],
        "endless",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("start", TensorProto.BOOL, [], [True]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def picture(name: str, edge: int = 400, **options: Any) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (edge, edge, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, name, **options)
    return buffer.getvalue()


def test_without_a_token_nothing_is_ever_stopped() -> None:
    cancel.check()
    token = Token()
    token.cancel()
    with pytest.raises(ImageTimeout), watched_by(token):
        cancel.check()
    cancel.check()


def test_a_picture_is_given_up_at_each_of_its_steps(tiny_model: Path, astronaut: bytes) -> None:
    predictor = Predictor(load_model(tiny_model))
    whole = Counting()
    with watched_by(whole):
        prepared = predictor.prepare(astronaut)
    # The looks and networks of the detector, two views and the measures at least.
    assert whole.asked > 10
    for last in range(1, whole.asked + 1):
        token = Counting(last)
        with pytest.raises(ImageTimeout), watched_by(token):
            predictor.prepare(astronaut)
        assert token.asked == last
    token = Token()
    token.cancel()
    with pytest.raises(ImageTimeout), watched_by(token):
        predictor.infer([prepared])


@pytest.mark.parametrize(
    ("name", "options"), [("JPEG", {"quality": 100}), ("JPEG", {"quality": 100, "progressive": True}), ("PNG", {})]
)
def test_decoding_asks_between_pieces_of_the_file(name: str, options: dict[str, Any]) -> None:
    data = picture(name, 600, **options)
    source, token = open_picture(data), Counting()
    with watched_by(token):
        source.reduced(600)
    assert token.asked > len(data) / 65536
    half = Counting(token.asked // 2)
    with pytest.raises(ImageTimeout), watched_by(half):
        open_picture(data).reduced(600)


def test_decoding_asks_between_strips_of_what_came_in_one_piece() -> None:
    data = picture("WEBP", 640)
    token = Counting()
    with watched_by(token):
        open_picture(data).reduced(640)
    assert token.asked >= 10


def test_a_graph_that_runs_is_ended_from_outside(capfd: pytest.CaptureFixture[str]) -> None:
    session, token = open_session(endless()), Asked()
    assert np.isnan(session.run(None, {"x": np.array(np.nan, np.float32)})[0])
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with watched_by(token):
                session.run(None, {"x": np.array(0, np.float32)})
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert token.asked.wait(20)
    token.cancel()
    thread.join(20)
    assert [type(error) for error in failures] == [ImageTimeout]
    assert capfd.readouterr().err == ""
    # The session is as good as before.
    assert np.isnan(session.run(None, {"x": np.array(np.nan, np.float32)})[0])


def test_a_graph_that_fails_by_itself_says_how() -> None:
    session = open_session(endless())
    with watched_by(Token()), pytest.raises(Exception, match="x") as caught:
        session.run(None, {"x": np.zeros(3, np.float64)})
    assert not isinstance(caught.value, ImageTimeout)
