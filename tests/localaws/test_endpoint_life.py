"""Endpoints come up when a worker really serves, move without a failed request, and go."""

from __future__ import annotations

import threading
from typing import Any

import pytest


def test_creating_becomes_in_service_when_the_worker_answers(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model("one")), wait=False)
    assert cloud.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating"
    refusal = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=b"x")
    assert refusal["Error"]["Code"] == "ValidationError"
    waiter = cloud.sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200})
    described = cloud.sagemaker.describe_endpoint(EndpointName=name)
    (variant,) = described["ProductionVariants"]
    assert variant["VariantName"] == "v0"
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    assert (variant["CurrentWeight"], variant["DesiredWeight"]) == (1.0, 1.0)
    assert variant["DeployedImages"][0]["SpecifiedImage"].endswith("/serve:1")
    assert "FailureReason" not in described
    assert "DataCaptureConfig" not in described
    assert cloud.ask(name) == "one"


def test_failed_with_the_workers_own_error_line(cloud: Any) -> None:
    model = cloud.model(code="raise ImportError('no module named imaginary')")
    name = cloud.endpoint(cloud.config(model))
    described = cloud.settled(name)
    assert described["EndpointStatus"] == "Failed"
    assert "ImportError: no module named imaginary" in described["FailureReason"]
    assert "did not pass the ping health check" in described["FailureReason"]
    group = f"/aws/sagemaker/Endpoints/{name}"
    events = cloud.logs.filter_log_events(logGroupName=group)["events"]
    assert any("no module named imaginary" in event["message"] for event in events)
    assert cloud.refused(cloud.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=cloud.config(model))


def test_failed_when_the_model_data_went_away(cloud: Any) -> None:
    model = cloud.model()
    url = cloud.sagemaker.describe_model(ModelName=model)["PrimaryContainer"]["ModelDataUrl"]
    bucket, _, key = url.removeprefix("s3://").partition("/")
    cloud.s3.delete_object(Bucket=bucket, Key=key)
    described = cloud.settled(cloud.endpoint(cloud.config(model)))
    assert described["EndpointStatus"] == "Failed"
    assert url in described["FailureReason"]


def test_failed_for_an_archive_that_is_none(cloud: Any) -> None:
    model = cloud.name("model")
    container = {"Image": "serve:1", "ModelDataUrl": cloud.upload(b"not an archive")}
    cloud.sagemaker.create_model(ModelName=model, ExecutionRoleArn=cloud.role(), PrimaryContainer=container)
    described = cloud.settled(cloud.endpoint(cloud.config(model)))
    assert described["EndpointStatus"] == "Failed"
    assert "Archive refused" in described["FailureReason"]


def test_update_under_load_fails_no_request(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model("old")))
    old = cloud.sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    stop = threading.Event()
    answers: list[str] = []
    failures: list[BaseException] = []

    def client() -> None:
        while not stop.is_set():
            try:
                answers.append(cloud.ask(name))
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    config = cloud.config(cloud.model("new"))
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    during = cloud.sagemaker.describe_endpoint(EndpointName=name)
    refusal = cloud.refused(cloud.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config)
    described = cloud.settled(name)
    seen = len(answers)
    cloud.until(lambda: len(answers) >= seen + 40 or failures)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert (during["EndpointStatus"], during["EndpointConfigName"]) == ("Updating", old)
    assert "Cannot update in-progress endpoint" in refusal["Error"]["Message"]
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", config)
    assert set(answers) == {"old", "new"}
    assert answers[-20:] == ["new"] * 20


def test_update_to_a_model_that_does_not_come_up_stays_on_the_old(cloud: Any) -> None:
    old = cloud.config(cloud.model("old"))
    name = cloud.endpoint(old)
    broken = cloud.config(cloud.model(code="raise ValueError('weights are missing')"))
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    described = cloud.settled(name)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", old)
    assert "ValueError: weights are missing" in described["FailureReason"]
    assert cloud.ask(name) == "old"
    good = cloud.config(cloud.model("good"))
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=good)
    described = cloud.settled(name)
    assert described["EndpointConfigName"] == good
    assert "FailureReason" not in described
    assert cloud.ask(name) == "good"


def test_a_request_that_runs_is_finished_by_the_old_worker(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model("old")))
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(cloud.ask(name, "sleep 3")))
    slow.start()
    cloud.heard(name, "sleeping")
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=cloud.config(cloud.model("new")))
    assert cloud.settled(name)["EndpointStatus"] == "InService"
    assert cloud.ask(name) == "new"
    slow.join()
    assert answers == ["old"]


def test_weights_and_capacities_are_honoured(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model("a"), cloud.model("b")))
    assert {cloud.ask(name) for _ in range(60)} == {"a", "b"}
    assert cloud.ask(name, TargetVariant="v1") == "b"
    cloud.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "v0", "DesiredWeight": 0.0},
            {"VariantName": "v1", "DesiredInstanceCount": 3},
        ],
    )
    first, second = cloud.settled(name)["ProductionVariants"]
    assert (first["CurrentWeight"], first["CurrentInstanceCount"]) == (0.0, 1)
    assert (second["CurrentWeight"], second["CurrentInstanceCount"], second["DesiredInstanceCount"]) == (1.0, 3, 3)
    assert {cloud.ask(name) for _ in range(40)} == {"b"}
    assert cloud.ask(name, TargetVariant="v0") == "a"


@pytest.mark.parametrize(
    ("retain", "excluded", "count"), [(True, [], 3), (False, [], 1), (True, ["DesiredInstanceCount"], 1)]
)
def test_an_update_keeps_capacities_where_it_is_asked_to(
    cloud: Any, retain: bool, excluded: list[str], count: int
) -> None:
    model = cloud.model()
    name = cloud.endpoint(cloud.config(model))
    cloud.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "v0", "DesiredInstanceCount": 3}]
    )
    cloud.settled(name)
    cloud.sagemaker.update_endpoint(
        EndpointName=name,
        EndpointConfigName=cloud.config(model),
        RetainAllVariantProperties=retain,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": kind} for kind in excluded],
    )
    (variant,) = cloud.settled(name)["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (count, count)


def test_delete_shows_deleting_and_frees_the_name(cloud: Any) -> None:
    config = cloud.config(cloud.model())
    name = cloud.endpoint(config)
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(cloud.ask(name, "sleep 1")))
    slow.start()
    cloud.heard(name, "sleeping")
    cloud.delete(name)
    slow.join()
    assert answers == ["one"]
    missing = cloud.refused(cloud.sagemaker.describe_endpoint, EndpointName=name)
    assert "Could not find endpoint" in missing["Error"]["Message"]
    gone = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=b"x")
    assert gone["Error"]["Code"] == "ValidationError"
    cloud.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert cloud.settled(name)["EndpointStatus"] == "InService"


def test_an_endpoint_that_is_being_created_cannot_be_deleted_yet(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model()), wait=False)
    refusal = cloud.refused(cloud.sagemaker.delete_endpoint, EndpointName=name)
    assert "Cannot update in-progress endpoint" in refusal["Error"]["Message"]
    assert cloud.settled(name)["EndpointStatus"] == "InService"


def test_a_taken_name_is_refused(cloud: Any) -> None:
    model = cloud.model()
    config = cloud.config(model)
    name = cloud.endpoint(config, wait=False)
    taken = cloud.refused(cloud.sagemaker.create_endpoint, EndpointName=name, EndpointConfigName=config)
    assert "Cannot create already existing endpoint" in taken["Error"]["Message"]


def test_model_data_may_be_files_under_a_prefix(cloud: Any, serving_code: str) -> None:
    bucket = cloud.upload(b"x").split("/")[2]
    cloud.s3.put_object(Bucket=bucket, Key="plain/code/inference.py", Body=f"ANSWER = 'plain'\n{serving_code}".encode())
    cloud.s3.put_object(Bucket=bucket, Key="plainly-not/code/inference.py", Body=b"raise ValueError")
    source = {"S3Uri": f"s3://{bucket}/plain/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    name = cloud.name("model")
    cloud.sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=cloud.role(),
        PrimaryContainer={"Image": "serve:1", "ModelDataSource": {"S3DataSource": source}},
    )
    assert cloud.ask(cloud.endpoint(cloud.config(name))) == "plain"


def test_an_image_without_model_data_cannot_be_served_here(cloud: Any) -> None:
    name = cloud.name("model")
    cloud.sagemaker.create_model(ModelName=name, ExecutionRoleArn=cloud.role(), PrimaryContainer={"Image": "serve:1"})
    described = cloud.settled(cloud.endpoint(cloud.config(name)))
    assert described["EndpointStatus"] == "Failed"
    assert "runs bundles, not images" in described["FailureReason"]


def test_deleting_during_an_update_ends_in_deletion(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model("old")))
    cloud.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=cloud.config(cloud.model("new")))
    cloud.delete(name)
    assert cloud.sagemaker.list_endpoints()["Endpoints"] == []
    cloud.until(lambda: not cloud.report()["workers"])


def test_many_endpoints_at_once_all_come_up(cloud: Any) -> None:
    config = cloud.config(cloud.model("shared"))
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(cloud.endpoint(config))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [cloud.ask(name) for name in names] == ["shared"] * 12
    assert len(cloud.report()["workers"]) == 1
    described = {entry["name"]: entry for entry in cloud.report()["endpoints"]}
    assert described.keys() == set(names)
    assert {entry["status"] for entry in described.values()} == {"InService"}
