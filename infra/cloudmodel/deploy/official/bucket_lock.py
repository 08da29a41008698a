"""Our lock, in the bucket of an S3 backend.

Pulumi's lock is a file that is written before the folder is listed: two runs can both lose, and neither learns for how
long the other has held it. Ours is one object a stack, changed by conditional writes only (If-None-Match, If-Match), so
that of two runs exactly one wins, on whatever machines. It is never deleted: a free lock is an object that says so.
A holder writes it again every minute: how long ago that was is told by S3's clock alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from cloudmodel.core.errors import CloudmodelError, UsageError
from cloudmodel.deploy.official.bucket import ABSENT, BackendBucket
from cloudmodel.engine.holder import Owner, has_ended, me, read_owner
from cloudmodel.engine.lock import broken, locked
from cloudmodel.engine.pulse import Pulse

FREE = b"{}\n"
CONFLICTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


class _Seen(NamedTuple):
    """The lock's object: who it names, and the ETag that a write must match; no ETag where there is none."""

    owner: Owner | None
    etag: str


def _answered(answer: Any) -> datetime:
    """When S3 gave this answer, by its own clock."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


def _written(owner: Owner) -> bytes:
    return json.dumps(asdict(owner), sort_keys=True).encode() + b"\n"


class BucketLock:
    """The lock of one stack whose state is in a bucket; the same words as `engine.lock.StackLock`."""

    def __init__(
        self, bucket: BackendBucket, project: str, stack: str, now: Callable[[Any], datetime] = _answered
    ) -> None:
        self._bucket = bucket
        self._now = now
        self._key = bucket.key(f".cloudmodel/locks/{project}/{stack}.json")
        self._where = f"{bucket.url.rstrip('/')}/.cloudmodel/locks/{project}/{stack}.json"
        self._stack = stack
        self._mine: Owner | None = None
        self._pulse: Pulse | None = None

    def acquire(self, operation: str, lost: Callable[[], None] = lambda: None) -> str:
        """Take the lock; returns what to tell the user, empty when there is nothing to tell.

        A lock left by a process of this host that has ended is taken over. `lost` is called, on another thread, should
        somebody break ours. Raises StackLocked, CredentialsMissing.
        """
        with self._bucket.errors():
            seen = self._look()
            if seen.owner and not has_ended(seen.owner):
                raise locked(seen.owner, self._stack, self._where)
            mine = me(seen.owner.generation + 1 if seen.owner else 1, operation)
            if not self._put(_written(mine), seen.etag):
                now = self._look().owner
                # Our own write, whose answer was lost and which was sent again, finds itself.
                if now is None or now.id != mine.id:
                    raise locked(now or mine, self._stack, self._where)
            self._mine = mine
        self._pulse = Pulse(self.renew, lost)
        return f"took over the lock of a run that has ended: {seen.owner.describe()}" if seen.owner else ""

    def renew(self) -> None:
        """Give a sign of life. Raises StackLocked when the lock is not ours any more, the errors of the bucket."""
        with self._bucket.errors():
            mine, etag = self._ours()
            self._put(_written(mine), etag)  # where it is refused, the next look tells why

    def require(self) -> None:
        """Raise StackLocked when the lock is not ours any more, the errors of the bucket."""
        with self._bucket.errors():
            self._ours()

    def _ours(self) -> tuple[Owner, str]:
        seen = self._look()
        if self._mine is None or seen.owner is None or seen.owner.id != self._mine.id:
            raise broken(seen.owner, self._stack, self._where)
        return self._mine, seen.etag

    def release(self) -> None:
        """Give the lock back; one that is not ours (any more) stays. Nothing is raised: the run's own end counts."""
        if self._pulse:
            self._pulse.stop()
        with contextlib.suppress(CloudmodelError), self._bucket.errors():
            seen = self._look()
            if self._mine and seen.owner and seen.owner.id == self._mine.id:
                self._put(FREE, seen.etag)
        self._mine = None

    def unlock(self, lock_id: str) -> Owner:
        """Break the lock with this id, whoever holds it; returns who did. Raises UsageError, StackLocked."""
        with self._bucket.errors():
            seen = self._look()
            if seen.owner is None:
                raise UsageError(
                    f"the stack {self._stack} is not locked", where=self._where, hint="run the command again"
                )
            if seen.owner.id != lock_id or not self._put(FREE, seen.etag):
                raise locked(seen.owner, self._stack, self._where)
        return seen.owner

    def owner(self) -> Owner | None:
        """Who holds the lock now; None for nobody."""
        with self._bucket.errors():
            return self._look().owner

    def _look(self) -> _Seen:
        from botocore.exceptions import ClientError

        try:
            answer = self._bucket.client.get_object(Bucket=self._bucket.name, Key=self._key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ABSENT:
                return _Seen(None, "")
            raise
        content = answer["Body"].read(1 << 16)
        silent = (self._now(answer) - answer["LastModified"]).total_seconds()
        return _Seen(None if content == FREE else read_owner(content).last_seen(silent), str(answer["ETag"]))

    def _put(self, content: bytes, etag: str) -> bool:
        """Write the object where it still is what was seen; whether it was."""
        from botocore.exceptions import ClientError

        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            self._bucket.client.put_object(Bucket=self._bucket.name, Key=self._key, Body=content, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] in CONFLICTS:
                return False
            raise
        return True
