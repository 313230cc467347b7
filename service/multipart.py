"""Multipart bodies, part by part as they arrive.

Starlette's own parser keeps every part until the last one is there, on disk above 1 MB. Here each part is handed on as
soon as it is complete, so that pictures are scored while the rest of the request is still on its way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service import names
from service.limits import too_large
from service.problems import Problem

__all__ = ["Part", "PartReader"]

TEXT_BYTES = 1024 * 1024
TEXT_PARTS = 16
HEADER_BYTES = 32 * 1024
"""One line of a part's header: twice the longest name that is taken, percent-encoded."""


@dataclass(slots=True)
class Part:
    """One part. `filename` is None for a form field."""

    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)


class PartReader:
    """Splits a body. Parts of the field `files` may be `max_file` bytes each and `max_files` many."""

    def __init__(self, content_type: str, *, files: str, max_files: int, max_file: int) -> None:
        _, options = parse_options_header(content_type)
        if not options.get(b"boundary"):
            raise Problem("malformed", "multipart/form-data without a boundary in its Content-Type")
        self._files = files
        self._max_files = max_files
        self._max_file = max_file
        self._count = {True: 0, False: 0}
        self._done: list[Part] = []
        self._part = Part()
        self._header = (bytearray(), bytearray())
        self._type_first = False
        self._finished = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_part_end": lambda: self._done.append(self._part),
                    "on_end": self._end,
                },
                max_header_size=HEADER_BYTES,
            )
        except FormParserError as error:
            raise Problem("malformed", f"multipart boundary: {error}") from error

    @property
    def partial(self) -> int:
        """Bytes of the part that is still arriving."""
        return len(self._part.data)

    async def parts(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Part]:
        """The parts, each as soon as it is complete. Raises a Problem for a damaged body or a crossed limit."""
        async for chunk in chunks:
            trouble: Problem | None = None
            try:
                self._parser.write(chunk)
            except FormParserError:
                # Its message counts from the last cut and may hold what the client sent.
                trouble = Problem("malformed", "the multipart body cannot be parsed; check its boundaries")
            except Problem as problem:
                trouble = problem
            done, self._done = self._done, []
            if done and done[-1] is self._part:
                self._part = Part()
            for part in done:
                yield part
            # After the parts before it, so that the answer does not depend on how the network cut the body.
            if trouble is not None:
                raise trouble
        if not self._finished:
            raise Problem("malformed", "the multipart body ends before its closing boundary")

    def _begin(self) -> None:
        self._part = Part()
        self._type_first = False

    def _end(self) -> None:
        self._finished = True

    def _header_end(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        self._header[0].clear()
        self._header[1].clear()
        if name == b"content-type":
            self._type_first = not self._part.name
        elif name == b"content-disposition":
            given = names.parameters(value)
            self._part.name = names.plain(given, "name") or ""
            # Of those who send both headers, only aiohttp sends the type before them, and it encodes the whole file name.
            self._part.filename = names.plain(given, "filename", all_escaped=self._type_first)

    def _headers_end(self) -> None:
        if not self._part.name:
            raise Problem("malformed", "a part of the multipart body has no name in its Content-Disposition")
        is_file = self._part.name == self._files
        self._count[is_file] += 1
        limit = self._max_files if is_file else TEXT_PARTS
        if self._count[is_file] > limit:
            raise too_large(f"parts named {self._files!r}" if is_file else "form fields", limit, "parts")

    def _data(self, data: bytes, start: int, end: int) -> None:
        is_file = self._part.name == self._files
        limit = self._max_file if is_file else TEXT_BYTES
        if len(self._part.data) + end - start > limit:
            raise too_large("a picture" if is_file else f"the form field {self._part.name[:64]!r}", limit)
        self._part.data += data[start:end]
