"""Names of what a stack makes. They follow from the project, the stack and the content alone, so that a create whose
reply was lost is found again by its name."""

from __future__ import annotations

import json
import re
from typing import Any

from cloudmodel.core.naming import SAGEMAKER_NAME_LENGTH, fit, short_hash
from cloudmodel.settings.variants import MAIN

CONTENT_DIGITS = 12
ROLE_NAME_LENGTH = 64
BUCKET_NAME_LENGTH = 63
STATE = "cloudmodel-state-"


def base(prefix: str, project: str, stack: str) -> str:
    """`<prefix><project>-<stack>` in SageMaker's alphabet and length, small letters only.

    A name that had to be changed carries a hash of what it was, so that no two stacks share one.
    """
    wanted = f"{prefix}{project}-{stack}"
    name = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")
    if name != wanted:
        name = f"{fit(name, SAGEMAKER_NAME_LENGTH - 9)}-{short_hash(wanted)}"
    return fit(name, SAGEMAKER_NAME_LENGTH)


def content(**parts: Any) -> str:
    """A hash of 12 digits over `parts`, which are JSON: other content, other hash; same content, same hash."""
    return short_hash(json.dumps(parts, sort_keys=True, separators=(",", ":")), length=CONTENT_DIGITS)


def by_content(name: str, digits: str) -> str:
    """`name`, shortened where it must be, and the digits of its content."""
    return f"{fit(name, SAGEMAKER_NAME_LENGTH - CONTENT_DIGITS - 1)}-{digits}"


def bucket(name: str, account: str, region: str) -> str:
    """A bucket's name, which must be unique in the world: it carries the account and the region."""
    end = f"-{account}-{region}"
    return fit(name, BUCKET_NAME_LENGTH - len(end)) + end


def state_bucket(prefix: str, project: str, account: str, region: str) -> str:
    """The bucket that bootstrap makes for a project's state and bundles."""
    return bucket(f"{prefix}{STATE}{project}", account, region)


def is_state_bucket(name: str, region: str | None) -> bool:
    """Whether bootstrap gives such a name in `region`, or in any. One whose prefix had to be cut is not told."""
    return bool(re.fullmatch(rf".*{STATE}.+-\d{{12}}-{re.escape(region) if region else '.+'}", name))


def of_variant(word: str, variant: str) -> str:
    """The name of what each variant has: `word` alone for `main`, so that a stack which lists no variants may begin to.

    No name that this module makes has a dot: what it says of another variant is no other stack's.
    """
    return word if variant == MAIN else f"{word}.{variant}"
