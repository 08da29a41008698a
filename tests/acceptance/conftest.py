"""Models of others on endpoints of the local AWS: packaged from their own format, asked through InvokeEndpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

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
