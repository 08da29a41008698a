"""Whether the network that a model names is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def missing(account: str, region: str, config: Mapping[str, Sequence[str]] | None) -> str | None:
    """What a model's VpcConfig names and EC2 does not have, or has in several VPCs; None where all is well."""
    if not config:
        return None
    from moto.ec2.models import ec2_backends

    ec2 = ec2_backends[account][region]
    subnets = {subnet.id: subnet.vpc_id for by_zone in ec2.subnets.values() for subnet in by_zone.values()}
    groups = {group.id: group.vpc_id for by_id in ec2.groups.values() for group in by_id.values()}
    for what, known, wanted in (
        ("subnet", subnets, config["Subnets"]),
        ("security group", groups, config["SecurityGroupIds"]),
    ):
        if unknown := [each for each in wanted if each not in known]:
            return f"The {what} ID '{unknown[0]}' does not exist"
    places = {subnets[each] for each in config["Subnets"]} | {groups[each] for each in config["SecurityGroupIds"]}
    return None if len(places) == 1 else "The subnets and security groups of VpcConfig are of several VPCs"
