"""The application: routes, middleware and the life of the service around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

import pqa
from service import health, openapi, pages, problems, rank
from service.copies import Copies
from service.cors import Cors
from service.limits import BodyLimit
from service.middleware import Envelope
from service.query import known_query
from service.settings import Settings
from service.state import Service

__all__ = ["create_app"]

VERSION = "/v1"
"""Of addresses whose answers are documents; within one version these only grow."""

_DESCRIPTION = (
    "Which shot of a scene do people prefer, and why. Send portraits of one scene, get them back ranked, with scores, "
    "win probabilities and measured reasons. Errors are RFC 9457 problem documents."
)


def create_app(
    settings: Settings | None = None,
    *,
    on_failure: Callable[[], None] | None = None,
    board: Sequence[int] = (),
    load_first: bool = False,
    copies: Callable[[], Copies] = Copies,
) -> FastAPI:
    """The ASGI application. Models load in the background once it starts; `/readyz` says when they are there.

    `on_failure` is called when they cannot be loaded; `app.state.service.failure` then says why. `board` tells which of
    several processes are ready. `load_first`: take no connections before the models are loaded. `copies` gives the files to
    load, asked anew for each reload.
    """
    settings = settings or Settings.read()
    service = Service(settings, board, copies)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.pipeline.start()
        loading = asyncio.create_task(service.load(on_failure))
        if load_first:
            await loading
        try:
            yield
        finally:
            service.draining = service.closing = True
            await loading
            await asyncio.to_thread(service.pipeline.close)
            await asyncio.to_thread(service.traces.close)

    app = FastAPI(
        title="pqa",
        version=pqa.__version__,
        summary="Portrait quality assessment",
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        # The framework's interactive pages load their scripts from elsewhere; `service.pages` has one that does not.
        docs_url=None,
        redoc_url=None,
        # The address of a redirect would be the client's Host header.
        redirect_slashes=False,
        dependencies=[Depends(known_query)],
    )
    app.state.service = service
    for router in (rank.router, health.models_router):
        app.include_router(router, prefix=VERSION)
        # As before there were versions.
        app.include_router(router, include_in_schema=False)
    app.include_router(health.router)
    app.include_router(pages.router)
    problems.install(app)
    app.openapi = openapi.documented(app, settings.root_path)  # type: ignore[method-assign]  # the framework's own way to change it
    app.add_middleware(
        BodyLimit,
        limit=settings.max_request_bytes,
        pause_s=settings.receive_timeout_s,
        speed=settings.receive_kib_s * 1024,
    )
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(Envelope, metrics=service.metrics, root_path=settings.root_path)
    return app
