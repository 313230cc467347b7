"""The OpenAPI document: what the framework reads off the routes, and what people and generators of clients want beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.descriptions import DESCRIPTIONS
from service.examples import RANKING, SCORES
from service.problems import PROBLEMS
from service.schema import MEMBERS, problem_name

__all__ = ["documented"]

Schema = dict[str, Any]

ANSWERS: dict[str, Schema] = {"/v1/rank": RANKING, "/v1/score": SCORES}

TAGS = [
    {"name": "scoring", "description": "Pictures in, scores and rankings out"},
    {"name": "models", "description": "What can score"},
    {"name": "operations", "description": "Health and metrics, for who runs the service; open to everybody"},
]

KEY: Schema = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "One of the keys of `PQA_API_KEYS`; nothing is wanted where none are set",
    }
}

_DOCUMENT_MEMBERS: dict[str, Schema] = {
    "title": {"type": "string", "description": "What the problem is, the same for all of its type"},
    "detail": {"type": "string", "description": "What was expected, what came, what to do"},
    "request_id": {
        "type": ["string", "null"],
        "description": "Stands in the header X-Request-ID and in every line of the log",
    },
}


REQUEST_ID: Schema = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "description": "Echoed and logged where it is at most 128 letters, digits, `.`, `_` and `-`; replaced where it is not",
    "schema": {"type": "string"},
}


def documented(app: FastAPI, root_path: str) -> Callable[[], Schema]:
    """What goes in place of `app.openapi`: the document, made once."""

    def openapi() -> Schema:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, root_path)
        return app.openapi_schema

    return openapi


def _document(app: FastAPI, root_path: str) -> Schema:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        license_info=app.license_info,
        contact={"name": "the pqa authors"},
        routes=app.routes,
        tags=TAGS,
        servers=[{"url": root_path or "/", "description": "The service that this document came from"}],
    )
    components = document["components"]
    components["securitySchemes"] = KEY
    schemas = components["schemas"]
    for name, fields in DESCRIPTIONS.items():
        for field, text in fields.items():
            schemas[name]["properties"][field]["description"] = text
    named = json.dumps(document["paths"])
    schemas |= {problem_name(code): _problem(code) for code in PROBLEMS if f'/{problem_name(code)}"' in named}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["parameters"] = [*operation.get("parameters", []), REQUEST_ID]
    for path, example in ANSWERS.items():
        # Set here, as the framework leaves out what is null in an example.
        answer = document["paths"][path]["post"]["responses"]["200"]
        # The first is what generators of clients take.
        first = answer["content"].pop("application/json")
        answer["content"] = {"application/json": {**first, "example": example}, **answer["content"]}
    _plain(schemas)
    return document


def _problem(code: str) -> Schema:
    """The schema of one type of problem, with the members that it alone has."""
    row = PROBLEMS[code]
    return {
        "type": "object",
        "title": problem_name(code),
        "description": row.title,
        "required": ["type", "title", "status", "detail", "request_id"],
        "properties": {
            "type": {"type": "string", "const": f"urn:pqa:problem:{code}", "description": "Which problem"},
            "status": {"type": "integer", "description": "The HTTP status of the answer"},
            **_DOCUMENT_MEMBERS,
            **MEMBERS.get(code, {}),
        },
    }


def _plain(node: Any) -> None:
    """Arrays whose places are all alike say so by `items`, which more generators know than `prefixItems`."""
    if isinstance(node, list):
        for part in node:
            _plain(part)
    if isinstance(node, dict):
        for part in node.values():
            _plain(part)
        places = node.get("prefixItems")
        if places and all(place == places[0] for place in places):
            node["items"] = node.pop("prefixItems")[0]
