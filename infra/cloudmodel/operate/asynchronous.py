"""One prediction from an async endpoint: the input goes to S3, the output or the failure comes from there."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

from cloudmodel.core.errors import InvocationFailed, TimedOut, UsageError
from cloudmodel.operate.invoke import Address, Answer, readable_errors

MAX_PAYLOAD = 1 << 30
"""An input's size (AWS's guide for asynchronous inference)."""
PATIENCE = 3600.0
"""Seconds: a request may wait for an instance to start, and run for a quarter of an hour."""
UNTOLD = ("", "binary/octet-stream")
"""The types of an object of which nobody said what it is."""
FIRST_LOOK, LAST_LOOK, SLOWER = 0.1, 5.0, 1.5
"""Seconds between two looks at S3, at first and at last, and by how much they grow."""


def invoke_async(
    address: Address,
    endpoint: str,
    inputs: str,
    body: bytes,
    *,
    content_type: str,
    accept: str,
    patience: float = PATIENCE,
) -> Answer:
    """Put `body` under `inputs` (s3://bucket/prefix), ask `endpoint` for it, wait for the output and return it.

    `latency_ms` has the upload and the waiting in it. The input is deleted at the end, the output stays.
    Raises UsageError for a body over 1 GiB, InvocationFailed with what the failure object says, TimedOut after
    `patience` seconds, and as `invoke` what stands between us and AWS.
    """
    if len(body) > MAX_PAYLOAD:
        raise UsageError(f"the request has {len(body)} bytes, an async endpoint takes {MAX_PAYLOAD}")
    began = time.perf_counter()
    with readable_errors(address, endpoint):
        s3 = address.client("s3")
        bucket, prefix = _place(inputs)
        key = f"{prefix}/{uuid.uuid4()}"
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)
        try:
            accepted = address.client("sagemaker-runtime").invoke_endpoint_async(
                EndpointName=endpoint, InputLocation=f"s3://{bucket}/{key}", ContentType=content_type, Accept=accept
            )
            found = _awaited(s3, accepted, endpoint, began + patience)
        finally:
            s3.delete_object(Bucket=bucket, Key=key)
        content, kind = found["Body"].read(), found.get("ContentType", "")
    return Answer(
        status=found["ResponseMetadata"]["HTTPStatusCode"],
        content_type=accept if kind in UNTOLD else kind,
        body=content,
        latency_ms=(time.perf_counter() - began) * 1000,
        variant=None,
    )


def _awaited(s3: Any, accepted: dict[str, Any], endpoint: str, deadline: float) -> dict[str, Any]:
    """The output object, once it is there. Raises InvocationFailed once the failure object is, TimedOut."""
    output, failure = accepted["OutputLocation"], accepted.get("FailureLocation")
    pause, wait = FIRST_LOOK, threading.Event()
    while True:
        if (found := _object(s3, output)) is not None:
            return found
        if failure and (lost := _object(s3, failure)) is not None:
            said = lost["Body"].read().decode(errors="replace")
            raise InvocationFailed(
                f"the request failed: {said}",
                where=endpoint,
                hint=f"its own words are in {failure} and in the log group /aws/sagemaker/Endpoints/{endpoint}",
                details={"failure_location": failure, "original_message": said},
            )
        if time.perf_counter() > deadline:
            raise TimedOut(
                "the output has not come yet; the request still waits or runs",
                where=endpoint,
                hint=f"look at {output} later",
            )
        wait.wait(pause)
        pause = min(pause * SLOWER, LAST_LOOK)


def _object(s3: Any, place: str) -> dict[str, Any] | None:
    """The object at `place`; None where there is none yet: who may not list a bucket gets 403 for it."""
    from botocore.exceptions import ClientError

    bucket, key = _place(place)
    try:
        found: dict[str, Any] = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404", "AccessDenied", "403"):
            return None
        raise
    return found


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key.rstrip("/")
