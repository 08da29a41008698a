"""`Pulumi.<stack>.yaml`: Pulumi's own forms of configuration, and our keys among them.

Forms (source: pulumi `sdk/go/common/resource/config`): keys are `namespace:name` or `namespace:config:name`; a key
without a namespace is the project's; values are text, numbers, true or false, lists and mappings; a secret is
`{secure: CIPHERTEXT}` at the top or inside a value; `pulumi config set` writes every plain value as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cloudmodel.catalog.images import serving_image
from cloudmodel.core.errors import SettingsInvalid, Unsupported
from cloudmodel.settings.check import known_keys, nearest, validate
from cloudmodel.settings.document import Document, Key, Mark, Problem, dotted, invalid
from cloudmodel.settings.fleet_rules import impossible_fleets, unfit_rollout
from cloudmodel.settings.mode_rules import unfit
from cloudmodel.settings.model import AwsFile, Project, StackFile, StackSettings
from cloudmodel.settings.pending import refused

LOCAL_REGION = "us-east-1"
OURS = "cloudmodel"
TOP_KEYS = ("config", "encryptionsalt", "secretsprovider", "encryptedkey")
AWS_KEYS = (
    "accessKey", "allowedAccountIds", "assumeRoles", "assumeRoleWithWebIdentity", "customCaBundle", "defaultTags",
    "ec2MetadataServiceEndpoint", "ec2MetadataServiceEndpointMode", "endpoints", "forbiddenAccountIds", "httpProxy",
    "httpsProxy", "ignoreTags", "insecure", "maxRetries", "noProxy", "profile", "region", "retryMode",
    "s3UsEast1RegionalEndpoint", "s3UsePathStyle", "secretKey", "sharedConfigFiles", "sharedCredentialsFiles",
    "skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation", "skipRequestingAccountId",
    "stsRegion", "tagPolicyCompliance", "token", "tokenBucketRateLimiterCapacity", "useDualstackEndpoint",
    "useFipsEndpoint", "userAgents",
)  # fmt: skip
"""The configuration keys of pulumi-aws 7; a test compares them with the installed package."""


def stack_settings(project: Project, stack: str, document: Document, *, pinned: bool = True) -> StackSettings:
    """The settings that `document` gives; raises SettingsInvalid with every problem it has."""
    problems = list(document.duplicates)
    content = document.value if document.value is not None else {}
    if not isinstance(content, dict):
        raise invalid(SettingsInvalid, document.path, [Problem(Mark(1, 1), "", "must be a mapping of keys to values")])
    for name in content:
        if name not in TOP_KEYS:
            message = f"unknown key; {nearest(str(name), TOP_KEYS)}"
            if name == "environment":
                message = "Pulumi's ESC environments are not read here; write the values under config"
            elif str(name).partition(":")[0] in (OURS, "aws"):
                message = "belongs under config:"
            problems.append(Problem(document.mark((name,)), name, message))
    config = {} if content.get("config") is None else content["config"]
    if not isinstance(config, dict):
        problems.append(Problem(document.mark(("config",)), "config", "must be a mapping of keys to values"))
        config = {}
    names = {key: _qualified(str(key), project.pulumi_name) for key in config}
    problems += _wrong_names(names, document)
    ours = {name.partition(":")[2]: key for key, name in names.items() if name.startswith(f"{OURS}:")}
    aws = {name.partition(":")[2]: key for key, name in names.items() if name.startswith("aws:")}

    settings, found = validate(
        StackFile,
        {name: _decoded(config[key]) for name, key in ours.items() if not _secure(config[key])},
        document,
        lambda key: ("config", ours.get(str(key[0]), f"{OURS}:{key[0]}"), *key[1:]) if key else ("config",),
    )
    problems += found
    for name, key in ours.items():
        if _secure(config[key]):
            message = "cannot be secret: AWS shows it to whoever may describe the endpoint; keep secrets elsewhere"
            problems.append(Problem(document.mark(("config", key)), f"{OURS}:{name}", message))
    account, found = validate(
        AwsFile,
        {name: _decoded(config[key]) for name, key in aws.items() if name in known_keys(AwsFile, ())},
        document,
        lambda key: ("config", aws.get(str(key[0]), f"aws:{key[0]}"), *key[1:]),
    )
    problems += found

    def problem(key: Key, message: str) -> None:
        if key[0] in ("region", "allowedAccountIds"):
            place, shown = ("config", aws.get(str(key[0]), "")), f"aws:{key[0]}"
        else:
            place, shown = ("config", ours.get(str(key[0]), ""), *key[1:]), f"{OURS}:{dotted(key)}"
        problems.append(Problem(document.mark(place), shown, message))

    if settings is not None and account is not None:
        for key, message in (*refused(settings), *_contradictions(project, settings, account, pinned=pinned)):
            problem(key, message)
    for name in TOP_KEYS[1:]:
        if not isinstance(content.get(name, ""), str):
            problems.append(Problem(document.mark((name,)), name, "must be text"))
    for key in config:
        if _secure(config[key]) and not (content.get("encryptionsalt") or content.get("encryptedkey")):
            message = "is sealed, and the file has no `encryptionsalt` (`pulumi config set --secret` writes both)"
            problems.append(Problem(document.mark(("config", key)), key, message))
    if problems:
        raise invalid(SettingsInvalid, document.path, problems)
    assert settings is not None and account is not None

    region = account.region or LOCAL_REGION
    return StackSettings(
        **{name: getattr(settings, name) for name in StackFile.model_fields},
        stack=stack,
        path=document.path,
        region=region,
        allowed_account_ids=account.allowed_account_ids,
        raw={"aws:region": region} | {name: _text(config[key]) for key, name in names.items()},
        secret_keys=frozenset(name for key, name in names.items() if _secure(config[key])),
        encryption_salt=content.get("encryptionsalt"),
        secrets_provider=content.get("secretsprovider"),
    )


def _qualified(key: str, project: str) -> str:
    """`namespace:name` for every form of a key that Pulumi takes."""
    namespace, colon, name = key.partition(":")
    if not colon:
        return f"{project}:{key}"
    return f"{namespace}:{name.removeprefix('config:')}"


def _wrong_names(names: Mapping[str, str], document: Document) -> Iterator[Problem]:
    ours = known_keys(StackFile, ())
    seen: dict[str, str] = {}
    for key, name in names.items():
        namespace, _, rest = name.partition(":")
        message = None
        if not namespace or not rest or ":" in rest:
            message = "must be namespace:name"
        elif name in seen:
            message = f"says the same as {seen[name]}"
        elif namespace == "aws" and rest not in AWS_KEYS:
            message = f"unknown key; {nearest(rest, AWS_KEYS)}"
        elif ":" not in key and rest in ours:
            message = f"is the project's own; write {OURS}:{rest}"
        elif namespace not in (OURS, "aws") and nearest(namespace, (OURS,)).startswith("did") and rest in ours:
            message = f"unknown namespace; write {OURS}:{rest}"
        seen.setdefault(name, key)
        if message:
            yield Problem(document.mark(("config", key)), key, message)


def _contradictions(project: Project, settings: StackFile, aws: AwsFile, *, pinned: bool) -> Iterator[tuple[Key, str]]:
    """What is possible by itself and not together."""
    if settings.target == "aws":
        if aws.region is None:
            yield ("region",), "is required where cloudmodel:target is aws"
        if not aws.allowed_account_ids:
            yield (
                ("allowedAccountIds",),
                "is required where cloudmodel:target is aws: the accounts this stack may touch",
            )
        if pinned and any(each.bundle is None for each in settings.served):
            yield ("bundle",), "is required where cloudmodel:target is aws; cloudmodel package prints the digest"
        if settings.local is not None:
            yield ("local",), "is for stacks whose cloudmodel:target is local"
    if settings.mode == "serverless":
        if settings.capture.percent:
            yield ("capture", "percent"), "must be 0: a serverless endpoint captures no data"
        if settings.network.subnets:
            yield ("network", "subnets"), "must be left out: a serverless endpoint stands in no VPC"
    if settings.bundle and settings.variants and all(each.bundle for each in settings.variants):
        yield ("bundle",), "is of no variant, each names its own: leave it out, or leave a variant's out"
    yield from impossible_fleets(settings)
    yield from unfit(settings)
    yield from unfit_rollout(settings)
    for key, what, region in _regional(settings):
        if aws.region and region != aws.region:
            yield key, f"is {what} of another region than {aws.region}"
    if settings.existing.image is None:
        layout = "onnxruntime" if project.serve.layout == "auto" else project.serve.layout
        for each in settings.served:
            try:
                serving_image(layout, each.instance, aws.region or LOCAL_REGION)
            except Unsupported as error:
                yield each.keys["instance"], error.message


def _regional(settings: StackFile) -> Iterator[tuple[Key, str, str]]:
    """What AWS takes from the stack's own region only: its key, the word for it, the region that it is of."""
    if settings.key_arn:
        yield ("existing" if settings.existing.key else "encryption", "key"), "a key", settings.key_arn.split(":")[3]
    if settings.existing.image:
        yield ("existing", "image"), "an image", settings.existing.image.split(".")[3]
    for outcome, topic in settings.asynchronous.topics.items():
        if topic != "create":
            yield ("asynchronous", f"{outcome}_topic"), "a topic", topic.split(":")[3]
    for topic in settings.alarms.notify:
        if topic.startswith("arn:"):
            yield ("alarms", "notify"), "a topic", topic.split(":")[3]


def _decoded(value: Any) -> Any:
    """A value, or what the JSON says that `pulumi config set` left in its place."""
    if not isinstance(value, str):
        return value
    try:
        decoded = json.loads(value, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        return value
    return decoded if isinstance(decoded, dict | list | bool) else value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _secure(value: Any) -> bool:
    """Whether a value is, or holds, a secret."""
    if isinstance(value, dict):
        return (set(value) == {"secure"} and isinstance(value["secure"], str)) or any(map(_secure, value.values()))
    return isinstance(value, list) and any(map(_secure, value))


def _text(value: Any) -> str:
    """A value as Pulumi hands it to a program: text as it is, everything else as JSON, a secret as its ciphertext."""
    if value is None:
        return ""
    if isinstance(value, dict) and set(value) == {"secure"} and isinstance(value["secure"], str):
        secret: str = value["secure"]
        return secret
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
