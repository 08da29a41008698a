"""Models of others on endpoints of the local AWS: packaged from their own format, asked through InvokeEndpoint."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from cloudmodel.bundle.store import open_store
from cloudmodel.localaws import server
from cloudmodel.serving.package import ModelSource, package
from shell import Shell

NOBODY = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


@dataclass(frozen=True)
class Endpoint:
    """A model that stands: what `package` said of it, and its address."""

    package: dict[str, Any]
    name: str
    client: Any

    def rows(self, instances: list[Any]) -> list[Any]:
        """The predictions for some rows, in one request."""
        answer = self.client.invoke_endpoint(
            EndpointName=self.name, ContentType="application/json", Body=json.dumps({"instances": instances})
        )
        predictions: list[Any] = json.loads(answer["Body"].read())["predictions"]
        return predictions


Stand = Callable[[str], Endpoint]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty folder that becomes the project; put the model there."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def stand(tmp_path: Path, project: Path) -> Iterator[Stand]:
    """Package what is in the project's folder by these settings, and let it stand on the local AWS."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_"))}
    shell = Shell(project, kept)

    def start(settings: str) -> Endpoint:
        assert Shell(tmp_path, kept).run("init", "blank", "--template", "blank").returncode == 0
        for each in (tmp_path / "blank").iterdir():
            if not (project / each.name).exists():
                each.rename(project / each.name)
        (project / "cloudmodel.yaml").write_text(settings)
        packaged = shell.json("package")
        up = shell.json("up", "--yes")
        address = shell.json("local", "status")
        client = boto3.client(
            "sagemaker-runtime", endpoint_url=address["endpoint_url"], region_name=address["region"], **NOBODY
        )
        return Endpoint(packaged, up["outputs"]["endpoint_name"], client)

    yield start
    shell.run("local", "stop")


REGION = "eu-west-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/serve:1"


class Served:
    """An endpoint without a project: what `package` wrote, put to S3 and behind an endpoint by boto3; its manifest."""

    def __init__(self, runtime: Any, name: str, manifest: Any) -> None:
        self.runtime = runtime
        self.name = name
        self.manifest = manifest

    def arrays(self, array: Any) -> Any:
        """The first output to one array."""
        body = io.BytesIO()
        np.save(body, array)
        answer = self.runtime.invoke_endpoint(
            EndpointName=self.name, Body=body.getvalue(), ContentType="application/x-npy", Accept="application/x-npy"
        )
        return np.load(io.BytesIO(answer["Body"].read()), allow_pickle=False)

    def instances(self, rows: list[Any]) -> list[Any]:
        """The predictions for rows."""
        answer = self.runtime.invoke_endpoint(
            EndpointName=self.name, Body=json.dumps({"instances": rows}), ContentType="application/json"
        )
        predictions: list[Any] = json.loads(answer["Body"].read())["predictions"]
        return predictions


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[ModelSource], Served]]:
    """Package a model and put it behind an endpoint of one local AWS that all of these share."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "local"
        running = server.start(home, region=REGION, max_workers=6)

        def client(service: str) -> Any:
            return boto3.client(
                service, endpoint_url=running.endpoint_url, region_name=REGION, aws_access_key_id="anything",
                aws_secret_access_key="anything",
            )  # fmt: skip

        s3, iam, sagemaker, runtime = map(client, ("s3", "iam", "sagemaker", "sagemaker-runtime"))
        s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
        role = iam.create_role(RoleName="serving", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        store = open_store("store", base=tmp_path_factory.mktemp("acceptance"))

        def put(source: ModelSource) -> Served:
            packaged = package(source, store)
            name = source.name
            s3.upload_file(str(packaged.archive), "models", f"{name}.tar.gz")
            container = {"Image": IMAGE, "ModelDataUrl": f"s3://models/{name}.tar.gz"}
            sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container)
            variant = {"VariantName": "main", "ModelName": name, "InstanceType": "ml.c7i.large",
                       "InitialInstanceCount": 1}  # fmt: skip
            sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
            sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
            sagemaker.get_waiter("endpoint_in_service").wait(
                EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 240}
            )
            return Served(runtime, name, packaged.manifest)

        yield put
        assert server.stop(home)
