"""The ASGI application of every layout: GET /ping, and the model's own routes behind one bounded queue."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

from cloudmodel.core.errors import UsageError
from cloudmodel.serving.runtime.machine import threads
from cloudmodel.serving.service import JSON, Answer, Asked, Refused, Service, failure
from cloudmodel.serving.waiting import Full, WaitingLine

PER_WORKER_QUEUE = 64
BODY_SECONDS = 60  # as long as a whole invocation may take


@dataclass(frozen=True)
class Limits:
    """How much one container takes on: `workers` predictions at once, `queue` requests waiting, `payload` bytes."""

    workers: int
    queue: int
    payload: int

    @classmethod
    def from_environment(cls) -> Limits:
        """The cores that the cgroup leaves and 25 MB (the hosting limit of a real-time endpoint), or what the
        environment says. Raises UsageError for a number that is none."""
        workers = _positive("SAGEMAKER_MODEL_SERVER_WORKERS", threads())
        return cls(workers, workers * PER_WORKER_QUEUE, _positive("SAGEMAKER_MAX_PAYLOAD_IN_MB", 25) * 1024 * 1024)


class Container:
    """One loaded model, a few threads, a bounded queue."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self._service = service
        self._limits = limits
        self._line = WaitingLine(service.answer, limits.workers, limits.queue, lambda: service.most)
        self.ready = False

    def load(self) -> None:
        """Load the model and run it once; /ping is 200 from then on. Raises whatever that raises."""
        self._service.load()
        self.ready = True

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            answer = await self._answer(scope, receive)
        except Refused as refusal:
            answer = failure(refusal.status, str(refusal))
        headers = [(b"content-type", answer.kind.encode()), (b"content-length", str(len(answer.body)).encode())]
        headers += [(name.encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: dict[str, Any], receive: Any) -> Answer:
        method, path = scope["method"], scope["path"]
        if path == "/ping" and method == "GET":
            return Answer(200, b"", JSON) if self.ready else failure(503, "the model is loading")
        if (refusal := self._service.refuse(method, path)) is not None:
            return refusal
        if not self.ready:
            return failure(503, "the model is loading")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await self._body(headers, receive) if method == "POST" else b""
        try:
            return await self._line.ask(Asked(method, path, headers, body))
        except Full:
            return failure(503, f"{self._line.held} requests are waiting already; try again")

    async def _body(self, headers: dict[str, str], receive: Any) -> bytes:
        limit = self._limits.payload
        too_large = Refused(413, f"the request is larger than {limit >> 20} MB")
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise too_large
        pieces, size, more = [], 0, True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the request was not sent in full")
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > limit:
                        raise too_large
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refused(408, f"the request was not sent within {BODY_SECONDS} s") from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """End the threads; predictions that run are finished first."""
        self._line.close()


def _positive(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    if not value:
        return default
    if not value.isdigit() or int(value) == 0:
        raise UsageError(f"{variable} must be a whole number above 0, not {value!r}", where="environment")
    return int(value)
