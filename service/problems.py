"""One error document, RFC 9457 `application/problem+json`, for every answer of 4xx and 5xx."""

from __future__ import annotations

import http
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pqa.errors import ConfigurationError

__all__ = ["MEDIA_TYPE", "PROBLEMS", "Problem", "document", "install", "render", "table"]

MEDIA_TYPE = "application/problem+json"
LONGEST_RETRY_S = 60

log = logging.getLogger("pqa.service")


@dataclass(frozen=True, slots=True)
class Row:
    status: int
    title: str
    retry: bool = False
    challenge: bool = False


PROBLEMS: dict[str, Row] = {
    "malformed": Row(400, "The request cannot be parsed"),
    "unauthorised": Row(401, "This service wants a key", challenge=True),
    "forbidden": Row(403, "This key is not accepted"),
    "not-found": Row(404, "There is nothing at this address"),
    "method-not-allowed": Row(405, "This address does not take this method"),
    "slow-client": Row(408, "The request stopped arriving"),
    "too-large": Row(413, "The request is over a limit"),
    "unsupported-media-type": Row(415, "The request has a type that is not taken here"),
    "invalid-request": Row(422, "The request asks for something that is not there"),
    "unknown-pictures": Row(422, "Pictures named by their sha256 are not known here"),
    "nothing-scored": Row(422, "None of the pictures could be scored"),
    "busy": Row(429, "The service is full", retry=True),
    "http-error": Row(500, "The request failed"),
    "internal-error": Row(500, "Something went wrong inside the service"),
    "model-failed": Row(500, "The model failed on every picture"),
    "unavailable": Row(503, "The service is not ready", retry=True),
    "deadline": Row(504, "No picture was scored in time"),
}
"""Each `code` (the end of `type`, after `urn:pqa:problem:`) with its status and title.

`retry` sets Retry-After, `challenge` sets WWW-Authenticate.
"""

_FRAMEWORK = {404: "not-found", 405: "method-not-allowed", 400: "malformed"}


class Problem(Exception):
    """An answer of 4xx or 5xx. `code` is a row of PROBLEMS; `extra` adds members to the document.

    `retry_s`: seconds after which it may be tried again, for the rows that tell.
    """

    def __init__(
        self, code: str, detail: str, *, reason: str | None = None, retry_s: float = 0.0, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.reason = reason or code
        self.retry_s = retry_s
        self.extra = extra

    @property
    def status(self) -> int:
        return PROBLEMS[self.code].status


def document(problem: Problem, request_id: str | None, *, status: int | None = None) -> dict[str, Any]:
    """The members of a problem's document."""
    row = PROBLEMS[problem.code]
    return {
        "type": f"urn:pqa:problem:{problem.code}",
        "title": row.title,
        "status": status or row.status,
        "detail": problem.detail,
        "request_id": request_id,
        **problem.extra,
    }


def render(
    problem: Problem, request_id: str | None, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The response of a problem. `status` replaces the row's for errors that the framework numbered itself."""
    row = PROBLEMS[problem.code]
    content = document(problem, request_id, status=status)
    all_headers = dict(headers or {})
    if row.retry:
        all_headers["Retry-After"] = str(min(max(1, math.ceil(problem.retry_s)), LONGEST_RETRY_S))
    if row.challenge:
        all_headers["WWW-Authenticate"] = "Bearer"
    return Response(json.dumps(content), content["status"], all_headers, MEDIA_TYPE)


def _request_id(request: Request) -> str | None:
    state = request.scope.get("state") or {}
    return state.get("request_id")


def install(app: FastAPI) -> None:
    """Answer our problems and the framework's own errors with problem documents."""

    @app.exception_handler(Problem)
    async def ours(request: Request, error: Problem) -> Response:
        request.state.reason = error.reason
        return render(error, _request_id(request))

    @app.exception_handler(ConfigurationError)
    async def asked_wrongly(request: Request, error: ConfigurationError) -> Response:
        request.state.reason = "invalid-request"
        return render(Problem("invalid-request", str(error)), _request_id(request))

    @app.exception_handler(HTTPException)
    async def frameworks(request: Request, error: HTTPException) -> Response:
        code = _FRAMEWORK.get(error.status_code, "http-error")
        phrase = http.HTTPStatus(error.status_code).phrase
        detail = f"{request.method} {request.url.path}: {phrase}"
        return render(Problem(code, detail), _request_id(request), status=error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: RequestValidationError) -> Response:
        detail = "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors())
        return render(Problem("invalid-request", detail), _request_id(request))


def table() -> str:
    """The rows of the problem table in docs/service.md."""
    lines = ["| status | `type` | meaning |", "|---|---|---|"]
    lines += [f"| {row.status} | `urn:pqa:problem:{code}` | {row.title} |" for code, row in PROBLEMS.items()]
    return "\n".join(lines) + "\n"
