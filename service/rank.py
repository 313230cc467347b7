"""`POST /rank` and `POST /score`: pictures in, the answer document out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pqa.runtime.assess import Outcome, answer, check_request, score_rows
from pqa.runtime.predictor import Prediction, Predictor
from pqa.types import SCHEMA_VERSION, Image, ModelInfo, Ranking, SceneMode, Score, Unscored, Warn
from service import access, schema
from service.intake import Failure, Intake, rows
from service.limits import too_large
from service.multipart import PartReader
from service.problems import Problem
from service.requests import Options, form_options, json_request
from service.state import Service, of

__all__ = ["Scores", "router"]

router = APIRouter()

Items = list[tuple[Image, Outcome]]

_CODES = {"timeout": "deadline", "model_error": "model-failed"}
"""Problem of a request whose pictures all failed for a reason that lies with the service."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Answer of `/score`: one row a picture in the order they came; `unscored` holds the others."""

    model: ModelInfo
    attribute: str
    scene_mode: SceneMode
    scores: tuple[Score, ...]
    unscored: tuple[Unscored, ...] = ()
    warnings: tuple[Warn, ...] = ()
    schema_version: int = SCHEMA_VERSION


def ranked(predictor: Predictor, items: Items, attribute: str, scene_mode: SceneMode) -> dict[str, Any]:
    return answer(predictor, items, attribute=attribute, scene_mode=scene_mode).to_dict()


def scored(predictor: Predictor, items: Items, attribute: str, scene_mode: SceneMode) -> dict[str, Any]:
    head = answer(predictor, (), attribute=attribute, scene_mode=scene_mode).to_dict()
    lines = score_rows(predictor, items, attribute=attribute, scene_mode=scene_mode)
    del head["groups"]
    head["scores"] = [line.to_dict() for line in lines if isinstance(line, Score)]
    head["unscored"] = [line.to_dict() for line in lines if isinstance(line, Unscored)]
    return head


Document = Callable[[Predictor, Items, str, SceneMode], dict[str, Any]]


@router.post(
    "/rank",
    operation_id="rank",
    response_class=Response,
    **schema.scoring(Ranking, "Rank the pictures of each scene, best first"),
)
async def rank(request: Request) -> Response:
    """One group a scene. A picture that cannot be scored is listed in `unscored` and never fails the others."""
    return await _respond(request, ranked, "group")


@router.post(
    "/score",
    operation_id="score",
    response_class=Response,
    **schema.scoring(Scores, "Score every picture by itself"),
)
async def score(request: Request) -> Response:
    """One row a picture, in the order they came. Compare scores within one model and scene only."""
    return await _respond(request, scored, "image")


async def _respond(request: Request, document: Document, scene_mode: SceneMode) -> Response:
    service = of(request)
    with service.traces.request(f"POST {request.url.path}", request.headers):
        return await _answer(request, service, document, scene_mode)


async def _answer(request: Request, service: Service, document: Document, scene_mode: SceneMode) -> Response:
    asking = access.client(request)
    service.admit()
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) != "identity":
        raise Problem(
            "unsupported-media-type",
            f"expected a body as it is, without Content-Encoding, got {coding[:64]!r}; pictures are compressed already",
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    take = {"multipart/form-data": _take_multipart, "application/json": _take_json}.get(kind)
    if take is None:
        raise Problem(
            "unsupported-media-type",
            f"expected multipart/form-data (files in the field 'images') or application/json, got {kind[:64] or 'none'!r}",
        )
    with service.clients.place(asking), service.uploads.upload(asking, request.state.arrival) as upload:
        intake = Intake(service.pipeline, service.settings, upload)
        try:
            predictor, options = await take(request, service, intake)
            mode = cast(SceneMode, options.scene_mode or scene_mode)
            images = intake.images(options.scene, options.scenes)
            if not images:
                raise Problem("invalid-request", "no pictures: send at least one in the field 'images'")
            check_request(predictor, images, options.attribute, mode)
            outcomes = await _unless_gone(request, intake)
        except ClientDisconnect:
            request.state.reason = "client-gone"
            return Response(status_code=499)
        finally:
            await intake.cancel()
    items = rows(images, outcomes)
    _count(request, service, items)
    with service.traces.span("rank", pictures=len(items)):
        body = await asyncio.to_thread(_encode, document, predictor, items, options.attribute, mode)
    return Response(body, media_type="application/json")


def _json_too_large(limit: int) -> Problem:
    return too_large("a JSON request (multipart takes more)", limit)


async def _take_multipart(request: Request, service: Service, intake: Intake) -> tuple[Predictor, Options]:
    settings = service.settings
    reader = PartReader(
        request.headers["content-type"],
        files="images",
        max_files=settings.max_images,
        max_file=settings.max_file_bytes,
    )
    fields: dict[str, str] = {}
    predictor: Predictor | None = None

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            await intake.take(len(chunk), reader.partial)
            yield chunk

    async for part in reader.parts(chunks()):
        if part.name == "images":
            if predictor is None:
                predictor = _choose(service, form_options(fields, settings.most_pictures))
            # Not kept here beside the copy that is decoded.
            data, part.data = part.data, bytearray()
            await intake.add(part.filename, data, predictor)
        elif part.name in fields:
            raise Problem("invalid-request", f"the field {part.name[:64]!r} came twice; send it once")
        else:
            fields[part.name] = part.data.decode("utf-8", errors="replace")
            form_options({part.name: fields[part.name]}, settings.most_pictures)
    options = form_options(fields, settings.most_pictures)
    chosen = service.models.get(options.model)
    if predictor is not None and chosen is not predictor:
        raise Problem("invalid-request", "the field 'model' must come before the first picture")
    return chosen, options


async def _take_json(request: Request, service: Service, intake: Intake) -> tuple[Predictor, Options]:
    settings = service.settings
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_json_bytes:
        raise _json_too_large(settings.max_json_bytes)
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > settings.max_json_bytes:
            raise _json_too_large(settings.max_json_bytes)
        # Once as it came, once as the texts within it.
        await intake.take(2 * len(chunk), 0)
        body += chunk
    asked = await asyncio.to_thread(json_request, body, settings.most_pictures)
    del body
    if sum(entry.data is not None for entry in asked.images) > settings.max_images:
        raise too_large("pictures in one request", settings.max_images, "pictures")
    predictor = _choose(service, asked)
    sha256 = predictor.model.info.sha256
    named = {entry.sha256.lower() for entry in asked.images if entry.sha256 is not None}
    # Taken out now, before anything runs, so that none can leave the cache in the meantime.
    known = {key: hit for key in named if (hit := service.pipeline.cache.get((sha256, key))) is not None}
    if unknown := sorted(named - set(known)):
        raise Problem(
            "unknown-pictures",
            f"{len(unknown)} of {len(named)} pictures are not known to model {predictor.spec.name}; upload them first",
            sha256=unknown,
        )
    for entry in asked.images:
        if entry.sha256 is not None:
            intake.add_known(entry.id, known[entry.sha256.lower()], entry.scene)
        elif entry.data is not None:
            text, entry.data = entry.data, None
            await intake.add_base64(entry.id, text, predictor, entry.scene)
    return predictor, asked


def _choose(service: Service, options: Options) -> Predictor:
    """The model that was asked for, once everything known so far has been checked against it."""
    predictor = service.models.get(options.model)
    check_request(predictor, [], options.attribute, options.scene_mode or "image")
    return predictor


async def _unless_gone(request: Request, intake: Intake) -> list[Prediction | Failure]:
    """The outcomes, or ClientDisconnect as soon as nobody waits for them any more."""
    work = asyncio.ensure_future(intake.outcomes())
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _count(request: Request, service: Service, items: Items) -> None:
    """Count every picture by its status. Raises a Problem when none was scored."""
    unscored = [outcome for _, outcome in items if isinstance(outcome, Unscored)]
    for _, outcome in items:
        service.metrics.pictures.labels(outcome.status if isinstance(outcome, Unscored) else "ok").inc()
    request.state.log = {"pictures": len(items), "unscored": len(unscored)}
    if len(unscored) < len(items):
        return
    statuses = sorted({row.status for row in unscored})
    code = _CODES.get(",".join(statuses), "nothing-scored")
    raise Problem(
        code,
        f"none of {len(items)} pictures could be scored: {', '.join(statuses)}",
        unscored=[row.to_dict() for row in unscored],
    )


def _encode(document: Document, predictor: Predictor, items: Items, attribute: str, mode: SceneMode) -> bytes:
    return json.dumps(document(predictor, items, attribute, mode), allow_nan=False).encode()
