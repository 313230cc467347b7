"""A ranking or a list of scores as a sequence of requests.

Pictures go to the service in pieces. Scenes that fit into one piece are one request. A larger scene is uploaded piece by
piece to `/score` and then asked for whole by the SHA-256 of its files; those that the service does not know any more
(another process behind the same address, a full cache) are uploaded again. A piece over a limit of the service is halved
until only the picture that is too large remains, which is then listed as such.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, get_args

from pqa.client.pieces import Pieces, packed, read
from pqa.client.steps import Call, Retry, Steps, answered
from pqa.errors import ConfigurationError, ServiceError, Status
from pqa.structured import structured
from pqa.types import Group, Image, Ranking, SceneMode, Score, Unscored

__all__ = ["Request"]

T = TypeVar("T")

ROUNDS = 4
"""How often a scene is asked for by hash before a service that keeps forgetting is given up."""

_PLAIN = re.compile(r'[^"\\\x00-\x1f\x7f]*')
"""Names that the header of a part carries unchanged."""


@dataclass(slots=True)
class Request:
    """One call of `rank` or `score`: what is asked of the service, and what is known of the pictures so far."""

    model: str
    attribute: str
    scene_mode: SceneMode
    pieces: Pieces
    retry: Retry
    on_done: Callable[[], None] | None
    _missing: dict[str, Unscored] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)
    _failure: ServiceError | None = None

    def ranking(self, images: Sequence[Image]) -> Steps[Ranking]:
        """Raises ServiceError where not one picture has a score: there is no answer then that could list them."""
        documents = yield from self._documents("/rank", packed(images, self.pieces, pooled=True))
        answers = [_read(Ranking, document) for document in documents]
        if not answers:
            words = "; ".join(f"{row.id}: {row.status}: {row.detail}" for row in list(self._missing.values())[:3])
            raise self._failure or ServiceError(f"no picture could be sent: {words or 'expected at least one'}")
        if len({answer.model for answer in answers}) > 1:
            raise ServiceError("the service changed its model between two scenes; rank again")
        devices = {image.id: image.device for image in images}
        return replace(
            answers[0],
            groups=tuple(_with_devices(group, devices) for answer in answers for group in answer.groups),
            unscored=tuple(self._missing[image.id] for image in images if image.id in self._missing),
        )

    def scores(self, images: Sequence[Image]) -> Steps[list[Score | Unscored]]:
        """One row a picture, in order."""
        requests = packed(images, self.pieces, pooled=self.scene_mode == "group")
        documents = yield from self._documents("/score", requests)
        scored = [_read(Score, row) for document in documents for row in document["scores"]]
        by_id = {row.id: row for row in scored}
        rows: list[Score | Unscored] = []
        for image in images:
            if image.id in self._missing:
                rows.append(self._missing[image.id])
            elif image.id in by_id:
                rows.append(replace(by_id[image.id], device=image.device))
            else:
                raise ServiceError(f"the service left out {image.id}")
        return rows

    def _documents(self, path: str, requests: Iterable[Sequence[Image]]) -> Steps[list[dict[str, Any]]]:
        documents = []
        for images in requests:
            document = yield from self._document(path, images)
            if document is not None:
                documents.append(document)
            for _ in images:
                if self.on_done is not None:
                    self.on_done()
        return documents

    def _document(self, path: str, images: Sequence[Image]) -> Steps[dict[str, Any] | None]:
        """The answer over `images`, None where not one has a score; those without one go to `_missing`."""
        if self.pieces.hold(images) and all(_PLAIN.fullmatch(image.id) for image in images):
            try:
                return (yield from self._send(path, images, [image.id for image in images], self.scene_mode))
            except ServiceError as error:
                if error.status != 413:
                    raise
        wanted: Sequence[Image] = images
        for _ in range(ROUNDS):
            for piece in packed(wanted, self.pieces, pooled=False):
                yield from self._upload(piece)
            present = [image for image in images if image.id not in self._missing]
            if not present:
                return None
            try:
                return (yield from self._by_hash(path, present))
            except ServiceError as error:
                if error.code != "unknown-pictures":
                    raise
                failure = error
                unknown = set(error.document.get("sha256", ()))
                wanted = [image for image in present if self._hashes[image.id] in unknown]
        raise failure

    def _upload(self, images: Sequence[Image]) -> Steps[None]:
        try:
            yield from self._send("/score", images, [str(number) for number in range(len(images))], "image")
        except ServiceError as error:
            if error.status != 413:
                raise
            if len(images) == 1:
                (image,) = images
                self._missing[image.id] = Unscored(image.id, image.scene, "too_large", str(error))
                self._failure = error
                return
            middle = len(images) // 2
            yield from self._upload(images[:middle])
            yield from self._upload(images[middle:])

    def _send(
        self, path: str, images: Sequence[Image], names: Sequence[str], mode: SceneMode
    ) -> Steps[dict[str, Any] | None]:
        """Send files under these names. What cannot be read here or scored there goes to `_missing`."""
        files: list[tuple[str, bytes]] = []
        for image, name in zip(images, names, strict=True):
            try:
                data = read(image)
            except OSError as error:
                self._missing[image.id] = Unscored(image.id, image.scene, "unreadable", f"cannot be read: {error}")
                continue
            self._hashes[image.id] = hashlib.sha256(data).hexdigest()
            files.append((name, data))
        if not files:
            return None
        by_name = dict(zip(names, images, strict=True))
        scenes = {name: by_name[name].scene for name, _ in files}
        fields = {**self._options(mode), "scenes": json.dumps(scenes)}
        document: dict[str, Any] | None
        try:
            document = yield from answered(Call(path, fields, tuple(files)), self.retry)
            rows = document["unscored"] if document is not None else []
        except ServiceError as error:
            if "unscored" not in error.document:
                raise
            document, rows, self._failure = None, error.document["unscored"], error
        for row in rows:
            image = by_name[row["id"]]
            status: Status = row["status"] if row["status"] in get_args(Status) else "model_error"
            self._missing[image.id] = Unscored(image.id, image.scene, status, row["detail"])
        return document

    def _by_hash(self, path: str, images: Sequence[Image]) -> Steps[dict[str, Any]]:
        rows = [{"id": image.id, "sha256": self._hashes[image.id], "scene": image.scene} for image in images]
        document: dict[str, Any] = yield from answered(
            Call(path, json={**self._options(self.scene_mode), "images": rows}), self.retry
        )
        return document

    def _options(self, mode: SceneMode) -> dict[str, str]:
        return {"model": self.model, "attribute": self.attribute, "scene_mode": mode}


def _with_devices(group: Group, devices: dict[str, str | None]) -> Group:
    return replace(group, ranking=tuple(replace(row, device=devices[row.id]) for row in group.ranking))


def _read(kind: type[T], raw: Any) -> T:
    try:
        return structured(kind, raw, "answer")
    except ConfigurationError as error:
        raise ServiceError(f"the service answers in another form than this version reads: {error}") from error
