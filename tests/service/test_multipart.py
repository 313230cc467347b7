"""The streaming multipart reader against bodies cut at every place, limits, and damage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.multipart import Part, PartReader
from service.problems import Problem

BOUNDARY = "cut-here"


def body(parts: Iterable[tuple[str, str | None, bytes]], close: bool = True) -> bytes:
    """A multipart body of (field name, file name or None, content)."""
    lines = b""
    for name, filename, content in parts:
        disposition = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
        lines += f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"
    return lines + (f"--{BOUNDARY}--\r\n".encode() if close else b"")


def read(
    data: bytes,
    chunk: int = 1 << 16,
    *,
    files: int = 4,
    size: int = 1000,
    kind: str | None = None,
    seen: list[str] | None = None,
) -> list[Part]:
    """The parts of a body that arrives in chunks; `seen` collects names also when reading ends in a Problem."""
    reader = PartReader(
        kind or f"multipart/form-data; boundary={BOUNDARY}", files="images", max_files=files, max_file=size
    )

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), chunk):
            yield data[start : start + chunk]

    async def collect() -> list[Part]:
        parts = []
        async for part in reader.parts(chunks()):
            parts.append(part)
            if seen is not None:
                seen.append(part.name)
        return parts

    return asyncio.run(collect())


@settings(max_examples=40, deadline=None)
@given(
    contents=st.lists(st.binary(max_size=200) | st.just(b"\r\n--cut-her\r\n"), max_size=4),
    chunk=st.integers(1, 300),
)
def test_parts_come_back_whole_however_the_body_is_cut(contents: list[bytes], chunk: int) -> None:
    sent = [("images", f"{number}.jpg", content) for number, content in enumerate(contents)]
    got = read(body(sent), chunk)
    assert [(part.name, part.filename, bytes(part.data)) for part in got] == sent


def test_a_part_is_handed_on_before_the_next_one_arrives() -> None:
    reader = PartReader(f"multipart/form-data; boundary={BOUNDARY}", files="images", max_files=2, max_file=100)
    seen: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield body([("images", "a", b"1")], close=False) + f"--{BOUNDARY}\r\n".encode()
        seen.append("second chunk asked for")
        yield body([("images", "b", b"2")])[len(BOUNDARY) + 4 :]

    async def collect() -> None:
        async for part in reader.parts(chunks()):
            seen.append(str(part.filename))

    asyncio.run(collect())
    assert seen == ["a", "second chunk asked for", "b"]


def test_names_are_utf8_and_fields_have_no_filename() -> None:
    parts = read(body([("scene", None, "Grüße".encode()), ("images", "../人像 1.jpg", b"x")]))
    assert [(part.name, part.filename) for part in parts] == [("scene", None), ("images", "../人像 1.jpg")]


@pytest.mark.parametrize(
    ("data", "options", "code", "text"),
    [
        (body([("images", "a", b"x" * 1001)]), {}, "too-large", "1000 bytes"),
        (body([("images", str(n), b"") for n in range(5)]), {}, "too-large", "4 parts"),
        (body([("f", None, b"") for _ in range(10_000)]), {}, "too-large", "form fields"),
        (body([("scene", None, b"x" * (1 << 20) + b"y")]), {}, "too-large", "form field 'scene'"),
        (body([("images", "a", b"x")], close=False), {}, "malformed", "closing boundary"),
        (b"", {}, "malformed", "closing boundary"),
        (b"no multipart at all", {}, "malformed", "cannot be parsed"),
        (body([("", "a", b"x")]), {}, "malformed", "no name"),
        (b"", {"kind": "multipart/form-data"}, "malformed", "without a boundary"),
        (b"", {"kind": "multipart/form-data; boundary=" + "b" * 5000}, "malformed", "boundary"),
    ],
)
def test_bad_bodies(data: bytes, options: dict[str, str], code: str, text: str) -> None:
    with pytest.raises(Problem, match=text) as caught:
        read(data, **options)
    assert caught.value.code == code


def test_a_picture_of_exactly_the_limit_is_taken() -> None:
    assert len(read(body([("images", "a", b"x" * 1000)]), 7)[0].data) == 1000


@pytest.mark.parametrize(
    "data",
    [
        body([("f", None, b"") for _ in range(40)]),
        body([("images", str(n), b"x") for n in range(9)]),
        body([("images", "a", b"x"), ("images", "b", b"x" * 1001)]),
        body([("images", "a", b"x")], close=False) + b"--cut-here damage",
    ],
)
def test_what_comes_before_the_trouble_does_not_depend_on_the_cuts(data: bytes) -> None:
    def outcome(chunk: int) -> tuple[list[str], str]:
        names: list[str] = []
        with pytest.raises(Problem) as caught:
            read(data, chunk, seen=names)
        return names, caught.value.detail

    assert len({str(outcome(chunk)) for chunk in (7, 60, 500, 1 << 16)}) == 1
