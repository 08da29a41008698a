"""Data capture: what endpoints answered, as JSON lines in S3, in the form of SageMaker's own files.

Form and place are those of SageMaker's guide: `PREFIX/ENDPOINT/VARIANT/yyyy/mm/dd/hh/NAME.jsonl`, one record a line.
A request never waits for it: one thread writes, and takes what has come meanwhile into one file.
"""

from __future__ import annotations

import base64
import json
import queue
import random
import sys
import threading
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Exchange:
    """One request and its answer; types are the content types as they were sent."""

    input_type: str
    input: bytes
    output_type: str
    output: bytes
    inference_id: str | None = None
    custom_attributes: str | None = None
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Place:
    """Whose exchange it is, and what its endpoint configuration says of capture (`DataCaptureConfig`)."""

    account: str
    partition: str
    endpoint: str
    variant: str
    settings: Mapping[str, Any] = field(hash=False)


class Capture:
    """Takes exchanges and writes them. `lock` is the lock of moto's backends."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._waiting: queue.SimpleQueue[tuple[Place, Exchange]] = queue.SimpleQueue()
        threading.Thread(target=self._write_all, name="capture", daemon=True).start()

    def take(self, place: Place, exchange: Exchange) -> None:
        """Capture this exchange, if chance and the configuration say so."""
        percent = place.settings.get("InitialSamplingPercentage", 0)
        if place.settings.get("EnableCapture") and 100 * random.random() < percent:  # noqa: S311  (a sample)
            self._waiting.put((place, exchange))

    def _write_all(self) -> None:
        while True:
            files: dict[tuple[str, ...], tuple[Place, list[Exchange]]] = {}
            taken = [self._waiting.get()]
            while not self._waiting.empty():
                taken.append(self._waiting.get())
            for place, exchange in taken:
                hour = f"{exchange.at:%Y/%m/%d/%H}"
                files.setdefault((place.account, place.endpoint, place.variant, hour), (place, []))[1].append(exchange)
            for (*_, hour), (place, exchanges) in files.items():
                try:
                    self._write(place, hour, exchanges)
                except Exception:  # what cannot be written is lost; the next must not be
                    traceback.print_exc(file=sys.stderr)

    def _write(self, place: Place, hour: str, exchanges: list[Exchange]) -> None:
        from moto.s3.models import s3_backends

        bucket, _, prefix = place.settings["DestinationS3Uri"].removeprefix("s3://").partition("/")
        first = exchanges[0]
        name = f"{first.at:%M-%S}-{first.at.microsecond // 1000:03d}-{first.event_id}.jsonl"
        key = "/".join(part for part in (prefix.strip("/"), place.endpoint, place.variant, hour, name) if part)
        lines = "".join(json.dumps(record(each, place.settings)) + "\n" for each in exchanges)
        kms = place.settings.get("KmsKeyId")
        encrypted = {"encryption": "aws:kms", "kms_key_id": kms} if kms else {}
        with self._lock:
            backend = s3_backends[place.account][place.partition]
            if bucket in backend.buckets:  # one that is gone gets nothing, and no request fails for it
                backend.put_object(bucket, key, lines.encode(), **encrypted)


def record(exchange: Exchange, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One line: the captured sides, and when it was."""
    modes = {each["CaptureMode"] for each in settings["CaptureOptions"]}
    sides = {
        "endpointInput": ("Input", "INPUT", exchange.input_type, exchange.input),
        "endpointOutput": ("Output", "OUTPUT", exchange.output_type, exchange.output),
    }
    about = {
        "eventId": exchange.event_id,
        "customAttributes": [exchange.custom_attributes] if exchange.custom_attributes else None,
        "inferenceId": exchange.inference_id,
        "inferenceTime": f"{exchange.at:%Y-%m-%dT%H:%M:%SZ}",
    }
    return {
        "captureData": {
            name: side(mode, kind, body, settings.get("CaptureContentTypeHeader") or {})
            for name, (option, mode, kind, body) in sides.items()
            if modes & {option, "InputAndOutput"}
        },
        "eventMetadata": {name: value for name, value in about.items() if value is not None},
        "eventVersion": "0",
    }


def side(mode: str, content_type: str, body: bytes, known: Mapping[str, list[str]]) -> dict[str, Any]:
    """One side of an exchange: text where the configuration names its type as CSV or JSON, else base64."""
    bare = content_type.partition(";")[0].strip().lower()
    encodings = {"CSV": known.get("CsvContentTypes") or (), "JSON": known.get("JsonContentTypes") or ()}
    encoding = next((name for name, types in encodings.items() if bare in [each.lower() for each in types]), "BASE64")
    data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}
