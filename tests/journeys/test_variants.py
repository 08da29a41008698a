"""Two bundles behind one endpoint: shares by weight, other weights, one goes; boto3 counts answers and what stands."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from cloud import NOTHING, ONE_OF_EACH, Cloud
from shell import Shell
from traffic import revise

PAIR = {"models": 2, "targets": 2, "policies": 2, "alarms": 6}
BODY = json.dumps({"inputs": {"image": np.full((1, 1, 8, 8), 7.0).tolist()}})


def settings(shell: Shell, **weights: tuple[float, str]) -> None:
    """The stack's variants from now on: each weight and bundle by name."""
    listed = "".join(
        f"    - {{name: {name}, weight: {weight}, bundle: {bundle}}}\n" for name, (weight, bundle) in weights.items()
    )
    text = f"config:\n  cloudmodel:target: local\n  aws:region: us-east-1\n  cloudmodel:variants:\n{listed}"
    (shell.folder / "Pulumi.local.yaml").write_text(text)


def asked(cloud: Cloud, count: int) -> tuple[Counter[str], set[str]]:
    """How many of `count` requests each variant answered, and the different answers."""
    runtime, who, what = cloud.client("sagemaker-runtime"), Counter[str](), set()
    for _ in range(count):
        answer = runtime.invoke_endpoint(EndpointName="digits-local", ContentType="application/json", Body=BODY)
        who[answer["InvokedProductionVariant"]] += 1
        what.add(answer["Body"].read().decode())
    return who, what


def test_two_bundles_share_the_requests_by_weight_until_one_goes(digits: Shell) -> None:
    shell = Shell(digits.folder, digits.environment | {"CLOUDMODEL_STACK": "local"})
    old = shell.json("package")["digest"]
    revise(shell.folder / "models/digits.onnx")
    new = shell.json("package")["digest"]

    settings(shell, main=(90, old), challenger=(10, new))
    done = shell.json("up", "--yes")
    assert [each["bundle_digest"] for each in done["outputs"]["variants"]] == [old, new]
    assert done["outputs"]["bundle_digest"] == old
    status = shell.json("local", "status")
    cloud = Cloud(status["endpoint_url"], status["region"])
    assert cloud.inventory() == ONE_OF_EACH | PAIR
    who, what = asked(cloud, 100)
    assert who == {"main": 90, "challenger": 10}
    assert len(what) == 2
    (shell.folder / "image.json").write_text(BODY)
    assert shell.json("invoke", "--input", "image.json")["variant"] in who
    seen = shell.json("status")
    assert seen["bundles"] == {"main": old, "challenger": new}
    assert [(each["name"], each["weight"], each["instances"]) for each in seen["variants"]] == [
        ("main", 90, 1), ("challenger", 10, 1),
    ]  # fmt: skip
    assert len(seen["alarms"]) == 6

    # Somebody moves the weights by hand: it is told, and no update undoes it in silence.
    sagemaker = cloud.client("sagemaker")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="digits-local", DesiredWeightsAndCapacities=[{"VariantName": "challenger", "DesiredWeight": 0}]
    )
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="digits-local", WaiterConfig={"Delay": 1})
    (moved,) = shell.json("drift", code=11)["serving"]
    assert (moved["property"], moved["state"], moved["live"]) == ("weight", 10, 0)
    warned = shell.json("up", "--yes", "--expect-no-changes")["warnings"]
    assert any("gives challenger the weight 0, not 10" in each for each in warned)

    # Other weights are another revision: the endpoint moves to it, models and scaling stay.
    settings(shell, main=(1, old), challenger=(1, new))
    steps = {(each["op"], each["name"].partition("-")[0]) for each in shell.json("up", "--yes")["steps"]}
    assert {each for each in steps if each[0] != "same"} == {
        ("create", "configuration"), ("update", "endpoint"), ("delete", "configuration"),
    }  # fmt: skip
    assert asked(cloud, 20)[0] == {"main": 10, "challenger": 10}

    # A variant that scales is taken off before it goes, as AWS wants it.
    settings(shell, main=(1, new))
    shell.json("up", "--yes")
    assert cloud.inventory() == ONE_OF_EACH
    assert asked(cloud, 3)[0] == {"main": 3}
    shell.json("up", "--yes", "--expect-no-changes", "--refresh")

    # Back to where both served, by what the state remembers alone.
    went = shell.json("rollback", "--yes")
    assert "weight 1 in challenger" in went["next"]
    assert cloud.inventory() == ONE_OF_EACH | PAIR
    assert asked(cloud, 20)[0] == {"main": 10, "challenger": 10}
    shell.json("destroy", "--yes")
    assert cloud.inventory() == NOTHING
