"""I12: what a program prints is told as something that it says, masked, and never stands among the results."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from cloudmodel.engine.step import Diagnostic


def test_a_program_that_prints(world: Any, kit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world.config = {"proj:password": "canary-51c2"}
    world.secret_keys = frozenset(world.config)

    def program() -> None:
        print("hello", pulumi.Config("proj").require("password"))
        kit.thing("a").arn.apply(lambda arn: print(f"made {bool(arn)}", end=""))

    world.up(program).raise_error()

    said = [event.message for event in world.events if isinstance(event, Diagnostic) and event.severity == "info"]
    assert said[0] == "hello [secret]"
    assert said[-1] == "made True"
    assert capsys.readouterr().out == ""
