"""I11: a plan in a file is bound to all that it was made from, and to itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cloudmodel.core.errors import StalePlan
from cloudmodel.core.resource import DiffKind
from cloudmodel.deploy import sealed
from cloudmodel.deploy.binding import Binding, program_digest
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.engine.step import Change, Op, Step

BINDING = Binding(**{field.name: f"the {field.name}" for field in fields(Binding)})
URN = "urn:pulumi:local::digits::aws:sns/topic:Topic::alarms"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    change = Change(DiffKind.UPDATE, old="hunter2", new="hunter3")
    step = Step(op=Op.UPDATE, urn=URN, type="aws:sns/topic:Topic", diff={"displayName": change})
    file = tmp_path / "plan.json"
    sealed.save(file, Outcome("local", "local", "embedded", "eu-west-1", steps=(step,), binding=BINDING))
    return file


def test_a_plan_comes_back_as_it_was_and_holds_no_value(plan: Path) -> None:
    loaded = sealed.load(plan)
    assert loaded.binding == BINDING
    assert loaded.steps.refuses(Op.UPDATE, URN, ["displayName"]) is None
    assert loaded.steps.refuses(Op.DELETE, URN, []) is not None
    assert "hunter" not in plan.read_text()


@pytest.mark.parametrize("name", [field.name for field in fields(Binding) if field.name not in ("project", "stack")])
def test_whatever_changed_is_named(plan: Path, name: str) -> None:
    now = Binding(**{**{field.name: getattr(BINDING, field.name) for field in fields(Binding)}, name: "another"})
    with pytest.raises(StalePlan, match=rf"stale: {name} changed"):
        sealed.load(plan).binding.require(now, where=str(plan))


@pytest.mark.parametrize("name", ["project", "stack"])
def test_a_plan_of_another_stack_is_called_that(plan: Path, name: str) -> None:
    now = replace(BINDING, **{name: "another"})
    with pytest.raises(StalePlan, match="of another stack: the stack of the project, not"):
        sealed.load(plan).require(now)


def test_a_plan_is_good_for_some_days(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed.load(plan).require(BINDING)
    with pytest.raises(StalePlan, match="it expired at 20"):
        replace(sealed.load(plan), expires=datetime.now(UTC)).require(BINDING)


def test_steps_and_values_that_differ_are_named(plan: Path) -> None:
    loaded = sealed.load(plan)
    loaded.require_steps(loaded.steps)
    others = [
        replace(loaded.steps, ops={}),
        replace(loaded.steps, paths={URN: ("tags",)}),
        replace(loaded.steps, values={URN: "0" * 64}),
    ]
    for other in others:
        with pytest.raises(StalePlan, match="something else now about alarms"):
            loaded.require_steps(other)


EDITS: list[Callable[[dict[str, Any]], Any]] = [
    lambda document: document["ops"].update({URN: ["delete"]}),
    lambda document: document["paths"][URN].append("kmsMasterKeyId"),
    lambda document: document["binding"].update(state="another"),
    lambda document: document["values"].update({URN: "0" * 64}),
    lambda document: document.update(expires="2999-01-01T00:00:00+00:00"),
    lambda document: document.pop("seal"),
]


@pytest.mark.parametrize("edit", EDITS, ids=["operations", "paths", "binding", "values", "expiry", "no seal"])
def test_a_plan_that_was_edited_is_refused(plan: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(plan.read_text())
    edit(document)
    plan.write_text(json.dumps(document))
    with pytest.raises(StalePlan, match="no plan that can be applied"):
        sealed.load(plan)


def test_a_plan_that_was_cut_short_is_refused(plan: Path) -> None:
    whole = plan.read_bytes()
    for length in range(0, len(whole) - 1, 50):
        plan.write_bytes(whole[:length])
        with pytest.raises(StalePlan):
            sealed.load(plan)


@pytest.mark.parametrize(
    ("file", "counts"),
    [("cloudmodel.yaml", True), ("__main__.py", True), ("lib/more.py", True), (".venv/lib/x.py", False)],
)
def test_the_program_is_its_code_and_the_projects_description(tmp_path: Path, file: str, counts: bool) -> None:
    before = program_digest(tmp_path)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("name: other\n")
    assert (program_digest(tmp_path) != before) is counts
