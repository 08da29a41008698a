"""One screen about a stack's endpoint: what it serves, on how many instances, and what its alarms say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cloudmodel.operate.invoke import Address, readable_errors
from cloudmodel.program.names import of_variant
from cloudmodel.settings.rollout import ALARMS
from cloudmodel.settings.variants import MAIN

GONE = "gone"
ABSENT = "Could not find"


@dataclass(frozen=True)
class Variant:
    """A production variant. Counts and weights are None where it has none (serverless)."""

    name: str
    weight: float | None
    instances: int | None
    wanted: int | None


@dataclass(frozen=True)
class Alarm:
    """`state`: OK, ALARM, INSUFFICIENT_DATA; `since` is when it came to it (ISO 8601)."""

    name: str
    state: str
    since: str


@dataclass(frozen=True)
class Standing:
    """An endpoint as SageMaker describes it now. `status` is `gone` where there is none."""

    endpoint: str
    status: str
    configuration: str | None
    failure: str | None
    variants: tuple[Variant, ...]
    alarms: tuple[Alarm, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON of it."""
        return asdict(self)


def standing(address: Address, endpoint: str) -> Standing:
    """Ask SageMaker and CloudWatch. It only reads; raises what `readable_errors` does."""
    from botocore.exceptions import ClientError

    with readable_errors(address, endpoint):
        try:
            found = address.client("sagemaker").describe_endpoint(EndpointName=endpoint)
        except ClientError as error:
            if ABSENT not in str(error.response.get("Error", {}).get("Message")):
                raise
            found = {}
        variants = tuple(
            Variant(
                each["VariantName"],
                each.get("CurrentWeight"),
                each.get("CurrentInstanceCount"),
                each.get("DesiredInstanceCount"),
            )
            for each in found.get("ProductionVariants", ())
        )
        owners = [each.name for each in variants] or [MAIN]
        names = [f"{of_variant(endpoint, owner)}-{word}" for owner in owners for word in ALARMS]
        alarms = tuple(
            Alarm(each["AlarmName"], each["StateValue"], each["StateUpdatedTimestamp"].isoformat(timespec="seconds"))
            for each in sorted(
                address.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"],
                key=lambda alarm: names.index(alarm["AlarmName"]),
            )
        )
    if not found:
        return Standing(endpoint, GONE, None, None, (), alarms)
    configuration = found.get("EndpointConfigName")
    return Standing(endpoint, found["EndpointStatus"], configuration, found.get("FailureReason"), variants, alarms)
