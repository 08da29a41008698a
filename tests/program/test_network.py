"""The network of a stack as it is planned: the platform's subnets, a closed security group, and who may use them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

ACCOUNT = "111122223333"
VPC = {"vpc": "vpc-0a1b2c3d", "subnets": ["subnet-1", "subnet-2"]}
GROUPS = {"subnets": ["subnet-1", "subnet-2"], "security_groups": ["sg-1"]}


def statements(plan: Any) -> dict[str, Any]:
    found = json.loads(plan.one("RolePolicy").inputs["policy"])["Statement"]
    return {each["Sid"]: each for each in found}


def test_without_subnets_there_is_no_vpc(evaluate: Any) -> None:
    plan = evaluate()
    assert "vpcConfig" not in plan.one("Model").inputs
    assert not plan.of("SecurityGroup")
    assert not {"Interfaces", "OwnInterfaces", "Network"} & set(statements(plan))


def test_p02_the_platforms_subnets_and_groups_are_used(evaluate: Any) -> None:
    plan = evaluate(network=GROUPS)
    assert plan.one("Model").inputs["vpcConfig"] == {
        "subnets": ["subnet-1", "subnet-2"],
        "securityGroupIds": ["sg-1"],
    }
    assert not plan.of("SecurityGroup")


@pytest.mark.parametrize(
    ("isolation", "target"),
    [(True, {"prefixListIds": ["pl-63a5400a"]}), (False, {"cidrBlocks": ["0.0.0.0/0"]})],
)
def test_a_group_of_our_own_lets_nothing_in_and_no_more_than_tls_out(
    evaluate: Any, isolation: bool, target: dict[str, Any]
) -> None:
    plan = evaluate(network=VPC | {"isolation": isolation})
    group = plan.one("SecurityGroup").inputs
    assert (group["vpcId"], group["name"], group["tags"]["stack"]) == ("vpc-0a1b2c3d", "digits-local", "local")
    assert group.get("ingress") == []
    (rule,) = group["egress"]
    assert rule.pop("description")
    assert rule == {"protocol": "tcp", "fromPort": 443, "toPort": 443} | target
    assert plan.one("Model").inputs["vpcConfig"]["securityGroupIds"] == ["security-group-id"]
    assert "security-group" in plan.one("Model").dependencies
    assert plan.one("Model").inputs["enableNetworkIsolation"] is isolation


def test_the_role_may_put_interfaces_into_these_subnets_only(evaluate: Any) -> None:
    where = f"arn:aws:ec2:us-east-1:{ACCOUNT}"
    allowed = statements(evaluate(network=GROUPS))
    assert allowed["Interfaces"]["Action"] == "ec2:CreateNetworkInterface"
    assert allowed["Interfaces"]["Resource"] == [
        f"{where}:network-interface/*",
        f"{where}:subnet/subnet-1",
        f"{where}:subnet/subnet-2",
        f"{where}:security-group/sg-1",
    ]
    assert allowed["OwnInterfaces"]["Resource"] == f"{where}:network-interface/*"
    assert all(action.startswith("ec2:Describe") for action in allowed["Network"]["Action"])
    # SageMaker's list of what CreateModel needs in a VPC.
    actions = {*allowed["OwnInterfaces"]["Action"], *allowed["Network"]["Action"], "ec2:CreateNetworkInterface"}
    assert actions == {
        "ec2:CreateNetworkInterface",
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DeleteNetworkInterface",
        "ec2:DeleteNetworkInterfacePermission",
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    }


@pytest.mark.parametrize(("subnets", "said"), [(["subnet-1"], 1), (["subnet-1", "subnet-2"], 0)])
def test_one_subnet_is_said_to_be_one_zone(
    evaluate: Any, caplog: pytest.LogCaptureFixture, subnets: list[str], said: int
) -> None:
    with caplog.at_level(logging.WARNING):
        evaluate(network=VPC | {"subnets": subnets})
    assert sum("availability zone" in each.getMessage() for each in caplog.records) == said
