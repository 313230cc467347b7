"""Who is connected: bounded in all and by address, so that files do not run out and nobody has all of them."""

from __future__ import annotations

import ipaddress
import os
import resource
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from service.access import origin
from service.settings import Settings

__all__ = ["ACCEPTED", "Connection", "Connections"]

ACCEPTED = 64
"""Connections that are accepted together, before any of them can be refused."""

SPARE_FILES = 3 * ACCEPTED
"""Files left for those just accepted, those just refused, and what else the process opens."""

LEAST = 8
"""Connections that are taken however few files there may be."""


class Connection(Protocol):
    """One of them, as the server has it."""

    host: str

    def shutdown(self) -> None:
        """End it, between two requests."""


class Connections:
    """At most `limit`, and `each` of one address unless it is a proxy's (`trusted`). Used from one event loop only.

    A connection whose request is being answered is kept. Of the others, the one that has been silent for longest makes room for
    a new one, of the address that has most.
    """

    def __init__(self, limit: int, each: int, trusted: Sequence[str] = ()) -> None:
        self.limit = limit
        self.each = each
        self._anybody = "*" in trusted
        self._trusted = [ipaddress.ip_network(address, strict=False) for address in trusted if address != "*"]
        self._origins: dict[Connection, str] = {}
        self._number: Counter[str] = Counter()
        self._silent: dict[str, dict[Connection, None]] = {}

    @classmethod
    def of(cls, settings: Settings) -> Connections:
        """Those of a process, by its settings and its limit on open files."""
        limit = settings.connections
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            limit = max(LEAST, min(limit, files - len(os.listdir("/dev/fd")) - SPARE_FILES))
        return cls(limit, max(1, int(settings.client_share * limit)), settings.trusted_proxies)

    def __len__(self) -> int:
        return len(self._origins)

    def enter(self, connection: Connection) -> bool:
        """Whether a new connection has room, or was given that of a silent one."""
        where = origin(connection.host)
        if self._number[where] >= self.each and not self._speaks_for_others(connection.host):
            room = self._end_silent([where])
        elif len(self) >= self.limit:
            room = self._end_silent(list(self._silent))
        else:
            room = True
        if room:
            self._origins[connection] = where
            self._number[where] += 1
            self.silent(connection)
        return room

    def silent(self, connection: Connection) -> None:
        """It waits for a request."""
        if (where := self._origins.get(connection)) is not None:
            self._silent.setdefault(where, {}).setdefault(connection)

    def busy(self, connection: Connection) -> None:
        """A request of it is being answered."""
        where = self._origins.get(connection)
        if where is not None and where in self._silent:
            self._silent[where].pop(connection, None)
            if not self._silent[where]:
                del self._silent[where]

    def leave(self, connection: Connection) -> None:
        """It has ended, or never had room."""
        self.busy(connection)
        if (where := self._origins.pop(connection, None)) is not None:
            self._number[where] -= 1
            if not self._number[where]:
                del self._number[where]

    def _end_silent(self, origins: Sequence[str]) -> bool:
        """End the longest silent connection of that of these addresses which has most, if there is one."""
        candidates = [where for where in origins if where in self._silent]
        if not candidates:
            return False
        longest = next(iter(self._silent[max(candidates, key=self._number.__getitem__)]))
        self.leave(longest)
        longest.shutdown()
        return True

    def _speaks_for_others(self, host: str) -> bool:
        if self._anybody:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)
