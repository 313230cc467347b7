"""Who may ask, and how much at once: API keys, and the requests that one client may have in work."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
from collections import Counter
from collections.abc import Iterator, Sequence

from fastapi import Request

from service.problems import Problem

__all__ = ["Clients", "Keys", "client", "origin"]

_SCHEME = "bearer "


class Keys:
    """The keys that are accepted; with none, everybody is. Only their digests are kept."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def check(self, authorization: str) -> str | None:
        """A name for the owner of the key in this header, which tells nothing of the key; None without keys.

        Raises the problem `unauthorised` for no key and `forbidden` for a wrong one.
        """
        if not self._digests:
            return None
        if not authorization.lower().startswith(_SCHEME):
            raise Problem("unauthorised", "send a key of this service: Authorization: Bearer KEY")
        given = _digest(authorization[len(_SCHEME) :].strip())
        # Every key is compared, each in constant time, so that the time of an answer tells nothing.
        if not sum(hmac.compare_digest(given, digest) for digest in self._digests):
            raise Problem("forbidden", "this key is not known here")
        return given.hex()


class Clients:
    """Counts the requests of each client; `limit` at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_work: Counter[str] = Counter()

    @contextlib.contextmanager
    def place(self, name: str) -> Iterator[None]:
        """Hold one of the client's places. Raises the problem `busy` when it has none left."""
        if self._in_work[name] >= self._limit:
            raise Problem("busy", f"{self._limit} requests of yours are in work; wait for one", reason="client")
        self._in_work[name] += 1
        try:
            yield
        finally:
            self._in_work[name] -= 1
            if not self._in_work[name]:
                del self._in_work[name]

    def __len__(self) -> int:
        return len(self._in_work)


def client(request: Request) -> str:
    """Who sent this request: the owner of its key, or else its address. Raises a Problem for a missing or wrong key."""
    keys: Keys = request.app.state.service.keys
    owner = keys.check(request.headers.get("authorization", ""))
    return owner or origin(request.client.host if request.client else "")


def origin(host: str) -> str:
    """Who has an address: of IPv6, a whole network of 64 bits is one's own. A path or an empty name is returned as it is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
