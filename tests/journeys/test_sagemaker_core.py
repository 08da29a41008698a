"""AWS's own SDK against the local AWS: Endpoint and serializers on a stack, ModelPackage on the registry."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import yaml
from sagemaker.core.deserializers import JSONDeserializer, NumpyDeserializer
from sagemaker.core.resources import Endpoint, ModelPackage
from sagemaker.core.serializers import JSONSerializer, NumpySerializer

from cloud import Cloud
from shell import Shell

REGION = "us-east-1"


@pytest.fixture
def local(digits: Shell) -> Cloud:
    return Cloud(digits.json("local", "start")["endpoint_url"], REGION)


@pytest.fixture
def session(local: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session as a user of the SDK has one; only the address is the local AWS's."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", local.endpoint_url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name=REGION)


def test_the_sdks_endpoint_and_serializers_work_on_a_stack(digits: Shell, session: Any) -> None:
    assert digits.run("up", "--stack", "local", "--yes").returncode == 0
    endpoint = Endpoint.get("digits-local", session=session, region=REGION)
    endpoint.wait_for_status("InService", poll=1, timeout=300)
    assert endpoint.endpoint_status == "InService"
    images = np.load(digits.folder / "data" / "heldout.npz")
    batch = next(images[name] for name in images.files if images[name].ndim == 4)[:5].astype(np.float32)

    arrays, text = NumpySerializer(), JSONSerializer()
    binary = endpoint.invoke(
        body=arrays.serialize(batch),
        content_type=arrays.CONTENT_TYPE,
        accept="application/x-npy",
        session=session,
        region=REGION,
    )
    logits = NumpyDeserializer().deserialize(binary.body, binary.content_type)
    plain = endpoint.invoke(
        body=text.serialize({"inputs": {"image": batch.tolist()}}),
        content_type=text.CONTENT_TYPE,
        accept="application/json",
        session=session,
        region=REGION,
    )
    answer = JSONDeserializer().deserialize(plain.body, plain.content_type)
    assert logits.shape == (5, 10)
    np.testing.assert_allclose(answer["outputs"]["logits"], logits, rtol=1e-5, atol=1e-5)
    assert plain.invoked_production_variant == "main"


def write_source(shell: Shell, **keys: Any) -> None:
    path = shell.folder / "cloudmodel.yaml"
    document = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(document | keys))


def test_a_bundle_is_registered_approved_and_packaged_again_from_the_registry(
    digits: Shell, local: Cloud, session: Any
) -> None:
    local.client("s3").create_bucket(Bucket="acme-bundles")
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": REGION}
    keys |= {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
    user = replace(digits, environment=digits.environment | keys)
    write_source(user, bundles="s3://acme-bundles/prod")
    made = user.json("package", "--register")
    arn = made["registered"]
    assert arn.endswith(":model-package/digits/1")
    assert user.json("package", "--register")["registered"] == arn  # the same bundle is registered once

    sagemaker = local.client("sagemaker")
    described = sagemaker.describe_model_package(ModelPackageName=arn)["InferenceSpecification"]
    assert "application/x-npy" in described["SupportedContentTypes"]  # the SDK's class of 2.27 knows containers only
    package = ModelPackage.get(arn, session=session, region=REGION)
    (container,) = package.inference_specification.containers
    place = f"s3://acme-bundles/prod/sha256/{made['digest'].removeprefix('sha256:')}.tar.gz"
    assert container.model_data_url == place
    assert container.image.endswith("/pytorch-inference:2.6.0-cpu-py312")
    assert package.model_approval_status == "PendingManualApproval"

    source = yaml.safe_load((user.folder / "cloudmodel.yaml").read_text())["model"]
    write_source(user, model=source | {"source": "model-package:digits/1"})
    refused = user.json("package", code=12)
    assert "PendingManualApproval" in refused["message"]
    assert arn in refused["hint"]
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    again = user.json("package")
    assert again["signature"] == made["signature"]
    assert again["scan"]["verdict"] == "clean"
    write_source(user, model=source | {"source": arn})
    assert user.json("package")["digest"] == again["digest"]

    write_source(user, model=source | {"source": "model-package:digits/9"})
    assert "no such model package" in user.json("package", code=2)["message"]
    write_source(user, model=source | {"source": "model-package:digits"})
    assert "GROUP/VERSION" in user.json("package", code=2)["hint"]
    evil = Path(__file__).parent.parent  # never a model: the registry's bytes are scanned like any file
    local.client("s3").put_object(Bucket="acme-bundles", Key="evil.onnx", Body=(evil / "conftest.py").read_bytes())
    made_by_hand = sagemaker.create_model_package(
        ModelPackageGroupName="digits",
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [{"Image": container.image, "ModelDataUrl": "s3://acme-bundles/evil.onnx"}],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    write_source(user, model=source | {"source": made_by_hand})
    assert user.json("package", code=14)["error"] in ("UnsafeModel", "ModelUnreadable")
