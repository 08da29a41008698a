"""Security groups and prefix lists on moto: no rule but those that the program names."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from cloudmodel.core.resource import UNKNOWN, DiffKind, ResourceFailure

GROUP = "aws:ec2/securityGroup:SecurityGroup"
LIST = "aws:ec2/getManagedPrefixList:getManagedPrefixList"
TLS = {"protocol": "tcp", "fromPort": 443, "toPort": 443, "cidrBlocks": ["10.0.0.0/8"], "description": "in"}


@pytest.fixture
def vpc(aws: Any) -> str:
    return str(boto3.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


def rules(id: str) -> tuple[list[Any], list[Any]]:
    """What boto3 sees: ingress and egress, without what is empty."""
    (group,) = boto3.client("ec2").describe_security_groups(GroupIds=[id])["SecurityGroups"]
    clean = [
        [{key: value for key, value in each.items() if value != []} for each in group[name]]
        for name in ("IpPermissions", "IpPermissionsEgress")
    ]
    return clean[0], clean[1]


def test_a_new_group_has_no_rule_but_those_it_is_given(aws: Any, vpc: str) -> None:
    silent = aws.create(GROUP, {"name": "silent", "vpcId": vpc, "ingress": [], "egress": []})
    assert rules(silent.id) == ([], [])
    untold = aws.create(GROUP, {"name": "untold", "vpcId": vpc})
    assert rules(untold.id) == ([], [])  # terraform's provider takes away AWS's rule that lets everything out
    given = aws.create(GROUP, {"name": "given", "vpcId": vpc, "egress": [TLS | {"prefixListIds": ["pl-1234"]}]})
    ingress, (egress,) = rules(given.id)
    assert ingress == []
    assert (egress["IpProtocol"], egress["FromPort"], egress["ToPort"]) == ("tcp", 443, 443)
    assert egress["IpRanges"] == [{"CidrIp": "10.0.0.0/8", "Description": "in"}]
    assert [each["PrefixListId"] for each in egress["PrefixListIds"]] == ["pl-1234"]


def test_a_group_from_create_to_delete(aws: Any, vpc: str) -> None:
    inputs = {"name": "web", "vpcId": vpc, "description": "d", "egress": [TLS], "ingress": [], "tags": {"a": "b"}}
    live = aws.create(GROUP, inputs)
    assert live.outputs["arn"] == f"arn:aws:ec2:eu-west-1:123456789012:security-group/{live.id}"
    assert aws.read(GROUP, live) == live
    assert aws.find(GROUP, live.inputs) == live.id
    news = inputs | {
        "ingress": [{"protocol": "tcp", "fromPort": 80, "toPort": 81, "self": True}],
        "egress": [TLS | {"cidrBlocks": ["10.1.0.0/16", "10.0.0.0/8"]}],
        "tags": {"c": "d"},
    }
    assert aws.diff(GROUP, live, inputs).changes == {}
    assert not aws.diff(GROUP, live, news).replaces
    changed = aws.update(GROUP, live, news)
    (ingress,), (egress,) = rules(live.id)
    assert [each["GroupId"] for each in ingress["UserIdGroupPairs"]] == [live.id]
    assert sorted(each["CidrIp"] for each in egress["IpRanges"]) == ["10.0.0.0/8", "10.1.0.0/16"]
    assert aws.read(GROUP, changed) == changed
    assert aws.diff(GROUP, changed, news).changes == {}
    assert set(aws.diff(GROUP, changed, news | {"vpcId": "vpc-2", "description": "e"}).replaces) == {
        "vpcId",
        "description",
    }
    aws.delete(GROUP, changed)
    assert aws.read(GROUP, changed) is None
    assert aws.find(GROUP, live.inputs) is None
    aws.delete(GROUP, changed)


def test_a_rule_that_somebody_added_is_drift_and_goes_with_the_next_update(aws: Any, vpc: str) -> None:
    inputs = {"name": "web", "vpcId": vpc, "egress": [TLS], "ingress": []}
    live = aws.create(GROUP, inputs)
    opened = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    boto3.client("ec2").authorize_security_group_ingress(GroupId=live.id, IpPermissions=opened)
    seen = aws.read(GROUP, live)
    assert seen.outputs["ingress"] == [{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}]
    assert aws.diff(GROUP, seen, inputs).changes == {"ingress[0]": DiffKind.DELETE}
    aws.update(GROUP, seen, inputs)
    assert rules(live.id)[0] == []


def test_another_group_of_that_name_is_never_adopted_silently(aws: Any, vpc: str) -> None:
    aws.create(GROUP, {"name": "web", "vpcId": vpc, "tags": {"stack": "one"}})
    with pytest.raises(ResourceFailure, match="already exists") as failure:
        aws.create(GROUP, {"name": "web", "vpcId": vpc, "tags": {"stack": "two"}})
    assert "import it" in (failure.value.hint or "")
    assert aws.find(GROUP, aws.checked(GROUP, {"name": "web", "vpcId": vpc, "tags": {"stack": "two"}})) is None


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Groups in use: AWS refuses to delete them, and moto does not look."""
    from moto.ec2.exceptions import DependencyViolationError
    from moto.ec2.models import EC2Backend

    groups: set[str] = set()
    delete = EC2Backend.delete_security_group

    def refusing(self: Any, name: str | None = None, group_id: str | None = None) -> Any:
        if group_id in groups:
            raise DependencyViolationError(f"resource {group_id} has a dependent object")
        return delete(self, name, group_id)

    monkeypatch.setattr(EC2Backend, "delete_security_group", refusing)
    return groups


def test_a_group_that_is_still_in_use_is_waited_for(aws: Any, vpc: str, clock: Any, held: set[str]) -> None:
    live = aws.create(GROUP, {"name": "web", "vpcId": vpc})
    held.add(live.id)
    clock.on_sleep = held.clear
    aws.delete(GROUP, live)
    assert clock.slept
    assert aws.read(GROUP, live) is None


def test_a_group_that_stays_in_use_is_told_in_awss_words(aws: Any, vpc: str, held: set[str]) -> None:
    live = aws.create(GROUP, {"name": "web", "vpcId": vpc})
    held.add(live.id)
    with pytest.raises(ResourceFailure, match="DependencyViolation"):
        aws.delete(GROUP, live)


def test_a_vpc_that_is_not_known_yet_is_no_reason_to_fail_a_preview(aws: Any) -> None:
    assert aws.checked(GROUP, {"name": "web", "vpcId": UNKNOWN})["vpcId"] == UNKNOWN


def test_awss_own_lists_are_found_by_name(aws: Any) -> None:
    found = aws.provider.invoke(LIST, {"name": "com.amazonaws.eu-west-1.s3"})
    (listed,) = boto3.client("ec2").describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.eu-west-1.s3"]}]
    )["PrefixLists"]
    assert found["id"] == listed["PrefixListId"]
    with pytest.raises(ResourceFailure, match="0 prefix lists"):
        aws.provider.invoke(LIST, {"name": "com.example.s3"})
