"""Drift sees every field that the provider tracks, and every resource that is gone; a read that is refused is neither.

Seen from a state that says something else than the cloud, which is what somebody's hand in the cloud looks like.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cloud import order_faults
from cloudmodel.localaws import server
from cloudmodel.operate.drift import EXISTENCE
from cloudmodel.provider.rules import RULES
from cloudmodel.provider.rules.form import Field, Kind
from terminal import Terminal

SERVICES = ("s3", "kms", "iam", "sns", "sagemaker", "application-autoscaling", "monitoring", "logs")
"""As requests are signed."""
ADDRESS = frozenset({"serviceNamespace", "scalableDimension"})
"""Where Application Auto Scaling is asked: with another value it refuses the question."""


class Stack:
    """The stack `local` of a digits project, which stands."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.state = self.json("state export")["state"]

    def json(self, line: str, code: int = 0) -> dict[str, Any]:
        ended, printed = self.terminal.run(f"cloudmodel {line} --json")
        assert ended == code, printed
        document: dict[str, Any] = json.loads(printed[printed.index("{\n") :])
        return document

    def told(self, state: Mapping[str, Any]) -> set[tuple[str, str]]:
        """What drift says of the cloud where `state` is the stack's: URN and property."""
        (self.terminal.folder / "told.json").write_text(json.dumps(state))
        self.json("state import --yes --file told.json")
        return {(item["urn"], item["property"]) for item in self.json("drift", code=11)["infrastructure"]}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    terminal = Terminal(tmp_path_factory.mktemp("drift"))
    try:
        assert terminal.run("cloudmodel init .")[0] == 0
        for line in ("package", "up --yes"):
            assert terminal.run(f"cloudmodel {line}")[0] == 0
        yield Stack(terminal)
    finally:
        terminal.run("cloudmodel local stop")


def tracked(entry: Mapping[str, Any]) -> list[str]:
    """The inputs of an entry that the cloud holds and the program does not ignore."""
    fields: Mapping[str, Field] = RULES[entry["type"]].fields
    ignored = {path.partition(".")[0].partition("[")[0] for path in entry.get("ignoreChanges", ())}
    held = (name for name, each in fields.items() if not each.local and each.kind is not Kind.ASSET)
    left = [name for name in held if name not in ignored | ADDRESS]
    return [name for name in left if entry["inputs"].get(name) not in (None, [], {}, "")]


def other(value: Any) -> Any:
    """Another value of the same form."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return '{"another": 1}' if value.startswith("{") else f"{value}-another"
    if isinstance(value, list):
        return [other(value[0]), *value[1:]]
    name = next(iter(value))
    return {**value, name: other(value[name])}


def test_each_tracked_field_is_seen(stack: Stack) -> None:
    entries = [each for each in stack.state["deployment"]["resources"] if each["type"] in RULES]
    rounds = max(len(tracked(each)) for each in entries)
    seen = 0
    for number in range(rounds):
        state, wanted = copy.deepcopy(stack.state), set()
        for entry in state["deployment"]["resources"]:
            names = tracked(entry) if entry["type"] in RULES else []
            if number < len(names):
                name = names[number]
                entry["inputs"][name] = entry["outputs"][name] = other(entry["inputs"][name])
                wanted.add((entry["urn"], name))
        found = {(urn, path.replace("[", ".").partition(".")[0]) for urn, path in stack.told(state)}
        gone = {urn for urn, path in found if path == EXISTENCE}  # by another name there is none
        assert (unseen := {each for each in wanted - found if each[0] not in gone}) == set(), sorted(unseen)
        seen += len(wanted)
    assert seen > 100


def test_each_resource_that_is_gone_is_seen(stack: Stack) -> None:
    state, wanted = copy.deepcopy(stack.state), set()
    for entry in state["deployment"]["resources"]:
        if entry["type"] in RULES:
            entry["id"] += "-another"
            if "resourceId" in entry["inputs"]:  # how Application Auto Scaling is asked
                entry["inputs"]["resourceId"] = entry["outputs"]["resourceId"] = "endpoint/another/variant/main"
            wanted.add((entry["urn"], EXISTENCE))
    assert wanted <= stack.told(state)


def test_what_is_served_is_held_against_the_state_and_the_pin(stack: Stack) -> None:
    state = copy.deepcopy(stack.state)
    (model,) = [each for each in state["deployment"]["resources"] if each["type"] == "aws:sagemaker/model:Model"]
    for side in ("inputs", "outputs"):
        for name in ("image", "modelDataUrl"):
            model[side]["primaryContainer"][name] += "-another"
    (stack.terminal.folder / "told.json").write_text(json.dumps(state))
    stack.json("state import --yes --file told.json")
    settings = stack.terminal.folder / "Pulumi.local.yaml"
    before, pin = settings.read_text(), f"sha256:{'0' * 64}"
    settings.write_text(f"{before}  cloudmodel:bundle: {pin}\n")
    found = stack.json("drift", code=11)
    settings.write_text(before)
    assert {each["property"] for each in found["serving"]} == {"image", "data"}
    assert all(each["state"] == f"{each['live']}-another" for each in found["serving"] if each["live"])
    assert any(pin in each for each in found["warnings"])

    # The state was read; what the endpoint serves is asked after it, and is refused.
    (stack.terminal.folder / "told.json").write_text(json.dumps(stack.state))
    stack.json("state import --yes --file told.json")
    running = server.status(Path(stack.terminal.folder, ".cloudmodel/local"))
    assert running is not None
    asked = ("DescribeEndpointConfig", "DescribeModel")
    order_faults(running, *({"operation": each, "after": 1, "code": "AccessDenied", "status": 403} for each in asked))
    try:
        told = stack.json("drift")
    finally:
        order_faults(running)
    assert told["verdict"] == "none" and len(told["warnings"]) == 2
    assert all("could not be looked at" in each for each in told["warnings"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_refuses_to_be_read_has_lost_nothing(stack: Stack, service: str) -> None:
    (stack.terminal.folder / "told.json").write_text(json.dumps(stack.state))
    stack.json("state import --yes --file told.json")
    running = server.status(Path(stack.terminal.folder, ".cloudmodel/local"))
    assert running is not None
    order_faults(running, {"service": service, "code": "AccessDenied", "status": 403})
    try:
        assert stack.json("drift", code=4)["error"] == "OperationFailed"
    finally:
        order_faults(running)
    assert stack.json("drift")["verdict"] == "none"
