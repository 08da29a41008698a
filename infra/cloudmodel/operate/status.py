"""One screen about a stack's endpoint: what it serves, on how many instances, and what its alarms say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cloudmodel.operate.invoke import Address, readable_errors
from cloudmodel.program.deployment import ALARMS

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
        names = [f"{endpoint}-{word}" for word in ALARMS]
        alarms = tuple(
            Alarm(each["AlarmName"], each["StateValue"], each["StateUpdatedTimestamp"].isoformat(timespec="seconds"))
            for each in address.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        )
        try:
            found = address.client("sagemaker").describe_endpoint(EndpointName=endpoint)
        except ClientError as error:
            if ABSENT not in str(error.response.get("Error", {}).get("Message")):
                raise
            return Standing(endpoint, GONE, None, None, (), alarms)
    variants = tuple(
        Variant(
            each["VariantName"],
            each.get("CurrentWeight"),
            each.get("CurrentInstanceCount"),
            each.get("DesiredInstanceCount"),
        )
        for each in found.get("ProductionVariants", ())
    )
    configuration = found.get("EndpointConfigName")
    return Standing(endpoint, found["EndpointStatus"], configuration, found.get("FailureReason"), variants, alarms)
