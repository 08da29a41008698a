"""A canary lands, or goes back without one failed request; `up` says so with code 10, and the next one heals."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud import Cloud
from cloudmodel.bundle import archive, golden
from cloudmodel.bundle.store import open_store
from cloudmodel.formats import samples
from cloudmodel.localaws import server
from shell import Shell
from traffic import Load, revise

CANARY = """  cloudmodel:scaling: {min: 2, max: 3}
  cloudmodel:rollout: {strategy: canary, step: 50, bake: 600, rollback_on: [errors, latency]}
"""
ENGINES = ["embedded"]


class Stack:
    """A digits project that stands, with a canary for its updates; its local AWS's clock stands still."""

    def __init__(self, shell: Shell, engine: str) -> None:
        self.shell = shell
        self.engine = ("--engine", engine)
        self.home = shell.folder / ".cloudmodel/local"
        settings = shell.folder / "Pulumi.local.yaml"
        settings.write_text(settings.read_text() + CANARY)
        self.up()
        status = shell.json("local", "status")
        self.cloud = Cloud(status["endpoint_url"], status["region"])
        self.endpoint = str(self.outputs()["endpoint_name"])
        server.set_clock(self.home, speed=0)

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = self.shell.json("outputs", "--stack", "local", *self.engine)["outputs"]
        return found

    def up(self, *words: str, code: int = 0) -> dict[str, Any]:
        return self.shell.json("up", "--stack", "local", "--yes", *self.engine, *words, code=code)

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cloud.client("sagemaker").describe_endpoint(EndpointName=self.endpoint)
        return found

    def while_updating(self, act: Callable[[], None], code: int = 0) -> dict[str, Any]:
        """Run `up` to its end; `act` happens each time that another stage of it bakes. No request fails meanwhile."""
        done: list[dict[str, Any] | BaseException] = []

        def update() -> None:
            try:
                done.append(self.up(code=code))
            except BaseException as error:
                done.append(error)

        thread, pause, seen = threading.Thread(target=update), threading.Event(), set[str]()
        with Load(self.cloud, self.endpoint, clients=2) as load:
            thread.start()
            while thread.is_alive():
                for variant in self.described().get("PendingDeploymentSummary", {}).get("ProductionVariants", ()):
                    (stage,) = variant["VariantStatus"]
                    if stage["Status"] == "Baking" and stage["StatusMessage"] not in seen:
                        seen.add(stage["StatusMessage"])
                        act()
                pause.wait(0.1)
            thread.join()
        assert load.failures == []
        (outcome,) = done
        assert isinstance(outcome, dict), outcome
        return outcome

    def forward(self) -> None:
        server.set_clock(self.home, forward=600)

    def alarm(self) -> None:
        self.cloud.client("cloudwatch").set_alarm_state(
            AlarmName=f"{self.endpoint}-errors", StateValue="ALARM", StateReason="a drill"
        )

    def served(self) -> tuple[str, str]:
        """The live configuration, and the one that the state names."""
        self.shell.json("state", "export", "--stack", "local", "--file", "state.json", *self.engine)
        resources = json.loads((self.shell.folder / "state.json").read_text())["deployment"]["resources"]
        (entry,) = [each for each in resources if each["type"] == "aws:sagemaker/endpoint:Endpoint"]
        return str(self.described()["EndpointConfigName"]), str(entry["outputs"]["endpointConfigName"])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_canary_whose_alarm_goes_off_goes_back_and_lands_the_next_time(digits: Shell, engine: str) -> None:
    stack = Stack(digits, engine)
    before = stack.outputs()
    live = stack.served()[0]
    revise(digits.folder / "models/digits.onnx")
    digits.json("package")

    failed = stack.while_updating(stack.alarm, code=10)
    assert failed["error"] == "RolledBack"
    assert f"{stack.endpoint}-errors" in failed["message"]
    assert "cloudmodel up --stack local" in failed["hint"]
    assert stack.served() == (live, live), "state and cloud are equal"

    server.set_clock(stack.home, forward=60)  # CloudWatch looks at the data again
    landed = stack.while_updating(stack.forward)
    assert {step["name"]: step["op"] for step in landed["steps"]}["endpoint"] == "update"
    after = stack.outputs()
    assert after["bundle_digest"] != before["bundle_digest"]
    assert stack.served()[0] == stack.served()[1] != live
    stack.up("--expect-no-changes", "--refresh")


def wrong_answer(folder: Path, work: Path) -> None:
    """Put a bundle into the project's store whose model answers otherwise than its golden sample says."""
    store = open_store(".cloudmodel/bundles", base=folder)
    newest = store.newest("digits")
    assert newest
    manifest = archive.extract(store.get(newest), work / "bundle")
    answer = work / "bundle" / golden.ANSWER
    right = golden.arrays(answer.read_bytes())
    samples.write_npz(answer, {name: array + np.float32(0.5) for name, array in right.items()})
    names = [entry.path for entry in manifest.files]
    changed = manifest.model_copy(update={"files": archive.entries(work / "bundle", names)})
    archive.write(work / "bundle", changed, work / "bundle.tar.gz")
    store.put(work / "bundle.tar.gz")


def test_an_endpoint_that_answers_otherwise_than_the_model_did_has_not_landed(digits: Shell, tmp_path: Path) -> None:
    digits.json("up", "--stack", "local", "--yes")
    wrong_answer(digits.folder, tmp_path)
    for _ in range(2):  # it does not pass because nothing changed the second time
        failed = digits.json("up", "--stack", "local", "--yes", code=10)
        assert failed["error"] == "RolledBack"
        assert "golden sample" in failed["message"]
    revise(digits.folder / "models/digits.onnx")
    digits.json("package")
    digits.json("up", "--stack", "local", "--yes")


def test_what_is_changed_behind_a_states_back_has_not_landed(digits: Shell) -> None:
    """A rollback that nobody told of: in service, no FailureReason, another configuration than the state's."""
    digits.json("up", "--stack", "local", "--yes")
    status = digits.json("local", "status")
    sagemaker = Cloud(status["endpoint_url"], status["region"]).client("sagemaker")
    name = str(digits.json("outputs", "--stack", "local")["outputs"]["endpoint_name"])
    live = sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    found = sagemaker.describe_endpoint_config(EndpointConfigName=live)
    sagemaker.create_endpoint_config(EndpointConfigName="another", ProductionVariants=found["ProductionVariants"])
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName="another")
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200})

    failed = digits.json("up", "--stack", "local", "--yes", code=10)
    assert f"serves another, not {live}" in failed["message"]
    digits.json("up", "--stack", "local", "--yes", "--refresh")
    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"] == live
