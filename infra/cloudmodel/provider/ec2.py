"""Amazon EC2: security groups with the rules inside them, and AWS's own lists of addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cloudmodel.core.resource import Live, Properties, ResourceFailure
from cloudmodel.provider.cloud import Answer, Cloud
from cloudmodel.provider.errors import CallFailed
from cloudmodel.provider.managed import Managed
from cloudmodel.provider.waiters import TookTooLong

ABSENT = ("InvalidGroup.NotFound", "InvalidGroupId.Malformed")
IN_USE = "DependencyViolation"
# How long network interfaces of a deleted endpoint may still hold its group.
GONE_SECONDS = 900.0
DIRECTIONS = ("ingress", "egress")
TARGETS = {
    "cidrBlocks": ("IpRanges", "CidrIp"),
    "ipv6CidrBlocks": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListIds": ("PrefixListIds", "PrefixListId"),
    "securityGroups": ("UserIdGroupPairs", "GroupId"),
}
"""Where the API keeps each kind of target of a rule, and what it calls it there."""

Grain = tuple[str, int, int, str, str, str]
"""The least that a rule can say: protocol, ports, kind of target, target, description."""


class SecurityGroup(Managed):
    """The rules inside are all the rules: a new group has none but those that the program names."""

    type = "aws:ec2/securityGroup:SecurityGroup"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        tags = [{"Key": key, "Value": value} for key, value in sorted((inputs.get("tags") or {}).items())]
        more = {"VpcId": inputs["vpcId"]} if inputs.get("vpcId") else {}
        if tags:
            more["TagSpecifications"] = [{"ResourceType": "security-group", "Tags": tags}]
        answer = cloud.call(
            "ec2", "create_security_group", GroupName=inputs["name"], Description=inputs["description"], **more
        )
        id = answer["GroupId"]
        group = self._describe(cloud, id)
        made = self._made(cloud, id, inputs, group)
        with self.finishing(made, egress=[]):
            self._change(cloud, id, group or {}, {"ingress": [], "egress": [], **inputs})
        return made

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        group = self._describe(cloud, id)
        if group is None:
            return None
        found: Properties = {
            "description": group["Description"],
            "name": group["GroupName"],
            "vpcId": group.get("VpcId"),
            "tags": {each["Key"]: each["Value"] for each in group.get("Tags") or () if each["Key"][:4] != "aws:"},
        }
        for direction in DIRECTIONS:
            live, known = _live(group, direction), old.get(direction) or []
            found[direction] = known if set(_grains(known, id)) == live else _rules(live, id)
        return self.seen(cloud, id, found, old, arn=_arn(cloud, id), ownerId=group.get("OwnerId"))

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        group = self._describe(cloud, id)
        if group is None:
            raise ResourceFailure(
                f"security group {id} is gone: somebody deleted it meanwhile",
                request="ec2 DescribeSecurityGroups",
                hint="run `cloudmodel refresh`, then again",
            )
        self._change(cloud, id, group, inputs)
        before, wanted = old.get("tags") or {}, inputs.get("tags") or {}
        if gone := sorted(before.keys() - wanted.keys()):
            cloud.call("ec2", "delete_tags", Resources=[id], Tags=[{"Key": key} for key in gone])
        if added := {key: value for key, value in sorted(wanted.items()) if before.get(key) != value}:
            tags = [{"Key": key, "Value": value} for key, value in added.items()]
            cloud.call("ec2", "create_tags", Resources=[id], Tags=tags)
        return self._made(cloud, id, inputs, group)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        if old.get("revokeRulesOnDelete") and (group := self._describe(cloud, id)):
            self._change(cloud, id, group, {"ingress": [], "egress": []})
        held: list[CallFailed] = []

        def gone() -> bool | None:
            try:
                cloud.find("ec2", "delete_security_group", *ABSENT, GroupId=id)
            except CallFailed as failure:
                if failure.code != IN_USE:
                    raise
                held[:] = [failure]
                return None
            return True

        try:
            cloud.waiter.until(gone, timeout=timeout or GONE_SECONDS)
        except TookTooLong:
            raise held[0] from None

    def find(self, cloud: Cloud, inputs: Properties) -> str | None:
        where = {"group-name": inputs["name"]} | ({"vpc-id": inputs["vpcId"]} if inputs.get("vpcId") else {})
        filters = [{"Name": name, "Values": [value]} for name, value in where.items()]
        groups = cloud.call("ec2", "describe_security_groups", Filters=filters)["SecurityGroups"]
        if len(groups) != 1:
            return None
        live = {each["Key"]: each["Value"] for each in groups[0].get("Tags") or ()}
        wanted = inputs.get("tags") or {}
        return str(groups[0]["GroupId"]) if all(live.get(key) == value for key, value in wanted.items()) else None

    def _describe(self, cloud: Cloud, id: str) -> Answer | None:
        answer = cloud.find("ec2", "describe_security_groups", *ABSENT, GroupIds=[id])
        return answer["SecurityGroups"][0] if answer and answer["SecurityGroups"] else None

    def _made(self, cloud: Cloud, id: str, inputs: Properties, group: Answer | None) -> Live:
        known = group or {}
        computed = {} if inputs.get("vpcId") else {"vpcId": known.get("VpcId")}
        return self.made(cloud, id, inputs, arn=_arn(cloud, id), ownerId=known.get("OwnerId"), **computed)

    def _change(self, cloud: Cloud, id: str, group: Answer, inputs: Properties) -> None:
        """Make the live rules those of `inputs`; a direction of which it says nothing stays."""
        for direction in DIRECTIONS:
            if inputs.get(direction) is None:
                continue
            live, wanted = _live(group, direction), set(_grains(inputs[direction], id))
            for call, grains in (("revoke", live - wanted), ("authorize", wanted - live)):
                if grains:
                    permissions = [_permission(each) for each in sorted(grains)]
                    operation = f"{call}_security_group_{direction}"
                    cloud.call("ec2", operation, GroupId=id, IpPermissions=permissions)


def _arn(cloud: Cloud, id: str) -> str:
    return cloud.arn("ec2", f"security-group/{id}")


def _grains(rules: list[Properties], id: str) -> Iterator[Grain]:
    """What rules of a program come to; `self` is the group's own id."""
    for rule in rules:
        ports = (_protocol(rule["protocol"]), int(rule["fromPort"]), int(rule["toPort"]))
        targets = [(kind, target) for kind in TARGETS for target in rule.get(kind) or ()]
        if rule.get("self"):
            targets.append(("securityGroups", id))
        for kind, target in targets:
            yield (*ports, kind, target, rule.get("description") or "")


def _live(group: Answer, direction: str) -> set[Grain]:
    """What the rules of a described group come to."""
    key = "IpPermissions" if direction == "ingress" else "IpPermissionsEgress"
    return {
        (
            _protocol(each["IpProtocol"]),
            each.get("FromPort", 0) if each["IpProtocol"] != "-1" else 0,
            each.get("ToPort", 0) if each["IpProtocol"] != "-1" else 0,
            kind,
            target[name],
            target.get("Description") or "",
        )
        for each in group.get(key) or ()
        for kind, (place, name) in TARGETS.items()
        for target in each.get(place) or ()
    }


def _rules(grains: set[Grain], id: str) -> list[Properties]:
    """Grains as a program would write them, one rule for each set of ports and each description."""
    found: dict[tuple[Any, ...], Properties] = {}
    for protocol, first, last, kind, target, description in sorted(grains):
        said: Properties = {"protocol": protocol, "fromPort": first, "toPort": last}
        rule = found.setdefault(
            (protocol, first, last, description), said | ({"description": description} if description else {})
        )
        if kind == "securityGroups" and target == id:
            rule["self"] = True
        else:
            rule.setdefault(kind, []).append(target)
    return list(found.values())


def _permission(grain: Grain) -> Properties:
    protocol, first, last, kind, target, description = grain
    place, name = TARGETS[kind]
    ports = {} if protocol == "-1" else {"FromPort": first, "ToPort": last}
    return {
        "IpProtocol": protocol,
        **ports,
        place: [{name: target} | ({"Description": description} if description else {})],
    }


def _protocol(name: str) -> str:
    return "-1" if name.lower() == "all" else name.lower()


def managed_prefix_list(cloud: Cloud, arguments: Properties) -> Properties:
    """The addresses of an AWS service in a region, by the list's name or id."""
    where = {"prefix-list-name": arguments.get("name"), "prefix-list-id": arguments.get("id")}
    filters = [{"Name": name, "Values": [value]} for name, value in where.items() if value]
    lists = cloud.call("ec2", "describe_managed_prefix_lists", Filters=filters)["PrefixLists"]
    if len(lists) != 1:
        raise ResourceFailure(
            f"{len(lists)} prefix lists match {arguments.get('name') or arguments.get('id')} in {cloud.region}",
            request="ec2 DescribeManagedPrefixLists",
            hint="name one list by its name or its id",
        )
    (found,) = lists
    return {
        "addressFamily": found.get("AddressFamily", "IPv4"),
        "arn": found.get("PrefixListArn", ""),
        "entries": [],
        "id": found["PrefixListId"],
        "maxEntries": found.get("MaxEntries", 0),
        "name": found["PrefixListName"],
        "ownerId": found.get("OwnerId", ""),
        "region": cloud.region,
        "tags": {},
        "version": found.get("Version", 0),
    }


TYPES = (SecurityGroup(),)
FUNCTIONS: Mapping[str, Callable[[Cloud, Properties], Properties]] = {
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": managed_prefix_list
}
