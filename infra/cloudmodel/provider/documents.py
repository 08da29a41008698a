"""When two JSON documents mean the same.

IAM keeps policies in a form of its own: one action becomes a list of one, an account id becomes a root ARN, and the
order of lists of strings means nothing. Two policies are equal here when AWS would read them as one.
"""

from __future__ import annotations

import json
import re
from typing import Any

ACCOUNT = re.compile(r"\d{12}")
ROOT = re.compile(r"arn:[\w-]+:iam::(\d{12}):root")
SETS = frozenset({"Action", "NotAction", "Resource", "NotResource"})
PRINCIPALS = frozenset({"Principal", "NotPrincipal"})


def same_json(one: Any, other: Any) -> bool:
    """True when both texts hold the same JSON value; texts that are no JSON are compared as they are."""
    return bool(_loaded(one) == _loaded(other))


def same_policy(one: Any, other: Any) -> bool:
    """True when both texts are policies with one meaning."""
    return bool(_policy(_loaded(one)) == _policy(_loaded(other)))


def dumped(value: Any) -> str:
    """A policy as the one line of text that outputs carry; a text that is one already stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _loaded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _policy(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    statements = document.get("Statement", [])
    return {
        **{key: value for key, value in document.items() if key != "Statement" and value not in ("", None)},
        "Statement": [_statement(each) for each in (statements if isinstance(statements, list) else [statements])],
    }


def _statement(statement: Any) -> Any:
    if not isinstance(statement, dict):
        return statement
    return {
        key: _part(key, value)
        for key, value in statement.items()
        if not (key == "Sid" and not value) and not (key == "Condition" and not value)
    }


def _part(key: str, value: Any) -> Any:
    if key in SETS:
        return _set(value)
    if key in PRINCIPALS:
        named = value if isinstance(value, dict) else {"AWS": value}
        return {kind: sorted({_account(each) for each in _many(who)}) for kind, who in named.items()}
    if key == "Condition" and isinstance(value, dict):
        return {
            operator: {name: _set(wanted) for name, wanted in tests.items()} if isinstance(tests, dict) else tests
            for operator, tests in value.items()
        }
    return value


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _set(value: Any) -> list[str]:
    return sorted({str(each).lower() if isinstance(each, bool) else str(each) for each in _many(value)})


def _account(principal: Any) -> str:
    root = ROOT.fullmatch(str(principal))
    return root.group(1) if root else str(principal)
