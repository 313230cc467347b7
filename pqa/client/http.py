"""The clients: an httpx connection each, and the steps of `pqa.client.scoring` driven over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypedDict, TypeVar

from pqa.client.pieces import Pieces, split
from pqa.client.scoring import Request
from pqa.client.steps import Call, Lost, Reply, Retry, Step, Steps, Wait
from pqa.errors import ConfigurationError, MissingExtra
from pqa.runtime.assess import pictures
from pqa.types import Image, ImageSource, Ranking, SceneMode, Score, Unscored

try:
    import httpx
except ImportError as error:
    raise MissingExtra("httpx", "client") from error

__all__ = ["AsyncClient", "Client"]

T = TypeVar("T")

TIMEOUT_S = 300.0

Inputs = Iterable[ImageSource | Image]


@dataclass(frozen=True, slots=True)
class _End(Generic[T]):
    value: T


class _Body(TypedDict, total=False):
    data: dict[str, str]
    files: list[tuple[str, tuple[str, bytes]]]
    json: Any


class _Settings:
    """What both clients are given."""

    def __init__(
        self,
        url: str,
        *,
        model: str = "default",
        api_key: str | None = None,
        pieces: Pieces | None = None,
        retry: Retry | None = None,
        timeout: float = TIMEOUT_S,
    ) -> None:
        if not url.lower().startswith(("http://", "https://")):
            raise ConfigurationError(
                f"expected the address of a service, http://..., got {url}; did you mean http://{url}?"
            )
        self.url = url.rstrip("/")
        self.model = model
        self.headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self.pieces = pieces or Pieces()
        self.retry = retry or Retry()
        self.timeout = timeout

    def request(self, attribute: str, scene_mode: SceneMode, on_done: Callable[[], None] | None) -> Request:
        return Request(self.model, attribute, scene_mode, self.pieces, self.retry, on_done)


class Client:
    """Scores and ranks on a service. One connection, so that one process of the service gets all pieces of a scene.

    Not to be shared between threads. `url`: of the service, a path in front of its own included. `model`: one that it has
    loaded. `api_key`: one of its `PQA_API_KEYS`. `pieces`: the size of one upload. `timeout`: seconds of silence after which
    a connection counts as lost. `sleep` waits between attempts.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = "default",
        api_key: str | None = None,
        pieces: Pieces | None = None,
        retry: Retry | None = None,
        timeout: float = TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = _Settings(url, model=model, api_key=api_key, pieces=pieces, retry=retry, timeout=timeout)
        self._sleep = sleep
        self._http = httpx.Client(headers=self._settings.headers, timeout=timeout)

    def rank(
        self,
        inputs: Inputs,
        *,
        scene: str = "default",
        attribute: str = "overall",
        scene_mode: SceneMode = "group",
        on_done: Callable[[], None] | None = None,
    ) -> Ranking:
        """Like `Assessor.rank`, by the client's model. `on_done` is called once a picture.

        `inputs` are paths, bytes of files or `pqa.Image`; arrays have no file that could be sent. A picture that cannot be
        scored is listed in `unscored`. Raises ServiceError for a service that refuses, fails or is not there, and where no
        picture has a score; ConfigurationError for other inputs.
        """
        images = pictures(inputs, scene)
        return self._drive(self._settings.request(attribute, scene_mode, on_done).ranking(images))

    def score(
        self,
        inputs: Inputs,
        *,
        scene: str = "default",
        attribute: str = "overall",
        scene_mode: SceneMode = "image",
        on_done: Callable[[], None] | None = None,
    ) -> list[Score | Unscored]:
        """Like `Assessor.score`, by the client's model; the rest as in `rank`."""
        images = pictures(inputs, scene)
        return self._drive(self._settings.request(attribute, scene_mode, on_done).scores(images))

    def stream(
        self,
        inputs: Inputs,
        *,
        scene: str = "default",
        attribute: str = "overall",
        scene_mode: SceneMode = "image",
        on_done: Callable[[], None] | None = None,
    ) -> Iterator[Score | Unscored]:
        """The rows of `score`, in input order, an upload's rows as soon as it is answered; in `scene_mode` group at the end."""
        images = pictures(inputs, scene)
        for piece in [images] if scene_mode == "group" else split(images, self._settings.pieces):
            yield from self._drive(self._settings.request(attribute, scene_mode, on_done).scores(piece))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drive(self, steps: Steps[T]) -> T:
        reply: Reply | Lost | None = None
        while not isinstance(step := _next(steps, reply), _End):
            if isinstance(step, Wait):
                self._sleep(step.seconds)
                reply = None
            else:
                reply = self._post(step)
        return step.value

    def _post(self, call: Call) -> Reply | Lost:
        try:
            return _reply(self._http.post(self._settings.url + call.path, **_body(call)))
        except httpx.TransportError as error:
            return Lost(error)


class AsyncClient:
    """`Client` for asyncio. Files and answers are read in a thread, so the event loop is never held up."""

    def __init__(
        self,
        url: str,
        *,
        model: str = "default",
        api_key: str | None = None,
        pieces: Pieces | None = None,
        retry: Retry | None = None,
        timeout: float = TIMEOUT_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = _Settings(url, model=model, api_key=api_key, pieces=pieces, retry=retry, timeout=timeout)
        self._sleep = sleep
        self._http = httpx.AsyncClient(headers=self._settings.headers, timeout=timeout)

    async def rank(
        self,
        inputs: Inputs,
        *,
        scene: str = "default",
        attribute: str = "overall",
        scene_mode: SceneMode = "group",
        on_done: Callable[[], None] | None = None,
    ) -> Ranking:
        """`Client.rank`; `on_done` is called from another thread."""
        images = await asyncio.to_thread(pictures, inputs, scene)
        return await self._drive(self._settings.request(attribute, scene_mode, on_done).ranking(images))

    async def score(
        self,
        inputs: Inputs,
        *,
        scene: str = "default",
        attribute: str = "overall",
        scene_mode: SceneMode = "image",
        on_done: Callable[[], None] | None = None,
    ) -> list[Score | Unscored]:
        """`Client.score`; `on_done` is called from another thread."""
        images = await asyncio.to_thread(pictures, inputs, scene)
        return await self._drive(self._settings.request(attribute, scene_mode, on_done).scores(images))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _drive(self, steps: Steps[T]) -> T:
        reply: Reply | Lost | None = None
        while not isinstance(step := await asyncio.to_thread(_next, steps, reply), _End):
            if isinstance(step, Wait):
                await self._sleep(step.seconds)
                reply = None
            else:
                reply = await self._post(step)
        return step.value

    async def _post(self, call: Call) -> Reply | Lost:
        try:
            return _reply(await self._http.post(self._settings.url + call.path, **_body(call)))
        except httpx.TransportError as error:
            return Lost(error)


def _next(steps: Steps[T], reply: Reply | Lost | None) -> Step | _End[T]:
    try:
        return steps.send(reply)
    except StopIteration as end:
        return _End(end.value)


def _body(call: Call) -> _Body:
    if call.json is not None:
        return {"json": call.json}
    return {"data": dict(call.fields), "files": [("images", file) for file in call.files]}


def _reply(response: httpx.Response) -> Reply:
    try:
        document = response.json()
    except ValueError:
        document = None
    return Reply(response.status_code, response.headers.get("retry-after", ""), document)
