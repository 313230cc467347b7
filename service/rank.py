"""`POST /rank` and `POST /score`: pictures in, the answer document out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pqa.runtime.assess import Outcome, answer, check_request, score_rows
from pqa.runtime.predictor import Prediction, Predictor
from pqa.types import SCHEMA_VERSION, Image, ModelInfo, Ranking, SceneMode, Score, Unscored, Warn
from service import access, events, schema
from service.bodies import Take, picture, reader_of
from service.events import Tell
from service.intake import Failure, Intake, rows
from service.problems import Problem
from service.requests import form_options
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
    **schema.scoring(Scores, "Score every picture by itself", bare=True),
)
async def score(
    request: Request,
    attribute: Annotated[
        str, Query(description="As the field of a form, for a body that is one bare picture")
    ] = "overall",
    model: Annotated[str, Query(description="As the field of a form, for a body that is one bare picture")] = "default",
) -> Response:
    """One row a picture, in the order they came. Compare scores within one model and scene only."""
    options = form_options({"attribute": attribute, "model": model}, of(request).settings.most_pictures)
    return await _respond(request, scored, "image", picture(options))


async def _respond(request: Request, document: Document, scene_mode: SceneMode, bare: Take | None = None) -> Response:
    async def work(tell: Tell | None = None) -> Response:
        service = of(request)
        with service.traces.request(f"POST {request.url.path}", request.headers):
            return await _answer(request, service, document, scene_mode, bare, tell)

    kind = events.form(request)
    return await (work() if kind is None else events.answering(request, kind, work))


async def _answer(
    request: Request,
    service: Service,
    document: Document,
    scene_mode: SceneMode,
    bare: Take | None,
    tell: Tell | None,
) -> Response:
    asking = access.client(request)
    service.admit()
    take = reader_of(request, bare)
    with service.clients.place(asking), service.uploads.upload(asking, request.state.arrival) as upload:
        intake = Intake(service.pipeline, service.settings, upload, tell)
        try:
            options = await take(request, service, intake)
            mode = cast(SceneMode, options.scene_mode or scene_mode)
            images = intake.images(options.scene, options.scenes)
            if not images:
                raise Problem("invalid-request", "no pictures: send at least one in the field 'images'")
            check_request(intake.predictor, images, options.attribute, mode)
            outcomes = await _unless_gone(request, intake)
        except ClientDisconnect:
            request.state.reason = "client-gone"
            return Response(status_code=499)
        finally:
            await intake.cancel()
    items = rows(images, outcomes)
    _count(request, service, items)
    with service.traces.span("rank", pictures=len(items)):
        body = await asyncio.to_thread(_encode, document, intake.predictor, items, options.attribute, mode)
    return Response(body, media_type="application/json")


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
