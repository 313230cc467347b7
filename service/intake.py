"""The pictures of one request: taken in one by one, sent through the pipeline, waited for, or dropped together."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from pqa.errors import ImageTimeout, InputError, ModelError, UnreadableImage
from pqa.runtime.assess import Outcome, unique
from pqa.runtime.predictor import Prediction, Predictor
from pqa.types import Image, Unscored
from service.events import Tell
from service.limits import Upload, too_large
from service.pipeline import Pipeline
from service.problems import Problem
from service.settings import Settings

__all__ = ["Failure", "Intake", "check_queue", "rows"]

ID_LENGTH = 1024
_BLANKS = b" \t\n\r\v\f"
_PIECE = 1 << 20

SHARES = 3
"""Requests with many pictures that find room beside each other; also the least room, in pictures a decode thread."""

Failure = InputError | ModelError


@dataclass(slots=True)
class Picture:
    """One picture of the request, under the name it came with and the id that its row has.

    `scene` is None where the client left it to the request's `scene` or `scenes`.
    """

    name: str
    id: str
    scene: str | None
    outcome: asyncio.Task[Prediction | Failure] | Prediction | Failure


def timely(pipeline: Pipeline, settings: Settings) -> float:
    """Pictures that may be in work so that the next one is done in time, at the pace of the last ones."""
    return max(SHARES * settings.decoders, pipeline.pace.within(settings.queue_seconds))


def check_queue(pipeline: Pipeline, settings: Settings) -> None:
    """Raises the problem `busy` when as many pictures as are taken are in work already."""
    if pipeline.waiting >= min(settings.queue, timely(pipeline, settings)):
        # By then there is room for many: those who come back are not alone.
        half_s = pipeline.pace.seconds(pipeline.waiting / 2)
        raise Problem("busy", "too many pictures are waiting; try again", reason="queue", retry_s=half_s)


class Intake:
    """Bounded by the largest single file, and by the settings' window; used from the event loop only.

    `tell` hears of every picture when it is done, in that order, which need not be the one they came in.
    """

    predictor: Predictor

    def __init__(self, pipeline: Pipeline, settings: Settings, upload: Upload, tell: Tell | None = None) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._upload = upload
        self._held = 0
        self._in_work = 0
        self._sent = False
        self._moved = asyncio.Event()
        self._pictures: list[Picture] = []
        self._ids: set[str] = set()
        self._tell = tell
        self._attribute = ""

    def choose(self, predictor: Predictor, attribute: str) -> None:
        """By which model pictures are scored; `attribute` is what is told of them."""
        self.predictor = predictor
        self._attribute = attribute

    def __len__(self) -> int:
        return len(self._pictures)

    async def take(self, arrived: int, partial: int) -> None:
        """Hold the bytes that arrived, `partial` ones of their picture being held already.

        Waits for pictures of this request that are in work as long as there is no room beside them.
        """
        most = self._settings.max_file_bytes
        while self._held and (self._held + partial + arrived > most or not self._upload.fits(arrived)):
            await self._wait()
        self._upload.grow(arrived)

    async def _wait(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    def _name(self, id: str | None) -> str:
        if id and len(id) > ID_LENGTH:
            raise Problem("invalid-request", f"the name of picture {len(self._pictures) + 1} is over {ID_LENGTH} long")
        return id or f"image-{len(self._pictures) + 1}"

    async def add(self, id: str | None, data: bytes | bytearray, scene: str | None = None) -> None:
        """Send one file on its way; waits while as many as the window allows are in work.

        Raises the problem `busy` for the first one when the queue is full: it may have filled since the door.
        """
        name = self._name(id)
        while self._in_work >= min(self._settings.request_window, timely(self._pipeline, self._settings) / SHARES):
            await self._wait()
        if not self._sent:
            check_queue(self._pipeline, self._settings)
            self._sent = True
        self._in_work += 1
        self._held += len(data)
        size = len(data)
        future = self._pipeline.submit(self.predictor, data)
        task = asyncio.create_task(self._score(future))
        picture = self._picture(name, scene, task)

        def finished(done: asyncio.Task[Prediction | Failure]) -> None:
            # A task that is cancelled before it begins has not waited for it.
            future.cancel()
            self._in_work -= 1
            self._held -= size
            self._upload.add(-size)
            self._moved.set()
            if not done.cancelled():
                self._done(picture, done.result())

        task.add_done_callback(finished)

    async def _score(self, future: Future[Prediction]) -> Prediction | Failure:
        seconds = self._settings.picture_timeout_s
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
        except (InputError, ModelError) as error:
            return error
        except TimeoutError:
            return ImageTimeout(f"not scored within {seconds:g} s of its arrival")

    async def add_base64(self, id: str | None, text: str, scene: str | None) -> None:
        """Like `add`, for base64 text. Text that is no base64 is one unreadable picture, not a wrong request."""
        # Three bytes are four characters: refused before it is decoded.
        if len(text) * 3 // 4 - 2 > self._settings.max_file_bytes:
            raise too_large("a picture", self._settings.max_file_bytes)
        try:
            data = await asyncio.to_thread(_decode, text)
        except UnreadableImage as error:
            self.add_known(id, error, scene)
            return
        await self.add(id, data, scene)

    def add_known(self, id: str | None, outcome: Prediction | Failure, scene: str | None) -> None:
        """A picture whose outcome needs no work."""
        self._done(self._picture(self._name(id), scene, outcome), outcome)

    def _picture(
        self, name: str, scene: str | None, outcome: asyncio.Task[Prediction | Failure] | Prediction | Failure
    ) -> Picture:
        picture = Picture(name, unique(name, self._ids), scene, outcome)
        self._pictures.append(picture)
        return picture

    def _done(self, picture: Picture, outcome: Prediction | Failure) -> None:
        if self._tell is None:
            return
        image = Image(picture.id, b"", picture.scene or "default")
        if isinstance(outcome, Exception):
            self._tell("unscored", {"row": _unscored(image, outcome).to_dict()})
        else:
            row = self.predictor.compose(image, outcome, attribute=self._attribute)
            self._tell("row", {"row": row.to_dict()})

    def images(self, scene: str, scenes: Mapping[str, str]) -> list[Image]:
        """Ids and scenes of the pictures, in their order. Raises a Problem for a name in `scenes` that never came."""
        missing = sorted(set(scenes) - {picture.name for picture in self._pictures})
        if missing:
            raise Problem("invalid-request", f"scenes names pictures that are not in the request: {missing[:5]}")
        return [Image(picture.id, b"", picture.scene or scenes.get(picture.name, scene)) for picture in self._pictures]

    async def outcomes(self) -> list[Prediction | Failure]:
        """Every picture's prediction or failure, in order, when all are there."""
        return [
            await picture.outcome if isinstance(picture.outcome, asyncio.Task) else picture.outcome
            for picture in self._pictures
        ]

    async def cancel(self) -> None:
        """Drop what has not been run yet."""
        tasks = [picture.outcome for picture in self._pictures if isinstance(picture.outcome, asyncio.Task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _decode(text: str) -> bytes:
    try:
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            clean = bytearray()
            for start in range(0, len(text), _PIECE):
                clean += text[start : start + _PIECE].encode("ascii").translate(None, _BLANKS)
            return binascii.a2b_base64(clean, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise UnreadableImage(f"expected standard base64 with padding, without a data: prefix: {error}") from error


def rows(images: list[Image], outcomes: list[Prediction | Failure]) -> list[tuple[Image, Outcome]]:
    """What `pqa.runtime.assess` takes: each image with its prediction or its `Unscored` row."""
    return [
        (image, _unscored(image, outcome) if isinstance(outcome, Exception) else outcome)
        for image, outcome in zip(images, outcomes, strict=True)
    ]


def _unscored(image: Image, failure: Failure) -> Unscored:
    return Unscored(image.id, image.scene, failure.status, str(failure))
