"""`GET /models`, `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from service import access
from service.metrics import CONTENT_TYPE
from service.models import ModelList
from service.problems import Problem
from service.schema import KEYED, OPEN, problems
from service.state import of

__all__ = ["models_router", "router"]

router = APIRouter()

models_router = APIRouter()
"""`/models`, which has versions as what scores has."""


@dataclass(frozen=True, slots=True)
class Health:
    status: Literal["ok"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """`workers_ready` of `workers` processes on this port can score pictures; the one that answers is among them."""

    status: Literal["ready"]
    workers: int
    workers_ready: int


@models_router.get(
    "/models",
    operation_id="models",
    tags=["models"],
    summary="Models and what their files say about themselves",
    responses=problems("malformed", "unauthorised", "forbidden", "unavailable"),
    openapi_extra=KEYED,
)
async def models(request: Request) -> ModelList:
    """The loaded models first, the default one on top; then the other files of the store, damaged ones with the error."""
    access.client(request)
    service = of(request)
    return dataclasses.replace(service.models.listing, reload_error=service.reload_error)


@router.get(
    "/healthz",
    operation_id="healthz",
    tags=["operations"],
    summary="Is the process alive",
    responses=problems("malformed", "unavailable"),
    openapi_extra=OPEN,
)
async def healthz(request: Request) -> Health:
    """503 only for what a restart would mend: loading failed, or the model thread died."""
    service = of(request)
    if service.broken:
        raise Problem("unavailable", service.trouble or "")
    return Health("ok")


@router.get(
    "/readyz",
    operation_id="readyz",
    tags=["operations"],
    summary="Can pictures be scored now",
    responses=problems("malformed", "unavailable"),
    openapi_extra=OPEN,
)
async def readyz(request: Request) -> Readiness:
    """200 once the models have scored a real portrait; 503 before that, while shutting down and after a death inside."""
    service = of(request)
    if (trouble := service.unready) is not None:
        raise Problem("unavailable", trouble)
    return Readiness("ready", service.settings.workers, max(1, service.workers_ready))


@router.get(
    "/metrics",
    operation_id="metrics",
    tags=["operations"],
    summary="Prometheus metrics",
    response_class=Response,
    responses={
        200: {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems("malformed"),
    },
    openapi_extra=OPEN,
)
async def metrics(request: Request) -> Response:
    """All times in seconds; over several processes the sums, whichever of them answers."""
    service = of(request)
    service.note_health()
    return Response(service.metrics.render(), media_type=CONTENT_TYPE)
