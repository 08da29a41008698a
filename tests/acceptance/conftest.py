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

from cloudmodel.bundle.archive import read_manifest
from cloudmodel.bundle.manifest import Manifest
from cloudmodel.bundle.store import open_store
from cloudmodel.cli.commands.package import model_source
from cloudmodel.localaws import server
from cloudmodel.serving.package import ModelSource, package
from cloudmodel.settings.load import load_project
from shell import Shell

NOBODY = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
REGION = "eu-west-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/serve:1"
JSON, NPY = "application/json", "application/x-npy"


@dataclass(frozen=True)
class Endpoint:
    """A model that stands: what its bundle says of it, and its address."""

    manifest: Manifest
    name: str
    client: Any

    def ask(self, body: bytes, kind: str, accept: str = JSON) -> bytes:
        """The body of the answer to one request."""
        answer = self.client.invoke_endpoint(EndpointName=self.name, Body=body, ContentType=kind, Accept=accept)
        found: bytes = answer["Body"].read()
        return found

    def rows(self, instances: list[Any]) -> list[Any]:
        """The predictions for some rows."""
        predictions: list[Any] = json.loads(self.ask(json.dumps({"instances": instances}).encode(), JSON))[
            "predictions"
        ]
        return predictions

    def array(self, array: Any) -> Any:
        """The first output to one array, as numpy's own bytes both ways."""
        body = io.BytesIO()
        np.save(body, array)
        return np.load(io.BytesIO(self.ask(body.getvalue(), NPY, NPY)), allow_pickle=False)

    def picture(self, image: Any) -> list[Any]:
        """The prediction for a picture of Pillow's, sent as PNG."""
        body = io.BytesIO()
        image.save(body, "PNG")
        (prediction,) = json.loads(self.ask(body.getvalue(), "image/png"))["predictions"]
        found: list[Any] = prediction
        return found


Serve = Callable[[ModelSource], Endpoint]
Stand = Callable[[str], Endpoint]
Client = Callable[[str], Any]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty folder that becomes the project; put the model there."""
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


@pytest.fixture
def commands(tmp_path: Path, project: Path) -> Iterator[Stand]:
    """By whole commands: package what is in the project's folder by these settings, and `up` on a local AWS of its
    own."""
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
        return Endpoint(read_manifest(project / packaged["bundle"]), up["outputs"]["endpoint_name"], client)

    yield start
    shell.run("local", "stop")


@pytest.fixture
def stand(project: Path, serve: Serve) -> Stand:
    """Package what is in the project's folder as these settings say, and put it behind an endpoint."""

    def start(settings: str) -> Endpoint:
        (project / "cloudmodel.yaml").write_text(settings)
        (project / "Pulumi.yaml").write_text("name: acceptance\nruntime: python\n")
        return serve(model_source(load_project(project)))

    return start


@pytest.fixture(scope="session")
def cloud() -> Iterator[Client]:
    """One local AWS that all of these share: its client of a service."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "local"
        running = server.start(home, region=REGION, max_workers=2)

        def client(service: str) -> Any:
            return boto3.client(service, endpoint_url=running.endpoint_url, region_name=REGION, **NOBODY)

        client("s3").create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
        client("iam").create_role(RoleName="serving", AssumeRolePolicyDocument=json.dumps(TRUST))
        yield client
        assert server.stop(home)


@pytest.fixture
def serve(cloud: Client, tmp_path: Path) -> Iterator[Serve]:
    """Package a model and put it behind an endpoint, by S3 and boto3 alone; the endpoint goes with the test."""
    s3, sagemaker, runtime = map(cloud, ("s3", "sagemaker", "sagemaker-runtime"))
    role = cloud("iam").get_role(RoleName="serving")["Role"]["Arn"]
    store = open_store("store", base=tmp_path)
    standing = []

    def put(source: ModelSource) -> Endpoint:
        packaged = package(source, store)
        name = source.name
        s3.upload_file(str(packaged.archive), "models", f"{name}.tar.gz")
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://models/{name}.tar.gz"}
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container)
        variant = {"VariantName": "main", "ModelName": name, "InstanceType": "ml.c7i.large",
                   "InitialInstanceCount": 1}  # fmt: skip
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        standing.append(name)
        sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 240}
        )
        return Endpoint(packaged.manifest, name, runtime)

    yield put
    for name in standing:
        sagemaker.delete_endpoint(EndpointName=name)
        sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
