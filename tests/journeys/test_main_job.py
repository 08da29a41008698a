"""The main job: a model file becomes an endpoint that predicts, a second `up` changes nothing, `destroy` leaves
nothing."""

from __future__ import annotations

import io

import boto3
import numpy as np

from shell import Shell


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_a_model_file_becomes_an_endpoint_that_predicts_and_goes_away_again(digits: Shell) -> None:
    preview = digits.json("preview", "--stack", "local")
    assert preview["summary"]["create"] >= 15
    assert preview["summary"]["same"] == 0

    up = digits.json("up", "--stack", "local", "--yes")
    assert up["summary"] == preview["summary"]
    assert [(step["op"], step["urn"]) for step in up["steps"]] == [
        (step["op"], step["urn"]) for step in preview["steps"]
    ]

    with np.load(digits.folder / "data/heldout.npz") as data:
        images, labels = data["inputs"][:64], data["labels"][:64]
    answer = digits.json(
        "invoke", "--stack", "local", "--input", "-", "--content-type", "application/x-npy", stdin=npy(images)
    )
    predicted = np.array(next(iter(answer["body"]["outputs"].values()))).argmax(axis=1)
    assert answer["status"] == 200
    assert (predicted == labels).mean() >= 0.95

    # boto3 is the judge that the endpoint is one: nothing of ours stands between it and the answer.
    cloud = digits.json("local", "status")
    runtime = boto3.client(
        "sagemaker-runtime", endpoint_url=cloud["endpoint_url"], region_name=cloud["region"],
        aws_access_key_id="any", aws_secret_access_key="any",
    )  # fmt: skip
    raw = runtime.invoke_endpoint(
        EndpointName=digits.json("outputs", "--stack", "local")["outputs"]["endpoint_name"],
        ContentType="application/x-npy", Accept="application/x-npy", Body=npy(images),
    )  # fmt: skip
    np.testing.assert_array_equal(np.load(io.BytesIO(raw["Body"].read())).argmax(axis=1), predicted)

    again = digits.json("up", "--stack", "local", "--yes", "--expect-no-changes")
    assert {name for name, count in again["summary"].items() if count} == {"same"}

    gone = digits.json("destroy", "--stack", "local", "--yes")
    assert gone["summary"]["delete"] == up["summary"]["create"]
    assert digits.json("local", "status")["endpoints"] == []
    assert digits.json("preview", "--stack", "local")["summary"]["create"] == up["summary"]["create"]
