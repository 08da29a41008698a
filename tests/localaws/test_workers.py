"""Worker processes: shared, bounded, restarted, ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from cloudmodel.localaws.endpoints import startup_timeout
from cloudmodel.localaws.workers import Order, Pool


def workers(cloud: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud.report()["workers"]
    return found


def test_endpoints_of_one_bundle_share_a_worker_until_the_last_goes(cloud: Any) -> None:
    model = cloud.model()
    first, second = (cloud.endpoint(cloud.config(model)) for _ in range(2))
    (worker,) = workers(cloud)
    assert (worker["users"], worker["state"]) == (2, "ready")
    assert worker["memory_bytes"] > 0
    cloud.delete(first)
    assert [entry["pid"] for entry in workers(cloud)] == [worker["pid"]]
    assert cloud.ask(second) == "one"
    cloud.delete(second)
    assert workers(cloud) == []
    assert not psutil.pid_exists(worker["pid"])


def test_another_environment_is_another_worker(cloud: Any) -> None:
    url = cloud.upload(cloud_archive(cloud))
    for mode in ("a", "b"):
        container = {"Image": "serve:1", "ModelDataUrl": url, "Environment": {"MODE": mode}}
        name = cloud.name("model")
        cloud.sagemaker.create_model(ModelName=name, ExecutionRoleArn=cloud.role(), PrimaryContainer=container)
        assert cloud.ask(cloud.endpoint(cloud.config(name)), "environment")["MODE"] == mode
    assert len({worker["pid"] for worker in workers(cloud)}) == 2
    assert len({worker["digest"] for worker in workers(cloud)}) == 1


def cloud_archive(cloud: Any) -> bytes:
    url = cloud.sagemaker.describe_model(ModelName=cloud.model())["PrimaryContainer"]["ModelDataUrl"]
    bucket, _, key = url.removeprefix("s3://").partition("/")
    content: bytes = cloud.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def test_more_bundles_than_workers_fail_with_the_reason(cloud: Any) -> None:
    names = [cloud.endpoint(cloud.config(cloud.model(number)), wait=False) for number in range(4)]
    assert {cloud.settled(name)["EndpointStatus"] for name in names} == {"InService"}
    described = cloud.settled(cloud.endpoint(cloud.config(cloud.model("one too many"))))
    assert described["EndpointStatus"] == "Failed"
    assert "all 4 worker processes" in described["FailureReason"]
    cloud.delete(names[0])
    assert cloud.settled(cloud.endpoint(cloud.config(cloud.model("fits"))))["EndpointStatus"] == "InService"


def test_a_crash_is_a_model_error_and_the_worker_comes_back(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model("alive")))
    (before,) = workers(cloud)
    error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=b"crash")
    assert error["Error"]["Code"] == "ModelError"
    cloud.until(lambda: workers(cloud)[0]["restarts"] == 1)
    assert cloud.ask(name) == "alive"  # it waits for the start
    (after,) = workers(cloud)
    assert after["pid"] != before["pid"]
    assert after["restarts"] == 1
    assert cloud.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    cloud.heard(name, "ended with exit code 7")


def test_a_worker_that_keeps_dying_is_given_up(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model()))

    def is_given_up() -> bool:
        error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=b"crash")
        assert error["Error"]["Code"] == "ModelError"
        return bool(workers(cloud)[0]["state"] == "failed")

    cloud.until(is_given_up)
    assert workers(cloud)[0]["restarts"] == 3
    error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=b"hello")
    assert error["OriginalStatusCode"] == 0


def test_a_killed_worker_comes_back(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model("back")))
    (worker,) = workers(cloud)
    os.kill(worker["pid"], signal.SIGKILL)
    cloud.until(lambda: workers(cloud)[0]["restarts"] == 1)
    assert cloud.ask(name) == "back"


def test_the_output_of_a_worker_stands_in_the_logs_of_each_endpoint(cloud: Any) -> None:
    model = cloud.model("spoken")
    for name in [cloud.endpoint(cloud.config(model)) for _ in range(2)]:
        cloud.heard(name, "loading spoken")
        (stream,) = cloud.logs.describe_log_streams(logGroupName=f"/aws/sagemaker/Endpoints/{name}")["logStreams"]
        assert stream["logStreamName"].startswith("v0/i-")
    (folder,) = (path for path in (cloud.home / "workers").iterdir() if (path / "model").exists())
    assert "loading spoken" in (folder / "output.log").read_text()


SILENT = """
import sys, threading
print("I shall never answer", flush=True)
threading.Event().wait()
"""


def test_a_worker_that_never_turns_healthy_is_ended_in_time(tmp_path: Path) -> None:
    def unpack(folder: Path) -> None:
        (folder / "code").mkdir(parents=True)
        (folder / "code" / "inference.py").write_text(SILENT)

    pool = Pool(tmp_path, most=1, region="eu-west-1")
    worker = pool.acquire(Order("sha256:0", unpack, startup_timeout=1.5))
    reason = worker.wait(30)
    assert reason is not None
    assert reason.startswith("I shall never answer")
    assert "no healthy /ping within 1.5 seconds" in reason
    pool.release(worker)
    assert worker.pid is None
    assert pool.describe() == []
    pool.close()


@pytest.mark.parametrize(("asked", "used"), [(None, 240.0), (60, 60), (3600, 3600)])
def test_the_startup_timeout_of_a_variant_is_the_workers(asked: int | None, used: float) -> None:
    assert startup_timeout({} if asked is None else {"ContainerStartupHealthCheckTimeoutInSeconds": asked}) == used
