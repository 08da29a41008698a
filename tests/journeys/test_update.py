"""A new model replaces the old one without one failed request; one that cannot load never does."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnx
from botocore.config import Config

from cloud import ONE_OF_EACH, Cloud
from shell import Shell


def up(shell: Shell, *words: str, code: int = 0) -> dict[str, object]:
    return shell.json("up", "--stack", "local", "--yes", *words, code=code)


def revise(model: Path) -> None:
    """Another model for the same task: the logits are scaled, the answers stay."""
    graph = onnx.load(model)
    final = graph.graph.node[-1]
    tensor = next(each for each in graph.graph.initializer if each.name == final.input[1])
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(1.5), tensor.name))
    onnx.save(graph, model)


class Load:
    """Clients that ask an endpoint for the same prediction, over and over, until they are told to stop."""

    def __init__(self, cloud: Cloud, endpoint: str, clients: int) -> None:
        self.failures: list[str] = []
        self.answers: set[str] = set()
        self.asked = 0
        self._stop = threading.Event()
        self._cloud = cloud
        self._endpoint = endpoint
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        client = self._cloud.client("sagemaker-runtime", Config(retries={"total_max_attempts": 1}))
        body = b'{"inputs": {"image": ' + str(np.full((1, 1, 8, 8), 7.0).tolist()).encode() + b"}}"
        while not self._stop.is_set():
            try:
                answer = client.invoke_endpoint(EndpointName=self._endpoint, ContentType="application/json", Body=body)
                self.answers.add(answer["Body"].read().decode())
            except Exception as error:
                self.failures.append(repr(error))
            self.asked += 1


def test_an_update_under_load_switches_without_one_failed_request(digits: Shell) -> None:
    up(digits)
    status = digits.json("local", "status")
    cloud = Cloud(status["endpoint_url"], status["region"])
    before = digits.json("outputs", "--stack", "local")["outputs"]

    revise(digits.folder / "models/digits.onnx")
    digits.json("package")
    with Load(cloud, before["endpoint_name"], clients=4) as load:
        outcome = digits.json("up", "--stack", "local", "--yes")
    after = digits.json("outputs", "--stack", "local")["outputs"]

    assert load.failures == []
    assert load.asked > 20
    assert len(load.answers) == 2, "the load saw both revisions"
    assert after["bundle_digest"] != before["bundle_digest"]
    assert after["endpoint_name"] == before["endpoint_name"]
    # The endpoint is updated in place; model and configuration are replaced, the old ones deleted after the switch.
    by_name = {step["name"]: step["op"] for step in outcome["steps"] if step["op"] not in ("same", "delete-replaced")}
    assert by_name["endpoint"] == "update"
    assert cloud.inventory() == ONE_OF_EACH


def test_a_bundle_that_cannot_load_never_takes_over_and_up_says_why(digits: Shell) -> None:
    up(digits)
    before = digits.json("outputs", "--stack", "local")["outputs"]
    settings = digits.folder / "Pulumi.local.yaml"
    good = settings.read_text()
    # The container cannot start with this value: it refuses it, and says so in its own words.
    settings.write_text(good + "  cloudmodel:environment:\n    SAGEMAKER_MODEL_SERVER_WORKERS: nought\n")

    failed = up(digits, code=10)
    assert failed["error"] == "RolledBack"
    assert "nought" in str(failed["message"])

    image = digits.folder / "image.npy"
    np.save(image, np.full((1, 1, 8, 8), 7.0, np.float32))
    assert digits.json("invoke", "--stack", "local", "--input", str(image))["status"] == 200

    settings.write_text(good)
    up(digits)
    assert digits.json("outputs", "--stack", "local")["outputs"] == before
    up(digits, "--expect-no-changes")


def test_a_sealed_plan_is_applied_exactly_and_refused_once_anything_changed(digits: Shell) -> None:
    digits.json("preview", "--stack", "local", "--save-plan", "plan.json")
    up(digits, "--plan", "plan.json")
    stale = up(digits, "--plan", "plan.json", code=17)
    assert stale["error"] == "StalePlan"
    assert "state" in str(stale["message"])
    (digits.folder / "plan.json").write_text("{}")
    assert up(digits, "--plan", "plan.json", code=17)["where"] == "plan.json"


def test_going_back_to_the_revision_before_needs_no_more_than_its_bundle(digits: Shell) -> None:
    up(digits)
    first = digits.json("outputs", "--stack", "local")["outputs"]
    revise(digits.folder / "models/digits.onnx")
    digits.json("package")
    up(digits)
    second = digits.json("outputs", "--stack", "local")["outputs"]
    assert second["revision"] != first["revision"]

    settings = digits.folder / "Pulumi.local.yaml"
    settings.write_text(settings.read_text() + f"  cloudmodel:bundle: {first['bundle_digest']}\n")
    up(digits)
    assert digits.json("outputs", "--stack", "local")["outputs"] == first
    up(digits, "--expect-no-changes", "--refresh")
