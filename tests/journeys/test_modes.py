"""Serverless and async endpoints, from a packaged model to an empty cloud; boto3 sees what stands and what answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cloud import NOTHING, ONE_OF_EACH, Cloud
from shell import Shell


def settings(shell: Shell, text: str) -> None:
    path = shell.folder / "Pulumi.local.yaml"
    path.write_text(path.read_text() + text)


def up(shell: Shell, *words: str, code: int = 0) -> Any:
    return shell.json("up", "--stack", "local", "--yes", *words, code=code)


def asked(shell: Shell, name: str, content: Any, code: int = 0) -> Any:
    (shell.folder / name).write_text(json.dumps(content))
    return shell.json("invoke", "--stack", "local", "--input", str(Path(name)), code=code)


IMAGE = {"inputs": {"image": np.full((1, 1, 8, 8), 7.0).tolist()}}


def test_a_serverless_endpoint_answers_changes_and_goes(digits: Shell) -> None:
    settings(digits, "  cloudmodel:mode: serverless\n  cloudmodel:serverless: {memory: 1024, max_concurrency: 2}\n")
    up(digits)
    status = digits.json("local", "status")
    cloud = Cloud(status["endpoint_url"], status["region"])
    assert cloud.inventory() == ONE_OF_EACH | {"targets": 0, "policies": 0}

    answer = asked(digits, "image.json", IMAGE)
    assert (answer["status"], answer["variant"]) == (200, "main")
    name = digits.json("outputs", "--stack", "local")["outputs"]["endpoint_name"]
    judged = cloud.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name, ContentType="application/json", Body=json.dumps(IMAGE)
    )
    assert json.loads(judged["Body"].read()) == answer["body"]
    (variant,) = cloud.client("sagemaker").describe_endpoint(EndpointName=name)["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
    up(digits, "--expect-no-changes", "--refresh")

    # Some of it kept warm, as many as are used.
    text = (digits.folder / "Pulumi.local.yaml").read_text()
    warm = text.replace("max_concurrency: 2", "max_concurrency: 4, provisioned: 1, provisioned_max: 3")
    (digits.folder / "Pulumi.local.yaml").write_text(warm)
    up(digits)
    (target,) = cloud.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")[
        "ScalableTargets"
    ]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    assert target["ScalableDimension"] == "sagemaker:variant:DesiredProvisionedConcurrency"
    assert asked(digits, "image.json", IMAGE)["body"] == answer["body"]
    up(digits, "--expect-no-changes", "--refresh")
    digits.json("destroy", "--stack", "local", "--yes")
    assert cloud.inventory() == NOTHING


def test_an_async_endpoint_answers_through_s3_tells_its_topics_and_goes(digits: Shell) -> None:
    settings(
        digits,
        "  cloudmodel:mode: async\n"
        "  cloudmodel:scaling: {min: 0, max: 2}\n"
        "  cloudmodel:asynchronous: {success_topic: create, error_topic: create, max_concurrent: 2}\n",
    )
    up(digits)
    status = digits.json("local", "status")
    cloud = Cloud(status["endpoint_url"], status["region"])
    assert cloud.inventory() == ONE_OF_EACH | {"topics": 3, "policies": 2, "alarms": 4}
    outputs = digits.json("outputs", "--stack", "local")["outputs"]
    sqs, sns = cloud.client("sqs"), cloud.client("sns")
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for topic in sns.list_topics()["Topics"]:
        sns.subscribe(TopicArn=topic["TopicArn"], Protocol="sqs", Endpoint=arn)

    answer = asked(digits, "image.json", IMAGE)
    assert answer["status"] == 200
    assert answer["content_type"] == "application/json"
    assert np.shape(answer["body"]["outputs"]["logits"]) == (1, 10)
    assert outcome(sqs, queue) == "Completed"

    # The judge puts an input of its own and finds the same output.
    bucket, _, prefix = outputs["input_uri"].removeprefix("s3://").partition("/")
    s3 = cloud.client("s3")
    s3.put_object(Bucket=bucket, Key=f"{prefix}/mine", Body=json.dumps(IMAGE))
    accepted = cloud.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=outputs["endpoint_name"],
        InputLocation=f"{outputs['input_uri']}/mine",
        ContentType="application/json",
    )
    assert outcome(sqs, queue) == "Completed"
    _, _, key = accepted["OutputLocation"].removeprefix("s3://").partition("/")
    stored = s3.get_object(Bucket=bucket, Key=key)
    assert json.loads(stored["Body"].read()) == answer["body"]
    assert stored["ServerSideEncryption"] == "aws:kms"

    failed = asked(digits, "wrong.json", {"inputs": {"image": "none"}}, code=1)
    assert failed["error"] == "InvocationFailed"
    assert "(400)" in failed["message"]
    assert outcome(sqs, queue) == "Failed"

    up(digits, "--expect-no-changes", "--refresh")
    digits.json("destroy", "--stack", "local", "--yes")
    sqs.delete_queue(QueueUrl=queue)
    assert cloud.inventory() == NOTHING


def outcome(sqs: Any, queue: str) -> str:
    """What the next notification says; the topic is told after the object is written, so it may yet come."""
    for _ in range(60):
        heard = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2).get("Messages", [])
        if heard:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=heard[0]["ReceiptHandle"])
            return str(json.loads(json.loads(heard[0]["Body"])["Message"])["invocationStatus"])
    raise AssertionError("nothing was told")
