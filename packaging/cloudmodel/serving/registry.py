"""SageMaker's model registry: a registered model package as the source of a bundle, and a bundle as a model package.

A package is named by its ARN, or as `model-package:GROUP/VERSION` in the region and account of the credentials. Group
and version together mean one set of bytes for ever; a group alone would mean other bytes tomorrow and is refused.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmodel.bundle.archive import extract_plain
from cloudmodel.bundle.build import Packaged
from cloudmodel.catalog.images import serving_image
from cloudmodel.core import files
from cloudmodel.core.errors import CloudmodelError, CredentialsMissing, PreflightFailed, ProjectInvalid, UsageError
from cloudmodel.core.naming import short_hash

SHORT = re.compile(r"model-package:([A-Za-z0-9](?:-*[A-Za-z0-9]){0,62})/([1-9][0-9]{0,8})")
ARN = re.compile(
    r"arn:aws[a-z-]*:sagemaker:([a-z0-9-]+):\d{12}:model-package/[A-Za-z0-9](?:-*[A-Za-z0-9]){0,62}/[1-9][0-9]{0,8}"
)
MAX_BYTES = 20 << 30
APPROVED = "Approved"
PENDING = "PendingManualApproval"
MACHINE = "ml.c7i.large"
"""Whose image a registered bundle names: the type that a stack has where it names none."""
CONTENT_TYPES = ("application/json", "application/x-npy", "application/x-npz", "text/csv")
ANSWER_TYPES = ("application/json", "application/x-npy", "application/x-npz")
MISSING = ("404", "NoSuchBucket", "NoSuchKey", "ResourceNotFound")
DENIED = ("AccessDenied", "AccessDeniedException", "403", "ExpiredToken", "ExpiredTokenException")


def names_a_package(source: str) -> bool:
    """Whether `model.source` is meant for the registry. Raises ProjectInvalid for one that is not written rightly."""
    if SHORT.fullmatch(source) or ARN.fullmatch(source):
        return True
    if source.startswith("model-package:") or (source.startswith("arn:") and ":model-package/" in source):
        raise ProjectInvalid(
            f"{source!r} names no model package",
            where="model.source",
            hint="write model-package:GROUP/VERSION or the ARN of one version",
        )
    return False


def fetch(source: str, cache: Path) -> Path:
    """The model of a registered package: a file, or the folder that its archive held. It is not scanned here.

    Raises PreflightFailed for a package that is not approved, ProjectInvalid for one without one plain model in S3,
    UsageError where there is none, UnsafeModel for an archive that must not be unpacked, CredentialsMissing.
    """
    region = found[1] if (found := ARN.fullmatch(source)) else None
    short = SHORT.fullmatch(source)
    client = _client("sagemaker", region)
    with _errors(source):
        name = source if short is None else _arn(client, short[1], int(short[2]))
        package = client.describe_model_package(ModelPackageName=name)
    _require_approved(package, source)
    bucket, key = _place(package, source)
    target = cache / short_hash(f"{package['ModelPackageArn']} s3://{bucket}/{key}", length=16)
    with tempfile.TemporaryDirectory(prefix="cloudmodel-registry-") as work:
        content = Path(work) / Path(key).name
        with _errors(source):
            _download(_client("s3", region), bucket, key, content, source)
        shutil.rmtree(target, ignore_errors=True)  # fetched anew each time: what S3 holds now is what is scanned
        if key.endswith((".tar.gz", ".tgz")):
            files.private_folder(cache)
            extract_plain(content, target)
            return target
        files.private_folder(target)
        with content.open("rb") as reader, files.replacing(target / content.name) as writer:
            shutil.copyfileobj(reader, writer)
    return target / Path(key).name


@dataclass(frozen=True)
class Registered:
    """A version of a model package group; `made` is false where it stood already."""

    arn: str
    made: bool


def register(packaged: Packaged, store: str) -> Registered:
    """Register a bundle that lies in the store at `store` (s3://bucket/prefix) as a version in the group of its name.

    The version waits for somebody's approval. The same bundle is registered once. Raises ProjectInvalid for a store
    that is no bucket, CredentialsMissing, CloudmodelError.
    """
    if not store.startswith("s3://"):
        raise ProjectInvalid(
            f"SageMaker cannot read a bundle from {store}", where="bundles", hint="bundles: s3://bucket/prefix"
        )
    manifest, digest = packaged.manifest, packaged.digest
    url = f"{store.rstrip('/')}/sha256/{digest.removeprefix('sha256:')}.tar.gz"
    client = _client("sagemaker")
    with _errors(manifest.name):
        for version in _versions(client, manifest.name):
            package = client.describe_model_package(ModelPackageName=version)
            if [each.get("ModelDataUrl") for each in _containers(package)] == [url]:
                return Registered(version, made=False)
        if not _has_group(client, manifest.name):
            client.create_model_package_group(ModelPackageGroupName=manifest.name)
        image = serving_image(manifest.layout, MACHINE, client.meta.region_name).uri
        answer = client.create_model_package(
            ModelPackageGroupName=manifest.name,
            ModelPackageDescription=f"{manifest.name} {digest}",
            ModelApprovalStatus=PENDING,
            InferenceSpecification={
                "Containers": [{"Image": image, "ModelDataUrl": url}],
                "SupportedContentTypes": [*CONTENT_TYPES],
                "SupportedResponseMIMETypes": [*ANSWER_TYPES],
            },
            CustomerMetadataProperties={"cloudmodel.digest": digest, "cloudmodel.layout": manifest.layout},
        )
    return Registered(str(answer["ModelPackageArn"]), made=True)


def _arn(client: Any, group: str, version: int) -> str:
    """The ARN of a version of a group."""
    found = client.describe_model_package_group(ModelPackageGroupName=group)
    return f"{found['ModelPackageGroupArn'].replace(':model-package-group/', ':model-package/')}/{version}"


def _has_group(client: Any, name: str) -> bool:
    groups = client.get_paginator("list_model_package_groups").paginate(NameContains=name)
    return any(
        each["ModelPackageGroupName"] == name for page in groups for each in page["ModelPackageGroupSummaryList"]
    )


def _versions(client: Any, name: str) -> list[str]:
    """The ARNs of a group's versions; none where there is no group."""
    if not _has_group(client, name):
        return []
    pages = client.get_paginator("list_model_packages").paginate(ModelPackageGroupName=name)
    return [each["ModelPackageArn"] for page in pages for each in page["ModelPackageSummaryList"]]


def _containers(package: dict[str, Any]) -> list[dict[str, Any]]:
    return list((package.get("InferenceSpecification") or {}).get("Containers") or ())


def _require_approved(package: dict[str, Any], source: str) -> None:
    status = package.get("ModelApprovalStatus", PENDING)
    if status != APPROVED:
        raise PreflightFailed(
            f"the model package {source} is {status}, not {APPROVED}",
            where="model.source",
            hint=f"aws sagemaker update-model-package --model-package-arn {package['ModelPackageArn']} "
            f"--model-approval-status {APPROVED}, once somebody has looked at it",
        )


def _place(package: dict[str, Any], source: str) -> tuple[str, str]:
    """Bucket and key of the one model file or archive of a package."""
    containers = _containers(package)
    url = containers[0].get("ModelDataUrl") if len(containers) == 1 else None
    found = re.fullmatch(r"s3://([^/]+)/(.+[^/])", url or "")
    if not found:
        has = f"{len(containers)} containers" if len(containers) != 1 else f"model data at {url}"
        raise ProjectInvalid(
            f"the model package {source} has {has}",
            where="model.source",
            hint="one container whose ModelDataUrl is one object in S3 is taken",
        )
    return found[1], found[2]


def _download(s3: Any, bucket: str, key: str, target: Path, source: str) -> None:
    """One object, no larger than MAX_BYTES whatever its header says."""
    answer = s3.get_object(Bucket=bucket, Key=key)
    left = MAX_BYTES
    with target.open("wb") as file:
        for piece in answer["Body"].iter_chunks(files.CHUNK):
            left -= len(piece)
            if left < 0:
                raise ProjectInvalid(
                    f"the model data of {source} is larger than {MAX_BYTES} bytes", where=f"s3://{bucket}/{key}"
                )
            file.write(piece)


def _client(service: str, region: str | None = None) -> Any:
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client(service, region_name=region)
    except BotoCoreError as error:
        raise CredentialsMissing(str(error), where="model registry", hint="set AWS_REGION and AWS_PROFILE") from error


@contextlib.contextmanager
def _errors(where: str) -> Iterator[None]:
    """What boto3 raises, in the words of core.errors."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as error:
        raise CredentialsMissing(str(error), where=where, hint="aws configure, or aws sso login") from error
    except ClientError as error:
        code, told = error.response["Error"]["Code"], str(error.response["Error"].get("Message", ""))
        if code in MISSING or "not found" in told or "does not exist" in told:
            raise UsageError(
                f"there is no such model package or model data: {told}", where=where, hint="check model.source"
            ) from error
        kind = CredentialsMissing if code in DENIED else CloudmodelError
        raise kind(f"the model registry refuses: {error}", where=where) from error
    except BotoCoreError as error:
        raise CloudmodelError(f"the model registry does not answer: {error}", where=where) from error
