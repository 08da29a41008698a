"""What stands in a local AWS, as boto3 sees it: nothing of ours is between the question and the answer."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

import boto3

from cloudmodel.localaws.faults import PATH
from cloudmodel.localaws.identity import Running


class Cloud:
    """boto3 clients of one local AWS."""

    def __init__(self, endpoint_url: str, region: str) -> None:
        self.endpoint_url = endpoint_url
        self._region = region

    def client(self, service: str, config: Any = None) -> Any:
        """A client of `service`; any access key will do."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=self._region,
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=config,
        )

    def inventory(self) -> dict[str, int]:
        """How many of each kind there are; a key that waits for its deletion is none."""
        kms = self.client("kms")
        keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
        sagemaker, scaling = self.client("sagemaker"), self.client("application-autoscaling")
        return {
            "buckets": len(self.client("s3").list_buckets()["Buckets"]),
            "keys": sum(key["KeyManager"] == "CUSTOMER" and key["KeyState"] == "Enabled" for key in keys),
            "aliases": sum(not each["AliasName"].startswith("alias/aws/") for each in kms.list_aliases()["Aliases"]),
            "roles": len(self.client("iam").list_roles()["Roles"]),
            "topics": len(self.client("sns").list_topics()["Topics"]),
            "models": len(sagemaker.list_models()["Models"]),
            "configurations": len(sagemaker.list_endpoint_configs()["EndpointConfigs"]),
            "endpoints": len(sagemaker.list_endpoints()["Endpoints"]),
            "targets": len(scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]),
            "policies": len(scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]),
            "alarms": sum(
                not alarm["AlarmName"].startswith("TargetTracking-")
                for alarm in self.client("cloudwatch").describe_alarms()["MetricAlarms"]
            ),
        }


def order_faults(running: Running, *rules: Mapping[str, Any]) -> None:
    """Let calls to this local AWS fail as `rules` say (see localaws.faults); no rules: none fails any more."""
    headers = {"x-cloudmodel-instance": running.instance_id}
    body = json.dumps(rules).encode()
    request = urllib.request.Request(running.endpoint_url + PATH, body, headers, method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        assert answer.status == 200


EXPIRED = {"status": 403, "code": "ExpiredToken", "message": "The security token included in the request is expired"}
"""A rule for credentials that have ended."""

ONE_OF_EACH = {
    "buckets": 1, "keys": 1, "aliases": 1, "roles": 1, "topics": 1, "models": 1, "configurations": 1, "endpoints": 1,
    "targets": 1, "policies": 1, "alarms": 3,
}  # fmt: skip
NOTHING = dict.fromkeys(ONE_OF_EACH, 0)
