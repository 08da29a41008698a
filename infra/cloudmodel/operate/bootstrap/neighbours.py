"""Projects that share an account: the names of one must not begin as the names of another.

What a project's stacks make is called `<stem>-<stack>…`, and its roles may change what begins with `<stem>-`. So the
roles of `digits` reach what the project `digits-v2` makes. Where both would stand, bootstrap refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cloudmodel.core.errors import UsageError
from cloudmodel.core.resource import Provider
from cloudmodel.operate.bootstrap.setup import OURS, Setup

ROLE = f"{OURS}-apply-"
"""What the name of every apply role holds behind the prefix (`Setup.own`)."""


def overlap(stem: str, other: str) -> bool:
    """Whether one of two projects' names begin as the other's; the same stem is the same project, in any region."""
    return stem != other and (f"{stem}-".startswith(f"{other}-") or f"{other}-".startswith(f"{stem}-"))


def refuse(provider: Provider, setup: Setup) -> None:
    """Raise UsageError where the account's roles tell of a project that `setup`'s could not be kept apart from."""
    for stem in sorted(set(_stems(provider))):
        if overlap(setup.stem, stem):
            short, long = sorted((setup.stem, stem), key=len)
            raise UsageError(
                f"the account holds the roles of {stem}, and those of {short} could change what {long} makes: the "
                f"names of both begin with {short}-",
                where="name in cloudmodel.yaml",
                hint="give the project another name, set name_prefix under cloudmodel:existing, or use another account",
            )


def _stems(provider: Provider) -> Iterator[str]:
    """The stems of all projects whose roles stand in the account; each role's tags name its project."""
    found = provider.invoke("aws:iam/getRoles:getRoles", {"nameRegex": re.escape(ROLE)})
    for name in found["names"]:
        role = provider.invoke("aws:iam/getRole:getRole", {"name": name})
        if project := role["tags"].get("owner"):
            yield f"{name.partition(ROLE)[0]}{project}"
