"""One prediction from an endpoint, over SageMaker's runtime API."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import (
    CloudmodelError,
    CredentialsMissing,
    InvocationFailed,
    LocalCloudUnavailable,
    UsageError,
)

CONTENT_TYPES = {
    ".json": "application/json",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".csv": "text/csv",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".txt": "text/plain",
}
# Hosting quota "maximum payload size" of a real-time endpoint (AWS general reference, SageMaker endpoints and quotas).
MAX_PAYLOAD = 25 << 20
# A model has 60 s for an answer (InvokeEndpoint); the connection outlives it, so that its own error is heard.
READ_TIMEOUT = 70
LOCAL_KEY = "local"
REFUSED = (
    "AccessDeniedException",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "UnrecognizedClientException",
)


@dataclass(frozen=True)
class Address:
    """Where an endpoint is asked. `endpoint_url` is the local AWS; None is AWS itself with the user's credentials."""

    region: str
    endpoint_url: str | None = None

    def client(self, service: str) -> Any:
        """A boto3 client. The local AWS gets keys of its own; nothing of the user's configuration reaches it."""
        import boto3
        from botocore.config import Config

        from cloudmodel.provider.cloud import session

        local = self.endpoint_url is not None
        keys = {"aws_access_key_id": LOCAL_KEY, "aws_secret_access_key": LOCAL_KEY} if local else {}
        return boto3.session.Session(botocore_session=session(hermetic=local), **keys).client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            config=Config(
                connect_timeout=10,
                read_timeout=READ_TIMEOUT,
                retries={"mode": "standard", "total_max_attempts": 3},
                proxies={} if local else None,
            ),
        )


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered; `latency_ms` is the caller's, with the way there and back."""

    status: int
    content_type: str
    body: bytes
    latency_ms: float
    variant: str | None

    def as_json(self) -> dict[str, Any]:
        """The contract's fields. `body` is the JSON itself, or text, or base64 (`encoding` says so)."""
        body, encoding = presented(self.body, self.content_type)
        document = {
            "status": self.status,
            "content_type": self.content_type,
            "body": body,
            "latency_ms": round(self.latency_ms, 3),
            "variant": self.variant,
        }
        return document | ({"encoding": encoding} if encoding else {})


def content_type_of(path: Path) -> str:
    """The content type that a file's suffix stands for. Raises UsageError for a suffix that stands for none."""
    try:
        return CONTENT_TYPES[path.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"no content type is known for the suffix {path.suffix!r}",
            where=str(path),
            hint=f"--content-type application/json   (known suffixes: {', '.join(sorted(CONTENT_TYPES))})",
        ) from None


def invoke(address: Address, endpoint: str, body: bytes, *, content_type: str, accept: str) -> Answer:
    """Ask `endpoint` for one prediction.

    Raises UsageError for a body over SageMaker's 25 MiB, CredentialsMissing, LocalCloudUnavailable where the local
    AWS does not answer, InvocationFailed with the model's own status and message.
    """
    if len(body) > MAX_PAYLOAD:
        raise UsageError(
            f"the request has {len(body)} bytes, an endpoint takes {MAX_PAYLOAD}", hint="send less at once"
        )
    with readable_errors(address, endpoint):
        client = address.client("sagemaker-runtime")
        began = time.perf_counter()
        response = client.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType=content_type, Accept=accept)
        content = response["Body"].read()
        seconds = time.perf_counter() - began
    return Answer(
        status=response["ResponseMetadata"]["HTTPStatusCode"],
        content_type=response.get("ContentType", ""),
        body=content,
        latency_ms=seconds * 1000,
        variant=response.get("InvokedProductionVariant"),
    )


def presented(body: bytes, content_type: str) -> tuple[Any, str | None]:
    """A body for a JSON document, and its encoding where it is not its plain self: JSON, UTF-8 text, else base64."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"
    if kind == "application/json" or kind.endswith("+json"):
        try:
            document = json.loads(text)
            json.dumps(document, allow_nan=False)
            return document, None
        except (ValueError, RecursionError):
            return text, None
    if kind.startswith("text/") or text.isprintable():
        return text, None
    return base64.b64encode(body).decode(), "base64"


@contextmanager
def readable_errors(address: Address, endpoint: str) -> Iterator[None]:
    """botocore's exceptions as errors that say what to do."""
    from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as missing:
        raise CredentialsMissing("no AWS credentials were found", hint="aws configure, or aws sso login") from missing
    except ClientError as refused:
        raise _explained(refused.response, endpoint) from refused
    except BotoCoreError as failed:
        if address.endpoint_url and isinstance(failed, EndpointConnectionError):
            raise LocalCloudUnavailable(
                "the local AWS does not answer", where=address.endpoint_url, hint="cloudmodel up --stack local"
            ) from failed
        raise InvocationFailed(str(failed), where=endpoint) from failed


def _explained(response: dict[str, Any], endpoint: str) -> CloudmodelError:
    error = response.get("Error", {})
    code, message = str(error.get("Code", "")), str(error.get("Message", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in REFUSED:
        return CredentialsMissing(f"{code}: {message}", where=endpoint, hint="aws sts get-caller-identity")
    original = response.get("OriginalStatusCode")
    if original is not None:
        said = _said(str(response.get("OriginalMessage") or message))
        hint = (
            "send what the model's signature asks for: cloudmodel inspect" if 400 <= original < 500 else "read its log"
        )
        return InvocationFailed(
            f"the model answered {original}: {said}",
            where=endpoint,
            hint=hint,
            details={"status": status, "original_status": original, "original_message": said},
        )
    missing = "not found" in message.lower()
    return InvocationFailed(
        f"{code}: {message}",
        where=endpoint,
        hint="cloudmodel up" if missing else "wait, or mend what it names, then run the same command again",
        details={"status": status, "code": code},
    )


def _said(body: str) -> str:
    """The message in an error document of our serving code, else the body as it came."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return document["error"] if isinstance(document, dict) and isinstance(document.get("error"), str) else body
