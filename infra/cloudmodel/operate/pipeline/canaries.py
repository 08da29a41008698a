"""What has the form of a secret, or is the value of one, is masked in all that a comment is made of.

A comment tells no values to begin with, but for numbers and names. This catches what came by another way: a message,
a warning, a name that somebody put a token into. An account's id is told: the stack's settings and its pipeline's file,
which lie in the same repository, name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from cloudmodel.engine.masking import forms

MASK = "[masked]"
LONG = 6
"""Shorter values of an environment are words and numbers, and are masked where they stand alone."""

FORMS = re.compile(
    r"""
    (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}                 # an AWS key's id
    | (?<![A-Za-z0-9/+=])(?=[A-Za-z0-9/+]*[a-z])(?=[A-Za-z0-9/+]*[A-Z])(?=[A-Za-z0-9/+]*[0-9])
      [A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])               # an AWS secret; a commit has no capitals
    | -----BEGIN[ ][A-Z0-9 ]*PRIVATE[ ]KEY-----(?s:.*?)(?:-----END[ ][A-Z0-9 ]*PRIVATE[ ]KEY-----|\Z)
    | (?<![A-Za-z0-9/+=])(?=[a-z0-9/+]*[A-Z])(?=[A-Z0-9/+]*[a-z])(?=[A-Za-z/+]*[0-9])
      [A-Za-z0-9/+]{64,}={0,2}                          # a line of a key's body; a digest has no capitals
    | (?:IQoJ|FwoG|FQoG)[A-Za-z0-9/+]{16,}={0,2}        # an AWS session's token
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{20,}
    | npm_[A-Za-z0-9]{20,} | pypi-[\w-]{20,} | pul-[0-9a-f]{20,}
    | hf_[A-Za-z0-9]{20,} | sk-[\w-]{20,} | xox[abeprs]-[\w-]{10,} | AIza[\w-]{35}
    | eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*                   # a JSON web token
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                    # user and password of an address
    | (?i:(?<=bearer))\s+[\w.~+/=-]{16,}
    | (?i:(?<=authorization))["']?\s*[=:]\s*(?:\w+[ ])?\S{3,}
    | (?i:(?<=password)|(?<=passwd)|(?<=passphrase)|(?<=secret)|(?<=token)
        |(?<=api_key)|(?<=api-key)|(?<=apikey)|(?<=access_key)|(?<=accesskey)|(?<=accountkey))["']?\s*[=:]\s*\S{3,}
    """,
    re.VERBOSE,
)
KEYED = re.compile(
    r"environment|variables|secret|password|token|credential|pass(?:phrase|wd)?(?-i:(?![a-z]))", re.IGNORECASE
)
"""Names of properties whose values are nobody's to read: `dbPass` is one, `passed` is none."""
OURS = {"SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY", "kind"}
"""What the program itself puts into an environment, and a change's own word."""
SHOWN = {"[secret]", "[unknown]", "true", "false", "none", "null"}
STRUCTURE = {"schema", "op", "kind", "type"}
"""What these hold decides what a comment is about: an environment that has the word `update` hides no update."""


def masked(documents: Sequence[Any]) -> list[Any]:
    """The documents with MASK for secrets in every text that may be told: those of a known form, and values that stand
    in any of them under a name of KEYED. What stands under such a name itself is never told, and stays."""
    values = {form for each in documents for value in _values(each) for form in forms(value)} - SHOWN
    pattern = re.compile("|".join(map(_found, sorted(values, key=lambda each: (-len(each), each)))) or r"(?!)")
    return [_masked(each, pattern) for each in documents]


def _masked(node: Any, values: re.Pattern[str]) -> Any:
    if isinstance(node, dict):
        return {
            _text(key, values): value
            if KEYED.search(key)
            else FORMS.sub(MASK, value)
            if key in STRUCTURE and isinstance(value, str)
            else _masked(value, values)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_masked(each, values) for each in node]
    return _text(node, values) if isinstance(node, str) else node


def _text(text: str, values: re.Pattern[str]) -> str:
    return FORMS.sub(MASK, values.sub(MASK, text))


def _found(value: str) -> str:
    """A short value is found where neither a letter nor a digit is beside it."""
    return re.escape(value) if len(value) >= LONG else rf"(?<![^\W_]){re.escape(value)}(?![^\W_])"


def _values(node: Any, *, keyed: bool = False) -> Iterator[str | int | float]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in OURS:
                yield from _values(value, keyed=keyed or bool(KEYED.search(key)))
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, keyed=keyed)
    elif keyed and isinstance(node, str | int | float):
        yield node
