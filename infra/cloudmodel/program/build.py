"""The program of a project: what its settings and its bundle ask for, declared to Pulumi.

A project's `__main__.py` is three lines that call `build`. It reads files, asks AWS for the account, and declares; it
keeps nothing between two evaluations in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cloudmodel.bundle.archive import read_manifest
from cloudmodel.bundle.store import open_store
from cloudmodel.core.errors import UsageError
from cloudmodel.program import proven
from cloudmodel.program.aws import live
from cloudmodel.program.commit import commit_of
from cloudmodel.program.deployment import Deployment
from cloudmodel.program.notes import notes
from cloudmodel.program.standing import Standing
from cloudmodel.settings.load import load_project, load_stack
from cloudmodel.settings.model import Project, StackSettings


def build(folder: Path, standing: Callable[[Deployment], Standing | None] = live.standing) -> None:
    """Declare the resources of the current Pulumi stack for the project in `folder`.

    `standing` tells what autoscaling has made of the endpoint, None where there is none.
    Raises ProjectInvalid, SettingsInvalid, StackNotFound, UsageError where there is no bundle, the errors of the
    bundle store, and UnsafeModel and GateNotMet where the bundle is not proved (`proven`).
    """
    import pulumi
    import pulumi_aws as aws

    project = load_project(folder)
    settings = load_stack(project, pulumi.get_stack())
    digest, archive = resolve_bundle(project, settings)
    proven.require_signed(project, settings, open_store(project.bundles, base=project.folder), digest)
    manifest = read_manifest(archive)
    proven.require(project, digest, manifest)
    deployment = Deployment(
        project=project,
        settings=settings,
        manifest=manifest,
        archive=archive,
        digest=digest,
        account=aws.get_caller_identity().account_id,
        commit=commit_of(folder),
    )
    deployment.check()
    for note in notes(deployment):
        pulumi.log.warn(note)
    for name, value in declare(deployment, standing(deployment)).items():
        pulumi.export(name, value)


def resolve_bundle(project: Project, settings: StackSettings) -> tuple[str, Path]:
    """The digest and the local archive of the pinned bundle, else of the project's newest.

    Raises UsageError where the store has none, and the errors of the bundle store.
    """
    store = open_store(project.bundles, base=project.folder)
    digest = settings.bundle or store.newest(project.name)
    if digest is None:
        raise UsageError(
            f"{project.name} has no bundle in {project.bundles}", where=str(project.folder), hint="cloudmodel package"
        )
    return digest, store.get(digest)


def declare(deployment: Deployment, standing: Standing | None) -> dict[str, object]:
    """Declare everything and return the stack's outputs."""
    from cloudmodel.program.aws.alarms import Alarms
    from cloudmodel.program.aws.asynchronous import Queue
    from cloudmodel.program.aws.autoscaling import Autoscaling
    from cloudmodel.program.aws.dashboard import Dashboard
    from cloudmodel.program.aws.encryption import Encryption
    from cloudmodel.program.aws.endpoint import Endpoint
    from cloudmodel.program.aws.identity import Identity
    from cloudmodel.program.aws.network import Network
    from cloudmodel.program.aws.serverless import Provisioned
    from cloudmodel.program.aws.storage import Storage

    encryption = Encryption(deployment)
    storage = Storage(deployment, encryption.arn)
    identity = Identity(deployment, storage.bucket, encryption.arn)
    alarms = Alarms(deployment, encryption)
    network = Network(deployment) if deployment.settings.network.subnets else None
    queue = Queue(deployment, storage.bucket, encryption) if deployment.settings.mode == "async" else None
    endpoint = Endpoint(deployment, storage, identity, encryption, alarms, standing, network, queue)
    if deployment.scales:
        Autoscaling(deployment, endpoint)
    if deployment.serverless and deployment.settings.serverless.scales:
        Provisioned(deployment, endpoint, endpoint.name)
    dashboard = Dashboard(deployment, alarms)
    return {
        "endpoint_name": endpoint.name,
        "endpoint_arn": endpoint.arn,
        "bundle_digest": deployment.digest,
        "bundle_uri": storage.uri,
        "revision": endpoint.revision,
        "dashboard_url": dashboard.url,
        **({"input_uri": queue.input} if queue else {}),
    }
