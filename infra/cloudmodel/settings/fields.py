"""The kinds of text and number that settings are made of. Bounds that AWS has come from `catalog.limit`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, Strict, StringConstraints

from cloudmodel.catalog.catalog import instance_types, limit
from cloudmodel.catalog.images import image_repository_arn, regions
from cloudmodel.core.naming import DIGEST

Tuple = Strict(False)
"""Lets a YAML list be a tuple; its items stay strict."""


def matching(pattern: str | re.Pattern[str], words: str) -> AfterValidator:
    """A match of the whole text; `words` completes "must be ..."."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"must be {words}")
        return value

    return AfterValidator(check)


def aws_text(service: str, shape: str, words: str) -> AfterValidator:
    """Text within the bounds of one shape of AWS's API."""
    bounds = limit(service, shape)
    compiled = re.compile(bounds.pattern or r"[\s\S]*")

    def check(value: str) -> str:
        if len(value) < (bounds.min or 0):
            raise ValueError(f"must have at least {bounds.min} characters (AWS's limit)")
        if bounds.max is not None and len(value) > bounds.max:
            raise ValueError(f"must have at most {bounds.max} characters (AWS's limit), and has {len(value)}")
        if not compiled.fullmatch(value):
            raise ValueError(f"must be {words}")
        return value

    return AfterValidator(check)


def within(service: str, shape: str) -> Any:
    """A number within the bounds of one shape of AWS's API."""
    bounds = limit(service, shape)
    return Field(ge=bounds.min, le=bounds.max)


def at_most(service: str, shape: str, *, less: int = 0) -> Any:
    """A count of entries that AWS takes, `less` those that the program adds itself."""
    most = limit(service, shape).max
    assert most is not None
    return Field(max_length=most - less)


def _tag_text(shape: str) -> AfterValidator:
    """AWS's pattern for tags uses classes that `re` has no word for; `\\w` and a space are their common part."""
    bounds = limit("sagemaker", shape)
    compiled = re.compile(rf"[\w .:/=+\-@]{{{bounds.min},{bounds.max}}}")

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(
                f"must be {bounds.min} to {bounds.max} letters, digits, spaces and _ . : / = + - @ (AWS's limit)"
            )
        return value

    return AfterValidator(check)


def _known(what: str, names: frozenset[str]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"is not {what}")
        return value

    return AfterValidator(check)


def _ecr(value: str) -> str:
    try:
        image_repository_arn(value)
    except ValueError as error:
        raise ValueError(
            "must be an image in Amazon ECR: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:…"
        ) from error
    return value


def _a_key(value: bool | str) -> bool | str:
    if value is True:
        raise ValueError("must name the public key: its file, or the PEM text itself")
    return value


Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
PublicKey = Annotated[bool | Text, AfterValidator(_a_key)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(gt=0, le=100)]
Seconds = Annotated[int, Field(ge=0, le=3600)]

MODULE_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
METRICS = ("accuracy", "f1", "auc", "mse", "rmse", "cross-entropy", "top-5", "ndcg@10", "recall@10")
Metric = Annotated[
    str, matching("|".join((*METRICS, MODULE_FACTORY.pattern)), f"one of {', '.join(METRICS)}, or module:function")
]

Digest = Annotated[str, matching(DIGEST, "a digest: sha256: and 64 hex digits")]
Region = Annotated[str, _known("a region with serving images", frozenset(regions()))]
InstanceName = Annotated[
    str, _known("an endpoint instance type (ml.…) that this version knows", frozenset(instance_types()))
]
AccountId = Annotated[str, matching(r"\d{12}", "an account id: 12 digits in quotes")]
KeyArn = Annotated[
    str, matching(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,64}", "the ARN of a KMS key")
]
PolicyArn = Annotated[
    str, matching(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]{1,512}", "the ARN of an IAM policy")
]
RoleArn = Annotated[str, aws_text("sagemaker", "RoleArn", "the ARN of an IAM role")]
Subnet = Annotated[str, aws_text("sagemaker", "SubnetId", "the id of a subnet")]
SecurityGroup = Annotated[str, aws_text("sagemaker", "SecurityGroupId", "the id of a security group")]
BucketName = Annotated[
    str,
    matching(
        r"[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]",
        "an S3 bucket's name: 3 to 63 small letters, digits, dots, hyphens",
    ),
]
Subscriber = Annotated[
    str,
    matching(
        r"[^@\s]{1,64}@[^@\s]{1,190}|arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}",
        "an e-mail address or the ARN of an SNS topic",
    ),
]
TopicArn = Annotated[
    str, matching(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}", "create, or the ARN of an SNS topic")
]
EcrImage = Annotated[str, aws_text("sagemaker", "ContainerImage", "an image"), AfterValidator(_ecr)]

OWN_TAGS = 5
"""How many of the tags that AWS takes the program sets itself, at most."""
TagKey = Annotated[
    str,
    _tag_text("TagKey"),
    matching(r"(?i)(?!aws:|cloudmodel:).*", "a key that does not begin with aws: or cloudmodel:"),
]
TagValue = Annotated[str, _tag_text("TagValue")]

OWN_ENVIRONMENT = 2
"""How many of the container's variables the program sets itself."""
EnvironmentKey = Annotated[
    str,
    aws_text("sagemaker", "EnvironmentKey", "letters, digits and _, not beginning with a digit"),
    matching(
        r"(?!(SAGEMAKER_PROGRAM|SAGEMAKER_SUBMIT_DIRECTORY|AWS_.*|CLOUDMODEL_.*)$).*",
        "a variable that cloudmodel and AWS do not set themselves",
    ),
]
EnvironmentValue = Annotated[str, aws_text("sagemaker", "EnvironmentValue", "text")]
