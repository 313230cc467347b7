"""The pages for people: `/`, where pictures are dropped and ranked, and `/docs`, the OpenAPI document to read and try.

Everything they load lies in `service/static`; a strict policy lets nothing come from elsewhere, and nothing inline run.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from pqa.cli.words import FAULTS, FLAGS
from service.problems import Problem

__all__ = ["FILES", "POLICY", "router"]

router = APIRouter(include_in_schema=False)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

FILES: dict[str, str] = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "docs.js": "text/javascript",
    "vendor/swagger-ui/swagger-ui.css": "text/css",
    "vendor/swagger-ui/swagger-ui-bundle.js": "text/javascript",
}
"""What `/static/` gives, with its type: nothing else is ever read, whatever a path says."""


@cache
def _content(name: str) -> bytes:
    return files("service").joinpath("static", name).read_bytes()


def _page(name: str) -> Response:
    return Response(_content(name), media_type="text/html", headers={"Content-Security-Policy": POLICY})


@router.get("/")
async def page() -> Response:
    return _page("page.html")


@router.get("/docs")
async def docs() -> Response:
    return _page("docs.html")


@router.get("/static/words.json")
async def words() -> Response:
    """Reasons and flags in the words of the command line, by code."""
    return Response(json.dumps({"reasons": FAULTS, "flags": FLAGS}), media_type="application/json")


@router.get("/static/{name:path}")
async def static(name: str) -> Response:
    if name not in FILES:
        raise Problem("not-found", "there is no such file")
    # Asked again after an update of the service, not kept: names carry no version.
    return Response(_content(name), media_type=FILES[name], headers={"Cache-Control": "no-cache"})
