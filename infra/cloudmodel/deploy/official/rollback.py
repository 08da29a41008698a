"""Rolling a stack of the official engine back: our engine does it on Pulumi's state, which is then put back.

Pulumi's own engine would need the program of then. What it is asked for is a refresh at the end: it reads every
resource, says whether cloud and state agree, and makes the rollback an entry of its history.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from cloudmodel.deploy import rollback
from cloudmodel.deploy.official import cloud_secrets
from cloudmodel.deploy.official.session import Session
from cloudmodel.deploy.official.stack import OpenStack
from cloudmodel.deploy.official.unfinished import Unfinished
from cloudmodel.deploy.rollback import Calls
from cloudmodel.engine import checkpoint
from cloudmodel.engine import run as engine
from cloudmodel.engine.normal import ordered
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.run import Result
from cloudmodel.engine.secrets import Secrets
from cloudmodel.engine.state import State
from cloudmodel.engine.step import Events
from cloudmodel.localaws.identity import Running
from cloudmodel.provider.cloud import Heard
from cloudmodel.provider.provider import AwsProvider


def run_of(
    stack: OpenStack, project: str, cloud: Running | None, *, parallel: int, heard: Heard | None = None
) -> engine.Run:
    """A run of our engine on Pulumi's stack, which calls the account that its state names."""
    url = cloud.endpoint_url if cloud else None

    def nothing() -> None:
        raise AssertionError("a rollback runs no program")

    config = {key: value.value for key, value in stack.get_all_config().items()}
    return engine.Run(
        project=project, stack=stack.name, program=nothing, config=config, parallel=parallel,
        providers=lambda _: AwsProvider(endpoint_url=url, heard=heard),
    )  # fmt: skip


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
    killed before that, the next run finds it in `unfinished`."""
    recorder = unfinished.recorder(session.state)
    run = run_of(session.stack, session.project, session.cloud, parallel=parallel, heard=calls.heard)
    try:
        result = engine.restore(run, recorder, session.events, goal.earlier, plan=goal.plan, stop=stop)
    finally:
        put(session.stack, recorder.state, secrets)
        unfinished.rest(recorder.state)
    return result


def recovered(stack: OpenStack, left: State, project: str, cloud: Running | None, events: Events) -> State:
    """What an interrupted rollback `left`, with what was pending in it settled by looking at the cloud. It only reads.

    Raises OperationFailed where the cloud does not answer.
    """
    run = run_of(stack, project, cloud, parallel=1)
    return engine.settle(run, MemoryRecorder(left), events).raise_error().state


def put(stack: OpenStack, state: State, secrets: Secrets) -> None:
    """Put `state`, sealed, into the place of Pulumi's own: a document in clear that names no provider of secrets ends
    the command line in a panic. What a cloud's key seals is Pulumi's to seal, by the provider that its own state names:
    there the document is in clear, in a folder of ours alone, as long as Pulumi reads it. Raises CommandError."""
    state = replace(state, resources=ordered(state.resources))
    if "://" not in (stack.workspace.secrets_provider or ""):
        stack.take(checkpoint.export(state, secrets))
        return
    document = checkpoint.export(state, secrets, show_secrets=True)
    provider = stack.export(show_secrets=False)["deployment"][cloud_secrets.PROVIDERS]
    stack.take({**document, "deployment": {**document["deployment"], cloud_secrets.PROVIDERS: provider}})


def settle(session: Session, result: Result, message: str) -> Result:
    """`result` with the state that Pulumi's refresh recorded. Raises the refresh's error."""
    if result.error is not None:
        return result
    seen = session.change(session.stack.refresh, refreshed=True, message=message).raise_error()
    return replace(result, state=session.stack.state(session.project), refreshed=seen.refreshed)
