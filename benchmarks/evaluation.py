"""A program's evaluation alone: Pulumi's SDK runs it, and every question is answered at once with what is known.

    python benchmarks/evaluation.py FOLDER [STACK]      evaluates a project that is up, in a process of its own

Nothing is compared, recorded or asked of a cloud. What is left is the program, the SDK and the protocol's messages.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from cloudmodel.engine import urn as urns
from cloudmodel.engine.backend import StackFolder
from cloudmodel.engine.deployment import Deployment
from cloudmodel.engine.evaluate import Evaluation, evaluate
from cloudmodel.engine.goal import Goal
from cloudmodel.engine.masking import Masker
from cloudmodel.engine.monitor import EngineLog, InProcess, Monitor
from cloudmodel.engine.registry import Settings
from cloudmodel.engine.reporting import Control, Reporter
from cloudmodel.engine.secrets import Secrets, passphrase_source
from cloudmodel.engine.state import Resource, State
from cloudmodel.localaws.identity import ACCOUNT
from cloudmodel.settings.load import load_project, load_stack

PARALLEL = 8
ORGANIZATION = "organization"


class Known:
    """Stands for the engine: the resources are what `state` says."""

    def __init__(self, state: State, settings: Settings) -> None:
        self.settings = settings
        self.executor = SimpleNamespace(preview=False)
        self._entries = {entry.urn: entry for entry in state.resources}

    def register(self, goal: Goal) -> Resource:
        return self._entries[urns.make(self.settings.stack, self.settings.project, goal.parent, goal.type, goal.name)]

    def outputs(self, urn: str, outputs: Mapping[str, Any]) -> None:
        pass

    def invoke(self, token: str, arguments: Mapping[str, Any], provider: str, version: str) -> dict[str, Any]:
        return {"accountId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:root", "id": ACCOUNT, "userId": ACCOUNT}


def state_of(folder: Path, stack: str) -> State:
    """The recorded state of a project's stack, which holds no secrets."""
    project = load_project(folder)
    private = folder / ".cloudmodel"
    return StackFolder(private, project.pulumi_name, stack, Secrets(passphrase_source(private / "passphrase"))).load()


def run(folder: Path, stack: str, state: State) -> None:
    """Evaluate the program of `folder` once. Raises what it raises."""
    project, settings = load_project(folder), load_stack(load_project(folder), stack)
    known = Known(state, Settings(project.pulumi_name, stack, settings.raw, settings.secret_keys, folder))
    reporter = Reporter(lambda _: None, Masker(), preview=False)
    monitor = Monitor(
        cast(Deployment, known), reporter, Control(), organization=ORGANIZATION, parallel=PARALLEL, finish=lambda: None
    )
    with contextlib.chdir(folder):
        raised = evaluate(
            Evaluation(
                program=lambda: runpy.run_path(str(folder / "__main__.py"), run_name="__main__"),
                monitor=InProcess(monitor), engine=EngineLog(reporter), project=project.pulumi_name, stack=stack,
                organization=ORGANIZATION, config=settings.raw, secret_keys=settings.secret_keys, preview=False,
                parallel=PARALLEL, folder=folder,
            ),
            lambda: None,
        )  # fmt: skip
    if monitor.crash is not None:
        raise monitor.crash
    if raised is not None:
        raise raised.error


if __name__ == "__main__":
    project_folder, stack_name = Path(sys.argv[1]), (sys.argv[2:] or ["local"])[0]
    run(project_folder, stack_name, state_of(project_folder, stack_name))
