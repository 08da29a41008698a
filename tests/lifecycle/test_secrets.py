"""I12: no secret in clear in what is recorded, reported or raised."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from cloudmodel.core.resource import SECRET, SIGNATURE

CANARY = "canary-9f3b77"


def in_clear(value: Any) -> bool:
    """True where the canary stands outside a secret."""
    if isinstance(value, dict):
        return value.get(SIGNATURE) != SECRET and any(in_clear(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(in_clear(item) for item in value)
    return CANARY in str(value)


def test_secrets_are_marked_wherever_they_go(world: Any, kit: Any) -> None:
    world.config = {"proj:password": CANARY, "aws:token": f"{CANARY}-of-aws"}
    world.secret_keys = frozenset(world.config)

    def program() -> None:
        secret = pulumi.Config("proj").require_secret("password")
        first = kit.thing("a", password=secret, tags={"deep": [secret, "x"]}, token=CANARY)
        kit.thing("b", color=secret.apply(lambda text: f"<{text}>"))
        pulumi.export("token", first.token)
        pulumi.export("nested", {"x": secret})

    result = world.up(program).raise_error()

    for entry in world.state.resources:
        if entry.name == "a":
            assert entry.inputs["password"] == {SIGNATURE: SECRET, "value": CANARY}
            assert entry.outputs["password"] == {SIGNATURE: SECRET, "value": CANARY}
            assert entry.outputs["token"][SIGNATURE] == SECRET, "the provider says that this output is secret"
            assert not in_clear({key: value for key, value in entry.inputs.items() if key != "token"})
            continue
        assert not in_clear(entry.inputs), entry.name
        assert not in_clear(entry.outputs), entry.name
    assert not in_clear(dict(result.outputs))
    assert world.cloud.calls[0].arguments.get("password", CANARY) == CANARY, "the provider gets plain values"
    world.cloud.forget_calls()
    assert kit.changes(world.up(program).raise_error()) == []


def test_additional_secret_outputs(world: Any, kit: Any) -> None:
    opts = pulumi.ResourceOptions(additional_secret_outputs=["arn"])
    world.up(lambda: kit.thing("a", opts)).raise_error()

    assert world.entry("a").outputs["arn"][SIGNATURE] == SECRET
    assert world.entry("a").additional_secret_outputs == ("arn",)


def test_a_provider_that_echoes_a_secret_is_masked(world: Any, kit: Any) -> None:
    world.cloud.failures["create", "a"] = kit.cloud.ResourceFailure(f"'{CANARY}' is too short", hint=f"not {CANARY}")

    result = world.up(lambda: kit.thing("a", password=pulumi.Output.secret(CANARY)))

    assert result.error is not None
    assert "'[secret]' is too short" in result.error.message
    assert CANARY not in str(result.error.as_json()) + str(result.failed[0].message) + str(result.failed[0].hint)
    assert result.error.__cause__ is None
    assert result.error.__context__ is None


def test_a_fault_in_a_provider_is_masked(world: Any, kit: Any) -> None:
    world.cloud.failures["create", "a"] = KeyError(CANARY)

    result = world.up(lambda: kit.thing("a", password=pulumi.Output.secret(CANARY)))

    assert result.error is not None
    assert "KeyError" in result.error.message
    assert CANARY not in str(result.error.as_json()) + str(world.events)


@pytest.mark.parametrize("text", [CANARY, f"{CANARY}\n\"quoted\" 'line'", f"multi\n{CANARY}-line\nend"])
def test_what_a_program_raises_or_logs_is_masked(world: Any, kit: Any, text: str) -> None:
    world.config = {"proj:password": text}
    world.secret_keys = frozenset(world.config)

    def program() -> None:
        value = pulumi.Config("proj").require("password")
        pulumi.log.warn(f"using {value}")
        raise ValueError(value)

    result = world.up(program)

    assert result.error is not None
    assert CANARY not in str(result.error) + str(result.error.as_json()) + str(world.events)


def test_a_diff_never_shows_a_secret(world: Any, kit: Any, capfd: pytest.CaptureFixture[str]) -> None:
    world.made(lambda: kit.thing("a", color=pulumi.Output.secret(CANARY), tags={"x": pulumi.Output.secret(CANARY)}))

    result = world.up(lambda: kit.thing("a", color=pulumi.Output.secret(CANARY * 2), tags={"x": "plain"}))

    assert result.error is None
    diff = next(step for step in result.steps if step.name == "a").diff
    assert (diff["color"].old, diff["color"].new) == ("[secret]", "[secret]")
    assert CANARY not in str({path: (change.old, change.new) for path, change in diff.items()})
    printed = capfd.readouterr()
    assert CANARY not in printed.out + printed.err


def test_a_refused_secret_is_not_shown(world: Any, kit: Any) -> None:
    result = world.up(lambda: kit.thing("a", refuse=pulumi.Output.secret(CANARY)))

    assert result.error is not None
    assert "property refuse value {[secret]} has a problem: [secret] is not wanted" in result.error.message


def test_a_value_that_becomes_secret_is_written_without_an_update(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("a", color="same"))

    result = world.up(lambda: kit.thing("a", color=pulumi.Output.secret("same"))).raise_error()

    assert kit.changes(result) == []
    assert world.entry("a").inputs["color"] == {SIGNATURE: SECRET, "value": "same"}
    assert world.entry("a").outputs["color"] == {SIGNATURE: SECRET, "value": "same"}
