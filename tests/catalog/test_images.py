"""Which image serves what: addresses, architecture by the machine, and refusals that name what there is."""

from __future__ import annotations

from typing import get_args

import botocore.session
import pytest

from cloudmodel.catalog import images
from cloudmodel.catalog.catalog import instance_types, read
from cloudmodel.core.errors import Unsupported
from cloudmodel.settings.model import Serve

ARM_TAG = "2.6.0-cpu-py312-ubuntu22.04-sagemaker"
DEEP_LEARNING = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
PYTORCH = f"{DEEP_LEARNING}/pytorch-inference"


@pytest.mark.parametrize(
    ("layout", "instance", "region", "uri"),
    [
        ("onnxruntime", "ml.c7i.large", "us-east-1", f"{PYTORCH}:2.6.0-cpu-py312"),
        ("onnxruntime", "ml.g5.xlarge", "us-east-1", f"{PYTORCH}:2.6.0-gpu-py312"),
        (
            "onnxruntime",
            "ml.c8g.large",
            "eu-south-1",
            f"692866216735.dkr.ecr.eu-south-1.amazonaws.com/pytorch-inference-arm64:{ARM_TAG}",
        ),
        (
            "onnxruntime",
            "ml.m8g.large",
            "us-gov-west-1",
            f"442386744353.dkr.ecr.us-gov-west-1.amazonaws.com/pytorch-inference-arm64:{ARM_TAG}",
        ),
        (
            "onnxruntime",
            "ml.m5.large",
            "cn-north-1",
            "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/pytorch-inference:2.6.0-cpu-py312",
        ),
        (
            "tfserving",
            "ml.c7g.large",
            "us-east-1",
            f"{DEEP_LEARNING}/tensorflow-inference-graviton:2.16.1-cpu-py310-ubuntu20.04-sagemaker",
        ),
        (
            "sklearn",
            "ml.c7i.large",
            "eu-west-1",
            "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.9-0-cpu-py3",
        ),
        (
            "triton",
            "ml.g5.xlarge",
            "us-east-1",
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/sagemaker-tritonserver:26.05-py3",
        ),
        (
            "huggingface",
            "ml.g5.xlarge",
            "us-east-1",
            f"{DEEP_LEARNING}/huggingface-pytorch-inference:2.6.0-transformers5.5.3-gpu-py312-cu124-ubuntu22.04",
        ),
    ],
)
def test_image_addresses(layout: str, instance: str, region: str, uri: str) -> None:
    image = images.serving_image(layout, instance, region)
    assert image.uri == uri
    assert image.repository_arn == images.image_repository_arn(uri)


@pytest.mark.parametrize(
    "layout", [each for each in get_args(Serve.model_fields["layout"].annotation) if each != "auto"]
)
def test_every_layout_of_the_settings_has_an_image(layout: str) -> None:
    assert images.serving_image(layout, "ml.c7i.large", "us-east-1").uri


def test_every_image_address_is_one_that_the_api_takes() -> None:
    bounds = botocore.session.get_session().get_service_model("sagemaker").shape_for("ContainerImage").metadata
    for instance, machine in instance_types().items():
        if machine.accelerator in ("neuron", "other") or (machine.arch, machine.accelerator) == ("arm64", "gpu"):
            continue
        for region in images.regions():
            if region == "me-west-1" and machine.arch == "arm64":
                continue  # AWS lists no arm64 image there
            uri = images.serving_image("onnxruntime", instance, region).uri
            assert len(uri) <= bounds["max"]
            assert " " not in uri


@pytest.mark.parametrize(
    ("layout", "instance", "region", "words"),
    [
        ("onnxruntime", "ml.inf2.xlarge", "us-east-1", "images for arm64, x86_64, x86_64/gpu"),
        ("onnxruntime", "ml.p6e-gb200.36xlarge", "us-east-1", "(arm64/gpu)"),
        ("sklearn", "ml.c7g.large", "us-east-1", "images for x86_64"),
        ("abacus", "ml.c7i.large", "us-east-1", "huggingface, onnxruntime, pytorch, sklearn"),
        ("onnxruntime", "ml.c7i.large", "mars-north-1", "us-west-2"),
        ("triton", "ml.c7i.large", "cn-north-1", "eu-west-1"),
    ],
)
def test_what_has_no_image_is_refused_and_what_there_is_is_named(
    layout: str, instance: str, region: str, words: str
) -> None:
    with pytest.raises(Unsupported) as caught:
        images.serving_image(layout, instance, region)
    assert words in caught.value.message
    assert "image" in str(caught.value.hint)


@pytest.mark.parametrize("layout", sorted(read("layouts.json")["rows"]))
def test_a_layout_is_served_by_the_newest_image_of_its_framework(layout: str) -> None:
    row = read("layouts.json")["rows"][layout]
    known = read("images.json")["images"][row["framework"]]
    for kind, version in row["versions"].items():
        assert version == [each for each, kinds in known.items() if kind in kinds][-1], kind


@pytest.mark.parametrize(
    ("framework", "version", "instance", "words"),
    [
        ("abacus", "1", "ml.c7i.large", "there are images of djl-lmi, huggingface, pytorch"),
        ("pytorch", "2.13.0", "ml.c7i.large", "2.5.1, 2.6.0"),
        ("tensorflow", "2.19.0", "ml.c8g.large", "for arm64 the versions are 2.9.1"),
        ("djl-lmi", "0.38.0", "ml.c7i.large", "it has none for x86_64 at all"),
    ],
)
def test_a_framework_without_that_image_names_its_others(
    framework: str, version: str, instance: str, words: str
) -> None:
    with pytest.raises(Unsupported) as caught:
        images.framework_image(framework, version, instance, "us-east-1")
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("uri", "arn"),
    [
        ("1.dkr.ecr.us-east-1.amazonaws.com/a/b:c", "arn:aws:ecr:us-east-1:1:repository/a/b"),
        ("1.dkr.ecr.cn-north-1.amazonaws.com.cn/a@sha256:0", "arn:aws-cn:ecr:cn-north-1:1:repository/a"),
        ("1.dkr.ecr.us-gov-west-1.amazonaws.com/a", "arn:aws-us-gov:ecr:us-gov-west-1:1:repository/a"),
        ("1.dkr.ecr.eusc-de-east-1.amazonaws.eu/a", "arn:aws-eusc:ecr:eusc-de-east-1:1:repository/a"),
    ],
)
def test_the_repository_of_an_image(uri: str, arn: str) -> None:
    assert images.image_repository_arn(uri) == arn


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "nginx",
        "docker.io/library/nginx:1",
        "1.dkr.ecr.us-east-1.amazonaws.com/",
        "x.dkr.ecr.a.b.c/d",
        "1.dkr.ecr.us-east-1.example.com/a",
    ],
)
def test_images_elsewhere_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="not an image in Amazon ECR"):
        images.image_repository_arn(uri)
