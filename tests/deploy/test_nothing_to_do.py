"""I9: an `up` after a preview that found nothing to do evaluates the program no second time, unless it might differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudmodel.deploy.engines import Options
from cloudmodel.engine.step import Event

PROGRAM = """
import pulumi
import pulumi_aws as aws

with open("evaluations", "a") as file:
    file.write("x")
pulumi.log.warn("an old model")
aws.sns.Topic("topic")
"""
ROWS = [
    ("", 1),
    ("pulumi.runtime.is_dry_run()\n", 2),
    ('pulumi.export("evaluations", len(open("evaluations").read()))\n', 2),
]


def unheard(_: Event) -> None: ...


@pytest.mark.parametrize(("more", "evaluations"), ROWS, ids=["the same", "asks for preview", "other outputs"])
def test_a_program_with_nothing_to_do_is_evaluated_once(place: Callable[[], Any], more: str, evaluations: int) -> None:
    project = place()
    project.write("__main__.py", PROGRAM + more)
    project.engine("embedded").up(Options(), unheard)
    project.write("evaluations", "")
    engine = project.engine("embedded")
    previewed = engine.preview(Options(), unheard)
    done = engine.up(Options(), unheard)
    assert (project.folder / "evaluations").read_text() == "x" * evaluations
    assert done.summary["same"] == 2 and not done.changes
    assert done.warnings == previewed.warnings == ("an old model",)
    assert engine.history()[-1].summary == done.summary
    assert engine.outputs() == ({"evaluations": 2} if "export" in more else {})
