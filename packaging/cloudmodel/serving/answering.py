"""Answers requests from files as a container without our code would: what parity runs for its layouts, confined."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudmodel.bundle.foreign import Foreign
from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Report
from cloudmodel.formats.model import Signature
from cloudmodel.serving.target import LAYOUTS

FUNCTION = "cloudmodel.serving.answering:run"


def foreign(layout: str, name: str, signature: Signature) -> Foreign | None:
    """How a bundle of a layout is asked; None where it has our own code."""
    body = LAYOUTS[layout].body
    if body is None:
        return None
    return Foreign(body, FUNCTION, {"layout": layout, "name": name, "signature": signature.model_dump(mode="json")})


def run(job: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The child's part. Raises StepFailed with the answer to a request that is refused."""
    from cloudmodel.serving.runtime import declared
    from cloudmodel.serving.server import service_for
    from cloudmodel.serving.service import JSON, Asked

    service = service_for(job["layout"], job["name"], declared.from_document(job["signature"]), Path(job["bundle"]))
    assert service is not None, job["layout"]
    service.load()
    for number in range(job["count"]):
        body = Path(f"request-{number}.json").read_bytes()
        (answer,) = service.answer([Asked("POST", "/invocations", {"content-type": JSON}, body)])
        if answer.status != 200:
            raise StepFailed(answer.body.decode("utf-8", "replace"))
        Path(f"answer-{number}.json").write_bytes(answer.body)
    return {}
