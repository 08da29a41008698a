"""Amazon SageMaker: models, endpoint configurations, endpoints."""

from __future__ import annotations

from typing import Any

from cloudmodel.core.resource import Live, Properties, ResourceFailure, ResourceNotReady
from cloudmodel.provider import tags
from cloudmodel.provider.cloud import Answer, Cloud
from cloudmodel.provider.managed import Managed
from cloudmodel.provider.rules.form import from_aws, to_aws
from cloudmodel.provider.waiters import TookTooLong

ABSENT = ("ValidationException: could not find", "ResourceNotFound")
# What SageMaker answers while another operation is in progress.
OCCUPIED = "ValidationException: in-progress"
BUSY = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
READY_SECONDS = 3600.0
GONE_SECONDS = 1800.0
# How long an accepted UpdateEndpoint may leave no trace before it counts as one that did not land.
UNNOTICED_SECONDS = 60.0


class Immutable(Managed):
    """What SageMaker never changes but for its tags. `noun` is its name in the API's operations and parameters."""

    noun: str
    operation: str

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        parameters = self.parameters(inputs)
        answer = cloud.settle("sagemaker", f"create_{self.operation}", **parameters)
        sent = from_aws({name: each for name, each in self.rule.fields.items() if name != "tags"}, parameters)
        return self.made(cloud, inputs["name"], inputs, **sent, arn=answer[f"{self.noun}Arn"])

    def parameters(self, inputs: Properties) -> Properties:
        """The parameters of the create call."""
        fields = {name: each for name, each in self.rule.fields.items() if name not in ("region", "tags")}
        return {**to_aws(fields, inputs), **tags.SAGEMAKER.parameter(inputs.get("tags"))}

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("sagemaker", f"describe_{self.operation}", *ABSENT, **{f"{self.noun}Name": id})
        if answer is None:
            return None
        arn = answer[f"{self.noun}Arn"]
        found = {**from_aws(self.rule.fields, answer), "tags": tags.SAGEMAKER.of(cloud, arn)}
        return self.seen(cloud, id, found, old, arn=arn)

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        tags.SAGEMAKER.change(cloud, old["arn"], old.get("tags") or {}, inputs.get("tags") or {})
        return self.made(cloud, id, inputs, arn=old["arn"])

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        cloud.find("sagemaker", f"delete_{self.operation}", *ABSENT, **{f"{self.noun}Name": id})

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["name"])


class Model(Immutable):
    type = "aws:sagemaker/model:Model"
    noun = "Model"
    operation = "model"


class EndpointConfiguration(Immutable):
    type = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
    noun = "EndpointConfig"
    operation = "endpoint_config"

    def parameters(self, inputs: Properties) -> Properties:
        parameters = super().parameters(inputs)
        for group in ("ProductionVariants", "ShadowProductionVariants"):
            for index, variant in enumerate(parameters.get(group, ())):
                variant.setdefault("VariantName", f"variant-{index + 1}")
                if "ServerlessConfig" not in variant:
                    variant.setdefault("InitialVariantWeight", 1)
        return parameters


class Endpoint(Managed):
    """Updated in place to another configuration, blue/green; SageMaker says how it went in its own time."""

    type = "aws:sagemaker/endpoint:Endpoint"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        name = inputs["name"]
        answer = cloud.settle(
            "sagemaker",
            "create_endpoint",
            EndpointName=name,
            EndpointConfigName=inputs["endpointConfigName"],
            **self._deployment(inputs),
            **tags.SAGEMAKER.parameter(inputs.get("tags")),
        )
        made = self.made(cloud, name, inputs, arn=answer["EndpointArn"])
        described = self._settled(cloud, unserved(made), timeout or READY_SECONDS)
        if described["EndpointStatus"] != "InService":
            raise failed(described, unserved(made))
        return made

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        described = self._describe(cloud, id)
        if described is None:
            return None
        found = {
            **from_aws(self.rule.fields, described),
            "deploymentConfig": from_aws(
                self.rule.fields["deploymentConfig"].fields, described.get("LastDeploymentConfig") or {}
            )
            or old.get("deploymentConfig"),
            "tags": tags.SAGEMAKER.of(cloud, described["EndpointArn"]),
        }
        if found["deploymentConfig"] is None:
            del found["deploymentConfig"]
        live = self.seen(cloud, id, found, old, arn=described["EndpointArn"])
        return unserved(live) if described["EndpointStatus"] == "Failed" else live

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        limit = timeout or READY_SECONDS
        wanted = inputs["endpointConfigName"]
        made = self.made(cloud, id, inputs, arn=old["arn"])
        standing = Live(id, {**made.outputs, "endpointConfigName": old.get("endpointConfigName", "")}, inputs)
        before = self._settled(cloud, standing, limit)
        if before["EndpointStatus"] == "Failed":
            # A failed endpoint serves nothing, and deleting is all that SageMaker lets us do with it.
            self.delete(cloud, id, old, timeout)
            return self.create(cloud, inputs, timeout)
        tags.SAGEMAKER.change(cloud, old["arn"], old.get("tags") or {}, inputs.get("tags") or {})
        if before["EndpointConfigName"] == wanted and old.get("deploymentConfig") == inputs.get("deploymentConfig"):
            return made
        cloud.settle(
            "sagemaker",
            "update_endpoint",
            EndpointName=id,
            EndpointConfigName=wanted,
            **self._deployment(inputs),
        )
        after = self._landed(cloud, standing, before, wanted, limit)
        if after["EndpointStatus"] != "InService" or after["EndpointConfigName"] != wanted:
            still = Live(id, {**made.outputs, "endpointConfigName": after["EndpointConfigName"]}, inputs)
            raise failed(after, still, wanted=wanted)
        return made

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        def gone() -> bool | None:
            described = self._describe(cloud, id)
            if described is None:
                return True
            # A delete during another operation is accepted and lost (D24): ask once it is over, and again if need be.
            if described["EndpointStatus"] not in BUSY:
                cloud.find("sagemaker", "delete_endpoint", *ABSENT, OCCUPIED, EndpointName=id)
            return None

        limit = timeout or GONE_SECONDS
        try:
            cloud.waiter.until(gone, timeout=limit)
        except TookTooLong:
            described = self._describe(cloud, id) or {"EndpointStatus": "unknown"}
            raise ResourceFailure(
                f"endpoint {id} is still {described['EndpointStatus']} after {limit:g} s of deleting",
                request="sagemaker DeleteEndpoint",
                hint="an endpoint that hangs in Creating can be deleted once SageMaker gives up on it; run again later",
                uncertain=True,
            ) from None

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["name"])

    def find(self, cloud: Cloud, inputs: Properties) -> str | None:
        id = super().find(cloud, inputs)
        live = self.read(cloud, id, inputs) if id else None
        if live:
            self._settled(cloud, live, READY_SECONDS)
        return id

    def _deployment(self, inputs: Properties) -> Properties:
        fields = {"deploymentConfig": self.rule.fields["deploymentConfig"]}
        return to_aws(fields, inputs)

    def _describe(self, cloud: Cloud, id: str) -> Answer | None:
        return cloud.find("sagemaker", "describe_endpoint", *ABSENT, EndpointName=id)

    def _settled(self, cloud: Cloud, live: Live, timeout: float) -> Answer:
        """The description once no operation is in progress. Raises ResourceNotReady(live) when it takes too long."""
        last: dict[str, Any] = {}

        def settled() -> Answer | None:
            described = self._describe(cloud, live.id)
            if described is None:
                raise ResourceFailure(
                    f"endpoint {live.id} is gone: somebody deleted it meanwhile",
                    request="sagemaker DescribeEndpoint",
                    hint="run `cloudmodel refresh`, then again",
                )
            last.update(described)
            return None if described["EndpointStatus"] in BUSY else described

        try:
            return cloud.waiter.until(settled, timeout=timeout)
        except TookTooLong:
            raise ResourceNotReady(
                f"endpoint {live.id} is still {last['EndpointStatus']} after {timeout:.0f} s",
                live,
                request="sagemaker DescribeEndpoint",
                hint="run again to go on waiting; a longer time can be set as the resource's custom timeout",
            ) from None

    def _landed(self, cloud: Cloud, live: Live, before: Answer, wanted: str, timeout: float) -> Answer:
        """The description after an update: with the new configuration, or with a reason why not."""
        waiter = cloud.waiter
        noticed_by = waiter.clock() + UNNOTICED_SECONDS
        deadline = waiter.clock() + timeout
        began = [False]

        def ended() -> Answer | None:
            described = self._describe(cloud, live.id)
            if described is not None and described["EndpointStatus"] in BUSY:
                began[0] = True
            settled = self._settled(cloud, live, max(deadline - waiter.clock(), 0.0))
            news = settled.get("FailureReason") != before.get("FailureReason")
            unchanged = settled["EndpointStatus"] == "InService" and settled["EndpointConfigName"] != wanted
            if unchanged and not began[0] and not news and waiter.clock() < noticed_by:
                return None
            return settled

        return waiter.until(ended, timeout=timeout)


def failed(described: Answer, live: Live, wanted: str = "") -> ResourceNotReady:
    """The failure of an endpoint in SageMaker's own words (D01 to D17, D22)."""
    reason = described.get("FailureReason") or "SageMaker gives no reason"
    status = described["EndpointStatus"]
    if wanted and status == "InService":
        message = (
            f"the update of endpoint {live.id} to {wanted} did not land; "
            f"it still serves {described['EndpointConfigName']}: {reason}"
        )
    else:
        message = f"endpoint {live.id} is {status}: {reason}"
    return ResourceNotReady(
        message,
        live,
        request="sagemaker DescribeEndpoint",
        hint=f"the container's own words are in the log group /aws/sagemaker/Endpoints/{live.id}",
    )


def unserved(live: Live) -> Live:
    """An endpoint that failed serves no configuration: said so, the next run sees a change to make."""
    said = {"endpointConfigName": ""}
    return Live(live.id, {**live.outputs, **said}, {**live.inputs, **said}, live.secrets)


TYPES = (Model(), EndpointConfiguration(), Endpoint())
