"""Several bundles behind one endpoint: what each variant has of its own, what they share, and what AWS does not do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cloudmodel.bundle.manifest import Scan, Signature, Tensor
from cloudmodel.core.errors import PreflightFailed, UnsafeModel
from cloudmodel.program.standing import Standing

ALARMS = ("errors", "latency", "saturation")


@pytest.fixture
def pair(bundle: Callable[..., str]) -> tuple[str, str]:
    """The digests of two bundles."""
    return bundle({"model.onnx": b"old"}), bundle({"model.onnx": b"new"})


def variants(pair: tuple[str, str], *weights: float, **of_second: Any) -> list[dict[str, Any]]:
    named = [
        {"name": name, "weight": weight, "bundle": digest}
        for name, weight, digest in zip(("main", "next"), weights, pair, strict=False)
    ]
    named[-1] |= of_second
    return named


def test_each_variant_has_its_model_its_scaling_and_its_alarms(evaluate: Any, pair: tuple[str, str]) -> None:
    scaling = {"min": 2, "max": 4, "steps": [{"above": 2000, "add": 1}]}
    plan = evaluate(scaling={"min": 1, "max": 3}, variants=variants(pair, 90, 10, scaling=scaling))
    models = {
        each.inputs["primaryContainer"]["modelDataUrl"].rpartition("/")[2]: each.inputs["name"]
        for each in plan.of("Model")
    }
    configured = plan.one("EndpointConfiguration").inputs["productionVariants"]
    told = [(each["variantName"], each["initialVariantWeight"], each["initialInstanceCount"]) for each in configured]
    assert told == [("main", 90, 1), ("next", 10, 2)]
    archives = [f"{each.removeprefix('sha256:')}.tar.gz" for each in pair]
    assert [models.pop(each) for each in archives] == [each["modelName"] for each in configured]
    assert models == {}
    targets = {each.name: (each.inputs["resourceId"], each.inputs["maxCapacity"]) for each in plan.of("Target")}
    assert targets == {
        "scaling-target": ("endpoint/digits-local/variant/main", 3),
        "scaling-target.next": ("endpoint/digits-local/variant/next", 4),
    }
    assert {each.inputs["name"] for each in plan.of("Policy")} == {
        "digits-local-invocations", "digits-local.next-invocations", "digits-local.next-steps",
    }  # fmt: skip
    watching = {each.inputs["name"]: each.inputs for each in plan.of("MetricAlarm")}
    assert watching.keys() == {
        *(f"digits-local-{word}" for word in ALARMS), *(f"digits-local.next-{word}" for word in (*ALARMS, "steps")),
    }  # fmt: skip
    assert watching["digits-local.next-latency"]["dimensions"]["VariantName"] == "next"
    assert len(plan.of("BucketObjectv2")) == 2
    outputs = plan.outputs
    assert outputs["bundle_digest"] == pair[0]
    assert [(each["name"], each["weight"], each["bundle_digest"]) for each in outputs["variants"]] == [
        ("main", 90, pair[0]), ("next", 10, pair[1]),
    ]  # fmt: skip
    assert outputs["bundle_uri"] == outputs["variants"][0]["bundle_uri"]


def test_a_list_of_the_usual_variant_alone_is_what_a_stack_without_one_has(
    evaluate: Any, pair: tuple[str, str]
) -> None:
    plain = evaluate(bundle=pair[0])
    listed = evaluate(variants=variants(pair, 1.0))
    assert listed.normal() == plain.normal()
    assert "variants" not in plain.outputs
    assert {**listed.outputs, "variants": None} == {**plain.outputs, "variants": None}


def test_other_weights_are_another_configuration_and_nothing_else(evaluate: Any, pair: tuple[str, str]) -> None:
    one, other = (evaluate(variants=variants(pair, 90, weight)) for weight in (10, 30))
    changed = {(kind, name) for kind, name, *_ in set(map(asked, one.normal())) ^ set(map(asked, other.normal()))}
    assert {kind for kind, _ in changed} == {
        "aws:sagemaker/endpointConfiguration:EndpointConfiguration", "aws:sagemaker/endpoint:Endpoint",
    }  # fmt: skip
    assert one.outputs["revision"] != other.outputs["revision"]


def asked(row: tuple[Any, ...]) -> tuple[str, str, str]:
    return row[0], row[1], row[2]


def test_one_bundle_in_two_images_is_two_models_and_one_object(evaluate: Any, bundle: Callable[..., str]) -> None:
    digest = bundle()
    listed = [{"name": "x86", "weight": 1}, {"name": "arm", "weight": 1, "instance": "ml.c7g.large"}]
    plan = evaluate(bundle=digest, variants=listed)
    assert (len(plan.of("Model")), len(plan.of("BucketObjectv2"))) == (2, 1)
    (policy,) = (json.loads(each.inputs["policy"]) for each in plan.of("RolePolicy"))
    (image,) = (each["Resource"] for each in policy["Statement"] if each["Sid"] == "Image")
    used = {each.inputs["primaryContainer"]["image"].partition("/")[2].partition(":")[0] for each in plan.of("Model")}
    assert {each.partition("repository/")[2] for each in ([image] if isinstance(image, str) else image)} == used
    same = [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]
    assert len(evaluate(bundle=digest, variants=same).of("Model")) == 1


def test_alarms_of_every_variant_roll_an_update_back(evaluate: Any, pair: tuple[str, str]) -> None:
    rollout = {"strategy": "canary", "rollback_on": ["latency", "of another team"]}
    plan = evaluate(scaling={"min": 2}, rollout=rollout, variants=variants(pair, 90, 10))
    watched = plan.one("Endpoint").inputs["deploymentConfig"]["autoRollbackConfiguration"]["alarms"]
    assert [each["alarmName"] for each in watched] == [
        "digits-local-latency", "digits-local.next-latency", "of another team",
    ]  # fmt: skip


def test_a_watched_rollout_keeps_the_variants_that_stand(evaluate: Any, pair: tuple[str, str]) -> None:
    watched = {"scaling": {"min": 2}, "rollout": {"strategy": "canary"}}
    alone = Standing("digits-local-other", True, {"main": 2})
    with pytest.raises(PreflightFailed, match="has the variants main, and is to have main, next"):
        evaluate(standing=alone, variants=variants(pair, 90, 10), **watched)
    evaluate(standing=alone, variants=variants(pair, 1), **watched)
    both = Standing("digits-local-other", True, {"main": 3, "next": 2})
    plan = evaluate(standing=both, variants=variants(pair, 90, 10), **watched)
    counts = [each["initialInstanceCount"] for each in plan.one("EndpointConfiguration").inputs["productionVariants"]]
    assert counts == [2, 2]  # within the bounds, which end at 2: a fixed fleet
    evaluate(standing=alone, variants=variants(pair, 90, 10))


def test_each_bundle_must_have_proved_itself(evaluate: Any, bundle: Callable[..., str]) -> None:
    good, bad = bundle({"model.onnx": b"good"}), bundle({"model.onnx": b"bad"}, scan=Scan(verdict="unsafe"))
    with pytest.raises(UnsafeModel, match="unsafe"):
        evaluate(variants=variants((good, bad), 90, 10))


def test_variants_answer_the_same_requests(evaluate: Any, bundle: Callable[..., str]) -> None:
    image = Tensor(name="image", dtype="float32", shape=("batch", 64))
    larger = Tensor(name="image", dtype="float32", shape=("batch", 100))
    one = bundle({"model.onnx": b"one"})
    other = bundle({"model.onnx": b"two"}, signature=Signature(inputs=(larger,), outputs=(image,)))
    with pytest.raises(PreflightFailed, match=r"next does not answer what main answers: input image: shape"):
        evaluate(variants=variants((one, other), 90, 10))


def test_the_dashboard_has_rows_for_each_variant(evaluate: Any, pair: tuple[str, str]) -> None:
    plan = evaluate(variants=variants(pair, 90, 10))
    shown = json.loads(plan.one("Dashboard").inputs["dashboardBody"])["widgets"]
    latency = {each["properties"]["title"]: each for each in shown if "Latency" in each["properties"]["title"]}
    assert latency.keys() == {"main: Latency in microseconds", "next: Latency in microseconds"}
    lines = latency["next: Latency in microseconds"]["properties"]["metrics"]
    assert all(line[2:-1] == ["EndpointName", "digits-local", "VariantName", "next"] for line in lines)
    places = [(each["x"], each["y"]) for each in shown]
    assert len(set(places)) == len(places)
