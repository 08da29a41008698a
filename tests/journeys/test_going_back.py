"""Drift, status and rollback of a stack, as whole commands against a real local AWS."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud import EXPIRED, ONE_OF_EACH, Cloud, order_faults
from cloudmodel.engine.holder import me
from cloudmodel.localaws.server import status as local_status
from shell import Shell
from traffic import revise

THROTTLED = {"service": "sagemaker", "operation": "DescribeEndpoint", "code": "ThrottlingException"}
DENIED = {"service": "sagemaker", "operation": "DescribeModel", "code": "AccessDeniedException", "status": 403}


def cloud_of(shell: Shell) -> Cloud:
    status = shell.json("local", "status")
    return Cloud(status["endpoint_url"], status["region"])


def up(shell: Shell) -> dict[str, Any]:
    shell.json("up", "--yes")
    outputs: dict[str, Any] = shell.json("outputs")["outputs"]
    return outputs


def second(shell: Shell) -> dict[str, Any]:
    revise(shell.folder / "models/digits.onnx")
    shell.json("package")
    return up(shell)


@pytest.fixture
def stack(digits: Shell) -> Shell:
    """A shell in the project whose stack `local` stands."""
    shell = Shell(digits.folder, digits.environment | {"CLOUDMODEL_STACK": "local"})
    up(shell)
    return shell


def test_drift_names_what_others_changed_and_reading_changes_nothing(stack: Shell) -> None:
    cloud, running = cloud_of(stack), local_status(stack.folder / ".cloudmodel/local")
    assert running is not None
    checkpoint = stack.folder / ".cloudmodel/stacks/local/checkpoint.json"
    before = checkpoint.read_bytes()
    clean = stack.json("drift")
    assert (clean["infrastructure"], clean["serving"], clean["verdict"]) == ([], [], "none")

    # What autoscaling decides is no drift; what somebody typed into a console is.
    sagemaker = cloud.client("sagemaker")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="digits-local", DesiredWeightsAndCapacities=[{"VariantName": "main", "DesiredInstanceCount": 2}]
    )
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="digits-local", WaiterConfig={"Delay": 1})
    assert stack.json("drift")["verdict"] == "none"
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName="digits-local-latency", Namespace="AWS/SageMaker", MetricName="ModelLatency",
        Period=60, ExtendedStatistic="p99", Threshold=9e9, EvaluationPeriods=5, DatapointsToAlarm=3,
        ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching",
    )  # fmt: skip
    cloud.client("logs").delete_log_group(logGroupName="/aws/sagemaker/Endpoints/digits-local")
    served = sagemaker.describe_endpoint(EndpointName="digits-local")["EndpointConfigName"]
    variants = sagemaker.describe_endpoint_config(EndpointConfigName=served)["ProductionVariants"]
    sagemaker.create_endpoint_config(EndpointConfigName="by-hand", ProductionVariants=variants)
    sagemaker.update_endpoint(EndpointName="digits-local", EndpointConfigName="by-hand")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="digits-local", WaiterConfig={"Delay": 1})

    # A fault on every call that changes anything proves that none is made.
    changing = [{"operation": name, "code": "Mutation"} for name in MUTATIONS]
    order_faults(running, *changing)
    found = stack.json("drift", code=11)
    order_faults(running)
    assert found["verdict"] == "drift"
    places = {(item["urn"].rsplit("::", 1)[-1], item["property"]) for item in found["infrastructure"]}
    assert {("logs", "id"), ("alarm-latency", "threshold"), ("endpoint", "endpointConfigName")} <= places
    assert all(set(item) == {"urn", "property", "state", "live"} for item in found["infrastructure"])
    assert [(each["property"], each["state"], each["live"]) for each in found["serving"]] == [
        ("configuration", served, "by-hand")
    ]
    assert checkpoint.read_bytes() == before

    told = stack.run("drift")
    assert told.returncode == 11
    assert b"cloudmodel up --refresh" in told.stderr


MUTATIONS = (
    "CreateEndpoint", "UpdateEndpoint", "DeleteEndpoint", "CreateModel", "DeleteModel", "CreateEndpointConfig",
    "DeleteEndpointConfig", "PutMetricAlarm", "DeleteAlarms", "CreateLogGroup", "DeleteLogGroup", "PutObject",
    "DeleteObject", "CreateBucket", "PutRolePolicy", "CreateRole", "RegisterScalableTarget", "AddTags",
)  # fmt: skip


def test_a_read_that_is_refused_is_an_error_and_never_gone(stack: Shell) -> None:
    running = local_status(stack.folder / ".cloudmodel/local")
    assert running is not None
    for rule, code in ((THROTTLED, 4), (DENIED, 4), (EXPIRED, 3)):
        order_faults(running, rule)
        told = stack.json("drift", code=code)
        order_faults(running)
        assert "infrastructure" not in told
    assert stack.json("drift")["verdict"] == "none"


def test_status_is_one_screen_and_says_what_stands(stack: Shell) -> None:
    outputs = stack.json("outputs")["outputs"]
    told = stack.json("status")
    assert (told["status"], told["revision"]) == ("InService", outputs["revision"])
    assert told["variants"] == [{"name": "main", "weight": 1, "instances": 1, "wanted": 1}]
    assert {alarm["name"].rsplit("-", 1)[-1] for alarm in told["alarms"]} == {"errors", "latency", "saturation"}
    assert [event["kind"] for event in told["events"]] == ["up"]
    screen = stack.run("status").stdout.decode()
    assert outputs["revision"] in screen
    assert len(screen.splitlines()) <= 24
    cloud_of(stack).client("sagemaker").delete_endpoint(EndpointName="digits-local")
    assert stack.json("status")["status"] in ("Deleting", "gone")


def test_a_rollback_needs_no_program_and_is_a_revision_itself(stack: Shell) -> None:
    first = stack.json("outputs")["outputs"]
    assert second(stack)["revision"] != first["revision"]
    program = (stack.folder / "__main__.py").read_text()
    (stack.folder / "__main__.py").unlink()
    lock = stack.folder / ".cloudmodel/stacks/local/lock"
    # A job of another machine, which a sign of life tells from one that was killed: --yes never breaks a live one's.
    job = replace(me(7, "up"), host="runner-41", owner="ci")
    assert job.host != socket.gethostname()
    lock.write_text(json.dumps(asdict(job)))
    refused = stack.json("rollback", "--yes", code=16)
    assert "up by ci on runner-41 (pid" in refused["message"] and ", for " in refused["message"]
    assert refused["hint"].startswith("wait for it; it is over after 5 min without a sign of life")
    # A version that gave none has to be named, unless no job's credentials last as long.
    lock.write_text(json.dumps(asdict(replace(job, beats=False))))
    named = f"cloudmodel state unlock --stack local --id {job.id}"
    assert named in stack.json("rollback", "--yes", code=16)["hint"]
    lock.write_text(json.dumps(asdict(job)))
    killed = time.time() - 400
    os.utime(lock, (killed, killed))
    assert b"no terminal" in stack.run("rollback").stderr

    pipeline = {
        "GITHUB_ACTOR": "anna", "GITHUB_SERVER_URL": "https://ci.example", "GITHUB_REPOSITORY": "a/b",
        "GITHUB_RUN_ID": "9", "GITHUB_SHA": "1f" * 20,
    }  # fmt: skip
    done = Shell(stack.folder, stack.environment | pipeline).run("rollback", "--yes", "--json", "-m", "bad answers")
    assert done.returncode == 0, done.stderr.decode()
    assert "ci on runner-41" in done.stderr.decode() and "last sign of life 6 min ago" in done.stderr.decode()
    document = json.loads(done.stdout)
    assert document["calls"] == [
        "s3 PutObject", "sagemaker CreateModel", "sagemaker CreateEndpointConfig", "sagemaker UpdateEndpoint",
        "sagemaker DeleteEndpointConfig", "sagemaker DeleteModel", "s3 DeleteObject",
    ]  # fmt: skip
    for call in document["calls"]:
        assert f"AWS: {call}" in done.stderr.decode()
    assert stack.json("outputs")["outputs"] == first
    assert first["bundle_digest"] in document["next"]
    assert cloud_of(stack).inventory() == ONE_OF_EACH
    assert stack.json("drift")["verdict"] == "none"

    entry = stack.json("history")["updates"][0]
    assert (entry["kind"], entry["result"], entry["message"]) == ("rollback", "succeeded", "bad answers")
    assert (entry["bundle"], entry["revision"]) == (first["bundle_digest"], first["revision"])
    assert entry["environment"]["actor"] == "anna"
    assert entry["environment"]["git.commit"] == "1f" * 20
    assert entry["environment"]["ci"] == "https://ci.example/a/b/actions/runs/9"
    assert entry["started"] <= entry["ended"]

    image = stack.folder / "image.npy"
    np.save(image, np.full((1, 1, 8, 8), 7.0, np.float32))
    assert stack.json("invoke", "--input", str(image))["status"] == 200

    # The program goes forward again, unless the older bundle is pinned.
    (stack.folder / "__main__.py").write_text(program)
    assert stack.json("preview")["summary"]["create"] == 3
    settings = stack.folder / "Pulumi.local.yaml"
    settings.write_text(settings.read_text() + f"  cloudmodel:bundle: {first['bundle_digest']}\n")
    stack.json("up", "--yes", "--expect-no-changes")
    forward = stack.json("rollback", "--yes", "--to", "2")
    assert forward["outputs"]["revision"] != first["revision"]


def test_a_rollback_refuses_what_it_cannot_do_and_keeps_the_meaning_of_the_codes(stack: Shell) -> None:
    assert "no revision before" in stack.json("rollback", "--yes", code=2)["message"]
    assert "'99'" in stack.json("rollback", "--yes", "--to", "99", code=2)["message"]
    now = second(stack)
    lock = stack.folder / ".cloudmodel/stacks/local/lock"
    lock.write_text(json.dumps(asdict(me(3, "up"))))  # this very process, which lives
    assert stack.json("rollback", "--yes", code=16)["hint"] == "wait for it"
    lock.unlink()

    running = local_status(stack.folder / ".cloudmodel/local")
    assert running is not None
    order_faults(running, {"service": "sagemaker", "operation": "UpdateEndpoint", "code": "ValidationException"})
    assert stack.json("rollback", "--yes", code=4)["error"] == "OperationFailed"
    order_faults(running)
    assert stack.json("outputs")["outputs"] == now
    assert stack.json("drift")["verdict"] == "none"

    stored = next(Path(stack.folder, ".cloudmodel/bundles").rglob(f"*{first_digest(stack)}*"))
    moved = stored.rename(stored.with_name("elsewhere"))
    assert "no bundle" in stack.json("rollback", "--yes", code=2)["message"]
    moved.rename(stored)
    assert stack.json("rollback", "--yes")["summary"]["delete"] == 3
    assert stack.json("drift")["verdict"] == "none"


def first_digest(stack: Shell) -> str:
    """The hex digits of the bundle that the first update deployed."""
    digest: str = stack.json("history")["updates"][-1]["bundle"]
    return digest.removeprefix("sha256:")
