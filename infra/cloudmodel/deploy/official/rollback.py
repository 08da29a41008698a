"""Rolling a stack of the official engine back: our engine does it on Pulumi's state, which is then put back.

Pulumi's own engine would need the program of then. What it is asked for is a refresh at the end: it reads every
resource, says whether cloud and state agree, and makes the rollback an entry of its history.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from cloudmodel.deploy import rollback
from cloudmodel.deploy.official.session import Session
from cloudmodel.deploy.rollback import Calls
from cloudmodel.engine import checkpoint
from cloudmodel.engine import run as engine
from cloudmodel.engine.normal import ordered
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.run import Result
from cloudmodel.engine.secrets import Secrets, passphrase_source
from cloudmodel.engine.state import State
from cloudmodel.provider.cloud import Heard
from cloudmodel.provider.provider import AwsProvider


def run_of(session: Session, *, parallel: int, heard: Heard | None = None) -> engine.Run:
    """A run of our engine on the session's stack, which calls the account that its state names."""
    url = session.cloud.endpoint_url if session.cloud else None

    def nothing() -> None:
        raise AssertionError("a rollback runs no program")

    config = {key: value.value for key, value in session.stack.get_all_config().items()}
    return engine.Run(
        project=session.project, stack=session.stack.name, program=nothing, config=config, parallel=parallel,
        providers=lambda _: AwsProvider(endpoint_url=url, heard=heard),
    )  # fmt: skip


def preview(session: Session, earlier: State, stop: threading.Event, *, parallel: int) -> Result:
    """What going back to `earlier` changes. Makes no call that changes the cloud."""
    recorder = MemoryRecorder(session.state)
    run = run_of(session, parallel=parallel)
    return engine.restore(run, recorder, session.events, earlier, preview=True, stop=stop)


def carry_out(session: Session, goal: rollback.Goal, calls: Calls, stop: threading.Event, *, parallel: int) -> Result:
    """Do it. Whatever it comes to, what was done is the state of Pulumi's backend afterwards."""
    recorder = MemoryRecorder(session.state)
    run = run_of(session, parallel=parallel, heard=calls.heard)
    try:
        result = engine.restore(run, recorder, session.events, goal.earlier, plan=goal.plan, stop=stop)
    finally:
        state = replace(recorder.state, resources=ordered(recorder.state.resources))
        session.stack.take(checkpoint.export(state, Secrets(passphrase_source(None, {})), show_secrets=True))
    return result


def settle(session: Session, result: Result, message: str) -> Result:
    """`result` with the state that Pulumi's refresh recorded. Raises the refresh's error."""
    if result.error is not None:
        return result
    seen = session.change(session.stack.refresh, refreshed=True, message=message).raise_error()
    return replace(result, state=session.stack.state(session.project), refreshed=seen.refreshed)
