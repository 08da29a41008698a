"""The program of a project: what its settings and its bundle ask for, declared to Pulumi.

A project's `__main__.py` is three lines that call `build`. It reads files, asks AWS for the account, and declares; it
keeps nothing between two evaluations in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cloudmodel.bundle.store import open_store
from cloudmodel.program import proven
from cloudmodel.program.aws import live
from cloudmodel.program.commit import commit_of
from cloudmodel.program.deployment import Deployment
from cloudmodel.program.notes import notes
from cloudmodel.program.standing import Standing
from cloudmodel.program.variant import Variant, variants
from cloudmodel.settings.load import load_project, load_stack


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
    served = variants(project, settings)
    deployment = Deployment(
        project=project,
        settings=settings,
        variants=served,
        account=aws.get_caller_identity().account_id,
        commit=commit_of(folder),
    )
    store = open_store(project.bundles, base=project.folder)
    for digest, bundle in deployment.bundles.items():
        proven.require_signed(project, settings, store, digest)
        proven.require(project, digest, bundle.manifest)
    deployment.check()
    stands = standing(deployment)
    deployment.check_standing(stands)
    for note in notes(deployment):
        pulumi.log.warn(note)
    for name, value in declare(deployment, stands).items():
        pulumi.export(name, value)


def declare(deployment: Deployment, standing: Standing | None) -> dict[str, object]:
    """Declare everything and return the stack's outputs. `bundle_digest` and `bundle_uri` are the first variant's;
    where the settings list variants, `variants` has all of them."""
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
    for variant in deployment.variants:
        if deployment.scales(variant):
            Autoscaling(deployment, variant, endpoint)
    if deployment.serverless and deployment.settings.serverless.scales:
        Provisioned(deployment, endpoint, endpoint.name)
    dashboard = Dashboard(deployment, alarms)
    first = deployment.variants[0].bundle

    def told(variant: Variant) -> dict[str, object]:
        digest = variant.bundle.digest
        return {
            "name": variant.name,
            "weight": variant.weight,
            "bundle_digest": digest,
            "bundle_uri": storage.uris[digest],
        }

    return {
        "endpoint_name": endpoint.name,
        "endpoint_arn": endpoint.arn,
        "bundle_digest": first.digest,
        "bundle_uri": storage.uris[first.digest],
        "revision": endpoint.revision,
        "dashboard_url": dashboard.url,
        **({"input_uri": queue.input} if queue else {}),
        **({"variants": [told(each) for each in deployment.variants]} if deployment.settings.variants else {}),
    }
