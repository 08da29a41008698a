"""The settings of a project and of a stack as typed, frozen values.

`ProjectFile` is `cloudmodel.yaml`; `StackFile` is the `cloudmodel:` part of `Pulumi.<stack>.yaml`. Both know all their
keys and convert nothing: a number is not text, text is not a number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cloudmodel.catalog.catalog import limit
from cloudmodel.core.naming import PROJECT_NAME
from cloudmodel.settings.document import Key
from cloudmodel.settings.fields import (
    MODULE_FACTORY,
    OWN_ENVIRONMENT,
    OWN_TAGS,
    AccountId,
    BucketName,
    Digest,
    EcrImage,
    EnvironmentKey,
    EnvironmentValue,
    Fraction,
    InstanceName,
    KeyArn,
    Metric,
    Percent,
    PolicyArn,
    PublicKey,
    Region,
    RoleArn,
    SecurityGroup,
    Subnet,
    Subscriber,
    TagKey,
    TagValue,
    Text,
    Tuple,
    at_most,
    matching,
    within,
)
from cloudmodel.settings.modes import Asynchronous, Serverless
from cloudmodel.settings.part import Settings
from cloudmodel.settings.preprocess import Preprocess
from cloudmodel.settings.rollout import Rollout
from cloudmodel.settings.scaling import Scaling
from cloudmodel.settings.variants import MAIN, Served, Variant

# --- cloudmodel.yaml ---------------------------------------------------------------------------------------------


class ModelInput(Settings):
    name: Text
    dtype: Literal[
        "bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "str", "uint8", "uint16", "uint32",
        "uint64",
    ]  # fmt: skip
    shape: Annotated[tuple[Annotated[int, Field(ge=0)] | Text, ...], Tuple]


class Model(Settings):
    source: Text
    """File, folder, or a Python factory `module:factory`."""
    weights: Text | None = None
    """Weights file; only with a factory."""
    format: Literal[
        "auto", "onnx", "torch", "torchscript", "torch-export", "keras", "savedmodel", "sklearn", "safetensors",
        "huggingface",
    ] = "auto"  # fmt: skip
    task: (
        Literal[
            "image-classification", "text-classification", "embedding", "translation", "summarization", "generation",
            "recommendation", "regression", "tabular-classification", "custom",
        ]
        | None
    ) = None  # fmt: skip
    inputs: Annotated[tuple[ModelInput, ...], Tuple] = ()
    """Overrides what the model file says of its inputs."""
    labels: Text | None = None
    """Text file with one label a line."""
    preprocess: Preprocess | None = None
    """What is made of texts, images or ids before the model; a Hugging Face folder brings its own."""

    @model_validator(mode="after")
    def _inputs_differ(self) -> Self:
        if len({each.name for each in self.inputs}) != len(self.inputs):
            raise ValueError("inputs names an input twice")
        return self

    @model_validator(mode="after")
    def _weights_need_a_factory(self) -> Self:
        if self.weights is not None and not MODULE_FACTORY.fullmatch(self.source):
            raise ValueError("weights are given with a factory (source: module:factory) only")
        return self


class Evaluate(Settings):
    data: Text
    """Held-out data that was never trained on."""
    metric: Metric


class Optimize(Settings):
    train: Text | None = None
    calibrate: Text | None = None
    objective: Literal["latency", "throughput", "size"] = "latency"
    max_drop: Annotated[float, Field(ge=0)] = 0.01
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    min_fidelity: Fraction = 0.98
    techniques: Annotated[tuple[Literal["graph", "quantize", "prune", "distill"], ...], Tuple] = (
        "graph",
        "quantize",
        "prune",
        "distill",
    )
    budget: Annotated[str, matching(r"[1-9][0-9]{0,5}[smh]", "a duration such as 90s, 5m or 1h")] = "5m"


class Serve(Settings):
    layout: Literal["auto", "onnxruntime", "pytorch", "torchserve", "tfserving", "triton", "sklearn", "huggingface"] = (
        "auto"
    )
    wheels: bool = False
    """Whether the bundle brings the packages that AWS's image lacks and an isolated container cannot install."""


class ProjectFile(Settings):
    """`cloudmodel.yaml`: what the model is and what must hold of it."""

    version: Literal[1]
    name: Annotated[str, matching(PROJECT_NAME, "a small letter, then at most 30 small letters, digits or hyphens")]
    model: Model
    evaluate: Evaluate | None = None
    optimize: Optimize = Optimize()
    serve: Serve = Serve()
    bundles: Text = ".cloudmodel/bundles"
    """Where bundles are kept and found by digest: a folder, or s3://bucket/prefix."""

    @model_validator(mode="after")
    def _name_ends_well(self) -> Self:
        if self.name.endswith("-"):
            raise ValueError("name must not end with a hyphen")
        return self


class Project(ProjectFile):
    """A loaded project: its `cloudmodel.yaml`, its folder, and the name that `Pulumi.yaml` gives it."""

    folder: Path
    pulumi_name: str


# --- Pulumi.<stack>.yaml -----------------------------------------------------------------------------------------


class Alarms(Settings):
    error_rate: Percent = 5.0
    """Percent of the requests of a minute that end in a 5xx."""
    p99_ms: Annotated[float, Field(gt=0, le=3_600_000)] = 1000.0
    saturation: Percent = 90.0
    """Percent of all cores, or of all GPUs on an accelerated type."""
    notify: Annotated[tuple[Subscriber, ...], Tuple] = ()

    @model_validator(mode="after")
    def _few_enough_topics(self) -> Self:
        most = (limit("cloudwatch", "ResourceList").max or 5) - 1
        if sum(each.startswith("arn:") for each in self.notify) > most:
            raise ValueError(f"notify has more than {most} topics, and an alarm takes no more")
        return self


class Capture(Settings):
    percent: Annotated[int, within("sagemaker", "SamplingPercentage")] = 0
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30


class Network(Settings):
    vpc: Annotated[str, matching(r"vpc-[0-9a-f]{8,17}", "the id of a VPC")] | None = None
    subnets: Annotated[tuple[Subnet, ...], Tuple, at_most("sagemaker", "Subnets")] = ()
    security_groups: Annotated[tuple[SecurityGroup, ...], Tuple, at_most("sagemaker", "VpcSecurityGroupIds")] = ()
    isolation: bool = True
    """The container has no network at all, neither in nor out."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.subnets and (self.vpc or self.security_groups):
            raise ValueError("subnets are required where a vpc or security_groups are given")
        if self.subnets and not self.security_groups and not self.vpc:
            raise ValueError("names subnets and neither security_groups nor the vpc that a group is to be made in")
        for name in ("subnets", "security_groups"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name} names one twice")
        return self


class Encryption(Settings):
    key: Literal["create"] | KeyArn = "create"


class Existing(Settings):
    """What a platform team owns already: it is used and never changed."""

    role: RoleArn | None = None
    bucket: BucketName | None = None
    key: KeyArn | None = None
    boundary: PolicyArn | None = None
    name_prefix: Annotated[str, matching(r"[a-z][a-z0-9-]{0,19}", "at most 20 small letters, digits or hyphens")] = ""
    image: EcrImage | None = None
    """A serving image of your own with numpy and onnxruntime and AWS's inference toolkit."""


STARTUP = "ProductionVariantContainerStartupHealthCheckTimeoutInSeconds"
DOWNLOAD = "ProductionVariantModelDataDownloadTimeoutInSeconds"


class Timeouts(Settings):
    startup: Annotated[int, within("sagemaker", STARTUP)] | None = None
    download: Annotated[int, within("sagemaker", DOWNLOAD)] | None = None


class Exemption(Settings):
    rule: Text
    until: Annotated[str, matching(r"\d{4}-\d{2}-\d{2}", "a date such as 2027-01-31")]
    reason: Text


class Policies(Settings):
    level: Literal["off", "advisory", "mandatory"] = "advisory"
    exempt: Annotated[tuple[Exemption, ...], Tuple] = ()


class Local(Settings):
    """The local AWS; with target `local` only."""

    max_workers: Annotated[int, Field(ge=1, le=64)] = 4
    """How many model processes may run at once."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """A fixed port; without one a free port is taken."""


class StackFile(Settings):
    """The `cloudmodel:` keys of a stack."""

    target: Literal["local", "aws"]
    """Where it stands: the local AWS, or AWS. Never guessed from the stack's name."""
    cloud: Literal["aws", "azure", "gcp"] = "aws"
    bundle: Digest | None = None
    """The pinned bundle; promotion is a commit of this line."""
    mode: Literal["realtime", "serverless", "async", "inference-components"] = "realtime"
    serverless: Serverless = Serverless()
    asynchronous: Asynchronous = Asynchronous()
    instance: InstanceName = "ml.c7i.large"
    scaling: Scaling = Scaling()
    variants: Annotated[tuple[Variant, ...], Tuple, at_most("sagemaker", "ProductionVariantList")] = ()
    """Several bundles behind the endpoint; without a list the stack's one bundle, as the variant `main`."""
    rollout: Rollout = Rollout()
    alarms: Alarms = Alarms()
    capture: Capture = Capture()
    network: Network = Network()
    encryption: Encryption = Encryption()
    existing: Existing = Existing()
    environment: Annotated[
        dict[EnvironmentKey, EnvironmentValue], at_most("sagemaker", "EnvironmentMap", less=OWN_ENVIRONMENT)
    ] = Field(default={})
    """Variables of the container. AWS shows them to whoever may describe the model: never a secret."""
    timeouts: Timeouts = Timeouts()
    signed: PublicKey = False
    """The public key that a bundle must be signed by: its file, from the project's folder, or the PEM text itself."""
    protect: bool = False
    """The stack's bucket, key and endpoint cannot be deleted or replaced."""
    tags: Annotated[dict[TagKey, TagValue], at_most("sagemaker", "TagList", less=OWN_TAGS)] = Field(default={})
    policies: Policies = Policies()
    local: Local | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.existing.key and self.encryption.key not in ("create", self.existing.key):
            raise ValueError("encryption.key and existing.key name different keys")
        return self

    @model_validator(mode="after")
    def _variants_differ(self) -> Self:
        if len({each.name for each in self.variants}) != len(self.variants):
            raise ValueError("variants names one twice")
        if self.variants and not any(each.weight for each in self.variants):
            raise ValueError("variants: all weights are 0, so nobody would answer")
        return self

    @property
    def served(self) -> tuple[Served, ...]:
        """The variants, each with what it takes from the stack."""
        if not self.variants:
            own: dict[str, Key] = {"instance": ("instance",), "scaling": ("scaling",)}
            return (Served(MAIN, 1, self.bundle, self.instance, self.scaling, own),)
        return tuple(
            Served(
                each.name,
                each.weight,
                each.bundle or self.bundle,
                each.instance or self.instance,
                each.scaling or self.scaling,
                {
                    name: ("variants", index, name) if getattr(each, name) else (name,)
                    for name in ("instance", "scaling")
                },
            )
            for index, each in enumerate(self.variants)
        )

    @property
    def key_arn(self) -> str | None:
        """The KMS key to use, None where the stack makes its own."""
        return self.existing.key or (None if self.encryption.key == "create" else self.encryption.key)


class AwsFile(Settings):
    """The `aws:` keys that cloudmodel itself relies on; Pulumi's others pass through."""

    region: Region | None = None
    allowed_account_ids: Annotated[tuple[AccountId, ...], Tuple] = Field(
        default=(), alias="allowedAccountIds", validate_default=False
    )


class StackSettings(StackFile):
    """A loaded stack. `raw` is Pulumi's configuration map (objects as JSON text; a secret as Pulumi keeps it in the
    file), `secret_keys` names the entries of `raw` that hold a secret."""

    stack: str
    path: Path
    region: str
    allowed_account_ids: tuple[str, ...] = ()
    raw: dict[str, str]
    secret_keys: frozenset[str] = frozenset()
    encryption_salt: str | None = None
    secrets_provider: str | None = None
