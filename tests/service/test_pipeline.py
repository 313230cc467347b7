"""The pipeline with a predictor that does what a test tells it: failures, order, cancellation, death, cache."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pqa import cancel
from pqa.errors import ModelError, UnreadableImage
from pqa.runtime.predictor import Facts, Prediction, Prepared
from service.cache import PredictionCache
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.tracing import Traces
from tests.serving import wait_for


class Scripted:
    """A predictor whose score is the length of the bytes; some contents misbehave."""

    def __init__(self, sha256: str = "model") -> None:
        self.model = SimpleNamespace(info=SimpleNamespace(sha256=sha256))
        self.gate = threading.Event()
        self.gate.set()
        self.prepared: list[bytes] = []
        self.batches: list[int] = []

    def prepare(self, data: bytes) -> Prepared:
        self.gate.wait(20)
        self.prepared.append(data)
        if data == b"bad":
            raise UnreadableImage("not a picture")
        if data == b"endless":
            _go_on()
        if data == b"bug":
            raise ZeroDivisionError("a fault of ours")
        digest = hashlib.sha256(data).hexdigest()
        return Prepared(Facts(digest, len(data), 1, (), (), (data.decode(),)), {})

    def infer(self, batch: list[Prepared]) -> list[Prediction]:
        self.batches.append(len(batch))
        words = {item.facts.flags[0] for item in batch}
        if "poison" in words:
            raise ModelError("not finite")
        if "endless run" in words:
            _go_on()
        if "fatal" in words:
            raise SystemExit
        return [Prediction(item.facts, np.float32([item.facts.width]), None, None, None, {}, None) for item in batch]


def _go_on() -> None:
    """Work that only its token can end."""
    while True:
        cancel.check()
        time.sleep(0.001)


@pytest.fixture
def predictor() -> Any:
    return Scripted()


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    pipeline = Pipeline(decoders=1, batch=4, cache=PredictionCache(2), metrics=Metrics(), traces=Traces())
    pipeline.start()
    yield pipeline
    pipeline.close()


def test_every_picture_gets_its_own_outcome(pipeline: Pipeline, predictor: Any) -> None:
    futures = [pipeline.submit(predictor, data) for data in (b"four", b"bad", b"bug", b"poison", b"sevenxx")]
    assert futures[0].result(20).score == [4]
    assert futures[4].result(20).score == [7]
    for number, message in ((1, "not a picture"), (2, "unexpected"), (3, "the model failed")):
        error = futures[number].exception(20)
        assert isinstance(error, UnreadableImage | ModelError)
        assert message in str(error)
    wait_for(lambda: pipeline.waiting == 0)


def test_a_hundred_failures_cost_the_next_good_picture_nothing(pipeline: Pipeline, predictor: Any) -> None:
    for future in [pipeline.submit(predictor, b"poison") for _ in range(100)]:
        assert isinstance(future.exception(20), ModelError)
    assert pipeline.submit(predictor, b"good").result(20).score == [4]
    assert pipeline.alive


def test_poison_in_a_batch_spares_the_others(pipeline: Pipeline, predictor: Any) -> None:
    block = Scripted()
    entered = threading.Event()
    original = block.infer

    def slow(batch: list[Prepared]) -> list[Prediction]:
        entered.set()
        block.gate.wait(20)
        return original(batch)

    block.infer = slow
    first = pipeline.submit(block, b"blocks the model thread")
    wait_for(lambda: len(block.prepared) == 1)
    block.gate.clear()
    assert entered.wait(20) or first.done()
    futures = [pipeline.submit(predictor, data) for data in (b"a", b"poison", b"ccc")]
    wait_for(lambda: len(predictor.prepared) == 3)
    block.gate.set()
    assert futures[0].result(20).score == [1]
    assert futures[2].result(20).score == [3]
    assert isinstance(futures[1].exception(20), ModelError)


def test_cancelled_pictures_never_run(pipeline: Pipeline, predictor: Any) -> None:
    predictor.gate.clear()
    futures = [pipeline.submit(predictor, f"{n}".encode()) for n in range(50)]
    wait_for(lambda: futures[0].running() or pipeline.waiting == 50)
    for future in futures:
        future.cancel()
    predictor.gate.set()
    assert pipeline.submit(predictor, b"next").result(20).score == [4]
    assert len(predictor.prepared) <= 2
    with pytest.raises(CancelledError):
        futures[-1].result(0)
    assert pipeline.waiting == 0


def cancelled(pipeline: Pipeline) -> float:
    return float(pipeline._metrics.cancelled._value.get())


def test_work_that_nobody_waits_for_gives_its_thread_back(pipeline: Pipeline, predictor: Any) -> None:
    late = pipeline.submit(predictor, b"endless")
    wait_for(lambda: predictor.prepared == [b"endless"])
    late.cancel()
    assert pipeline.submit(predictor, b"next").result(20).score == [4]
    assert cancelled(pipeline) == 1
    late = pipeline.submit(predictor, b"endless run")
    wait_for(lambda: predictor.batches == [1, 1])
    late.cancel()
    assert pipeline.submit(predictor, b"again").result(20).score == [5]
    assert cancelled(pipeline) == 2
    assert pipeline.alive


def test_a_run_of_several_pictures_ends_when_nobody_waits_for_any(pipeline: Pipeline, predictor: Any) -> None:
    first = pipeline.submit(predictor, b"endless run")
    wait_for(lambda: predictor.batches == [1])
    others = [pipeline.submit(predictor, data) for data in (b"endless run", b"a")]
    wait_for(lambda: len(predictor.prepared) == 3)
    first.cancel()
    wait_for(lambda: predictor.batches == [1, 2])
    others[0].cancel()
    assert not others[1].done()
    assert predictor.batches == [1, 2]
    others[1].cancel()
    assert pipeline.submit(predictor, b"next").result(20).score == [4]
    assert cancelled(pipeline) == 3


def test_a_dead_model_thread_is_seen_and_fails_what_waits(pipeline: Pipeline, predictor: Any) -> None:
    assert isinstance(pipeline.submit(predictor, b"fatal").exception(20), ModelError)
    wait_for(lambda: not pipeline.alive)
    assert isinstance(pipeline.submit(predictor, b"late").exception(20), ModelError)


def test_known_pictures_are_not_run_again_and_models_do_not_share(pipeline: Pipeline, predictor: Any) -> None:
    for _ in range(3):
        assert pipeline.submit(predictor, b"same").result(20).score == [4]
    assert predictor.prepared == [b"same"]
    other = Scripted("other model")
    pipeline.submit(other, b"same").result(20)
    assert other.prepared == [b"same"]


def test_failures_are_not_remembered(pipeline: Pipeline, predictor: Any) -> None:
    for _ in range(2):
        assert pipeline.submit(predictor, b"bad").exception(20)
    assert len(predictor.prepared) == 2


def test_the_cache_drops_what_was_used_longest_ago() -> None:
    cache = PredictionCache(2)
    rows: list[Any] = [object() for _ in range(3)]
    cache.put(("m", "a"), rows[0])
    cache.put(("m", "b"), rows[1])
    assert cache.get(("m", "a")) is rows[0]
    cache.put(("m", "c"), rows[2])
    assert cache.get(("m", "b")) is None
    assert cache.get(("m", "a")) is rows[0]
    assert len(cache) == 2


def test_a_cache_of_size_zero_keeps_nothing() -> None:
    cache = PredictionCache(0)
    cache.put(("m", "a"), object())
    assert len(cache) == 0
