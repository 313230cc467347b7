"""What clients send with `POST /rank` and `POST /score`: the fields of both forms, checked alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pqa.errors import unknown_key
from service.limits import too_large
from service.problems import Problem
from service.structure import parse

__all__ = ["Options", "PictureEntry", "ScoreRequest", "form_options", "json_request"]

FAULTS = 10
"""Faults that an answer shows; the others are counted."""

Name = Annotated[str, Field(min_length=1, max_length=1024)]
Word = Annotated[str, Field(min_length=1, max_length=256)]

_SCENE: TypeAdapter[tuple[str, str]] = TypeAdapter(tuple[Name, Word], config=ConfigDict(hide_input_in_errors=True))


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


Fields = TypeVar("Fields", bound=BaseModel)


class Faults:
    """The first faults of a request, each with its place, and the number of all; never what the client sent."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.count = 0

    def note(self, at: tuple[object, ...], error: Callable[[], str]) -> None:
        self.count += 1
        if len(self.rows) < FAULTS:
            self.rows.append({"at": ".".join(str(part)[:64] for part in at), "error": error()})

    def note_all(self, at: tuple[object, ...], error: ValidationError) -> None:
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            self.note((*at, *fault["loc"]), lambda fault=fault: str(fault["msg"]))  # type: ignore[misc]

    def check(self) -> None:
        """Raises the problem `invalid-request` when there are any."""
        if self.count:
            more = f" and {self.count - 1} more" if self.count > 1 else ""
            first = self.rows[0]
            raise Problem("invalid-request", f"{first['at'] or 'body'}: {first['error']}{more}", errors=self.rows)


def json_request(body: bytes | bytearray, most: int) -> ScoreRequest:
    """Parse a JSON body of at most `most` pictures.

    Raises a Problem: `malformed` for no JSON, `too-large` for more, `invalid-request` with `errors` for the rest.
    """
    try:
        document = parse(body, most, "a JSON request")
    except ValueError as error:
        raise Problem("malformed", f"the request is no JSON: {error}") from error
    faults = Faults()
    if not isinstance(document, dict):
        faults.note((), lambda: "expected an object with the member images")
        faults.check()
    entries: list[Any] = _set_aside(document, "images", list)
    scenes: dict[str, Any] = _set_aside(document, "scenes", dict)
    if len(entries) > most:
        raise too_large("pictures in one ranking", most, "pictures")
    asked = _object(ScoreRequest, document, (), faults)
    images = [_object(PictureEntry, entry, ("images", number), faults) for number, entry in enumerate(entries)]
    checked = _scenes(scenes, faults)
    faults.check()
    assert asked is not None
    asked.images = [image for image in images if image is not None]
    asked.scenes = checked
    return asked


def form_options(fields: Mapping[str, str], most: int) -> Options:
    """Parse the form fields of a multipart request; `scenes` is a JSON object of at most `most` members in one field."""
    faults = Faults()
    values: dict[str, Any] = dict(fields)
    scenes: Any = {}
    try:
        if "scenes" in fields:
            scenes = parse(values.pop("scenes").encode(), most, "scenes")
    except ValueError as error:
        raise Problem("invalid-request", f"scenes: expected a JSON object, file name to scene: {error}") from error
    if not isinstance(scenes, dict):
        faults.note(("scenes",), lambda: "expected a JSON object, file name to scene")
        faults.check()
    options = _object(Options, values, (), faults, known=(*Options.model_fields, "images"))
    checked = _scenes(scenes, faults)
    faults.check()
    assert options is not None
    options.scenes = checked
    return options


def _set_aside(document: dict[str, Any], name: str, kind: type) -> Any:
    """A member of this kind, to be checked entry by entry; an empty one takes its place."""
    value = document.get(name)
    if not isinstance(value, kind):
        return kind()
    document[name] = kind()
    return value


def _object(
    kind: type[Fields], value: Any, at: tuple[object, ...], faults: Faults, known: tuple[str, ...] = ()
) -> Fields | None:
    """`value` as `kind`, whose fields bound what is built; its faults are noted."""
    if not isinstance(value, dict):
        faults.note(at, lambda: "expected an object")
        return None
    names = kind.model_fields
    for name in value:
        if name not in names:
            faults.note((*at, name), lambda name=name: str(unknown_key(name[:64], known or names, "field")))  # type: ignore[misc]
    try:
        return kind.model_validate({name: value[name] for name in names if name in value})
    except ValidationError as error:
        faults.note_all(at, error)
        return None


def _scenes(scenes: dict[str, Any], faults: Faults) -> dict[str, str]:
    """Each line by itself: together their faults would all be built."""
    checked: dict[str, str] = {}
    for name, scene in scenes.items():
        try:
            checked.update((_SCENE.validate_python((name, scene)),))
        except ValidationError as error:
            faults.note_all(("scenes", name), error)
    return checked
