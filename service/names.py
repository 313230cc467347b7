"""Names of form fields and files, as the header of a part carries them and as a person gave them.

| sender | `a "b".jpg` | `ä b.jpg` | `a\\b.jpg` |
|---|---|---|---|
| browsers (WHATWG HTML, multipart/form-data), curl, urllib3 | `a %22b%22.jpg` | as it is | as it is |
| httpx | `a %22b%22.jpg` | as it is | `a\\\\b.jpg` |
| quoted strings (RFC 9110, 5.6.4; `curl --form-escape`) | `a \\"b\\".jpg` | as it is | `a\\\\b.jpg` |
| aiohttp, all of it | `a%20%22b%22.jpg` | `%C3%A4%20b.jpg` | `a%5Cb.jpg` |
| `filename*` (RFC 8187) | `UTF-8''a%20%22b%22.jpg` | `UTF-8''%C3%A4%20b.jpg` | `UTF-8''a%5Cb.jpg` |
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

__all__ = ["parameters", "plain"]

_PARAMETER = re.compile(rb';[ \t]*([^=;"\s]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\"(?!$)|\\)*)"?|([^;]*))')
_ESCAPED = re.compile(rb'\\(["\\])')
_FORM_ESCAPES = {b"%22": b'"', b"%0D": b"\r", b"%0A": b"\n"}
_FORM_ESCAPED = re.compile(b"|".join(_FORM_ESCAPES))
_ALL_ESCAPED = re.compile(rb"(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})*")


def parameters(header: bytes) -> dict[str, bytes]:
    """Parameters of a Content-Disposition, by name in small letters; of repeated ones the first. Quoted ones are unquoted."""
    found: dict[str, bytes] = {}
    for name, quoted, bare in _PARAMETER.findall(header.rstrip()):
        found.setdefault(name.decode("latin-1").lower(), _ESCAPED.sub(rb"\1", quoted) if quoted else bare.strip())
    return found


def plain(given: dict[str, bytes], name: str, *, all_escaped: bool = False) -> str | None:
    """The parameter `name`, or its extended form `name*`, which goes first; None without either.

    `all_escaped`: a value that may have been percent-encoded as a whole has been.
    """
    charset, _, rest = given.get(f"{name}*", b"").partition(b"'")
    if charset.lower() in (b"utf-8", b"iso-8859-1") and b"'" in rest:
        return unquote_to_bytes(rest.partition(b"'")[2]).decode(charset.decode(), errors="replace")
    if name not in given:
        return None
    value = given[name]
    if all_escaped and _ALL_ESCAPED.fullmatch(value):
        value = unquote_to_bytes(value)
    else:
        value = _FORM_ESCAPED.sub(lambda found: _FORM_ESCAPES[found[0]], value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
