"""A real local AWS in a process of its own, real workers behind it, boto3 as the client."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloudmodel.localaws import server
from cloudmodel.localaws.identity import Running

REGION = "eu-west-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
# A whole bundle's code: it answers what it was built with, fails, crashes and waits for a file on demand.
CODE = """
import json, os, sys, time
def model_fn(model_dir):
    print("loading", ANSWER, flush=True)
    return ANSWER
def input_fn(data, content_type):
    return data if isinstance(data, str) else data.decode()
def predict_fn(data, model):
    if data == "crash":
        os._exit(7)
    if data == "raise":
        raise RuntimeError("the model broke")
    if data == "bad":
        error = ValueError("three numbers were expected")
        error.status_code = 400
        raise error
    if data.startswith("sleep "):
        print("sleeping", flush=True)
        time.sleep(float(data.split()[1]))
    while data.startswith("/") and not os.path.exists(data):
        time.sleep(0.01)
    if data == "environment":
        return dict(os.environ)
    return model
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""


def archive(code: str, **files: str) -> bytes:
    """A plain SageMaker `model.tar.gz`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in {"code/inference.py": code, **files}.items():
            header = tarfile.TarInfo(name)
            header.size = len(content.encode())
            tar.addfile(header, io.BytesIO(content.encode()))
    return buffer.getvalue()


class Cloud:
    """A user of the local AWS."""

    REGION = REGION

    def __init__(self, running: Running, home: Path) -> None:
        self.running = running
        self.home = home
        self.s3 = self.client("s3")
        self.iam = self.client("iam")
        self.sagemaker = self.client("sagemaker")
        self.runtime = self.client("sagemaker-runtime")
        self.scaling = self.client("application-autoscaling")
        self.logs = self.client("logs")
        self.cloudwatch = self.client("cloudwatch")
        self._numbers = iter(range(10**6))

    def client(self, service: str, **config: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.running.endpoint_url,
            region_name=REGION,
            aws_access_key_id="anything",
            aws_secret_access_key="anything",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=16, **config),
        )

    def name(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"

    def role(self, trust: dict[str, Any] = TRUST) -> str:
        made = self.iam.create_role(RoleName=self.name("role"), AssumeRolePolicyDocument=json.dumps(trust))
        return str(made["Role"]["Arn"])

    def upload(self, content: bytes) -> str:
        bucket = self.name("bucket")
        self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_object(Bucket=bucket, Key="models/model.tar.gz", Body=content)
        return f"s3://{bucket}/models/model.tar.gz"

    def model(self, answer: Any = "one", code: str = CODE, **settings: Any) -> str:
        """A model whose endpoint answers `answer`."""
        name = self.name("model")
        url = self.upload(archive(f"ANSWER = {answer!r}\n{code}"))
        container = {"Image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/serve:1", "ModelDataUrl": url, **settings}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=self.role(), PrimaryContainer=container)
        return name

    def config(self, *models: str, **settings: Any) -> str:
        name = self.name("config")
        variants = [
            {
                "VariantName": f"v{number}",
                "ModelName": model,
                "InstanceType": "ml.c7i.large",
                "InitialInstanceCount": 1,
                **settings,
            }
            for number, model in enumerate(models)
        ]
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
        return name

    def endpoint(self, config: str, *, wait: bool = True) -> str:
        name = self.name("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        if wait:
            self.settled(name)
        return name

    def settled(self, name: str) -> dict[str, Any]:
        """What Describe says once the endpoint is in no transition any more."""
        described: dict[str, Any] = {}

        def is_settled() -> bool:
            described.update(self.sagemaker.describe_endpoint(EndpointName=name))
            return described["EndpointStatus"] not in ("Creating", "Updating")

        self.until(is_settled)
        return dict(self.sagemaker.describe_endpoint(EndpointName=name))

    def delete(self, name: str) -> None:
        self.sagemaker.delete_endpoint(EndpointName=name)
        waiter = self.sagemaker.get_waiter("endpoint_deleted")
        waiter.wait(EndpointName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200})

    def ask(self, name: str, body: str = "hello", **parameters: Any) -> Any:
        answer = self.runtime.invoke_endpoint(
            EndpointName=name, Body=body.encode(), ContentType="application/json", **parameters
        )
        return json.loads(answer["Body"].read())

    def refused(self, call: Callable[..., Any], **parameters: Any) -> dict[str, Any]:
        """The error that a call must end with."""
        with pytest.raises(ClientError) as caught:
            call(**parameters)
        return dict(caught.value.response)

    def until(self, condition: Callable[[], object], patience: float = 120) -> None:
        """Return when `condition` holds; fail after `patience` seconds."""
        deadline, pause = time.monotonic() + patience, threading.Event()
        while not condition():
            assert time.monotonic() < deadline, condition
            pause.wait(0.05)

    def heard(self, name: str, text: str) -> None:
        """Return when the logs of an endpoint hold `text`."""

        def is_heard() -> bool:
            try:
                events = self.logs.filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{name}")["events"]
            except self.logs.exceptions.ResourceNotFoundException:
                return False
            return any(text in event["message"] for event in events)

        self.until(is_heard)

    def report(self) -> dict[str, Any]:
        """What the local AWS tells of itself."""
        found = server.report(self.home)
        assert found is not None
        return found

    def clock(self, *, speed: float | None = None, forward: float = 0.0) -> float:
        """Set the local AWS's clock; what it shows then."""
        return server.set_clock(self.home, speed=speed, forward=forward)

    def stage(self, name: str) -> tuple[str, str] | None:
        """Status and message of the first variant of the deployment that is on its way; None where none is."""
        pending = self.sagemaker.describe_endpoint(EndpointName=name).get("PendingDeploymentSummary")
        if not pending:
            return None
        (status,) = pending["ProductionVariants"][0]["VariantStatus"]
        return status["Status"], status["StatusMessage"]

    def baking(self, name: str, message: str = "Baking") -> None:
        """Return when a deployment bakes, and says `message` of it."""
        self.until(lambda: (self.stage(name) or ("", ""))[1].startswith(message))

    def clear(self) -> None:
        """Delete all endpoints, so that their workers end; the clock goes as usual again."""
        self.clock(speed=1e5)
        for entry in self.sagemaker.list_endpoints()["Endpoints"]:
            name = entry["EndpointName"]
            if self.settled(name)["EndpointStatus"] != "Deleting":
                self.delete(name)
        self.clock(speed=1)


@pytest.fixture(scope="session")
def _shared() -> Iterator[Cloud]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "local"
        running = server.start(home, region=REGION, max_workers=4, options=["--invocation-timeout", "5"])
        yield Cloud(running, home)
        assert server.stop(home)


@pytest.fixture
def cloud(_shared: Cloud) -> Iterator[Cloud]:
    """The local AWS of all tests that do not harm it; no endpoint stands before or after a test."""
    yield _shared
    _shared.clear()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A place for a local AWS of a test's own; what runs there ends with the test."""
    yield tmp_path / "local"
    server.stop(tmp_path / "local")


@pytest.fixture
def cloud_at() -> type[Cloud]:
    """How a test talks to a local AWS of its own: `cloud_at(running, home)`."""
    return Cloud


@pytest.fixture
def packed() -> Callable[..., bytes]:
    """Makes a plain model archive of some code."""
    return archive


@pytest.fixture
def serving_code() -> str:
    """The code of the standard test bundle; it needs a line `ANSWER = …` before it."""
    return CODE
