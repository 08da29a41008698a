"""Rolling a stack of the official engine back: our engine does it on Pulumi's state, which is then put back.

Pulumi's own engine would need the program of then. What it is asked for is a refresh at the end: it reads every
resource, says whether cloud and state agree, and makes the rollback an entry of its history.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from cloudmodel.deploy import rollback
from cloudmodel.deploy.official.interrupted import put, run_of
from cloudmodel.deploy.official.session import Session
from cloudmodel.deploy.official.unfinished import Unfinished
from cloudmodel.deploy.rollback import Calls
from cloudmodel.engine import run as engine
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.run import Result
from cloudmodel.engine.secrets import Secrets
from cloudmodel.engine.state import State


def preview(session: Session, earlier: State, stop: threading.Event, *, parallel: int) -> Result:
    """What going back to `earlier` changes. Makes no call that changes the cloud."""
    recorder = MemoryRecorder(session.state)
    run = run_of(session.stack, session.project, session.cloud, parallel=parallel)
    return engine.restore(run, recorder, session.events, earlier, preview=True, stop=stop)


def carry_out(
    session: Session,
    goal: rollback.Goal,
    calls: Calls,
    stop: threading.Event,
    unfinished: Unfinished,
    secrets: Secrets,
    *,
    parallel: int,
) -> Result:
    """Do it. Whatever it comes to, what was done is the state of Pulumi's backend afterwards; where this process is
    killed before that, the next run finds it in `unfinished`. Raises StackLocked where the lock was broken meanwhile:
    then nothing is written."""
    recorder = unfinished.recorder(session.state)
    run = run_of(session.stack, session.project, session.cloud, parallel=parallel, heard=calls.heard)
    try:
        result = engine.restore(run, recorder, session.events, goal.earlier, plan=goal.plan, stop=stop)
    finally:
        unfinished.require_held()
        if recorder.state.pending:  # Pulumi drops it: it is kept here before Pulumi has the rest
            unfinished.hand_over(recorder.state, session.state)
        put(session.stack, recorder.state, secrets)
        if not recorder.state.pending:
            unfinished.forget()
    return result


def settle(session: Session, result: Result, message: str) -> Result:
    """`result` with the state that Pulumi's refresh recorded. Raises the refresh's error."""
    if result.error is not None:
        return result
    seen = session.change(session.stack.refresh, refreshed=True, message=message).raise_error()
    return replace(result, state=session.stack.state(session.project), refreshed=seen.refreshed)
