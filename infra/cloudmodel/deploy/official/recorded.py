"""What a rollback reads of a project, kept in the bucket of the stack's state by each `up`, so that credentials and the
stack's name are enough; and a stack found by its name in the buckets that bootstrap made.

.cloudmodel/settings/<project>/<stack>.json   the three settings files, the public key that bundles must be signed by
.pulumi/stacks/<project>/<stack>.json         Pulumi's own: there is a stack where it is
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

from cloudmodel.bundle import signing
from cloudmodel.core.errors import (
    CloudmodelError,
    CredentialsMissing,
    StackNotFound,
    StateCorrupt,
    Unsupported,
    UsageError,
)
from cloudmodel.core.files import PRIVATE, private_folder, write_text
from cloudmodel.core.naming import STACK_NAME
from cloudmodel.deploy.account import SIGN_IN
from cloudmodel.deploy.official import workspace
from cloudmodel.deploy.official.bucket import SCHEME, BackendBucket, BucketPlace
from cloudmodel.program.names import is_state_bucket
from cloudmodel.settings.load import PROJECT_FILE, PULUMI_FILE, PULUMI_NAME, load_project, load_stack
from cloudmodel.settings.model import Project, StackSettings

STACKS = ".pulumi/stacks/"
ORGANIZATION = "organization/"
"""Pulumi's own buckets have one organization: `organization/PROJECT/STACK` is the whole name of a stack."""
SEALED_BY = ("encryptionsalt", "encryptedkey")


@dataclass(frozen=True)
class Record:
    """The project as the last `up` saw it: its files' texts, and what Pulumi made and wrote into its copy only."""

    project: str
    pulumi: str
    settings: str
    sealed_by: dict[str, str]
    signed: str | bool


class Found(NamedTuple):
    """A stack of a bucket."""

    bucket: BackendBucket
    project: str
    name: str

    @property
    def full(self) -> str:
        return f"{self.project}/{self.name}"


def place(bucket: BackendBucket, project: str, stack: str) -> BucketPlace:
    """Where the record of a stack is."""
    return BucketPlace(bucket, f".cloudmodel/settings/{project}/{stack}.json")


def keep(project: Project, settings: StackSettings, url: str, made: Path) -> None:
    """Record the project for the stack whose state is in the bucket at `url`. `made` is Pulumi's copy of its settings
    file. Raises OSError, the errors of the bucket, UsageError for a key that cannot be read."""
    description, copy = workspace.document(project.folder / PULUMI_FILE), workspace.document(made)
    record = Record(
        project=(project.folder / PROJECT_FILE).read_text(),
        pulumi=yaml.safe_dump(description | {"backend": {"url": url}}, sort_keys=False),
        settings=settings.path.read_text(),
        sealed_by={name: str(copy[name]) for name in SEALED_BY if copy.get(name)},
        signed=_key(project, settings),
    )
    there = place(BackendBucket(url), project.pulumi_name, settings.stack)
    there.write(json.dumps(asdict(record), sort_keys=True).encode())


def _key(project: Project, settings: StackSettings) -> str | bool:
    key = settings.signed
    if not isinstance(key, str) or key.lstrip().startswith(signing.PEM):
        return key
    return signing.read_key(project.folder / key).decode()


def opened(stack: str, folder: Path) -> tuple[Project, StackSettings]:
    """The project of `stack` (STACK, or PROJECT/STACK) out of the record of its last `up`, as files in `folder`.

    Raises StackNotFound, Unsupported for a stack that only its project's folder leads to, StateCorrupt, the errors of
    the bucket and of the settings.
    """
    found = _one(stack)
    there = place(found.bucket, found.project, found.name)
    content = there.read()
    if content is None:
        raise Unsupported(
            f"the state of {found.full} has no settings beside it: no `up` of this version has run",
            where=there.where,
            hint="run the command in the project's folder; the next `up` records them",
        )
    record = _read(content, there.where)
    made = private_folder(folder)
    for name in (PRIVATE, "official", "work", found.name):
        made = private_folder(made / name)
    for path, text in {
        folder / PROJECT_FILE: record.project,
        folder / PULUMI_FILE: record.pulumi,
        folder / f"Pulumi.{found.name}.yaml": record.settings,
        made / f"Pulumi.{found.name}.yaml": yaml.safe_dump(record.sealed_by),
    }.items():
        write_text(path, text, mode=0o600)
    project = load_project(folder)
    settings = load_stack(project, found.name).model_copy(update={"signed": record.signed})
    _require_same(found, project, settings, there.where)
    return project, settings


def _read(content: bytes, where: str) -> Record:
    try:
        document = json.loads(content)
        texts = {name: str(document[name]) for name in ("project", "pulumi", "settings")}
        sealed_by = {name: str(value) for name, value in document["sealed_by"].items() if name in SEALED_BY}
        signed = document["signed"] if isinstance(document["signed"], str) else False
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateCorrupt(
            f"the recorded settings are not whole: {error!r}",
            where=where,
            hint="run the command in the project's folder; the next `up` records them again",
        ) from None
    return Record(**texts, sealed_by=sealed_by, signed=signed)


def _require_same(found: Found, project: Project, settings: StackSettings, where: str) -> None:
    """Raise Unsupported where the record is of a local stack, or of another than the one that was found."""
    if settings.target == "local":
        raise Unsupported(
            f"the stack {found.full} stands in the local AWS of its project's folder",
            where=where,
            hint="run the command there",
        )
    named = BackendBucket(workspace.backend(project, settings))
    if (named.url, project.pulumi_name) != (found.bucket.url, found.project):
        raise Unsupported(
            f"the record is of {named.url}, project {project.pulumi_name}",
            where=where,
            hint=f"set PULUMI_BACKEND_URL={found.bucket.url} if the state was moved, or use the project's folder",
        )


def _one(stack: str) -> Found:
    """The only stack of that name. Raises StackNotFound for none and for several."""
    project, _, name = stack.removeprefix(ORGANIZATION).rpartition("/")
    refused: list[CloudmodelError] = []
    found = [
        each
        for bucket in _buckets()
        for each in _stacks(bucket, refused)
        if each.name == name and project in ("", each.project)
    ]
    if len(found) == 1:
        return found[0]
    region = f"region {_region() or 'any'}"
    if found:
        names = sorted({each.full for each in found})
        raise UsageError(
            f"{len(found)} stacks are called {stack}: "
            + ", ".join(sorted(f"{each.full} in {each.bucket.url}" for each in found)),
            where=region,
            hint=" or ".join(f"--stack {full}" for full in names)
            if len(names) > 1
            else f"PULUMI_BACKEND_URL={found[0].bucket.url}",
        )
    if refused:
        raise refused[0]
    raise StackNotFound(
        f"there is no project here, and no stack {stack!r} in a bucket that bootstrap made",
        where=region,
        hint="run it in the project's folder, or set AWS_REGION, or PULUMI_BACKEND_URL to the state's s3://…",
    )


def _buckets() -> Iterator[BackendBucket]:
    """The bucket that PULUMI_BACKEND_URL names, else those that bootstrap made in this account and region."""
    url = os.environ.get(workspace.BACKEND, "")
    if url:
        if not url.startswith(SCHEME):
            raise Unsupported(
                "only a state in S3 has its settings beside it",
                where=f"{workspace.BACKEND}={url}",
                hint="run the command in the project's folder",
            )
        yield BackendBucket(url)
        return
    region = _region()
    account = BackendBucket(SCHEME)
    try:
        with account.errors():
            pages = account.client.get_paginator("list_buckets").paginate()
            names = [each["Name"] for page in pages for each in page.get("Buckets", ())]
    except CredentialsMissing as error:
        raise CredentialsMissing(
            f"the account's buckets cannot be listed, to find the one of the state: {error.message}",
            where=f"region {region or 'any'}",
            hint=f"{SIGN_IN}; or name the bucket: PULUMI_BACKEND_URL=s3://…",
        ) from None
    yield from (BackendBucket(f"{SCHEME}{name}") for name in names if is_state_bucket(name, region))


def _region() -> str | None:
    """The region that is set; of the two variables boto3 reads one only."""
    import boto3

    found: str | None = os.environ.get("AWS_REGION") or boto3.session.Session().region_name
    return found


def _stacks(bucket: BackendBucket, refused: list[CloudmodelError]) -> Iterator[Found]:
    """The stacks of one bucket; of one that refuses, which may be another team's, none."""
    start = bucket.key(STACKS)
    keys: list[str] = []
    try:
        with bucket.errors():
            pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=start)
            keys += [each["Key"] for page in pages for each in page.get("Contents", ())]
    except CredentialsMissing as error:
        refused.append(error)
    for key in keys:
        project, _, file = key.removeprefix(start).rpartition("/")
        name = file.removesuffix(".gz").removesuffix(".json")
        if name != file and STACK_NAME.fullmatch(name) and PULUMI_NAME.fullmatch(project):
            yield Found(bucket, project, name)
