"""The functions of pulumi_aws that programs ask for who and where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cloudmodel.core.resource import Properties
from cloudmodel.provider.cloud import Cloud


def caller_identity(cloud: Cloud, _: Properties) -> Properties:
    identity = cloud.account.identity
    return {
        "accountId": identity["Account"],
        "arn": identity["Arn"],
        "id": identity["Account"],
        "userId": identity["UserId"],
    }


def region(cloud: Cloud, arguments: Properties) -> Properties:
    name = arguments.get("region") or arguments.get("name") or cloud.region
    return {
        "description": cloud.account.description(name),
        "endpoint": f"ec2.{name}.{cloud.dns_suffix}",
        "id": name,
        "name": name,
        "region": name,
    }


def partition(cloud: Cloud, _: Properties) -> Properties:
    name = cloud.account.partition(cloud.region)
    suffix = cloud.dns_suffix
    return {
        "dnsSuffix": suffix,
        "id": name,
        "partition": name,
        "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
    }


FUNCTIONS: Mapping[str, Callable[[Cloud, Properties], Properties]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": caller_identity,
    "aws:index/getRegion:getRegion": region,
    "aws:index/getPartition:getPartition": partition,
}
