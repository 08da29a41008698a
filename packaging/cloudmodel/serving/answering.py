"""Answers requests from files as a container without our code would: parity's child for its layouts.

    python -m cloudmodel.serving.answering LAYOUT NAME SIGNATURE BUNDLE WORK COUNT

A request that is refused ends it with one line on stderr.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cloudmodel.bundle.foreign import Foreign
from cloudmodel.formats.model import Signature
from cloudmodel.serving.runtime import declared
from cloudmodel.serving.server import service_for
from cloudmodel.serving.service import JSON, Asked
from cloudmodel.serving.target import LAYOUTS


def foreign(layout: str, name: str, signature: Signature) -> Foreign | None:
    """How a bundle of a layout is asked; None where it has our own code."""
    body = LAYOUTS[layout].body
    if body is None:
        return None
    return Foreign(
        body, (sys.executable, "-I", "-m", "cloudmodel.serving.answering", layout, name, signature.model_dump_json())
    )


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code."""
    layout, name, signature, bundle, work, count = arguments
    service = service_for(layout, name, declared.from_document(json.loads(signature)), Path(bundle))
    assert service is not None, layout
    service.load()
    for number in range(int(count)):
        body = (Path(work) / f"request-{number}.json").read_bytes()
        (answer,) = service.answer([Asked("POST", "/invocations", {"content-type": JSON}, body)])
        if answer.status != 200:
            print(answer.body.decode(), file=sys.stderr)  # noqa: T201
            return 1
        (Path(work) / f"answer-{number}.json").write_bytes(answer.body)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
