"""The parts of the OpenAPI document that FastAPI cannot read off the routes: bodies, answers, problems, examples."""

from __future__ import annotations

from typing import Any

from service.events import FORMS
from service.problems import MEDIA_TYPE, PROBLEMS
from service.requests import ScoreRequest

__all__ = ["KEYED", "MEMBERS", "OPEN", "problem_name", "problems", "scoring"]

OPEN: dict[str, Any] = {"security": []}
KEYED: dict[str, Any] = {"security": [{"key": []}, {}]}
"""A route for everybody, and one that wants a key where the service has any."""

_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42m"
_BROWN = f"{_PNG}OMstFgwAaYGHCAwSkBAJouAM6zVh8qAAAAAElFTkSuQmCC"
_BEIGE = f"{_PNG}M8sWoaAzbAxIADDE4JAJl5AhgHenQ1AAAAAElFTkSuQmCC"
"""Two pictures of 8 x 8 pixels, so that the examples of the document can be sent as they are."""

_SCORING_PROBLEMS = (
    "malformed unauthorised forbidden slow-client too-large unsupported-media-type invalid-request unknown-pictures "
    "nothing-scored busy internal-error model-failed unavailable deadline"
)

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["images"],
    "properties": {
        "attribute": {"type": "string", "default": "overall", "description": "Which rating to sort by"},
        "model": {"type": "string", "default": "default", "description": "Must come before the first picture"},
        "scene_mode": {
            "type": "string",
            "enum": ["image", "group", "known"],
            "description": "Which scene posterior: each picture's own, pooled over the scene, or that of the scene named",
        },
        "scene": {"type": "string", "default": "default", "description": "Scene of every picture not in scenes"},
        "scenes": {"type": "string", "description": "A JSON object, file name to scene"},
        # The last, as generated clients send the fields in this order and the model must be known before the pictures.
        "images": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "The files; repeat the field. Their names become the ids of the answer",
        },
    },
    "additionalProperties": False,
}

_PICTURE: dict[str, Any] = {"type": "string", "format": "binary", "description": "The bytes of one file"}

_EVENTS = (
    "Events: row or unscored as each picture is done, then answer, or problem. A row is the picture's own, under its own scene "
    "posterior and for the attribute that came before it; what is pooled over a scene comes with the answer"
)

_JSON_EXAMPLES: dict[str, Any] = {
    "upload": {
        "summary": "Two files of one scene",
        "value": {"images": [{"id": "a.png", "data": _BROWN}, {"id": "b.png", "data": _BEIGE}]},
    },
    "by hash": {
        "summary": "A picture uploaded before and a new one",
        "value": {
            "images": [
                {"id": "a.png", "sha256": _DIGEST, "scene": "garden"},
                {"id": "b.png", "data": _BEIGE, "scene": "garden"},
            ],
            "attribute": "overall",
            "scene_mode": "group",
        },
    },
}


MEMBERS: dict[str, dict[str, Any]] = {
    code: {
        "unscored": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/Unscored"},
            "description": "Every picture and why it has no score",
        }
    }
    for code in ("nothing-scored", "model-failed", "deadline")
} | {
    "unknown-pictures": {
        "sha256": {"type": "array", "items": {"type": "string"}, "description": "The hashes that are not known"}
    },
    "invalid-request": {
        "errors": {
            "type": "array",
            "maxItems": 10,
            "items": {
                "type": "object",
                "required": ["at", "error"],
                "properties": {
                    "at": {"type": "string", "description": "Where in the request"},
                    "error": {"type": "string", "description": "What was expected there"},
                },
            },
            "description": "The first faults of the request",
        }
    },
}
"""Members that single types of problem have beside those of all."""


def problem_name(code: str) -> str:
    """`nothing-scored` to `NothingScoredProblem`, the name of its schema."""
    return "".join(word.capitalize() for word in code.split("-")) + "Problem"


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: the problem documents under the status of each code, several where they share one."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {status: _answer(group) for status, group in by_status.items()}


def _answer(codes: list[str]) -> dict[str, Any]:
    rows = [PROBLEMS[code] for code in codes]
    schemas = [{"$ref": f"#/components/schemas/{problem_name(code)}"} for code in codes]
    example = {
        "type": f"urn:pqa:problem:{codes[0]}",
        "title": rows[0].title,
        "status": rows[0].status,
        "detail": "what was expected, what came, what to do",
        "request_id": "5d2c8a3e6f1b4c0d9e7a",
    }
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    answer: dict[str, Any] = {
        "description": "; or: ".join(row.title for row in rows),
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if any(row.retry for row in rows):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait"}}
    return answer


def scoring(document: type, summary: str, bare: bool = False) -> dict[str, Any]:
    """Arguments of the decorator of a route that takes pictures and answers with `document`.

    `bare`: it also takes a body that is one picture.
    """
    body = ScoreRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = body.pop("$defs", {})
    body["properties"]["images"]["items"] = definitions["PictureEntry"]
    return {
        "summary": summary,
        "tags": ["scoring"],
        "responses": {
            200: {
                "description": "At least one picture was scored",
                "model": document,
                "content": {kind: {"schema": {"type": "string", "description": _EVENTS}} for kind in FORMS},
            },
            **problems(*_SCORING_PROBLEMS.split()),
        },
        "openapi_extra": {
            **KEYED,
            "requestBody": {
                "required": True,
                # The first is what generators of clients take.
                "content": {
                    "multipart/form-data": {"schema": _FORM},
                    "application/json": {"schema": body, "examples": _JSON_EXAMPLES},
                    **({"image/*": {"schema": _PICTURE}} if bare else {}),
                },
            },
        },
    }
