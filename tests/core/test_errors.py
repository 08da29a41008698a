"""Every error has the exit code that the contract gives it, and one JSON form."""

from __future__ import annotations

import inspect
import json
import re

import pytest

from cloudmodel.core import errors
from cloudmodel.core.errors import CloudmodelError

KINDS = sorted(
    (kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CloudmodelError)),
    key=lambda kind: kind.__name__,
)
CODES = {
    1: {"CloudmodelError", "StateCorrupt", "SaveFailed", "LocalCloudUnavailable", "InvocationFailed"},
    2: {"UsageError", "ProjectInvalid", "SettingsInvalid", "Unsupported"},
    3: {"CredentialsMissing"},
    4: {"OperationFailed"},
    5: {"PolicyViolated"},
    6: {"StackNotFound"},
    7: {"UnexpectedChanges"},
    8: {"Cancelled"},
    9: {"TimedOut"},
    10: {"RolledBack"},
    11: {"DriftFound"},
    12: {"PreflightFailed"},
    14: {"UnsafeModel", "ModelUnreadable", "BundleChanged"},
    15: {"GateNotMet"},
    16: {"StackLocked"},
    17: {"StalePlan"},
}


@pytest.mark.parametrize(("code", "names"), CODES.items())
def test_the_contracts_exit_codes(code: int, names: set[str]) -> None:
    assert {kind.__name__ for kind in KINDS if kind.code == code} >= names


def test_no_error_has_a_code_that_the_contract_does_not_know() -> None:
    assert {kind.code for kind in KINDS} <= CODES.keys()


def test_the_tree_at_the_top_of_the_module_is_the_tree() -> None:
    drawn: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.search(r"([│├└─ ]*)\b([A-Z]\w+)\b", line)
        if not line.startswith("    ") or found is None:
            continue
        depth = len(found[1].lstrip(" ") and found[1][4:]) // 4
        del above[depth:]
        drawn[found[2]] = above[-1] if above else None
        above.append(found[2])
    assert drawn == {
        kind.__name__: kind.__base__.__name__ if kind is not CloudmodelError and kind.__base__ else None
        for kind in KINDS
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_json_form(kind: type[CloudmodelError]) -> None:
    error = kind("what", where="here", hint="try this", details={"n": 1})
    assert str(error) == "what"
    assert json.loads(json.dumps(error.as_json())) == {
        "schema": "cloudmodel.error/1",
        "code": kind.code,
        "error": kind.__name__,
        "message": "what",
        "where": "here",
        "hint": "try this",
        "details": {"n": 1},
    }
    assert "details" not in kind("what").as_json()
