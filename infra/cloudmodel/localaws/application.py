"""The local AWS as one WSGI callable: runtime calls go to workers, our own to us, everything else to a mended moto."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from botocore.model import OperationNotFoundError
from moto.iam.models import get_account_id_from
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloudmodel.localaws.alarms import Alarms, LocalCloudWatch
from cloudmodel.localaws.answers import Answer, Request, error
from cloudmodel.localaws.asynchronous import Asynchronous
from cloudmodel.localaws.autoscaling import LocalAutoScaling, forget_endpoint
from cloudmodel.localaws.capture import Capture
from cloudmodel.localaws.clock import Clock
from cloudmodel.localaws.endpoints import Endpoints, Key
from cloudmodel.localaws.faults import PATH as FAULTS
from cloudmodel.localaws.faults import Faults
from cloudmodel.localaws.levels import Levels, Looks
from cloudmodel.localaws.logs import Pump
from cloudmodel.localaws.mending import mend
from cloudmodel.localaws.metrics import Metrics, tell_moto
from cloudmodel.localaws.rollout import Rollouts
from cloudmodel.localaws.runtime import PATH, Limits, Runtime
from cloudmodel.localaws.sagemaker import LocalSageMaker
from cloudmodel.localaws.scaler import Scaler
from cloudmodel.localaws.workers import Pool, resident

STATUS = "/_cloudmodel/status"
RESET = "/_cloudmodel/reset"
CLOCK = "/_cloudmodel/clock"
INSTANCE_HEADER = "x-cloudmodel-instance"
_HTML = re.compile(rb"\s*<!doctype html", re.IGNORECASE)


class _Clock(BaseModel):
    """What the clock may be told; bounds keep a mistyped year from being one."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    speed: float | None = Field(default=None, ge=0, le=1e6)
    forward: float = Field(default=0, ge=0, le=1e8)


class Application:
    """One local AWS. `on_reset` hears the new instance id. Make one a process: moto's backends are global."""

    def __init__(
        self, home: Path, pool: Pool, *, region: str, limits: Limits, on_reset: Callable[[str], None] = lambda _: None
    ) -> None:
        self.instance_id = secrets.token_hex(8)
        self._region = region
        self._pool = pool
        self._on_reset = on_reset
        self._faults = Faults()
        # Moto's backends are not safe from several threads. They are Python under the GIL: one lock costs little.
        self._lock = threading.RLock()
        self._clock = Clock()
        self._metrics = Metrics(self._clock)
        self._levels = Levels()
        self._told = tell_moto(self._metrics, self._levels)
        alarms = Alarms(self._clock, self._metrics, self._levels)
        rollouts = Rollouts(alarms, self._lock)
        self._endpoints = Endpoints(pool, Pump(self._lock), self._lock, rollouts, on_deleted=self._forget)
        self._runtime = Runtime(
            self._endpoints, Capture(self._lock), self._metrics, limits, get_account_id_from, region
        )
        self._asynchronous = Asynchronous(self._runtime, self._lock, get_account_id_from, region)
        looks = Looks(self._levels, self._endpoints, self._asynchronous.backlog)
        self._scaler = Scaler(alarms, self._endpoints, self._lock, looks)
        mend(
            type("SageMaker", (LocalSageMaker,), {"endpoints": self._endpoints}),
            type("AutoScaling", (LocalAutoScaling,), {"scaler": self._scaler}),
            type("CloudWatch", (LocalCloudWatch,), {"alarms": alarms}),
        )
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """WSGI."""
        request = Request.of(environ, _body(environ))
        try:
            answer = self._route(request, environ)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            answer = error(request, 500, "InternalFailure", "The local AWS failed; its server.log says how.")
        reason = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else "Unknown"
        headers = dict(answer.headers)
        if not any(name.lower() == "content-length" for name in headers):
            headers["Content-Length"] = str(len(answer.body))
        start_response(f"{answer.status} {reason}", list(headers.items()))
        return [] if request.method == "HEAD" else [answer.body]

    def status(self) -> dict[str, Any]:
        """What `local status` shows."""
        with self._lock:
            endpoints = list(_endpoints())
        return {
            "instance_id": self.instance_id,
            "pid": os.getpid(),
            "region": self._region,
            "memory_bytes": resident(os.getpid()),
            "max_workers": self._pool.most,
            "workers": self._pool.describe(),
            "endpoints": endpoints,
        }

    def reset(self) -> None:
        """Forget everything, as a restart does."""
        from moto.moto_api._internal.models import moto_api_backend

        with self._lock:
            self._endpoints.close()
            moto_api_backend.reset()
            self._faults.order(b"[]")
            self._metrics.forget()
            self._levels.forget()
            self._scaler.forget()
            self.instance_id = secrets.token_hex(8)
        self._on_reset(self.instance_id)

    def _route(self, request: Request, environ: dict[str, Any]) -> Answer:
        if request.path == STATUS:
            return _json(200, self.status())
        if request.path == RESET or request.path == "/moto-api/reset":
            return self._reset(request)
        if request.path == CLOCK:
            return self._set_clock(request)
        if request.path == FAULTS:
            return self._order(request)
        if fault := self._faults.answer(request):
            return fault
        invoked = PATH.fullmatch(request.path)
        if invoked and request.method == "POST" and request.scope[2] != "s3":
            if invoked[2] == "async-invocations":
                return self._asynchronous(request, invoked[1])
            if invoked[2] != "invocations":
                return error(request, 400, "ValidationError", f"The local AWS does not do {invoked[2]}.")
            return self._runtime(request, invoked[1])
        return self._ask_moto(request, environ)

    def _forget(self, key: Key) -> None:
        """What depends on an endpoint ends with it."""
        forget_endpoint(key)
        self._levels.forget(key)
        self._asynchronous.forget(key)

    def _reset(self, request: Request) -> Answer:
        if not self._knows_us(request):
            return STRANGER
        self.reset()
        return _json(200, {"instance_id": self.instance_id})

    def _order(self, request: Request) -> Answer:
        if not self._knows_us(request):
            return STRANGER
        try:
            self._faults.order(request.body)
        except ValueError as unfit:
            return _json(400, {"message": str(unfit)})
        return _json(200, {})

    def _set_clock(self, request: Request) -> Answer:
        """`{"speed": …, "forward": seconds}`, both optional."""
        if not self._knows_us(request):
            return STRANGER
        try:
            wish = _Clock.model_validate_json(request.body or b"{}")
        except ValidationError as problem:
            return _json(400, {"message": str(problem)})
        self._clock.set(speed=wish.speed, forward=wish.forward)
        return _json(200, {"now": self._clock.now(), "speed": self._clock.speed})

    def _knows_us(self, request: Request) -> bool:
        """A page in a browser, or a client of an earlier instance, does not."""
        return request.method == "POST" and request.headers.get(INSTANCE_HEADER) == self.instance_id

    def _ask_moto(self, request: Request, environ: dict[str, Any]) -> Answer:
        if "x-amz-target" in request.headers and not _is_object(request.body):
            return error(request, 400, "SerializationException", "The request body is no JSON object.")
        environ = {**environ, "wsgi.input": io.BytesIO(request.body), "CONTENT_LENGTH": str(len(request.body))}
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        told: list[Any] = []
        try:
            with self._lock:
                parts = self._moto(environ, lambda status, headers, _=None: told.extend((status, headers)))
                try:
                    body = b"".join(parts)
                finally:
                    if hasattr(parts, "close"):
                        parts.close()
        except (NotImplementedError, OperationNotFoundError):
            return _missing(request)
        status, headers = int(told[0].split()[0]), _merged(told[1])
        if status in (404, 405, 500) and _HTML.match(body):
            return _missing(request)
        if status == 403 and not body and request.method != "HEAD" and request.scope[2] == "s3":
            return error(request, 403, "AccessDenied", "Access Denied")
        return Answer(status, body, headers)


def _missing(request: Request) -> Answer:
    """For a call that nobody here does: an error that SDKs show and do not repeat."""
    service = request.scope[2] or "unknown service"
    status, code = (501, "NotImplemented") if service == "s3" else (400, "UnknownOperationException")
    return error(request, status, code, f"The local AWS does not do {request.operation} ({service}).")


def _endpoints() -> Iterable[dict[str, Any]]:
    from moto.sagemaker.models import sagemaker_backends

    for _, regions in sagemaker_backends.items():
        for region, backend in regions.items():
            for endpoint in backend.endpoints.values():
                yield {
                    "name": endpoint.endpoint_name,
                    "region": region,
                    "status": endpoint.endpoint_status,
                    "config": endpoint.endpoint_config_name,
                    "failure_reason": endpoint.failure_reason,
                    "variants": [
                        {"name": summary["VariantName"], "weight": summary["CurrentWeight"]}
                        for summary in endpoint.production_variants
                    ],
                }


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body or b"{}"), dict)
    except ValueError:
        return False


def _body(environ: Mapping[str, Any]) -> bytes:
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        return bytes(stream.read())
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = bytes(stream.read(length)) if length else b""
    if len(body) != length:  # half an object must not be stored as a whole one
        raise ConnectionError("the request was not sent in full")
    return body


def _merged(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _json(status: int, document: Mapping[str, Any]) -> Answer:
    return Answer(status, json.dumps(document, sort_keys=True).encode(), {"Content-Type": "application/json"})


STRANGER = _json(403, {"message": f"POST with the header {INSTANCE_HEADER}, as {STATUS} tells it"})
