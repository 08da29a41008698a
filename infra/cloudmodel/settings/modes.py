"""`cloudmodel:serverless` and `cloudmodel:asynchronous`: what the modes of these names need besides what all share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cloudmodel.settings.fields import BucketName, TopicArn, matching, within
from cloudmodel.settings.part import Settings

MEMORY_STEP = 1024
"""Megabytes: SageMaker has memory in such steps only (ServerlessConfig in its API reference)."""

Provisioned = Annotated[int, within("sagemaker", "ServerlessProvisionedConcurrency")]


class Serverless(Settings):
    """An endpoint without instances; with mode `serverless` only."""

    memory: Annotated[int, within("sagemaker", "ServerlessMemorySizeInMB"), Field(multiple_of=MEMORY_STEP)] = 2048
    """Megabytes. The CPUs grow with it."""
    max_concurrency: Annotated[int, within("sagemaker", "ServerlessMaxConcurrency")] = 5
    """Requests at once; more are refused with 429."""
    provisioned: Provisioned | None = None
    """How many of them meet no cold start: kept warm, and paid for, all the time."""
    provisioned_max: Provisioned | None = None
    """Up to how many are kept warm as they are used. Without it `provisioned` stays as it is."""
    utilization: Annotated[float, Field(ge=0.1, le=0.9)] = 0.7
    """The share of the warm ones in use that scaling aims at."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.provisioned_max is not None and self.provisioned is None:
            raise ValueError("provisioned_max needs provisioned, the number to begin with")
        ascending = [each for each in (self.provisioned, self.provisioned_max) if each is not None]
        if sorted(ascending) != ascending or any(each > self.max_concurrency for each in ascending):
            raise ValueError("must be in order: provisioned, provisioned_max, max_concurrency")
        return self

    @property
    def scales(self) -> bool:
        """Whether the number of warm ones follows their use."""
        return (self.provisioned_max or 0) > (self.provisioned or 0)


Topic = Literal["create"] | TopicArn


class Asynchronous(Settings):
    """Requests that wait in a queue, with input and output in S3; with mode `async` only."""

    bucket: BucketName | None = None
    """Where inputs and outputs lie; without it the stack's own bucket. One that exists is used and never changed."""
    prefix: Annotated[str, matching(r"[a-zA-Z0-9][a-zA-Z0-9._/-]{0,99}(?<!/)", "the beginning of S3 keys")] = "async"
    """Under it and the endpoint's name: `input/`, `output/` and `failure/`."""
    max_concurrent: Annotated[int, within("sagemaker", "MaxConcurrentInvocationsPerInstance")] | None = None
    """Requests that an instance works on at once; without it SageMaker finds a number."""
    success_topic: Topic | None = None
    """Hears of each output: `create` makes one, or the ARN of one that exists."""
    error_topic: Topic | None = None
    """Hears of each failure."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """After so many days the stack's own bucket forgets inputs and outputs."""

    @property
    def topics(self) -> dict[str, str]:
        """What hears of what: `success` and `error`, where there is one."""
        wanted = {"success": self.success_topic, "error": self.error_topic}
        return {outcome: topic for outcome, topic in wanted.items() if topic is not None}
