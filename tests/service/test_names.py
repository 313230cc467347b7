"""What a person named a file is its id, whoever sends it: the bytes that clients put on the wire, word for word."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest

from service.multipart import PartReader

NAMES = ["plain.jpg", "two words.jpg", 'a "quoted" one.jpg', "人像 1.jpg", "a;b=c, d.jpg", "100% 'so'.jpg", "../up.jpg"]


def filename(body: bytes, boundary: str = "b") -> str | None:
    reader = PartReader(f"multipart/form-data; boundary={boundary}", files="images", max_files=1, max_file=10)

    async def read() -> list[str | None]:
        async def chunks() -> AsyncIterator[bytes]:
            yield body

        return [part.filename async for part in reader.parts(chunks()) if part.name == "images"]

    (name,) = asyncio.run(read())
    return name


def part(disposition: str, before: str = "", after: str = "Content-Type: image/jpeg\r\n") -> bytes:
    return f"--b\r\n{before}Content-Disposition: form-data; {disposition}\r\n{after}\r\nx\r\n--b--\r\n".encode()


def boundary(body: bytes) -> str:
    return body.partition(b"\r\n")[0].removeprefix(b"--").decode()


@pytest.mark.parametrize("name", [*NAMES, "50%25.jpg", "a\\b.jpg", "a%20b.jpg"])
def test_aiohttp(name: str) -> None:
    """As version 3.14 writes it: the type first, and the whole file name percent-encoded, but no other one."""
    head = "Content-Type: image/jpeg\r\nContent-Disposition: form-data"
    body = f'--b\r\n{head}; name="images"; filename="{quote(name, "")}"\r\n\r\nx\r\n--b--\r\n'
    assert filename(body.encode()) == name


@pytest.mark.parametrize("name", [*NAMES, "a\\b.jpg", "a%20b.jpg", "line\r\nbreak.jpg"])
def test_httpx(name: str) -> None:
    body = httpx.Request("POST", "http://x", files={"images": (name, b"x")}).read()
    assert filename(body, boundary(body)) == name


@pytest.mark.parametrize("name", [*NAMES, "a\\b.jpg", "a%20b.jpg", "line\r\nbreak.jpg"])
def test_browsers_curl_and_urllib3(name: str) -> None:
    """The HTML standard's rule for multipart/form-data, which curl since 7.81 and urllib3 since 2.0 follow."""
    escaped = name.replace("\n", "%0A").replace("\r", "%0D").replace('"', "%22")
    assert filename(part(f'name="images"; filename="{escaped}"')) == name


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        # Chrome and Firefox, as the HTML standard has it; and curl since 7.81.
        ('name="images"; filename="a %22b%22.jpg"', 'a "b".jpg'),
        ('name="images"; filename="a%0D%0Ab.jpg"', "a\r\nb.jpg"),
        ('name="images"; filename="My%20Photo%C3%A4.jpg"', "My%20Photo%C3%A4.jpg"),
        ('name="images"; filename="a\\b.jpg"', "a\\b.jpg"),
        ('name="images"; filename="C:\\fakepath\\a.jpg"', "C:\\fakepath\\a.jpg"),
        ('name="images"; filename="ends with \\"', "ends with \\"),
        ('name="images"; filename=""', ""),
        # curl before 7.81, and with --form-escape.
        ('name="images"; filename="a \\"b\\".jpg"', 'a "b".jpg'),
        ('name="images"; filename="a\\\\b.jpg"', "a\\b.jpg"),
        ('name="images"; filename="a\\"; name=\\"scene.jpg"', 'a"; name="scene.jpg'),
        # Older urllib3, and what follows RFC 8187.
        ("name=\"images\"; filename*=utf-8''a%20%22b%22%20%C3%A4.jpg", 'a "b" ä.jpg'),
        ('name="images"; filename="a.jpg"; filename*=UTF-8\'en\'%C3%A4.jpg', "ä.jpg"),
        ("name=\"images\"; filename*=iso-8859-1''%E4.jpg", "ä.jpg"),
        ('name="images"; filename="a.jpg"; filename*=klingon\'\'b.jpg', "a.jpg"),
        ('name="images"; filename="a.jpg"; filename*=nothing', "a.jpg"),
        # Without quotes, in any case, in any order.
        ("name=images; filename=a.jpg", "a.jpg"),
        ('FileName="a.jpg" ; NAME="images"', "a.jpg"),
        ('name="images"', None),
    ],
)
def test_bytes_of_the_wire(disposition: str, name: str | None) -> None:
    assert filename(part(disposition)) == name


def test_a_type_before_the_disposition_tells_who_has_encoded_all_of_it() -> None:
    kind = "Content-Type: image/jpeg\r\n"
    disposition = 'name="images"; filename="a%20b.jpg"'
    assert filename(part(disposition, before=kind, after="")) == "a b.jpg"
    assert filename(part(disposition, after=kind)) == "a%20b.jpg"
    assert filename(part('name="images"; filename="a b%20c.jpg"', before=kind, after="")) == "a b%20c.jpg"


def test_latin_1_is_read_where_it_is_no_utf_8() -> None:
    assert filename(part('name="images"; filename="#"').replace(b"#", b"\xe4")) == "ä"


def test_the_longest_name_fits_into_its_header_in_every_form() -> None:
    name = "人" * 1024
    escaped = re.sub("..", lambda pair: f"%{pair[0]}", name.encode().hex().upper())
    assert filename(part(f'name="images"; filename="{escaped}"; filename*=UTF-8\'\'{escaped}')) == name
