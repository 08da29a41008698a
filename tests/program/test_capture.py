"""Data capture as it is planned: where, how much, how long, and who may."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

ACCOUNT = "111122223333"
BUCKET = f"digits-local-{ACCOUNT}-us-east-1"
KEY = f"arn:aws:made:us-east-1:{ACCOUNT}:key"


def test_p07_captured_data_is_encrypted_and_ends(evaluate: Any) -> None:
    plan = evaluate(capture={"percent": 20, "retention_days": 7})
    assert plan.one("EndpointConfiguration").inputs["dataCaptureConfig"] == {
        "enableCapture": True,
        "initialSamplingPercentage": 20,
        "destinationS3Uri": f"s3://{BUCKET}/capture",
        "kmsKeyId": KEY,
        "captureOptions": [{"captureMode": "Input"}, {"captureMode": "Output"}],
        "captureContentTypeHeader": {"jsonContentTypes": ["application/json"], "csvContentTypes": ["text/csv"]},
    }
    rules = {rule["id"]: rule for rule in plan.one("BucketLifecycleConfiguration").inputs["rules"]}
    assert rules["expire-capture"] == {
        "id": "expire-capture",
        "status": "Enabled",
        "filter": {"prefix": "capture/"},
        "expiration": {"days": 7},
        "noncurrentVersionExpiration": {"noncurrentDays": 1},
    }


def test_the_role_may_write_its_own_endpoints_records_only_while_it_captures(evaluate: Any) -> None:
    def allowed(plan: Any) -> dict[str, Any]:
        statements = json.loads(plan.one("RolePolicy").inputs["policy"])["Statement"]
        return {each["Sid"]: (each["Action"], each["Resource"]) for each in statements}

    silent, capturing = allowed(evaluate()), allowed(evaluate(capture={"percent": 1}))
    assert {name: rule for name, rule in capturing.items() if name not in silent} == {
        "Capture": ("s3:PutObject", f"arn:aws:s3:::{BUCKET}/capture/digits-local/*"),
        "CaptureKey": ("kms:GenerateDataKey", KEY),
    }


def test_what_was_captured_ends_after_capture_is_turned_off(evaluate: Any) -> None:
    plan = evaluate()
    assert "dataCaptureConfig" not in plan.one("EndpointConfiguration").inputs
    rules = [rule["id"] for rule in plan.one("BucketLifecycleConfiguration").inputs["rules"]]
    assert "expire-capture" in rules


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, []),
        ({"capture": {"percent": 5}}, []),
        ({"existing": {"bucket": "acme-models"}}, []),
        (
            {"capture": {"percent": 5}, "existing": {"bucket": "acme-models"}},
            ["acme-models", "capture/digits-local/"],
        ),
        ({"mode": "async", "existing": {"bucket": "acme-models"}}, ["acme-models", "async/digits-local/"]),
        ({"instance": "ml.g5.xlarge"}, ["ml.g5.xlarge", "NVMe", "cloudmodel:encryption"]),
        ({"instance": "ml.c6gd.large", "existing": {"key": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/abc"}}, ["NVMe"]),
    ],
    ids=str,
)
def test_the_plan_says_where_a_setting_does_not_reach(
    evaluate: Any, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], words: list[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        evaluate(**settings)
    said = [each.getMessage() for each in caplog.records if "cloudmodel:" in each.getMessage()]
    assert len(said) == bool(words)
    assert all(word in said[0] for word in words)
