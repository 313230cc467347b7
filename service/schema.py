"""The parts of the OpenAPI document that FastAPI cannot read off the routes: bodies, answers, problems, examples."""

from __future__ import annotations

from typing import Any

from service.problems import MEDIA_TYPE, PROBLEMS, ProblemDocument
from service.requests import ScoreRequest

__all__ = ["problems", "scoring"]

_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42m"
_BROWN = f"{_PNG}OMstFgwAaYGHCAwSkBAJouAM6zVh8qAAAAAElFTkSuQmCC"
_BEIGE = f"{_PNG}M8sWoaAzbAxIADDE4JAJl5AhgHenQ1AAAAAElFTkSuQmCC"
"""Two pictures of 8 x 8 pixels, so that the examples of the document can be sent as they are."""

_SCORING_PROBLEMS = (
    "malformed unauthorised forbidden slow-client too-large unsupported-media-type "
    "nothing-scored busy model-failed unavailable deadline"
)

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["images"],
    "properties": {
        "images": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "The files; repeat the field. Their names become the ids of the answer",
        },
        "attribute": {"type": "string", "default": "overall"},
        "model": {"type": "string", "default": "default", "description": "Must come before the first picture"},
        "scene_mode": {"type": "string", "enum": ["image", "group", "known"]},
        "scene": {"type": "string", "default": "default", "description": "Scene of every picture not in scenes"},
        "scenes": {"type": "string", "description": "A JSON object, file name to scene"},
    },
    "additionalProperties": False,
}

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


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: the problem document under the status of each code."""
    answers: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        row = PROBLEMS[code]
        example = {
            "type": f"urn:pqa:problem:{code}",
            "title": row.title,
            "status": row.status,
            "detail": "what was expected, what came, what to do",
            "request_id": "5d2c8a3e6f1b4c0d9e7a",
        }
        answer: dict[str, Any] = {
            "description": row.title,
            "model": ProblemDocument,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}, "example": example}},
        }
        if row.retry:
            answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait"}}
        answers[row.status] = answer
    return answers


def scoring(document: type, summary: str) -> dict[str, Any]:
    """Arguments of the decorator of a route that takes pictures and answers with `document`."""
    body = ScoreRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = body.pop("$defs", {})
    body["properties"]["images"]["items"] = definitions["PictureEntry"]
    return {
        "summary": summary,
        "responses": {
            200: {"description": "At least one picture was scored", "model": document},
            **problems(*_SCORING_PROBLEMS.split()),
        },
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {"schema": _FORM},
                    "application/json": {"schema": body, "examples": _JSON_EXAMPLES},
                },
            }
        },
    }
