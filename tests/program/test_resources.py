"""What the reference stack declares: nothing is missing, nothing is named by chance."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from cloudmodel.bundle import store
from cloudmodel.core.errors import PreflightFailed, Unsupported, UsageError

ACCOUNT = "111122223333"
COUNT = "productionVariants[*].initialInstanceCount"
DIGEST = "sha256:" + "ab" * 32
AWS = {
    "target": "aws",
    "aws:region": "us-east-1",
    "aws:allowedAccountIds": [ACCOUNT],
    "existing": {"image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/serving@sha256:" + "0" * 64},
}


def test_the_stack_declares_every_part(evaluate: Any) -> None:
    plan = evaluate()
    kinds = sorted(each.type for each in plan.resources if not each.type.startswith("cloudmodel:"))
    assert kinds == [
        "aws:appautoscaling/policy:Policy",
        "aws:appautoscaling/target:Target",
        "aws:cloudwatch/dashboard:Dashboard",
        "aws:cloudwatch/logGroup:LogGroup",
        *["aws:cloudwatch/metricAlarm:MetricAlarm"] * 3,
        "aws:iam/role:Role",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:kms/alias:Alias",
        "aws:kms/key:Key",
        "aws:s3/bucket:Bucket",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketObjectv2:BucketObjectv2",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketVersioning:BucketVersioning",
        "aws:sagemaker/endpoint:Endpoint",
        "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        "aws:sagemaker/model:Model",
        "aws:sns/topic:Topic",
        "pulumi:index:Stash",
    ]


def test_a_second_evaluation_in_the_process_declares_the_same(evaluate: Any) -> None:
    first, second = evaluate(), evaluate()
    assert first.normal() == second.normal()
    assert first.outputs == second.outputs


def test_outputs_are_those_of_the_contract(evaluate: Any, bundle: Any) -> None:
    digest = bundle()
    plan = evaluate()
    assert plan.outputs == {
        "endpoint_name": "digits-local",
        "endpoint_arn": f"arn:aws:made:us-east-1:{ACCOUNT}:endpoint",
        "bundle_digest": digest,
        "bundle_uri": f"s3://digits-local-{ACCOUNT}-us-east-1/bundles/sha256/{digest[7:]}.tar.gz",
        "dashboard_url": "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
        "#dashboards/dashboard/digits-local",
        "revision": plan.one("EndpointConfiguration").inputs["name"].rsplit("-", 1)[1],
    }


def test_the_bundle_lies_under_its_digest_and_the_model_reads_it_there(evaluate: Any, bundle: Any) -> None:
    digest = bundle()
    plan = evaluate()
    stored = plan.one("BucketObjectv2").inputs
    assert stored["key"] == f"bundles/sha256/{digest[7:]}.tar.gz"
    assert stored["source"].path.endswith(f"{digest[7:]}.tar.gz")
    container = plan.one("Model").inputs["primaryContainer"]
    assert container["modelDataUrl"] == f"s3://{stored['bucket']}/{stored['key']}"
    assert container["environment"]["SAGEMAKER_PROGRAM"] == "inference.py"


def test_a_large_bundle_lies_there_as_its_files_and_the_role_may_list_them(
    evaluate: Any, bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LARGE", 0)
    digest = bundle({"model.onnx": b"weights", "code/inference.py": b"code"})
    plan = evaluate()
    place = f"bundles/sha256/{digest[7:]}/"
    stored = {each.inputs["key"]: each.inputs["source"].path for each in plan.of("BucketObjectv2")}
    assert set(stored) == {place + name for name in ("manifest.json", "model.onnx", "code/inference.py")}
    assert all(path.endswith(f"{digest[7:]}/{key.removeprefix(place)}") for key, path in stored.items())
    container = plan.one("Model").inputs["primaryContainer"]
    bucket = plan.one("Bucket").inputs["bucket"]
    (source,) = container["modelDataSource"]["s3DataSources"]
    assert source == {"s3Uri": f"s3://{bucket}/{place}", "s3DataType": "S3Prefix", "compressionType": "None"}
    assert "modelDataUrl" not in container
    statements = json.loads(plan.one("RolePolicy").inputs["policy"])["Statement"]
    (listing,) = [each for each in statements if each["Action"] == "s3:ListBucket"]
    assert listing["Resource"].endswith(bucket) and listing["Condition"] == {
        "StringLike": {"s3:prefix": "bundles/sha256/*"}
    }


def test_a_pinned_bundle_wins_over_the_newest(evaluate: Any, bundle: Any) -> None:
    pinned = bundle({"model.onnx": b"old"})
    newest = bundle({"model.onnx": b"new"})
    assert evaluate().outputs["bundle_digest"] == newest
    assert evaluate(bundle=pinned).outputs["bundle_digest"] == pinned


def test_no_bundle_is_an_error_with_the_next_command(project: Any, evaluate: Any) -> None:
    (project / ".cloudmodel").mkdir()
    with pytest.raises(UsageError) as caught:
        evaluate()
    assert caught.value.hint == "cloudmodel package"


def test_a_pinned_bundle_that_the_store_lacks_is_an_error(evaluate: Any) -> None:
    with pytest.raises(UsageError, match="abab"):
        evaluate(bundle=DIGEST)


def test_the_endpoint_waits_for_what_it_needs(evaluate: Any) -> None:
    plan = evaluate()
    assert plan.one("EndpointConfiguration").name in plan.one("Endpoint").dependencies
    assert "logs" in plan.one("Endpoint").dependencies
    assert {"role-policy", plan.one("BucketObjectv2").name, "role"} <= plan.one("Model").dependencies
    assert plan.one("Model").name in plan.one("EndpointConfiguration").dependencies
    assert "endpoint" in plan.one("Target").dependencies
    assert {"bucket-versioning", "bucket-encryption", "bucket-policy"} <= plan.one("BucketObjectv2").dependencies


@pytest.mark.parametrize(
    ("stack", "prefix", "name"),
    [
        ("dev", "", "digits-dev"),
        ("dev", "acme-", "acme-digits-dev"),
        ("Dev", "", r"digits-dev-[0-9a-f]{8}"),
        ("dev.a", "", r"digits-dev-a-[0-9a-f]{8}"),
        ("dev_a", "", r"digits-dev-a-[0-9a-f]{8}"),
        ("x" * 100, "", r"digits-x{20,}-[0-9a-f]{8}"),
    ],
)
def test_the_endpoint_is_named_for_project_and_stack(evaluate: Any, stack: str, prefix: str, name: str) -> None:
    existing = {"name_prefix": prefix} if prefix else {}
    found = evaluate(stack, existing=existing).outputs["endpoint_name"]
    assert re.fullmatch(name, found)
    assert len(found) <= 63


def test_stacks_whose_names_differ_in_signs_only_do_not_meet(evaluate: Any) -> None:
    names = [evaluate(stack).outputs["endpoint_name"] for stack in ("dev-a", "dev.a", "dev_a", "Dev-a")]
    assert len(set(names)) == 4


@pytest.mark.parametrize(
    ("settings", "model_changes", "configuration_changes"),
    [
        ({}, False, False),
        ({"tags": {"team": "vision"}}, False, False),
        ({"alarms": {"p99_ms": 5}}, False, False),
        ({"scaling": {"min": 1, "max": 9}}, False, False),
        ({"scaling": {"min": 2, "max": 9}}, False, False),
        ({"scaling": {"min": 2, "max": 2}}, False, True),
        ({"instance": "ml.c7i.xlarge"}, False, True),
        ({"instance": "ml.c7g.large"}, True, True),
        ({"timeouts": {"startup": 90}}, False, True),
        ({"timeouts": {"download": 90}}, False, True),
        ({"environment": {"OMP_NUM_THREADS": "1"}}, True, True),
        ({"network": {"isolation": False}}, True, True),
        ({"existing": {"role": f"arn:aws:iam::{ACCOUNT}:role/serving"}}, True, True),
        ({"capture": {"percent": 5}}, False, True),
        ({"network": {"vpc": "vpc-0a1b2c3d", "subnets": ["subnet-1"]}}, True, True),
        ({"capture": {"retention_days": 5}}, False, False),
        ({"encryption": {"key": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/abc"}}, False, True),
    ],
    ids=str,
)
def test_names_change_exactly_with_the_content(
    evaluate: Any, settings: dict[str, Any], model_changes: bool, configuration_changes: bool
) -> None:
    before, after = evaluate(), evaluate(**settings)

    def content(planned: Any) -> dict[str, Any]:
        """Without what is not its own: its name, its tags, and a count that autoscaling decides."""
        found = {**planned.inputs, "name": 0, "tags": 0}
        if COUNT in planned.ignores:
            variants = planned.inputs["productionVariants"]
            found["productionVariants"] = [{**each, "initialInstanceCount": 0} for each in variants]
        return found

    def changed(noun: str) -> bool:
        names = {plan.one(noun).inputs["name"] for plan in (before, after)}
        contents = {json.dumps(content(plan.one(noun)), sort_keys=True) for plan in (before, after)}
        assert (len(names) == 2) == (len(contents) == 2)
        return len(names) == 2

    assert changed("Model") == model_changes
    assert changed("EndpointConfiguration") == configuration_changes
    assert (before.outputs["revision"] != after.outputs["revision"]) == configuration_changes
    assert before.outputs["endpoint_name"] == after.outputs["endpoint_name"]


def test_another_bundle_is_another_model_and_revision(evaluate: Any, bundle: Any) -> None:
    bundle({"model.onnx": b"one"})
    before = evaluate()
    bundle({"model.onnx": b"two"})
    after = evaluate()
    assert before.one("Model").inputs["name"] != after.one("Model").inputs["name"]
    assert before.outputs["revision"] != after.outputs["revision"]
    bundle({"model.onnx": b"one"})
    assert evaluate().outputs["revision"] == before.outputs["revision"]


def test_equal_bounds_register_nothing_for_scaling(evaluate: Any) -> None:
    plan = evaluate(scaling={"min": 2, "max": 2}, instance="ml.t2.medium")
    assert not plan.of("Target")
    assert not plan.of("Policy")
    assert plan.one("EndpointConfiguration").inputs["productionVariants"][0]["initialInstanceCount"] == 2


@pytest.mark.parametrize(
    ("scaling", "metric", "target"),
    [
        ({}, "SageMakerVariantInvocationsPerInstance", 1000),
        ({"target": 250}, "SageMakerVariantInvocationsPerInstance", 250),
        ({"metric": "concurrency"}, "SageMakerVariantConcurrentRequestsPerModelHighResolution", 4),
    ],
)
def test_target_tracking_follows_the_settings(evaluate: Any, scaling: Any, metric: str, target: float) -> None:
    plan = evaluate(scaling={"min": 1, "max": 4, "scale_in_cooldown": 7, "scale_out_cooldown": 8, **scaling})
    bounds = plan.one("Target").inputs
    assert (bounds["minCapacity"], bounds["maxCapacity"]) == (1, 4)
    assert bounds["resourceId"] == "endpoint/digits-local/variant/main"
    policy = plan.one("Policy").inputs["targetTrackingScalingPolicyConfiguration"]
    assert policy["predefinedMetricSpecification"] == {"predefinedMetricType": metric}
    assert policy["targetValue"] == target
    assert (policy["scaleInCooldown"], policy["scaleOutCooldown"]) == (7, 8)


def test_what_exists_is_used_and_not_made(evaluate: Any) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/serving"
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/abc"
    plan = evaluate(existing={"role": role, "key": key, "bucket": "acme-models"})
    for noun in ("Role", "RolePolicy", "Key", "Alias", "Bucket", "BucketPolicy", "BucketPublicAccessBlock"):
        assert not plan.of(noun)
    assert plan.one("Model").inputs["executionRoleArn"] == role
    assert plan.one("EndpointConfiguration").inputs["kmsKeyArn"] == key
    assert plan.one("BucketObjectv2").inputs["bucket"] == "acme-models"
    assert plan.one("BucketObjectv2").inputs["kmsKeyId"] == key
    # A key whose policy is not ours may not let CloudWatch and SNS use it.
    assert "kmsKeyId" not in plan.one("LogGroup").inputs
    assert "kmsMasterKeyId" not in plan.one("Topic").inputs


def test_protection_covers_what_holds_data_and_traffic(evaluate: Any) -> None:
    protected = {each.name for each in evaluate(protect=True).resources if each.protect}
    assert protected == {"key", "bucket", "endpoint"}
    assert not [each for each in evaluate().resources if each.protect]
    assert evaluate().one("Bucket").inputs["forceDestroy"] is True
    assert not evaluate(protect=True).one("Bucket").inputs.get("forceDestroy")


def test_subscribers_by_kind(evaluate: Any) -> None:
    pager = f"arn:aws:sns:us-east-1:{ACCOUNT}:pager"
    plan = evaluate(alarms={"notify": ["b@example.com", pager, "a@example.com", "a@example.com"]})
    assert [each.inputs["endpoint"] for each in sorted(plan.of("TopicSubscription"), key=lambda each: each.name)] == [
        "a@example.com",
        "b@example.com",
    ]
    for alarm in plan.of("MetricAlarm"):
        assert alarm.inputs["alarmActions"] == [f"arn:aws:made:us-east-1:{ACCOUNT}:topic", pager]


@pytest.mark.parametrize(
    ("instance", "metric", "threshold"),
    [
        ("ml.c7i.large", "CPUUtilization", 160),
        ("ml.c7i.2xlarge", "CPUUtilization", 640),
        ("ml.g5.12xlarge", "GPUUtilization", 320),
    ],
)
def test_alarms_speak_the_units_of_the_metrics(evaluate: Any, instance: str, metric: str, threshold: float) -> None:
    plan = evaluate(instance=instance, alarms={"error_rate": 2, "p99_ms": 250, "saturation": 80})
    alarms = {each.name: each.inputs for each in plan.of("MetricAlarm")}
    assert alarms["alarm-latency"]["threshold"] == 250_000  # microseconds
    assert alarms["alarm-latency"]["extendedStatistic"] == "p99"
    assert (alarms["alarm-saturation"]["metricName"], alarms["alarm-saturation"]["threshold"]) == (metric, threshold)
    assert alarms["alarm-errors"]["threshold"] == 2
    returned = [query["id"] for query in alarms["alarm-errors"]["metricQueries"] if query.get("returnData")]
    assert returned == ["rate"]


@pytest.mark.parametrize(
    ("files", "settings", "runs"),
    [
        ({"model.onnx": b"m"}, {}, False),
        ({"model.onnx": b"m"}, {"network": {"isolation": False}}, False),
        ({"model.onnx": b"m", "code/requirements.txt": b"onnxruntime"}, {}, False),
        ({"model.onnx": b"m", "code/requirements.txt": b"onnxruntime"}, {"network": {"isolation": False}}, True),
        ({"model.onnx": b"m", "code/onnxruntime/__init__.py": b""}, {}, True),
        ({"model.onnx": b"m", "code/wheels/cp312-x86_64/onnxruntime/__init__.py": b""}, {}, True),
        ({"model.onnx": b"m", "code/wheels/cp312-aarch64/onnxruntime/__init__.py": b""}, {}, False),
        ({"model.onnx": b"m"}, {"existing": AWS["existing"]}, True),
    ],
    ids=str,
)
def test_a_container_without_its_runtime_is_refused_before_anything_is_made(
    evaluate: Any, bundle: Any, files: dict[str, bytes], settings: dict[str, Any], runs: bool
) -> None:
    stack = AWS | {"bundle": bundle(files), "existing": {}} | settings
    if runs:
        assert evaluate("prod", **stack).one("Model")
    else:
        with pytest.raises(PreflightFailed, match="onnxruntime"):
            evaluate("prod", **stack)


@pytest.mark.parametrize(
    ("layout", "file", "saved", "refusal"),
    [
        ("sklearn", "model.joblib", {"scikit-learn": "1.9.1"}, None),
        ("sklearn", "model.joblib", {"scikit-learn": "1.7.2"}, r"saved by scikit-learn 1\.7\.2, and .* has 1\.9"),
        ("pytorch", "model.pt2", {"torch": "2.6.0+cpu"}, None),
        ("pytorch", "model.pt2", {"torch": "2.15.0+cu132"}, r"saved by PyTorch 2\.15\.0\+cu132, and .* has 2\.6"),
        ("pytorch", "model.pt", {"torch": "2.15.0+cu132"}, None),
    ],
)
def test_a_model_that_another_version_saved_than_the_images_is_refused(
    evaluate: Any, bundle: Any, layout: str, file: str, saved: dict[str, str], refusal: str | None
) -> None:
    digest = bundle({file: b"m", "code/inference.py": b""}, layout=layout, metadata={"original": saved})
    stack = AWS | {"bundle": digest, "existing": {}}
    if refusal is None:
        image = evaluate("prod", **stack).one("Model").inputs["primaryContainer"]["image"]
        assert "sagemaker-scikit-learn:1.9-0" in image or "pytorch-inference:2.6.0" in image
    else:
        with pytest.raises(PreflightFailed, match=refusal):
            evaluate("prod", **stack)


def test_servers_without_our_code_are_told_the_models_name(evaluate: Any, bundle: Any) -> None:
    bundle({"digits/config.pbtxt": b"", "digits/1/model.onnx": b"m"}, layout="triton")
    container = evaluate().one("Model").inputs["primaryContainer"]
    assert container["environment"] == {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "digits"}


def test_a_layout_without_an_image_is_refused_by_name(evaluate: Any, bundle: Any) -> None:
    bundle(layout="abacus")
    with pytest.raises(Unsupported, match="abacus"):
        evaluate()


def test_the_key_carries_a_tag_that_finds_it_again(evaluate: Any) -> None:
    tags = [evaluate(stack).one("Key").inputs["tags"]["cloudmodel:urn"] for stack in ("local", "dev")]
    assert tags == ["digits/local/aws:kms/key:Key/key", "digits/dev/aws:kms/key:Key/key"]


def test_a_scalable_target_carries_the_tag_that_roles_know_it_by(evaluate: Any) -> None:
    modes: list[dict[str, Any]] = [
        {"scaling": {"min": 1, "max": 2}},
        {"mode": "serverless", "serverless": {"max_concurrency": 4, "provisioned": 1, "provisioned_max": 2}},
    ]
    targets = [evaluate(**mode).one("Target") for mode in modes]
    assert [target.inputs["tags"]["cloudmodel:urn"] for target in targets] == [
        f"digits/local/aws:appautoscaling/target:Target/{name}" for name in ("scaling-target", "provisioned-target")
    ]
    assert all(target.inputs["tags"]["owner"] for target in targets)
