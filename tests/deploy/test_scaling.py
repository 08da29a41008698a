"""What autoscaling decided outlives an update, and scaling is off only while the machines change; boto3 says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud import Cloud, order_faults
from cloudmodel.core.errors import CloudmodelError
from cloudmodel.deploy import sealed
from cloudmodel.deploy.engines import Options
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.deploy.select import open_engine
from cloudmodel.localaws import server
from cloudmodel.settings.load import load_project, load_stack
from shell import Shell

NAMESPACE = {"ServiceNamespace": "sagemaker"}
BROKEN = {"environment": "{SAGEMAKER_MODEL_SERVER_WORKERS: nought}"}
"""A container that cannot start: it refuses this value."""


class Scaled:
    """A digits project whose endpoint scales between 1 and 8, on one engine, and the cloud that it stands in."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder = folder
        self._engine = engine
        self.say({})

    def say(self, more: dict[str, str]) -> None:
        """The stack's settings from now on: the usual ones with `more`."""
        lines = {"scaling": "{min: 1, max: 8}"} | more
        config = "".join(f"  cloudmodel:{name}: {value}\n" for name, value in lines.items())
        (self.folder / "Pulumi.local.yaml").write_text(f"config:\n  cloudmodel:target: local\n{config}")

    def run(self, verb: str, **options: Any) -> Outcome:
        project = load_project(self.folder)
        engine = open_engine(project, load_stack(project, "local"), "local", engine=self._engine)
        outcome: Outcome = getattr(engine, verb)(Options(**options), lambda event: None)
        return outcome

    def up(self, **options: Any) -> Outcome:
        return self.run("up", **options)

    def unchanged(self) -> None:
        """A refresh finds nothing new, and then another `up` nothing to do."""
        assert not self.run("refresh").changes
        assert not self.up().changes

    def cloud(self) -> Cloud:
        running = server.status(self.folder / ".cloudmodel/local")
        assert running is not None
        return Cloud(running.endpoint_url, "us-east-1")

    def endpoint(self) -> tuple[int, str]:
        """Instances and their type, as SageMaker says it of the endpoint and of its configuration."""
        sagemaker = self.cloud().client("sagemaker")
        wait = {"Delay": 1, "MaxAttempts": 120}
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="digits-local", WaiterConfig=wait)
        told = sagemaker.describe_endpoint(EndpointName="digits-local")
        configuration = sagemaker.describe_endpoint_config(EndpointConfigName=told["EndpointConfigName"])
        (variant,), (planned,) = told["ProductionVariants"], configuration["ProductionVariants"]
        return variant["CurrentInstanceCount"], planned["InstanceType"]

    def scale(self, instances: int) -> None:
        """What target tracking does."""
        wanted = [{"VariantName": "main", "DesiredInstanceCount": instances}]
        self.cloud().client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName="digits-local", DesiredWeightsAndCapacities=wanted
        )
        assert self.endpoint()[0] == instances

    def registered(self) -> tuple[int, int]:
        """How many targets and policies there are."""
        scaling = self.cloud().client("application-autoscaling")
        return (
            len(scaling.describe_scalable_targets(**NAMESPACE)["ScalableTargets"]),
            len(scaling.describe_scaling_policies(**NAMESPACE)["ScalingPolicies"]),
        )


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
    assert Shell(folder, kept).run("init", "digits", "--template", "digits").returncode == 0
    assert Shell(folder / "digits", kept).run("package").returncode == 0
    return folder / "digits"


OFFICIAL = pytest.mark.official_engine


@pytest.fixture
def scaled(engine: str, packaged: Path, tmp_path: Path) -> Iterator[Scaled]:
    shutil.copytree(packaged, tmp_path / "digits")
    project = Scaled(tmp_path / "digits", engine)
    project.up()
    yield project
    server.stop(project.folder / ".cloudmodel/local")


@pytest.mark.parametrize("engine", ["embedded", pytest.param("official", marks=OFFICIAL)])
def test_a_count_outlives_updates_changes_of_machines_and_variants(scaled: Scaled) -> None:
    scaled.scale(5)

    # Another revision on the same machines. Autoscaling goes on between the plan and its `up`: that is no other plan.
    scaled.say({"environment": "{REVISION: '2'}"})
    planned = scaled.run("preview")
    sealed.save(scaled.folder / "plan.json", planned)
    scaled.scale(6)
    running = server.status(scaled.folder / ".cloudmodel/local")
    assert running is not None
    order_faults(running, {"service": "sagemaker", "operation": "UpdateEndpoint", "code": "ResourceLimitExceeded"})
    with pytest.raises(CloudmodelError, match="ResourceLimitExceeded"):
        scaled.up(plan=scaled.folder / "plan.json")
    assert planned.summary["update"] == 1

    # What that left behind is used as it is, and the plan says so.
    order_faults(running)
    again = scaled.run("preview")
    assert again.summary["update"] == 1 and not again.summary["replace"]
    assert scaled.up().summary == again.summary
    assert scaled.endpoint() == (6, "ml.c7i.large")

    # Other machines: a registered target is in AWS's way, so it goes first and comes back.
    scaled.say({"environment": "{REVISION: '2'}", "instance": "ml.c7i.xlarge"})
    scaled.up()
    assert scaled.endpoint() == (6, "ml.c7i.xlarge")
    assert scaled.registered() == (1, 1)
    scaled.unchanged()

    # Without scaling the settings' count holds, and nothing stays registered.
    scaled.say({"instance": "ml.c7i.large", "scaling": "{min: 2, max: 2}"})
    scaled.up()
    assert scaled.endpoint() == (2, "ml.c7i.large")
    assert scaled.registered() == (0, 0)

    # A variant that scales is taken off before it goes. Both engines delete what hangs on the machines first, also
    # where the program names it no more.
    scaled.say({"variants": "[{name: main, weight: 1}, {name: next, weight: 1}]"})
    scaled.up()
    assert scaled.registered() == (2, 2)
    scaled.say({"variants": "[{name: main, weight: 1}]"})
    done = scaled.up()
    assert scaled.registered() == (1, 1)
    order = [(step.name, str(step.op)) for step in done.steps]
    gone = [name for name, _ in order].index("scaling-target.next")
    assert order[gone][1].startswith("delete")
    assert gone < order.index(("endpoint", "update"))
    scaled.unchanged()


FORWARD, BACK = "ml.c7i.2xlarge", "ml.c7i.large"


@pytest.mark.parametrize(
    ("engine", "instance"),
    [("embedded", FORWARD), ("embedded", BACK), pytest.param("official", FORWARD, marks=OFFICIAL)],
)
def test_a_change_of_machines_that_fails_is_no_dead_end(scaled: Scaled, instance: str) -> None:
    scaled.scale(5)
    scaled.say({"instance": "ml.c7i.2xlarge"} | BROKEN)
    with pytest.raises(CloudmodelError) as failed:
        scaled.up()
    assert failed.value.code == 10
    assert scaled.endpoint() == (5, "ml.c7i.large")

    scaled.scale(7)
    scaled.say({"instance": instance})
    scaled.up()

    assert scaled.endpoint() == (7, instance)
    assert scaled.registered() == (1, 1)
    scaled.unchanged()
