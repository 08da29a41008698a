"""A program that raises, asks twice for one name, or is refused by a check gets one readable answer."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from cloudmodel.core.errors import SettingsInvalid


def test_a_program_that_raises_keeps_what_was_made_and_deletes_nothing(world: Any, kit: Any) -> None:
    world.made(lambda: kit.thing("old"))

    def program() -> None:
        kit.thing("new")
        raise ValueError("the settings say nothing of x")

    result = world.up(program)

    assert result.error is not None
    assert result.error.message == "the program raised ValueError: the settings say nothing of x"
    assert world.names() == ["new", "old"]
    traces = [event.message for event in world.events if getattr(event, "severity", "") == "error"]
    assert len(traces) == 1
    assert "test_program_errors.py" in traces[0]
    assert "/pulumi/" not in traces[0]


def test_a_typed_error_of_the_program_comes_out_as_it_is(world: Any, kit: Any) -> None:
    def program() -> None:
        raise SettingsInvalid("no such instance type", where="Pulumi.dev.yaml", hint="see the catalog")

    error = world.preview(program).error

    assert type(error) is SettingsInvalid
    assert (error.where, error.hint) == ("Pulumi.dev.yaml", "see the catalog")


def test_an_error_inside_apply(world: Any, kit: Any) -> None:
    def broken(arn: str) -> str:
        raise LookupError("not in the table")

    result = world.up(lambda: kit.thing("b", color=kit.thing("a").arn.apply(broken)))

    assert result.error is not None
    assert "not in the table" in result.error.message
    assert world.names() == ["a"]


def test_two_resources_of_one_name(world: Any, kit: Any) -> None:
    result = world.up(lambda: (kit.thing("a", color="x"), kit.thing("a", color="y")))

    assert result.error is not None
    assert "duplicate resource URN" in result.error.message
    assert world.cloud.done("create") in (["a"], [])


def test_a_failing_check_is_text_a_user_can_read(world: Any, kit: Any) -> None:
    for result in (world.preview(lambda: kit.thing("n", refuse=14)), world.up(lambda: kit.thing("n", refuse=14))):
        assert result.error is not None
        assert (
            "aws:test/thing:Thing resource 'n': property refuse value {14} has a problem: 14 is not wanted"
            in result.error.message
        )
    assert world.cloud.calls == []


def test_a_missing_file_fails_the_program(world: Any, kit: Any) -> None:
    result = world.up(lambda: kit.thing("a", source=pulumi.FileAsset("no-such-file")))

    assert result.error is not None
    assert "no-such-file" in result.error.message
    assert world.cloud.calls == []


@pytest.mark.parametrize("text", ["soon", "5 minutes", ""])
def test_a_timeout_that_is_no_duration(world: Any, kit: Any, text: str) -> None:
    opts = pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create=text))

    error = world.up(lambda: kit.thing("a", opts)).error

    assert (error is None) == (text == "")
