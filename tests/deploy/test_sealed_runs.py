"""I11 on both engines: a sealed plan is applied to the letter, or refused before the first call with what changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudmodel.core.errors import StalePlan
from cloudmodel.deploy import sealed, surroundings
from cloudmodel.deploy.engines import Options
from cloudmodel.engine.step import Event

Spoil = Callable[[Any, pytest.MonkeyPatch], None]
BOTH = ("preview", "up")
ENGINES = ["embedded", pytest.param("official", marks=pytest.mark.official_engine)]


def unheard(_: Event) -> None: ...


def in_the_environment(name: str, value: str) -> Spoil:
    return lambda _, monkeypatch: monkeypatch.setenv(name, value)


ROWS: list[tuple[str, Spoil, str]] = [
    ("program", lambda place, patch: place.write("more.py", "X = 1\n"), "program changed"),
    ("settings", lambda place, patch: place.settings(round="3"), "settings changed"),
    ("bundle", lambda place, patch: place.bundle(b"others"), "bundle changed"),
    ("version", lambda place, patch: patch.setattr(surroundings, "tool_version", lambda: "9"), "version changed"),
    ("one more step", in_the_environment("MORE", "1"), "something else now about more"),
    ("another value", in_the_environment("TOPIC", "others"), "something else now about topic"),
]


@pytest.fixture(scope="module")
def ready(request: pytest.FixtureRequest, place: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A stack that stands, and the sealed plan of its next change."""
    project, name = place(), request.param
    project.settings(round="1")
    project.engine(name).up(Options(), unheard)
    project.settings(round="2")
    return project, name, sealed_plan(project, name, tmp_path_factory.mktemp("plans") / "plan.json")


def sealed_plan(project: Any, name: str, file: Path, stack: str = "local") -> Options:
    outcome = project.engine(name, stack).preview(Options(), unheard)
    sealed.save(file, outcome)
    assert "hunter2" not in file.read_text()
    return Options(plan=file)


def refused(project: Any, name: str, options: Options, why: str, verbs: tuple[str, ...] = BOTH) -> None:
    """`up --plan` and the preview before it both refuse, and nothing was done or told."""
    before = recorded(project, name)
    for verb in verbs:
        with pytest.raises(StalePlan, match=why) as raised:
            getattr(project.engine(name), verb)(options, unheard)
        assert raised.value.code == 17 and raised.value.hint
    assert recorded(project, name) == before


def recorded(project: Any, name: str) -> Any:
    """The state and the history."""
    if name == "official":  # as Pulumi keeps them: its command line takes a third of a second for each question
        kept = project.folder / ".cloudmodel/official/.pulumi"
        return {path: path.read_bytes() for place in ("stacks", "history") for path in (kept / place).rglob("*.json")}
    opened = project.engine(name)
    return opened.export_state()["deployment"].get("resources"), opened.history()


@pytest.mark.parametrize("ready", ENGINES, indirect=True)
@pytest.mark.parametrize(("what", "spoil", "why"), ROWS, ids=[row[0] for row in ROWS])
def test_what_changed_is_named_before_the_first_call(
    ready: Any, place: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, what: str, spoil: Spoil, why: str
) -> None:
    project, name, options = ready
    spoil(project, monkeypatch)
    refused(project, name, options, why, verbs=BOTH if name == "embedded" else ("up",))
    monkeypatch.undo()
    (project.folder / "more.py").unlink(missing_ok=True)
    place()
    project.settings(round="2")


@pytest.mark.parametrize("ready", ["embedded"], indirect=True)
def test_a_plan_of_another_stack_of_another_engine_or_too_old(
    ready: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project, name, _ = ready
    file = tmp_path / "plan.json"
    refused(project, name, sealed_plan(project, name, file, stack="other"), "of another stack: other of digits")
    monkeypatch.setattr(sealed, "LIFETIME", -sealed.LIFETIME)
    refused(project, name, sealed_plan(project, name, file), "it expired at")


@pytest.mark.parametrize("ready", ENGINES, indirect=True)
def test_a_plan_is_applied_to_the_letter_and_once(ready: Any) -> None:
    project, name, options = ready
    planned = sealed.load(options.plan).steps
    outcome = project.engine(name).up(options, unheard)
    assert {step.urn for step in outcome.steps if step.op == "update"} == {
        urn for urn, ops in planned.ops.items() if "update" in ops
    }
    assert outcome.summary["update"] == 1
    assert project.engine(name).history()[-1].result == "succeeded"
    refused(project, name, options, "state changed", verbs=("preview",))
