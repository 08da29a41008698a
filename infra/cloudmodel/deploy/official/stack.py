"""A stack as we ask Pulumi's command line for it. Each question is a process that takes a third of a second: what the
next answer tells anyway is not asked for.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi.automation import LocalWorkspace, Stack
from pulumi.automation._stack import StackInitMode

from cloudmodel.engine import checkpoint
from cloudmodel.engine.secrets import Secrets, passphrase_source
from cloudmodel.engine.state import State


class Workspace(LocalWorkspace):
    """Pulumi's folder of one run, in which every command names its stack."""

    def select_stack(self, stack_name: str) -> None:
        """Whether there is such a stack is told by the first question about it."""


class OpenStack(Stack):
    """A stack whose outputs and history are not asked for after each run: its state and its events tell them."""

    def __init__(self, name: str, workspace: Workspace) -> None:
        super().__init__(name, workspace, StackInitMode.SELECT)

    def outputs(self) -> Any:
        return {}

    def info(self, show_secrets: bool = True) -> Any:
        return True

    def state(self, project: str) -> State:
        """The state, with its secrets in clear inside their marks. Raises CommandError, StateCorrupt."""
        deployment = dict(self.export(show_secrets=True).get("deployment") or {})
        deployment.pop("secrets_providers", None)  # nothing in the answer is sealed
        document = {"version": checkpoint.VERSION, "deployment": deployment}
        nothing_sealed = Secrets(passphrase_source(None, {}))
        return checkpoint.read(document, project, self.name, nothing_sealed, "the official state").state

    def export(self, *, show_secrets: bool) -> dict[str, Any]:
        """The state as Pulumi exports it. Raises CommandError."""
        document: dict[str, Any] = json.loads(self._ask("export", *(["--show-secrets"] if show_secrets else [])))
        return document

    def take(self, document: Mapping[str, Any]) -> None:
        """Put an exported state in the place of the stack's own. Raises CommandError."""
        with tempfile.TemporaryDirectory(prefix="cloudmodel-") as folder:
            file = Path(folder) / "state.json"
            file.write_text(json.dumps(document))
            self._ask("import", "--file", str(file))

    def _ask(self, *words: str) -> str:
        opened: Any = self.workspace
        done = opened.pulumi_command.run(["stack", *words, "--stack", self.name], opened.work_dir, opened.env_vars)
        return str(done.stdout)
