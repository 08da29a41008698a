"""The provider's own configuration: Pulumi's `aws:*` keys, whose values arrive as strings or JSON strings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from cloudmodel.core.resource import UNKNOWN, Checked, CheckFailure, Properties, ResourceFailure

# pulumi_aws.Provider's inputs that this provider honours; the others are refused rather than passed over.
TEXT = frozenset({"accessKey", "profile", "region", "retryMode", "secretKey", "stsRegion", "token"})
FLAGS = frozenset(
    {
        "insecure",
        "s3UsePathStyle",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
    }
)
STRUCTURED = frozenset({"allowedAccountIds", "defaultTags", "endpoints", "forbiddenAccountIds", "maxRetries"})
KNOWN = TEXT | FLAGS | STRUCTURED
ENGINE_KEYS = frozenset({"version", "pluginDownloadURL"})


@dataclass(frozen=True)
class Configuration:
    """A checked configuration. Empty strings and None mean that the environment decides."""

    region: str | None = None
    profile: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    allowed_accounts: tuple[str, ...] = ()
    forbidden_accounts: tuple[str, ...] = ()
    default_tags: Mapping[str, str] = field(default_factory=dict)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    max_retries: int | None = None
    retry_mode: str | None = None
    sts_region: str | None = None
    path_style: bool = False
    insecure: bool = False
    skip_credentials: bool = False
    skip_account: bool = False


def parse(inputs: Properties) -> tuple[dict[str, Any], tuple[CheckFailure, ...]]:
    """The values behind their JSON strings, and what is wrong with them. Unknown values stay as they are."""
    values: dict[str, Any] = {}
    failures: list[CheckFailure] = []
    for name, raw in inputs.items():
        if name.startswith("__") or name in ENGINE_KEYS or raw is None:
            continue
        if name not in KNOWN:
            near = get_close_matches(name, KNOWN, 1)
            failures.append(
                CheckFailure(name, "not a setting of this provider" + (f"; did you mean {near[0]}?" if near else ""))
            )
            continue
        try:
            values[name] = raw if name in TEXT or raw == UNKNOWN or not isinstance(raw, str) else json.loads(raw)
        except json.JSONDecodeError:
            failures.append(CheckFailure(name, f"must be JSON, not {raw!r}"))
            continue
        if name in FLAGS and values[name] != UNKNOWN and not isinstance(values[name], bool):
            failures.append(CheckFailure(name, "must be true or false"))
    for name in ("allowedAccountIds", "forbiddenAccountIds"):
        accounts = values.get(name, [])
        if accounts != UNKNOWN and not (isinstance(accounts, list) and all(is_account(each) for each in accounts)):
            failures.append(CheckFailure(name, "must be a list of account ids, each 12 digits in quotes"))
    if values.get("skipRequestingAccountId") is True and (
        values.get("allowedAccountIds") or values.get("forbiddenAccountIds")
    ):
        failures.append(
            CheckFailure("skipRequestingAccountId", "the allowed accounts cannot be checked without the account's id")
        )
    return values, tuple(failures)


def is_account(value: Any) -> bool:
    """True for 12 digits."""
    return value == UNKNOWN or (isinstance(value, str) and len(value) == 12 and value.isdigit())


def check(inputs: Properties) -> Checked:
    """Refuse what cannot be right; the inputs stay as the program wrote them."""
    return Checked(dict(inputs), parse(inputs)[1])


def load(inputs: Properties) -> Configuration:
    """Raises ResourceFailure for a configuration that `check` refuses."""
    values, failures = parse(inputs)
    if failures:
        raise ResourceFailure("; ".join(f"aws:{each.property}: {each.reason}" for each in failures))
    if unknown := sorted(name for name, value in values.items() if value == UNKNOWN):
        raise ResourceFailure(
            f"aws:{unknown[0]} is not known before the update",
            hint="configure a provider with values that do not come from another resource",
        )
    tags = values.get("defaultTags") or {}
    return Configuration(
        region=values.get("region") or None,
        profile=values.get("profile") or None,
        access_key=values.get("accessKey") or None,
        secret_key=values.get("secretKey") or None,
        token=values.get("token") or None,
        allowed_accounts=tuple(values.get("allowedAccountIds") or ()),
        forbidden_accounts=tuple(values.get("forbiddenAccountIds") or ()),
        default_tags=tags.get("tags") or {},
        endpoints={k: v for each in values.get("endpoints") or () for k, v in each.items() if v},
        max_retries=values.get("maxRetries"),
        retry_mode=values.get("retryMode"),
        sts_region=values.get("stsRegion"),
        path_style=values.get("s3UsePathStyle", False),
        insecure=values.get("insecure", False),
        skip_credentials=values.get("skipCredentialsValidation", False),
        skip_account=values.get("skipRequestingAccountId", False),
    )
