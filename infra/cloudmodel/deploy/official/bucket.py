"""What is kept in the bucket of an S3 backend besides Pulumi's own: our lock; and who holds Pulumi's.

Pulumi's lock is a file that is written before the folder is listed: two runs can both lose, and neither learns for how
long the other has held it. Ours is one object a stack, changed by conditional writes only (If-None-Match, If-Match), so
that of two runs exactly one wins, on whatever machines. It is never deleted: a free lock is an object that says so.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from cloudmodel.core.errors import CloudmodelError, CredentialsMissing, UsageError
from cloudmodel.engine.lock import Owner, has_ended, locked, me, read_owner
from cloudmodel.provider.errors import CREDENTIALS, DENIED

SCHEME = "s3://"
FREE = b"{}\n"
CONFLICTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
ABSENT = frozenset({"NoSuchKey", "404"})
TRUE = frozenset({"1", "t", "true"})


class _Seen(NamedTuple):
    """The lock's object: who it names, and the ETag that a write must match; no ETag where there is none."""

    owner: Owner | None
    etag: str


class BackendBucket:
    """The bucket of a backend's URL, as Pulumi reads it: s3://bucket/prefix?region=…&endpoint=…&profile=…"""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.url = f"{SCHEME}{parts.netloc}{parts.path}"
        self.name = parts.netloc
        self._query = query
        self._prefix = f"{unquote(parts.path).strip('/')}/".lstrip("/")
        self._made: Any = None

    def key(self, path: str) -> str:
        """A path of the backend as a key of its bucket."""
        return f"{self._prefix}{path}"

    @property
    def client(self) -> Any:
        """boto3's client with the URL's endpoint, region and profile; made on first use."""
        if self._made is None:
            import boto3
            from botocore.config import Config

            endpoint, plain = self._query.get("endpoint", ""), self._true("disableSSL") or self._true("disable_https")
            if endpoint and "://" not in endpoint:
                endpoint = f"{'http' if plain else 'https'}://{endpoint}"
            path_style = self._true("s3ForcePathStyle") or self._true("use_path_style")
            session = boto3.session.Session(
                profile_name=self._query.get("profile"), region_name=self._query.get("region")
            )
            self._made = session.client(
                "s3",
                endpoint_url=endpoint or None,
                config=Config(s3={"addressing_style": "path"} if path_style else None),
            )
        return self._made

    def _true(self, name: str) -> bool:
        return self._query.get(name, "").lower() in TRUE

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """What boto3 raises, in the words of core.errors."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchBucket":
                raise UsageError(
                    f"the bucket of the state does not exist: {self.name}",
                    where=self.url,
                    hint="cloudmodel bootstrap makes it; or correct PULUMI_BACKEND_URL",
                ) from None
            kind = CredentialsMissing if code in CREDENTIALS | DENIED | {"403"} else CloudmodelError
            hint = "see `aws sts get-caller-identity`; it must read and write this bucket"
            raise kind(f"the state's bucket refuses: {error}", where=self.url, hint=hint) from None
        except HTTPClientError as error:
            hint = "see that the bucket's endpoint can be reached from here"
            raise CloudmodelError(f"the state's bucket does not answer: {error}", where=self.url, hint=hint) from None
        except BotoCoreError as error:
            raise CredentialsMissing(
                f"the state's bucket cannot be asked: {error}", where=self.url, hint="see `aws sts get-caller-identity`"
            ) from None


class BucketPlace:
    """One object of the state's bucket; implements `unfinished.Place`."""

    def __init__(self, bucket: BackendBucket, path: str) -> None:
        self.where = f"{bucket.url.rstrip('/')}/{path}"
        self._bucket = bucket
        self._key = bucket.key(path)

    def read(self) -> bytes | None:
        from botocore.exceptions import ClientError

        with self._bucket.errors():
            try:
                answer = self._bucket.client.get_object(Bucket=self._bucket.name, Key=self._key)
            except ClientError as error:
                if error.response["Error"]["Code"] in ABSENT:
                    return None
                raise
            return bytes(answer["Body"].read())

    def write(self, content: bytes) -> None:
        with self._bucket.errors():
            self._bucket.client.put_object(Bucket=self._bucket.name, Key=self._key, Body=content)

    def remove(self) -> None:
        with self._bucket.errors():
            self._bucket.client.delete_object(Bucket=self._bucket.name, Key=self._key)


class BucketLock:
    """The lock of one stack whose state is in a bucket; the same words as `engine.lock.StackLock`."""

    def __init__(self, bucket: BackendBucket, project: str, stack: str) -> None:
        self._bucket = bucket
        self._key = bucket.key(f".cloudmodel/locks/{project}/{stack}.json")
        self._where = f"{bucket.url.rstrip('/')}/.cloudmodel/locks/{project}/{stack}.json"
        self._stack = stack
        self._mine: Owner | None = None

    def acquire(self, operation: str) -> str:
        """Take the lock; returns what to tell the user, empty when there is nothing to tell.

        A lock left by a process of this host that has ended is taken over. Raises StackLocked, CredentialsMissing.
        """
        with self._bucket.errors():
            seen = self._look()
            if seen.owner and not has_ended(seen.owner):
                raise locked(seen.owner, self._stack, self._where)
            mine = me(seen.owner.generation + 1 if seen.owner else 1, operation)
            if not self._put(json.dumps(asdict(mine), sort_keys=True).encode() + b"\n", seen.etag):
                now = self._look().owner
                # Our own write, whose answer was lost and which was sent again, finds itself.
                if now is None or now.id != mine.id:
                    raise locked(now or mine, self._stack, self._where)
            self._mine = mine
        return f"took over the lock of a run that has ended: {seen.owner.describe()}" if seen.owner else ""

    def release(self) -> None:
        """Give the lock back; one that is not ours (any more) stays. Nothing is raised: the run's own end counts."""
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
        return _Seen(None if content == FREE else read_owner(content), str(answer["ETag"]))

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


class PulumisHolder(NamedTuple):
    """Who holds Pulumi's own lock: in words, and the machine; no machine where it cannot be seen."""

    who: str
    host: str = ""


def pulumis_holder(bucket: BackendBucket, project: str, stack: str) -> PulumisHolder | None:
    """Who holds Pulumi's own lock of a stack in this backend; None for nobody."""
    prefix = bucket.key(f".pulumi/locks/organization/{project}/{stack}/")
    with bucket.errors():
        for found in bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=prefix).get("Contents", ()):
            return named(bucket.client.get_object(Bucket=bucket.name, Key=found["Key"])["Body"].read(1 << 16))
    return None


def named(content: bytes) -> PulumisHolder:
    """Who a lock file of Pulumi's names."""
    try:
        holder = json.loads(content)
        who = f"{holder['username']} on {holder['hostname']} (pid {holder['pid']}), since {holder['timestamp']}"
        return PulumisHolder(who, str(holder["hostname"]))
    except (ValueError, KeyError, TypeError):
        return PulumisHolder("an unreadable lock file")
