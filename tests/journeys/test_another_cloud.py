"""A local AWS that was started anew: the state speaks of another cloud until a whole refresh has looked at this one."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from cloud import ONE_OF_EACH, Cloud
from cloudmodel.core.errors import Cancelled, CloudmodelError
from cloudmodel.deploy.embedded import EmbeddedEngine
from cloudmodel.deploy.engines import Options
from cloudmodel.engine.step import Event
from cloudmodel.settings.load import load_project, load_stack
from shell import Shell


def engine(shell: Shell) -> EmbeddedEngine:
    project = load_project(shell.folder)
    return EmbeddedEngine(project, load_stack(project, "local"), "local")


def ignored(_: Event) -> None: ...


def test_a_run_that_was_stopped_before_it_had_looked_does_not_make_the_state_true(digits: Shell) -> None:
    engine(digits).up(Options(), ignored)
    os.kill(digits.json("local", "status")["pid"], signal.SIGKILL)

    stopped = engine(digits)
    stopped.stop()
    with pytest.raises(Cancelled):
        stopped.up(Options(), ignored)

    outcome = engine(digits).up(Options(), ignored)
    assert any("started anew" in warning for warning in outcome.warnings)
    status = digits.json("local", "status")
    assert Cloud(status["endpoint_url"], status["region"]).inventory() == ONE_OF_EACH


def test_a_local_aws_that_dies_during_an_update_is_the_error_that_is_told(digits: Shell) -> None:
    engine(digits).up(Options(), ignored)
    pid = digits.json("local", "status")["pid"]
    settings = digits.folder / "Pulumi.local.yaml"
    settings.write_text(settings.read_text() + "  cloudmodel:instance: ml.c5.xlarge\n")

    def dying(event: Event) -> None:
        if getattr(getattr(event, "step", None), "name", "") == "endpoint":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(CloudmodelError, match="no answer"):
        engine(digits).up(Options(), dying)
