"""Names of what a stack makes. They follow from the project, the stack and the content alone, so that a create whose
reply was lost is found again by its name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from cloudmodel.core.naming import SAGEMAKER_NAME_LENGTH, fit, short_hash

CONTENT_DIGITS = 12
ROLE_NAME_LENGTH = 64
BUCKET_NAME_LENGTH = 63


def base(prefix: str, project: str, stack: str) -> str:
    """`<prefix><project>-<stack>` in SageMaker's alphabet and length, small letters only.

    A name that had to be changed carries a hash of what it was, so that no two stacks share one.
    """
    wanted = f"{prefix}{project}-{stack}"
    name = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")
    if name != wanted:
        name = f"{fit(name, SAGEMAKER_NAME_LENGTH - 9)}-{short_hash(wanted)}"
    return fit(name, SAGEMAKER_NAME_LENGTH)


def by_content(name: str, content: Mapping[str, Any]) -> str:
    """`name` and a hash over `content`: other content, other name; same content, same name."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"{fit(name, SAGEMAKER_NAME_LENGTH - CONTENT_DIGITS - 1)}-{short_hash(text, length=CONTENT_DIGITS)}"


def revision(content_name: str) -> str:
    """The hash that `by_content` put at the end of a name."""
    return content_name.rsplit("-", 1)[1]


def bucket(name: str, account: str, region: str) -> str:
    """A bucket's name, which must be unique in the world: it carries the account and the region."""
    end = f"-{account}-{region}"
    return fit(name, BUCKET_NAME_LENGTH - len(end)) + end
