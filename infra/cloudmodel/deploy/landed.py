"""Proof that an update landed: SageMaker can end an update in service and still serve what stood before.

A failed update leaves an endpoint `InService` with its old configuration and a FailureReason; tools that wait for
`InService` alone report success (D22 of the failure table: hashicorp/terraform-provider-aws#39099).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cloudmodel.core.errors import RolledBack
from cloudmodel.engine.run import Result
from cloudmodel.engine.state import Resource, State
from cloudmodel.engine.step import Op
from cloudmodel.localaws.identity import Running
from cloudmodel.provider.cloud import LOCAL_KEY, session

ENDPOINT = "aws:sagemaker/endpoint:Endpoint"


def prove(cloud: Running, state: State) -> None:
    """Raise RolledBack unless every endpoint of `state` is in service with the configuration that `state` names."""
    for entry, live in _endpoints(cloud, state):
        wanted = entry.outputs.get("endpointConfigName")
        if live.get("EndpointStatus") != "InService" or live.get("EndpointConfigName") != wanted:
            raise _rolled_back(entry, live, str(wanted))


def tell_rolled_back(cloud: Running, result: Result) -> None:
    """Raise RolledBack where a failed update of an endpoint left the old configuration in service."""
    failed = {failure.step.urn for failure in result.failed if failure.step.op is Op.UPDATE}
    if not failed:
        return
    for entry, live in _endpoints(cloud, result.state):
        if entry.urn in failed and live.get("EndpointStatus") == "InService" and live.get("FailureReason"):
            raise _rolled_back(entry, live, "the new configuration")


def _endpoints(cloud: Running, state: State) -> Iterator[tuple[Resource, dict[str, Any]]]:
    entries = [entry for entry in state.resources if entry.type == ENDPOINT and not entry.delete and entry.id]
    if not entries:
        return
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    keys = boto3.session.Session(LOCAL_KEY, LOCAL_KEY, botocore_session=session(hermetic=True))
    client = keys.client(
        "sagemaker", region_name=cloud.region, endpoint_url=cloud.endpoint_url, config=Config(proxies={})
    )
    for entry in entries:
        try:
            yield entry, client.describe_endpoint(EndpointName=entry.id)
        except (BotoCoreError, ClientError) as error:
            yield entry, {"EndpointStatus": "gone", "FailureReason": str(error)}


def _rolled_back(entry: Resource, live: dict[str, Any], wanted: str) -> RolledBack:
    reason = live.get("FailureReason") or f"it is {live.get('EndpointStatus')}"
    return RolledBack(
        f"the update did not land: endpoint {entry.id} serves {live.get('EndpointConfigName', 'nothing')}, "
        f"not {wanted}: {reason}",
        where=entry.urn,
        hint="mend the bundle or its settings and run the same command again; the old revision keeps serving",
    )
