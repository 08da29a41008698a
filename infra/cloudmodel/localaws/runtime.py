"""InvokeEndpoint: a request goes to the worker of a variant, its answer or error comes back as SageMaker gives it."""

from __future__ import annotations

import http.client
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from cloudmodel.catalog.catalog import partition
from cloudmodel.localaws.answers import Answer, Request, error
from cloudmodel.localaws.capture import Capture, Exchange, Place
from cloudmodel.localaws.connections import Reply
from cloudmodel.localaws.constraints import violations
from cloudmodel.localaws.endpoints import Endpoints, Key
from cloudmodel.localaws.fleet import Fleet, Variant
from cloudmodel.localaws.metrics import Metrics, Served
from cloudmodel.localaws.serverless import OnDemand
from cloudmodel.localaws.workers import NoRoom, Worker

PATH = re.compile(r"/endpoints/([^/]+)/(invocations|async-invocations|invocations-response-stream)")
TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
# Members of the API by the header that carries them. All other headers stay outside, as on the platform.
PASSED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": CUSTOM_ATTRIBUTES,
    "TargetModel": "X-Amzn-SageMaker-Target-Model",
    "TargetVariant": TARGET_VARIANT,
    "TargetContainerHostname": "X-Amzn-SageMaker-Target-Container-Hostname",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
    "InferenceComponentName": "X-Amzn-SageMaker-Inference-Component",
    "SessionId": "X-Amzn-SageMaker-Session-Id",
}


@dataclass(frozen=True)
class Limits:
    """`body` in bytes (AWS's API model; its hosting guide now says 25 MB), `invocation` in seconds."""

    body: int = 6_291_456
    invocation: float = 60.0


@dataclass(frozen=True)
class Failed:
    """What came in place of a prediction: the model's own status and words, or status 0 where nothing came."""

    status: int
    message: str

    @property
    def told(self) -> str:
        """As SageMaker tells it."""
        side = "client" if 400 <= self.status < 500 else "server"
        return f'Received {side} error ({self.status}) from primary with message "{self.message}".'


class Throttled(Exception):
    """A serverless variant runs as many requests as it takes, or cannot be started now; the message says which."""


class Runtime:
    """Answers invocations. It never takes the lock of the backends."""

    def __init__(
        self,
        endpoints: Endpoints,
        capture: Capture,
        metrics: Metrics,
        limits: Limits,
        account_of: Callable[[str], str],
        region: str,
    ) -> None:
        self._endpoints = endpoints
        self._capture = capture
        self._metrics = metrics
        self._limits = limits
        self._account_of = account_of
        self._region = region

    def __call__(self, request: Request, name: str) -> Answer:
        """One InvokeEndpoint."""
        began = time.monotonic()
        access_key, region, _ = request.scope
        account = self._account_of(access_key)
        passed = {
            member: request.headers[header.lower()]
            for member, header in PASSED.items()
            if header.lower() in request.headers
        }
        problem = violations("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": name, "Body": "", **passed})
        if problem is None and len(request.body) > self._limits.body:
            problem = (
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {self._limits.body}"
            )
        if problem is not None:
            return error(request, 400, "ValidationError", problem)
        region = region or self._region
        fleet = self.enter((account, region, name))
        if fleet is None:
            return error(request, 400, "ValidationError", f"Endpoint {name} of account {account} not found.")
        try:
            if fleet.queued:
                told = f"Endpoint {name} of account {account} is asynchronous: InvokeEndpointAsync asks it."
                return error(request, 400, "ValidationError", told)
            variant = fleet.choose(passed.get("TargetVariant"))
            if variant is None:
                what = passed.get("TargetVariant", "with a weight above 0")
                return error(request, 400, "ValidationError", f"Variant {what} not found for endpoint {name}.")
            headers = {PASSED[member]: value for member, value in passed.items()}
            try:
                with fleet.asking(variant.name), _admitted(variant.worker):
                    setup = _set_up(variant.worker, self._limits.invocation)
                    asked = time.monotonic()
                    reply = self.ask(variant, request.body, headers, self._limits.invocation - setup)
            except Throttled as problem:
                return error(request, 429, "ThrottlingException", str(problem))
            model = time.monotonic() - asked
            answer = _presented(request, variant, reply)
            if fleet.capture and answer.status == HTTPStatus.OK:
                place = Place(account, partition(region), name, variant.name, fleet.capture)
                self._capture.take(place, _exchange(request, passed, answer))
            served = Served(account, region, name, variant.name, fleet.config, variant.instances)
            overhead = time.monotonic() - began - model
            self._metrics.record(served, reply.status, model=model, overhead=overhead, setup=setup)
            return answer
        finally:
            fleet.leave()

    def enter(self, key: Key) -> Fleet | None:
        """What serves an endpoint, entered: `leave` it; None where there is no such endpoint in service."""
        while (fleet := self._endpoints.fleet(key)) is not None:
            if fleet.enter():
                return fleet
        return None

    def ask(self, variant: Variant, body: bytes, headers: dict[str, str], seconds: float) -> Reply | Failed:
        """What a variant answers within so many seconds. Raises Throttled."""
        try:
            reply = self._reply(variant, body, headers, time.monotonic() + seconds)
        except NoRoom as problem:
            raise Throttled(str(problem)) from problem
        except TimeoutError:
            return Failed(0, "Your invocation timed out while waiting for a response from container primary")
        except (OSError, http.client.HTTPException):
            return Failed(0, "could not get a response from the primary container")
        return reply if 200 <= reply.status < 300 else Failed(reply.status, reply.body.decode(errors="replace"))

    def _reply(self, variant: Variant, body: bytes, headers: dict[str, str], deadline: float) -> Reply:
        """What the worker answers; one that is being started again is waited for. Raises as Connections.request."""
        dead = None
        while True:
            connections = variant.worker.connections(max(deadline - time.monotonic(), 0), dead)
            if connections is None:
                raise ConnectionError("no worker")
            try:
                left = max(deadline - time.monotonic(), 0.001)
                return connections.request("POST", "/invocations", body, headers, timeout=left)
            except ConnectionRefusedError:
                dead = connections  # it died and nobody has noticed yet; nothing was sent


@contextmanager
def _admitted(worker: Worker | OnDemand) -> Iterator[None]:
    """A request runs: a serverless variant takes only so many. Raises Throttled."""
    if not isinstance(worker, OnDemand):
        yield
        return
    if not worker.enter():
        raise Throttled("Rate exceeded: the endpoint runs as many requests as its MaxConcurrency.")
    try:
        yield
    finally:
        worker.leave()


def _set_up(worker: Worker | OnDemand, seconds: float) -> float:
    """How long a cold variant took to be warm, which is no time of the model's; 0 of any other. Raises Throttled."""
    try:
        return worker.set_up(seconds) if isinstance(worker, OnDemand) else 0.0
    except NoRoom as problem:
        raise Throttled(str(problem)) from problem


def _presented(request: Request, variant: Variant, reply: Reply | Failed) -> Answer:
    if isinstance(reply, Failed):
        return _model_error(request, variant, reply)
    answered = {
        "Content-Type": content_type(reply),
        "x-Amzn-Invoked-Production-Variant": variant.name,
        "x-amzn-RequestId": secrets.token_hex(16),
    }
    if CUSTOM_ATTRIBUTES.lower() in reply.headers:
        answered[CUSTOM_ATTRIBUTES] = reply.headers[CUSTOM_ATTRIBUTES.lower()]
    return Answer(200, reply.body, answered)


def content_type(reply: Reply) -> str:
    """What a worker says its answer is."""
    return reply.headers.get("content-type", "application/octet-stream")


def _exchange(request: Request, passed: Mapping[str, str], answer: Answer) -> Exchange:
    return Exchange(
        input_type=passed.get("ContentType", "application/octet-stream"),
        input=request.body,
        output_type=answer.headers["Content-Type"],
        output=answer.body,
        inference_id=passed.get("InferenceId"),
        custom_attributes=passed.get("CustomAttributes"),
    )


def _model_error(request: Request, variant: Variant, failed: Failed) -> Answer:
    stream = variant.stream
    return error(
        request,
        424,
        "ModelError",
        f"{failed.told} See {stream.group} in account {stream.account} for more information.",
        OriginalStatusCode=failed.status,
        OriginalMessage=failed.message,
        LogStreamArn=stream.arn,
    )
