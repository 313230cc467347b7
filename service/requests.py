"""What clients send with `POST /rank` and `POST /score`: the fields of both forms, checked alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pqa.errors import unknown_key
from service.problems import Problem

__all__ = ["Options", "PictureEntry", "ScoreRequest", "form_options", "json_request"]

Name = Annotated[str, Field(min_length=1, max_length=1024)]
Word = Annotated[str, Field(min_length=1, max_length=256)]

_SCENES: TypeAdapter[dict[str, str]] = TypeAdapter(dict[Name, Word])


class Options(BaseModel):
    """Fields beside the pictures. `scenes` (id to scene) goes before `scene` (for all others)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    attribute: Word = Field("overall", description="Which rating to sort by; GET /models lists what a model knows")
    model: Word = Field("default", description="Name of a loaded model")
    scene_mode: Word | None = Field(
        None,
        description="image: each picture's own scene posterior (default of /score); group: pooled over the scene "
        "(default of /rank); known: `scene` names a scene that the model was trained on",
    )
    scene: Word = Field("default", description="Pictures of one scene are ranked with each other")
    scenes: dict[Name, Word] = Field({}, description="Scene of single pictures, by id")


class PictureEntry(BaseModel):
    """One picture: its file as base64, or the sha256 of a file that was scored before by the same model."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: Name | None = Field(None, description="Any text, unique or not; image-1, image-2, ... without it")
    data: str | None = Field(None, description="The file in standard base64 with padding")
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None = Field(
        None, description="SHA-256 of the file's bytes in hexadecimal"
    )
    scene: Word | None = Field(None, description="Goes before `scenes` and `scene` of the request")

    @model_validator(mode="after")
    def one_source(self) -> Self:
        if (self.data is None) == (self.sha256 is None):
            raise ValueError("expected either data or sha256")
        return self


class ScoreRequest(Options):
    """Body of a JSON request."""

    images: list[PictureEntry] = Field(description="The pictures, in the order of the answer of /score")


def json_request(body: bytes) -> ScoreRequest:
    """Parse a JSON body. Raises a Problem: `malformed` for no JSON, `invalid-request` with `errors` for the rest."""
    try:
        return ScoreRequest.model_validate_json(body)
    except ValidationError as error:
        raise _problem(error) from error


def form_options(fields: Mapping[str, str]) -> Options:
    """Parse the form fields of a multipart request; `scenes` is a JSON object in one field."""
    for name in fields:
        if name not in Options.model_fields:
            raise Problem("invalid-request", str(unknown_key(name[:64], [*Options.model_fields, "images"], "field")))
    values: dict[str, Any] = dict(fields)
    try:
        if "scenes" in fields:
            values["scenes"] = _SCENES.validate_json(fields["scenes"])
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]["msg"]
        raise Problem("invalid-request", f"scenes: expected a JSON object, file name to scene: {fault}") from error
    try:
        return Options(**values)
    except ValidationError as error:
        raise _problem(error) from error


def _problem(error: ValidationError) -> Problem:
    """The first faults of a request, each with its place; never what the client sent, which may be megabytes."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    rows = [{"at": ".".join(str(part)[:64] for part in fault["loc"]), "error": _text(fault)} for fault in faults[:10]]
    if faults[0]["type"] == "json_invalid":
        return Problem("malformed", f"the request is no JSON: {faults[0]['msg']}")
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return Problem("invalid-request", f"{rows[0]['at'] or 'body'}: {rows[0]['error']}{more}", errors=rows)


def _text(fault: Any) -> str:
    if fault["type"] != "extra_forbidden":
        return str(fault["msg"])
    known = PictureEntry.model_fields if fault["loc"][0] == "images" else ScoreRequest.model_fields
    return str(unknown_key(str(fault["loc"][-1])[:64], known, "field"))
