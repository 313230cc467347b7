"""Query parameters that nothing reads are refused: one that is misspelt, or meant for the body, must not go unnoticed."""

from __future__ import annotations

from fastapi import Request

from pqa.errors import unknown_key
from service.problems import Problem

__all__ = ["known_query"]


async def known_query(request: Request) -> None:
    """Dependency of every route. Raises the problem `invalid-request` for a name that the route does not declare."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            error = unknown_key(name[:64], known, "query parameter")
            raise Problem("invalid-request", f"{error}; options of a request are fields of its body")
