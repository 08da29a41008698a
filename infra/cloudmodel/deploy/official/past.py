"""The states that Pulumi's own file and S3 backends keep beside their history: one checkpoint an update.

.pulumi/history/<project>/<stack>/<stack>-<time>.history.json      and .checkpoint.json
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from pulumi.automation import UpdateSummary

from cloudmodel.core.errors import CloudmodelError, CredentialsMissing, StateCorrupt, Unsupported
from cloudmodel.deploy.engines import Update
from cloudmodel.deploy.official.bucket import SCHEME, BackendBucket
from cloudmodel.deploy.official.workspace import FILES, folder_of
from cloudmodel.engine import checkpoint
from cloudmodel.engine.secrets import Secrets
from cloudmodel.engine.state import State
from cloudmodel.engine.urn import STACK_TYPE

ROLLBACK = "rollback to"
KINDS = {"update": "up"}
NAMES = {"ci.build.url": "ci", "git.head": "git.commit"}
"""What Pulumi calls what our history has too."""
BEGUN, END = ".history.json", ".checkpoint.json"
KEPT = 20
"""Updates that are looked at, the newest: as many as the embedded engine keeps the states of."""
AT_ONCE = 8

Read = Callable[[], bytes]


def states(url: str, project: str, stack: str, secrets: Secrets) -> dict[int, State]:
    """What the newest updates of the history left, by their version, oldest first.

    What an older passphrase sealed, or is damaged, is no way back and in nobody's way: its error is raised only where
    nothing can be read. From now on the cloud's key seals that sealed the newest of them, if one did. Raises
    Unsupported for a backend whose history cannot be read, StateCorrupt, the errors of the bucket and of `Secrets`.
    """
    found: dict[int, State] = {}
    refused: CloudmodelError | None = None
    salt = ""
    for version, (where, read) in _kept(_files(url, project, stack)):
        try:
            latest = checkpoint.parse(read(), where).get("checkpoint", {}).get("latest")
            document = {"version": checkpoint.VERSION, "deployment": latest}
            loaded = checkpoint.read(document, project, stack, secrets, where)
        except (CredentialsMissing, StateCorrupt, Unsupported) as error:
            refused = refused or error
        else:
            found[version], salt = loaded.state, loaded.salt
    if refused and not found:
        raise refused
    if salt.startswith("{"):
        secrets.use(salt)
    return found


def note(version: int, message: str, made_by: Mapping[str, str]) -> str:
    """The message of the refresh that makes a rollback to `version` an entry of Pulumi's history: what the user said,
    and below it who did it from what, for which Pulumi's history has no other place."""
    said = f"{ROLLBACK} {version}{': ' if message else ''}{message}"
    return "\n".join([said, "", *(f"{name}: {value}" for name, value in made_by.items())])


def updates(history: Sequence[UpdateSummary], url: str, project: str, stack: str) -> tuple[Update, ...]:
    """Pulumi's history, newest first, as ours, oldest first. A rollback is a refresh whose message says so.

    What stood after the newest of them is told by the states that they left; what else is known of an update that
    succeeded is what it was asked for.
    """
    stood = _stood(url, project, stack)
    return tuple(
        _update(update, stood.get(version), version)
        for number, update in enumerate(reversed(history), start=1)
        for version in (update.version or number,)
    )


def _update(update: UpdateSummary, stood: Mapping[str, Any] | None, version: int) -> Update:
    rollback = update.kind == "refresh" and update.message.startswith(ROLLBACK)
    said, _, told = update.message.rpartition("\n\n") if rollback else (update.message, "", "")
    made_by = dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)
    landed = update.kind == "update" and update.result == "succeeded"
    pinned = getattr(update.config.get("cloudmodel:bundle"), "value", None) if landed else None
    stands = {"bundle_digest": pinned} if stood is None else stood
    return Update(
        version=version,
        kind="rollback" if rollback else KINDS.get(update.kind, update.kind),
        result=update.result,
        started=_time(update.start_time),
        ended=_time(update.end_time) if update.end_time else "",
        message=said or update.message,
        summary={str(op): count for op, count in (update.resource_changes or {}).items()},
        environment={NAMES.get(name, name): value for name, value in update.environment.items()} | made_by,
        bundle=str(stands.get("bundle_digest") or ""),
        revision=str(stands.get("revision") or ""),
    )


def _stood(url: str, project: str, stack: str) -> dict[int, Mapping[str, Any]]:
    """The stack's outputs after each of the newest updates, by version; of a backend that keeps no states, nothing."""
    with contextlib.suppress(Unsupported):
        kept = _kept(_files(url, project, stack))
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="history") as pool:
            read = list(pool.map(lambda each: _outputs(each[1][1](), each[1][0]), kept))
        return dict(zip((version for version, _ in kept), read, strict=True))
    return {}


def _outputs(content: bytes, where: str) -> Mapping[str, Any]:
    """The outputs in one checkpoint, sealed as they are; none in one that is damaged."""
    try:
        latest = checkpoint.parse(content, where)["checkpoint"]["latest"]
        outputs = next(each.get("outputs") for each in latest["resources"] if each["type"] == STACK_TYPE)
    except (StateCorrupt, KeyError, TypeError, AttributeError, StopIteration):
        return {}
    return outputs if isinstance(outputs, Mapping) else {}


def _time(when: datetime) -> str:
    return when.replace(tzinfo=UTC).isoformat(timespec="seconds")


def _kept(files: Mapping[str, Read]) -> list[tuple[int, tuple[str, Read]]]:
    """Version, name and content of the newest checkpoints, oldest first. The names hold the time, so that they sort by
    it: the first update of the history is version 1."""
    begun = sorted(name.removesuffix(BEGUN) for name in files if name.endswith(BEGUN))
    kept = [(version, f"{name}{END}") for version, name in enumerate(begun, start=1) if f"{name}{END}" in files]
    return [(version, (name, files[name])) for version, name in kept[-KEPT:]]


def _files(url: str, project: str, stack: str) -> dict[str, Read]:
    """The files of the history by their names. Raises Unsupported, the errors of the bucket."""
    path = f".pulumi/history/{project}/{stack}/"
    if url.startswith(FILES):
        return {str(each): each.read_bytes for each in (folder_of(url) / path).glob("*.json")}
    if url.startswith(SCHEME):
        bucket = BackendBucket(url)
        with bucket.errors():
            pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=bucket.key(path))
            keys = [each["Key"] for page in pages for each in page.get("Contents", ())]

        def reader(key: str) -> Read:
            def read() -> bytes:
                with bucket.errors():
                    content: bytes = bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read()
                return content

            return read

        return {key: reader(key) for key in keys}
    raise Unsupported(
        "only file and S3 backends keep the states of earlier updates where they can be read",
        where=url or "the backend that Pulumi is logged in to",
        hint=f"pin the earlier bundle in Pulumi.{stack}.yaml, then: cloudmodel up --stack {stack}",
    )
