"""What stands behind the HTTP server: a loaded model that answers requests in its layout's own form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

JSON = "application/json"


class Asked(NamedTuple):
    """One request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What the client gets."""

    status: int
    body: bytes
    kind: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """A request that is answered without the model."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Service(Protocol):
    """A model in one layout. `load` and `answer` run on threads of the server, `refuse` on its loop."""

    most: int
    """How many waiting requests `answer` takes at once; known after `load`."""

    def load(self) -> None:
        """Load the model and run it once. Raises whatever that raises."""

    def refuse(self, method: str, path: str) -> Answer | None:
        """The answer to a route that is not served, None for one that is. /ping is the server's own."""

    def answer(self, asked: Sequence[Asked]) -> Sequence[Answer]:
        """One answer for each request; never raises."""


def failure(status: int, message: str) -> Answer:
    """An answer that says in one line what went wrong."""
    return Answer(status, json.dumps({"error": message}).encode())


def reason(error: BaseException) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def refuse_route(method: str, path: str, served: Mapping[str, str]) -> Answer | None:
    """404 or 405 unless `served` has the path with this method."""
    if path not in served and path != "/ping":
        return failure(
            404, f"this server answers GET /ping and {', '.join(f'{how} {at}' for at, how in served.items())}"
        )
    if served.get(path) != method:
        return failure(405, f"{path} does not answer {method}")
    return None
