"""What a run that was killed left: found before the next one begins, settled by looking at the cloud, and given back to
Pulumi. A rollback leaves a record of ours, a run of Pulumi's the operations that are pending in its state.
"""

from __future__ import annotations

from dataclasses import replace

from cloudmodel.core.errors import OperationFailed
from cloudmodel.deploy.official import cloud_secrets, workspace
from cloudmodel.deploy.official.bucket import SCHEME
from cloudmodel.deploy.official.stack import OpenStack
from cloudmodel.deploy.official.unfinished import Unfinished
from cloudmodel.engine import checkpoint
from cloudmodel.engine import run as engine
from cloudmodel.engine.normal import ordered
from cloudmodel.engine.recorder import MemoryRecorder
from cloudmodel.engine.secrets import Secrets
from cloudmodel.engine.state import PendingKind, State
from cloudmodel.engine.step import Diagnostic, Events
from cloudmodel.localaws.identity import Running
from cloudmodel.provider.cloud import Heard
from cloudmodel.provider.provider import MANAGED, AwsProvider
from cloudmodel.settings.model import StackSettings

INTERRUPTED = "a run of this stack was interrupted: what it had done by then is taken into the state"


def left(
    unfinished: Unfinished, state: State, backend: str, settings: StackSettings, cloud: Running | None, events: Events
) -> State | None:
    """What an interrupted run left in place of `state`, which is Pulumi's; None where none did.

    Pulumi itself would make once more what it does not know to stand. On a real account only that is settled: the rest
    Pulumi does. Raises OperationFailed, naming each operation and the command that settles it, where it cannot be done
    here: for types that our provider does not have, and for secrets that Pulumi's service seals.
    """
    found = unfinished.found(state)
    if found is None:
        creating = [each.resource for each in state.pending if each.kind is PendingKind.CREATING]
        if not creating and (cloud is None or not state.pending):
            return None
        foreign = [
            each.resource for each in state.pending if each.resource.custom and each.resource.type not in MANAGED
        ]
        if cloud is None and (foreign or not _can_be_given(backend, settings)):
            raise OperationFailed(
                "a run was interrupted, and nobody knows whether it made "
                + ", ".join(f"{each.type} '{each.name}'" for each in creating),
                where=creating[0].urn if creating else foreign[0].urn,
                hint=f"see which of them stand; then `pulumi refresh --stack {settings.stack} --yes` with "
                "`--clear-pending-creates` for none, else `--import-pending-creates URN --import-pending-creates ID` "
                "for each",
                runbook="failed-deploy",
                details={"pending": [{"urn": each.urn, "inputs": sorted(each.inputs)} for each in creating]},
            )
        found = state
    events(Diagnostic("warning", INTERRUPTED))
    return found


def _can_be_given(backend: str, settings: StackSettings) -> bool:
    """Whether Pulumi opens a state that `put` seals."""
    return "://" in (settings.secrets_provider or "") or backend.startswith((workspace.FILES, SCHEME))


def settled(stack: OpenStack, left: State, project: str, cloud: Running | None, events: Events) -> State:
    """What an interrupted run `left`, with what was pending in it settled by looking at the cloud. It only reads.

    Raises OperationFailed where the cloud does not answer.
    """
    run = run_of(stack, project, cloud, parallel=1)
    return engine.settle(run, MemoryRecorder(left), events).raise_error().state


def run_of(
    stack: OpenStack, project: str, cloud: Running | None, *, parallel: int, heard: Heard | None = None
) -> engine.Run:
    """A run of our engine on Pulumi's stack, which calls the account that its state names."""
    url = cloud.endpoint_url if cloud else None

    def nothing() -> None:
        raise AssertionError("it runs no program")

    config = {key: value.value for key, value in stack.get_all_config().items()}
    return engine.Run(
        project=project, stack=stack.name, program=nothing, config=config, parallel=parallel,
        providers=lambda _: AwsProvider(endpoint_url=url, heard=heard),
    )  # fmt: skip


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
