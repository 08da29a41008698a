"""Faults on order: the local AWS answers as AWS would on a bad day, and only for whom the rules name."""

from __future__ import annotations

import urllib.error
from dataclasses import replace
from typing import Any

import pytest

from cloud import EXPIRED, order_faults


@pytest.fixture
def faulty(cloud: Any) -> Any:
    yield cloud
    order_faults(cloud.running)


def test_the_calls_that_a_rule_names_fail_and_no_others(faulty: Any) -> None:
    order_faults(faulty.running, EXPIRED | {"service": "iam", "operation": "ListRoles", "after": 1, "times": 1})
    faulty.iam.list_roles()
    assert faulty.refused(faulty.iam.list_roles)["Error"]["Code"] == "ExpiredToken"
    faulty.iam.list_roles()
    faulty.iam.list_users()


@pytest.mark.parametrize(
    ("client", "operation"),
    [("s3", "list_buckets"), ("sagemaker", "list_models"), ("logs", "describe_log_groups"), ("iam", "list_roles")],
)
def test_each_protocol_reads_the_error(faulty: Any, client: str, operation: str) -> None:
    order_faults(faulty.running, {"code": "ThrottlingException", "message": "slow <down>"})
    told = faulty.refused(getattr(getattr(faulty, client), operation))["Error"]
    assert (told["Code"], told["Message"]) == ("ThrottlingException", "slow <down>")


def test_only_who_knows_the_instance_orders_them(faulty: Any) -> None:
    for running, rules in (
        (replace(faulty.running, instance_id="another"), ()),
        (faulty.running, ({"colour": "red"},)),
        (faulty.running, ({"code": "A", "after": None},)),
    ):
        with pytest.raises(urllib.error.HTTPError):
            order_faults(running, *rules)
