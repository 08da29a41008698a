"""One run of the official engine: what it says becomes our steps, what it leaves becomes our state."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpc import RpcError
from pulumi.automation import CommandError

from cloudmodel.core.errors import Cancelled, CloudmodelError
from cloudmodel.deploy.official import failures
from cloudmodel.deploy.official.command import Command
from cloudmodel.deploy.official.stack import OpenStack
from cloudmodel.deploy.official.translation import Translator, planned
from cloudmodel.engine.evaluate import forget_modules
from cloudmodel.engine.masking import Masker
from cloudmodel.engine.reporting import Control, Reporter, masked_error
from cloudmodel.engine.run import Result
from cloudmodel.engine.state import Resource, State
from cloudmodel.engine.step import Events
from cloudmodel.engine.urn import STACK_TYPE
from cloudmodel.localaws.identity import Running

STOPPED = "the run was stopped; everything that it had begun is finished and recorded"


class Program:
    """The project's program, which keeps what it raised: Pulumi passes on no more than its text."""

    def __init__(self, script: Callable[[], object], folder: Path) -> None:
        self.raised: BaseException | None = None
        self.folder = folder
        self._script = script

    def __call__(self) -> None:
        self.raised = None
        forget_modules(self.folder)
        try:
            self._script()
        except (Exception, SystemExit) as error:
            self.raised = error
            raise


@dataclass
class Session:
    """A stack that is open for one run. `cloud` is None for a real account."""

    stack: OpenStack
    project: str
    program: Program
    command: Command
    cloud: Running | None
    account: str
    state: State
    refresh: bool
    events: Events
    warnings: list[str]
    masker: Masker = field(default_factory=Masker)
    started: float = field(default_factory=time.monotonic)

    def preview(self, method: Callable[..., Any], **flags: Any) -> Result:
        """What `method` (one of the stack's previews) would do."""
        with tempfile.TemporaryDirectory(prefix="cloudmodel-") as folder:
            file = Path(folder) / "plan.json"
            # Pulumi's plan file is the only place that tells which planned resource needs which.
            kept: dict[str, Any] = {"plan": str(file)} if method.__name__ == "preview" else {}
            reporter, translator, error = self._run(method, preview=True, **flags, **kept)
            plan = json.loads(file.read_bytes()) if file.is_file() else {}
        seen = planned(translator.seen.values(), plan)
        return self._result(reporter, error, self.state, seen, refreshed=False)

    def change(self, method: Callable[..., Any], *, refreshed: bool, **flags: Any) -> Result:
        """Carry `method` out."""
        alone = method.__name__ == "refresh"
        reporter, _, error = self._run(method, preview=False, refresh_alone=alone, **flags)
        try:
            after = self.stack.state(self.project)
        except CommandError:
            if error is None:
                raise
            after = self.state
        return self._result(reporter, error, after, after.resources, refreshed=refreshed and error is None)

    def _run(
        self, method: Callable[..., Any], *, preview: bool, refresh_alone: bool = False, **flags: Any
    ) -> tuple[Reporter, Translator, CloudmodelError | None]:
        reporter = Reporter(self.events, self.masker, preview=preview)
        translator = Translator(reporter, refresh_alone=refresh_alone)
        error: CloudmodelError | None = None
        try:
            method(on_event=translator, color="never", **{name: flag for name, flag in flags.items() if flag})
        except CommandError as failed:
            translator.finish()
            error = self._explained(str(failed), translator, reporter)
        except CloudmodelError as refused:
            error = refused
        translator.finish()
        return reporter, translator, masked_error(error, self.masker) if error else None

    def _explained(self, text: str, translator: Translator, reporter: Reporter) -> CloudmodelError:
        raised = self.program.raised
        if self.command.stopped:
            return Cancelled(STOPPED, hint="run the same command again to go on")
        if isinstance(raised, CloudmodelError):
            return raised
        said = "\n".join([text, *(message for _, message in translator.errors)])
        told = failures.known(said, self.stack.name) or reporter.verdict(Control())
        if told:
            return told
        if raised is not None and not isinstance(raised, RpcError):  # that is the engine's end, not the program's
            return CloudmodelError(
                f"the program raised {type(raised).__name__}: {raised}",
                where=str(self.program.folder),
                hint="mend the program; what was already made is recorded",
            )
        return failures.unknown(text, translator.errors, self.stack.name)

    def _result(
        self,
        reporter: Reporter,
        error: CloudmodelError | None,
        state: State,
        entries: tuple[Resource, ...],
        *,
        refreshed: bool,
    ) -> Result:
        stack = next((entry for entry in entries if entry.type == STACK_TYPE), None)
        return Result(
            steps=reporter.steps((*self.state.resources, *entries)),
            outputs=stack.outputs if stack else {},
            failed=tuple(sorted(reporter.failures, key=lambda failure: failure.step.urn)),
            error=error,
            state=state,
            refreshed=refreshed,
        )
