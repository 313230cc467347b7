"""A client of the service: the calls and answers of `pqa.load()`, over HTTP. Needs the extra `client`.

    >>> from pqa.client import Client
    >>> with Client("http://localhost:8000") as client:
    ...     ranking = client.rank(["a.jpg", "b.jpg"])

`AsyncClient` is the same with `async with` and `await`.
"""

from pqa.client.http import AsyncClient, Client
from pqa.client.pieces import Pieces
from pqa.client.steps import Retry

__all__ = ["AsyncClient", "Client", "Pieces", "Retry"]
