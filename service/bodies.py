"""The forms in which pictures come with `POST /rank` and `POST /score`: a form of files, JSON, or one bare picture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request

from pqa.runtime.assess import check_request
from service.intake import Intake
from service.limits import too_large
from service.multipart import PartReader
from service.problems import Problem
from service.requests import Options, form_options, json_request
from service.state import Service

__all__ = ["Take", "picture", "reader_of"]

Take = Callable[[Request, Service, Intake], Awaitable[Options]]
"""Takes the pictures of a request into the intake; gives what else it asked for."""


def reader_of(request: Request, bare: Take | None = None) -> Take:
    """What reads the body of this request; `bare` reads the bytes of a single picture, where the route takes them.

    Raises the problem `unsupported-media-type` for a type that nothing reads.
    """
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) != "identity":
        raise Problem(
            "unsupported-media-type",
            f"expected a body as it is, without Content-Encoding, got {coding[:64]!r}; pictures are compressed already",
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if bare is not None and kind.startswith("image/"):
        return bare
    if request.query_params:
        raise Problem("invalid-request", "options of a form or of JSON are fields of it, not parameters of the address")
    if kind == "multipart/form-data":
        return _take_multipart
    if kind == "application/json":
        return _take_json
    also = ", or a picture as image/jpeg" if bare is not None else ""
    raise Problem(
        "unsupported-media-type",
        f"expected multipart/form-data (files in the field 'images') or application/json{also}, got {kind[:64] or 'none'!r}",
    )


def picture(options: Options) -> Take:
    """Takes the body as one picture; what would be fields of a form are `options`."""

    async def take(request: Request, service: Service, intake: Intake) -> Options:
        most = service.settings.max_file_bytes
        _choose(service, intake, options)
        data = bytearray()
        async for chunk in request.stream():
            if len(data) + len(chunk) > most:
                raise too_large("a picture", most)
            await intake.take(len(chunk), len(data))
            data += chunk
        await intake.add(None, data)
        return options

    return take


async def _take_multipart(request: Request, service: Service, intake: Intake) -> Options:
    settings = service.settings
    reader = PartReader(
        request.headers["content-type"],
        files="images",
        max_files=settings.max_images,
        max_file=settings.max_file_bytes,
    )
    fields: dict[str, str] = {}

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            await intake.take(len(chunk), reader.partial)
            yield chunk

    async for part in reader.parts(chunks()):
        if part.name == "images":
            if not len(intake):
                _choose(service, intake, form_options(fields, settings.most_pictures))
            # Not kept here beside the copy that is decoded.
            data, part.data = part.data, bytearray()
            await intake.add(part.filename, data)
        elif part.name in fields:
            raise Problem("invalid-request", f"the field {part.name[:64]!r} came twice; send it once")
        else:
            fields[part.name] = part.data.decode("utf-8", errors="replace")
            form_options({part.name: fields[part.name]}, settings.most_pictures)
    options = form_options(fields, settings.most_pictures)
    if len(intake) and service.models.get(options.model) is not intake.predictor:
        raise Problem("invalid-request", "the field 'model' must come before the first picture")
    return options


async def _take_json(request: Request, service: Service, intake: Intake) -> Options:
    settings = service.settings
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_json_bytes:
        raise _json_too_large(settings.max_json_bytes)
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > settings.max_json_bytes:
            raise _json_too_large(settings.max_json_bytes)
        # Once as it came, once as the texts within it.
        await intake.take(2 * len(chunk), 0)
        body += chunk
    asked = await asyncio.to_thread(json_request, body, settings.most_pictures)
    del body
    if sum(entry.data is not None for entry in asked.images) > settings.max_images:
        raise too_large("pictures in one request", settings.max_images, "pictures")
    _choose(service, intake, asked)
    sha256 = intake.predictor.model.info.sha256
    named = {entry.sha256.lower() for entry in asked.images if entry.sha256 is not None}
    # Taken out now, before anything runs, so that none can leave the cache in the meantime.
    known = {key: hit for key in named if (hit := service.pipeline.cache.get((sha256, key))) is not None}
    if unknown := sorted(named - set(known)):
        raise Problem(
            "unknown-pictures",
            f"{len(unknown)} of {len(named)} pictures are not known to model {intake.predictor.spec.name}; upload them first",
            sha256=unknown,
        )
    for entry in asked.images:
        if entry.sha256 is not None:
            intake.add_known(entry.id, known[entry.sha256.lower()], entry.scene)
        elif entry.data is not None:
            text, entry.data = entry.data, None
            await intake.add_base64(entry.id, text, entry.scene)
    return asked


def _json_too_large(limit: int) -> Problem:
    return too_large("a JSON request (multipart takes more)", limit)


def _choose(service: Service, intake: Intake, options: Options) -> None:
    """Take the model that was asked for, once everything known so far has been checked against it."""
    predictor = service.models.get(options.model)
    check_request(predictor, [], options.attribute, options.scene_mode or "image")
    intake.choose(predictor, options.attribute)
