"""InvokeEndpointAsync: an input in S3 goes to a worker, its answer or its error lands in S3, and a topic hears of it.

Every endpoint has a queue; as many of its requests run at once as its instances take. With no instance they wait.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cloudmodel.catalog.catalog import partition
from cloudmodel.localaws.answers import Answer, Request, error
from cloudmodel.localaws.connections import Reply
from cloudmodel.localaws.constraints import violations
from cloudmodel.localaws.endpoints import Key
from cloudmodel.localaws.runtime import PASSED, Failed, Runtime, content_type

HEADERS = {
    "ContentType": "X-Amzn-SageMaker-Content-Type",
    "Accept": "X-Amzn-SageMaker-Accept",
    "CustomAttributes": PASSED["CustomAttributes"],
    "InferenceId": PASSED["InferenceId"],
    "InputLocation": "X-Amzn-SageMaker-InputLocation",
    "S3OutputPathExtension": "X-Amzn-SageMaker-S3OutputPathExtension",
    "Filename": "X-Amzn-SageMaker-Filename",
    "RequestTTLSeconds": "X-Amzn-SageMaker-RequestTTLSeconds",
    "InvocationTimeoutSeconds": "X-Amzn-SageMaker-InvocationTimeoutSeconds",
}
TO_MODEL = ("ContentType", "Accept", "CustomAttributes", "InferenceId")
TTL_SECONDS, TIMEOUT_SECONDS = 21_600, 900
"""How long a request may wait, and how long it may run, where it does not say (AWS's guide)."""
USUAL_CONCURRENCY = 4
"""Requests an instance runs at once where the configuration does not say; SageMaker then finds a number by itself."""
LOOK_AGAIN = 0.2
"""Seconds after which a queue without capacity looks whether it has some."""


@dataclass(frozen=True)
class Job:
    """One request. `config` is its endpoint's AsyncInferenceConfig when it came."""

    key: Key
    id: str
    members: Mapping[str, Any]
    body: bytes
    config: Mapping[str, Any]
    output: str
    failure: str | None
    came: float = field(default_factory=time.time)


class Asynchronous:
    """Takes requests and carries them out. `lock` is the lock of moto's backends."""

    def __init__(self, runtime: Runtime, lock: Any, account_of: Callable[[str], str], region: str) -> None:
        self._runtime = runtime
        self._lock = lock
        self._account_of = account_of
        self._region = region
        self._changed = threading.Condition()
        self._waiting: dict[Key, deque[Job]] = {}
        self._running: dict[Key, int] = {}

    def __call__(self, request: Request, name: str) -> Answer:
        """One InvokeEndpointAsync: accepted, or why not."""
        access_key, region, _ = request.scope
        key = (self._account_of(access_key), region or self._region, name)
        members = {
            member: _number(request.headers[header.lower()]) if member.endswith("Seconds") else text
            for member, header in HEADERS.items()
            if (text := request.headers.get(header.lower())) is not None
        }
        problem = violations("sagemaker-runtime", "InvokeEndpointAsync", {"EndpointName": name, **members})
        if problem is None and bool(request.body) == ("InputLocation" in members):
            problem = "Exactly one of InputLocation and Body is required."
        if problem is None and len(request.body) > 128_000:
            problem = (
                "Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 128000"
            )
        config = self._config(key)
        if problem is None and config is None:
            problem = f"Endpoint {name} of account {key[0]} not found."
        if problem is None and not config:
            problem = f"Endpoint {name} of account {key[0]} is not asynchronous: InvokeEndpoint asks it."
        if problem is not None or config is None:
            return error(request, 400, "ValidationError", str(problem))
        job = _job(key, members, request.body, config)
        with self._changed:
            fresh = not self._waiting.get(key)
            self._waiting.setdefault(key, deque()).append(job)
            self._changed.notify_all()
        if fresh:
            threading.Thread(target=self._hand_out, args=(key,), name=f"queue {name}", daemon=True).start()
        headers = {
            "Content-Type": "application/json",
            "X-Amzn-SageMaker-OutputLocation": job.output,
            "x-amzn-RequestId": secrets.token_hex(16),
            **({"X-Amzn-SageMaker-FailureLocation": job.failure} if job.failure else {}),
        }
        return Answer(202, json.dumps({"InferenceId": job.id}).encode(), headers)

    def backlog(self, key: Key) -> int:
        """How many requests of an endpoint wait or run."""
        with self._changed:
            return len(self._waiting.get(key, ())) + self._running.get(key, 0)

    def forget(self, key: Key) -> None:
        """Drop what waits for an endpoint that is gone."""
        with self._changed:
            self._waiting.pop(key, None)
            self._changed.notify_all()

    def _hand_out(self, key: Key) -> None:
        """Start what waits, as capacity allows, until nothing does."""
        while True:
            capacity = self._capacity(key)
            with self._changed:
                waiting = self._waiting.get(key)
                if not waiting:
                    return
                if self._running.get(key, 0) >= capacity:
                    self._changed.wait(LOOK_AGAIN)
                    continue
                job = waiting.popleft()
                last = not waiting
                self._running[key] = self._running.get(key, 0) + 1
            threading.Thread(target=self._carry_out, args=(job,), name=f"async {job.id}", daemon=True).start()
            if last:
                return

    def _carry_out(self, job: Job) -> None:
        try:
            outcome = self._outcome(job)
            self._record(job, outcome)
        except Exception:  # what cannot be recorded is lost; the queue goes on
            traceback.print_exc(file=sys.stderr)
        finally:
            with self._changed:
                self._running[job.key] -= 1
                self._changed.notify_all()

    def _outcome(self, job: Job) -> Reply | Failed:
        if time.time() - job.came > job.members.get("RequestTTLSeconds", TTL_SECONDS):
            return Failed(0, "the request expired in the queue")
        body = job.body
        if "InputLocation" in job.members:
            found = self._read(job.key, job.members["InputLocation"])
            if found is None:
                return Failed(0, f"Could not download the input from {job.members['InputLocation']}")
            body = found
        fleet = self._runtime.enter(job.key)
        if fleet is None:
            return Failed(0, f"the endpoint {job.key[2]} is gone")
        try:
            variant = fleet.choose(None)
            if variant is None:
                return Failed(0, "the endpoint has no variant with a weight above 0")
            headers = {PASSED[member]: str(job.members[member]) for member in TO_MODEL if member in job.members}
            seconds = float(job.members.get("InvocationTimeoutSeconds", TIMEOUT_SECONDS))
            return self._runtime.ask(variant, body, headers, seconds)
        finally:
            fleet.leave()

    def _record(self, job: Job, outcome: Reply | Failed) -> None:
        """Write the answer or the error, then tell the topic."""
        key_id = job.config["OutputConfig"].get("KmsKeyId")
        if isinstance(outcome, Failed):
            if job.failure:
                self._write(job.key, job.failure, outcome.told.encode(), "text/plain", key_id)
        else:
            self._write(job.key, job.output, outcome.body, content_type(outcome), key_id)
        told = job.config["OutputConfig"].get("NotificationConfig") or {}
        topic = told.get("ErrorTopic" if isinstance(outcome, Failed) else "SuccessTopic")
        if topic:
            self._publish(job, topic, message(job, outcome, told.get("IncludeInferenceResponseIn") or ()))

    def _config(self, key: Key) -> Mapping[str, Any] | None:
        """The AsyncInferenceConfig of an endpoint in service, empty where it has none; None where there is no such."""
        from moto.sagemaker.models import sagemaker_backends

        with self._lock:
            account, region, name = key
            endpoint: Any = sagemaker_backends[account][region].endpoints.get(name)
            if endpoint is None or endpoint.endpoint_status in ("Creating", "Failed", "Deleting"):
                return None
            return dict(endpoint.async_inference_config or {})

    def _capacity(self, key: Key) -> int:
        """How many requests an endpoint runs at once now."""
        from moto.sagemaker.models import sagemaker_backends

        with self._lock:
            account, region, name = key
            endpoint: Any = sagemaker_backends[account][region].endpoints.get(name)
            if endpoint is None:
                return USUAL_CONCURRENCY  # what still waits fails now, and not never
            client = (endpoint.async_inference_config or {}).get("ClientConfig") or {}
            each = client.get("MaxConcurrentInvocationsPerInstance") or USUAL_CONCURRENCY
            instances: int = sum(variant.get("CurrentInstanceCount", 0) for variant in endpoint.production_variants)
            return instances * each

    def _read(self, key: Key, place: str) -> bytes | None:
        bucket, name = _parts(place)
        with self._lock:
            found = _bucket(key, bucket)
            entry = found.keys.get(name) if found is not None else None
            return bytes(entry.value) if entry is not None and hasattr(entry, "value") else None

    def _write(self, key: Key, place: str, body: bytes, kind: str, key_id: str | None) -> None:
        from moto.s3.models import s3_backends

        bucket, name = _parts(place)
        encrypted: dict[str, Any] = {"encryption": "aws:kms", "kms_key_id": key_id} if key_id else {}
        with self._lock:
            backend = s3_backends[key[0]][partition(key[1])]
            backend.put_object(bucket, name, body, **encrypted).set_metadata({"Content-Type": kind})

    def _publish(self, job: Job, topic: str, document: Mapping[str, Any]) -> None:
        from moto.sns.models import sns_backends

        with self._lock:
            sns_backends[topic.split(":")[4]][topic.split(":")[3]].publish(
                json.dumps(document), arn=topic, subject="Result from an asynchronous inference"
            )


def message(job: Job, outcome: Reply | Failed, included: Any) -> dict[str, Any]:
    """What the topic hears, in the form of SageMaker's notifications; `included` names topics that hear the body."""
    failed = isinstance(outcome, Failed)
    asked = {
        "contentType": job.members.get("ContentType"),
        "endpointName": job.key[2],
        "inputLocation": job.members.get("InputLocation"),
        "customAttributes": job.members.get("CustomAttributes"),
    }
    said: dict[str, Any] = {
        "awsRegion": job.key[1],
        "eventTime": _stamp(time.time()),
        "receivedTime": _stamp(job.came),
        "invocationStatus": "Failed" if failed else "Completed",
        "requestParameters": {name: value for name, value in asked.items() if value is not None},
        "inferenceId": job.id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if isinstance(outcome, Failed):
        said["failureReason"] = outcome.told
        if job.failure:
            said["responseParameters"] = {"failureLocation": job.failure}
        return said
    said["responseParameters"] = {"contentType": content_type(outcome), "outputLocation": job.output}
    if "SUCCESS_NOTIFICATION_TOPIC" in included:
        said["responseBody"] = {"content": base64.b64encode(outcome.body).decode(), "encoding": "BASE64"}
    return said


def _job(key: Key, members: Mapping[str, Any], body: bytes, config: Mapping[str, Any]) -> Job:
    id = members.get("InferenceId") or str(uuid.uuid4())
    paths = config["OutputConfig"]
    extension = members.get("S3OutputPathExtension", "").strip("/")
    place = "/".join(part for part in (paths["S3OutputPath"].rstrip("/"), extension) if part)
    lost = paths.get("S3FailurePath")
    return Job(
        key,
        id,
        members,
        body,
        config,
        output=f"{place}/{members.get('Filename') or f'{id}.out'}",
        failure=f"{lost.rstrip('/')}/{id}-error.out" if lost else None,
    )


def _bucket(key: Key, name: str) -> Any:
    from moto.s3.models import s3_backends

    return s3_backends[key[0]][partition(key[1])].buckets.get(name)


def _parts(place: str) -> tuple[str, str]:
    bucket, _, name = place.removeprefix("s3://").partition("/")
    return bucket, name


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _stamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
