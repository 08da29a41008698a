"""The bucket of an S3 backend: one object in it, and who holds Pulumi's own lock there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from cloudmodel.core.errors import CloudmodelError, CredentialsMissing, UsageError
from cloudmodel.provider.errors import CREDENTIALS, DENIED

SCHEME = "s3://"
ABSENT = frozenset({"NoSuchKey", "404"})
TRUE = frozenset({"1", "t", "true"})


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
