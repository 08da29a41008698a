"""The states that Pulumi's own file and S3 backends keep beside their history: one checkpoint an update.

.pulumi/history/<project>/<stack>/<stack>-<time>.history.json      and .checkpoint.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pulumi.automation import UpdateSummary

from cloudmodel.core.errors import Unsupported
from cloudmodel.deploy.engines import Update
from cloudmodel.deploy.official import cloud_secrets
from cloudmodel.deploy.official.bucket import SCHEME, BackendBucket
from cloudmodel.deploy.official.workspace import FILES, folder_of
from cloudmodel.engine import checkpoint
from cloudmodel.engine.secrets import Secrets
from cloudmodel.engine.state import State

ROLLBACK = "rollback to"
KINDS = {"update": "up"}
END = ".checkpoint.json"


def states(url: str, project: str, stack: str, secrets: Secrets) -> list[State]:
    """What each update of the history left, oldest first: the first is version 1.

    Raises Unsupported for a backend whose history cannot be read, and for a state with secrets that a cloud's key
    sealed; StateCorrupt; the errors of the bucket and of `Secrets`.
    """
    found = []
    for where, read in _files(url, f".pulumi/history/{project}/{stack}/", stack):
        latest = checkpoint.parse(read(), where).get("checkpoint", {}).get("latest")
        document = {"version": checkpoint.VERSION, "deployment": latest}
        readable = cloud_secrets.without_sealed(document)
        if cloud_secrets.NOTHING in _nodes(readable):
            raise Unsupported(
                "the stack's secrets are sealed with a cloud's key, which only Pulumi opens",
                where=where,
                hint=f"pin the earlier bundle in Pulumi.{stack}.yaml, then: cloudmodel up --stack {stack}",
            )
        found.append(checkpoint.read(readable, project, stack, secrets, where).state)
    return found


def updates(history: Sequence[UpdateSummary]) -> tuple[Update, ...]:
    """Pulumi's history, newest first, as ours, oldest first. A rollback is a refresh whose message says so."""
    return tuple(
        Update(
            version=update.version or number,
            kind="rollback" if update.message.startswith(ROLLBACK) else KINDS.get(update.kind, update.kind),
            result=update.result,
            started=_time(update.start_time),
            ended=_time(update.end_time) if update.end_time else "",
            message=update.message,
            summary={str(op): count for op, count in (update.resource_changes or {}).items()},
            environment=update.environment,
            bundle=getattr(update.config.get("cloudmodel:bundle"), "value", None) or "",
        )
        for number, update in enumerate(reversed(history), start=1)
    )


def _time(when: datetime) -> str:
    return when.replace(tzinfo=UTC).isoformat(timespec="seconds")


def _nodes(value: Any) -> Iterator[Any]:
    yield value
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _nodes(each)


def _files(url: str, path: str, stack: str) -> list[tuple[str, Callable[[], bytes]]]:
    """Name and content of each checkpoint; their names hold the time, so that they sort by it."""
    if url.startswith(FILES):
        files = sorted((folder_of(url) / path).glob(f"*{END}"))
        return [(str(each), each.read_bytes) for each in files]
    if url.startswith(SCHEME):
        bucket = BackendBucket(url)
        with bucket.errors():
            pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=bucket.key(path))
            keys = sorted(each["Key"] for page in pages for each in page.get("Contents", ()))

        def reader(key: str) -> Callable[[], bytes]:
            def read() -> bytes:
                with bucket.errors():
                    content: bytes = bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read()
                return content

            return read

        return [(key, reader(key)) for key in keys if key.endswith(END)]
    raise Unsupported(
        "only file and S3 backends keep the states of earlier updates where they can be read",
        where=url or "the backend that Pulumi is logged in to",
        hint=f"pin the earlier bundle in Pulumi.{stack}.yaml, then: cloudmodel up --stack {stack}",
    )
