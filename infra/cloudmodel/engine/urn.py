"""URNs: how Pulumi names a resource for its whole life.

    urn:pulumi:<stack>::<project>::<parent types>$<type>::<name>

Source: pulumi `sdk/go/common/resource/urn/urn.go`.
"""

from __future__ import annotations

from dataclasses import dataclass

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_PREFIX = "pulumi:providers:"


@dataclass(frozen=True)
class Parts:
    """The parts of a URN; `qualified_type` holds the types of the parents, joined by `$`."""

    stack: str
    project: str
    qualified_type: str
    name: str


def split(urn: str) -> Parts:
    """The parts of `urn`; a name may hold `::`. Raises ValueError for what is no URN."""
    pieces = urn.removeprefix("urn:pulumi:").split("::", 3)
    if not urn.startswith("urn:pulumi:") or len(pieces) != 4:
        raise ValueError(f"not a URN: {urn}")
    return Parts(*pieces)


def make(stack: str, project: str, parent: str, type: str, name: str) -> str:
    """The URN of a resource below `parent`, which is a URN or empty; the stack leaves no mark in its children."""
    parents = split(parent).qualified_type if parent else ""
    qualified = type if parents in ("", STACK_TYPE) else f"{parents}${type}"
    return f"urn:pulumi:{stack}::{project}::{qualified}::{name}"


def package(type: str) -> str:
    """The package that provides `type`: `aws` for `aws:s3/bucket:Bucket` and for `pulumi:providers:aws`."""
    if is_provider(type):
        return type.removeprefix(PROVIDER_PREFIX)
    return type.split(":", 1)[0]


def short_type(token: str) -> str:
    """`aws:s3:Bucket` for `aws:s3/bucket:Bucket`."""
    package, _, rest = token.partition(":")
    module, _, name = rest.partition(":")
    return f"{package}:{module.partition('/')[0]}:{name}" if name else token


def is_provider(type: str) -> bool:
    """True for the type of a provider resource."""
    return type.startswith(PROVIDER_PREFIX)


def provider_urn(reference: str) -> str:
    """The URN inside a provider reference `<urn>::<id>`; empty for an empty one."""
    return reference.rsplit("::", 1)[0]


def is_default_provider(reference: str) -> bool:
    """True for a reference to a provider that the engine made by itself."""
    urn = provider_urn(reference)
    return bool(urn) and split(urn).name.split("_", 1)[0] == "default"
