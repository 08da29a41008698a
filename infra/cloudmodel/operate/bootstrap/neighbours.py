"""Projects that share an account: the names of one must not begin as the names of another, or be another's.

What a project's stacks make is called `<stem>-<stack>…`, and its roles may change what begins with `<stem>-`. So the
roles of `digits` reach what the project `digits-v2` makes. Two of one name would have the same roles, which know
what has no name by the project's name in Pulumi.yaml: the second's bootstrap would take them from the first. Where both
would stand, bootstrap refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cloudmodel.core.errors import UsageError
from cloudmodel.core.resource import Provider
from cloudmodel.operate.bootstrap.setup import OURS, PULUMI, Setup

ROLE = f"{OURS}-apply-"
"""What the name of every apply role holds behind the prefix (`Setup.own`)."""


def overlap(stem: str, other: str) -> bool:
    """Whether one of two projects' names begin as the other's; the same stem is the same project, in any region."""
    return stem != other and (f"{stem}-".startswith(f"{other}-") or f"{other}-".startswith(f"{stem}-"))


def refuse(provider: Provider, setup: Setup) -> None:
    """Raise UsageError where the account's roles tell of a project that `setup`'s could not be kept apart from."""
    hint = "give the project another name, set name_prefix under cloudmodel:existing, or use another account"
    for stem, pulumi in sorted(set(_projects(provider))):
        if stem == setup.stem and pulumi not in ("", setup.pulumi_name):
            raise UsageError(
                f"the account holds the roles of another project that is called {stem}: its name in Pulumi.yaml is "
                f"{pulumi}, this one's {setup.pulumi_name}",
                where="name in cloudmodel.yaml",
                hint=hint,
            )
        if overlap(setup.stem, stem):
            short, long = sorted((setup.stem, stem), key=len)
            raise UsageError(
                f"the account holds the roles of {stem}, and those of {short} could change what {long} makes: the "
                f"names of both begin with {short}-",
                where="name in cloudmodel.yaml",
                hint=hint,
            )


def _projects(provider: Provider) -> Iterator[tuple[str, str]]:
    """The stems of all projects whose roles stand in the account, each with its name in Pulumi.yaml, which roles of
    earlier versions do not tell. Each role's tags name its project."""
    found = provider.invoke("aws:iam/getRoles:getRoles", {"nameRegex": re.escape(ROLE)})
    for name in found["names"]:
        role = provider.invoke("aws:iam/getRole:getRole", {"name": name})
        if project := role["tags"].get("owner"):
            yield f"{name.partition(ROLE)[0]}{project}", role["tags"].get(PULUMI, "")
