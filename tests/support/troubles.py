"""What had happened before somebody opens a runbook, and what its reader does that no command line can do.

A scene is a generator: it sets the scene and yields; what it does then is the mending of the cause, before the page's
`What to do`; what follows its second yield is checked at the end.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud import EXPIRED, Cloud, order_faults
from cloudmodel.bundle.store import FolderStore
from cloudmodel.engine.holder import me
from cloudmodel.engine.secrets import Passphrase, Secrets
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import Running
from cloudmodel.provider import sagemaker
from pages import typed
from shell import Shell, lines_until
from terminal import Terminal
from traffic import revise

ENDPOINT = "shop-prod"
LOCK = "4c1f0d0c2b6a4a3e9a7a5a0f6d1e2b37"
"""The id that the page's lock has."""
BAKING = "  cloudmodel:rollout: {strategy: all-at-once, bake: 600}\n"


class Shop:
    """The project `shop`, whose stack `prod` stands."""

    def __init__(self, terminal: Terminal, patch: pytest.MonkeyPatch) -> None:
        self.terminal = terminal
        self.patch = patch
        self.folder = terminal.folder
        self.settings = terminal.folder / "Pulumi.prod.yaml"
        self.state = terminal.folder / ".cloudmodel/stacks/prod"
        self.home = terminal.folder / ".cloudmodel/local"

    @property
    def running(self) -> Running:
        found = server.status(self.home)
        assert found is not None
        return found

    @property
    def cloud(self) -> Cloud:
        return Cloud(self.running.endpoint_url, "us-east-1")

    def json(self, line: str) -> dict[str, Any]:
        code, printed = self.terminal.run(f"cloudmodel {line} --json")
        assert code == 0, printed
        document: dict[str, Any] = json.loads(printed[printed.index("{") :])
        return document

    def another_model(self) -> None:
        """Let a model be the newest that is not the deployed one: the two take turns, once there are two."""
        served = self.json("outputs --stack prod")["outputs"]["bundle_digest"]
        store = FolderStore(self.folder / ".cloudmodel/bundles")
        for archive in sorted((store.root / "sha256").glob("*.tar.gz")):
            if archive.name != f"{served.removeprefix('sha256:')}.tar.gz":
                store.put(archive)
                return
        revise(self.folder / "models/digits.onnx")
        self.json("package")

    def served(self) -> str:
        return str(self.cloud.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"])


Scene = Callable[[Shop], Iterator[None]]


def failed_deploy(shop: Shop) -> Iterator[None]:
    shop.another_model()
    refused = {
        "code": "ResourceLimitExceeded",
        "message": "The account-level service limit 'ml.c7i.large for endpoint usage' is 1 Instances, with current "
        "utilization of 1 Instances and a request delta of 1 Instances.",
    }
    order_faults(shop.running, {"service": "sagemaker", "operation": "UpdateEndpoint", **refused})
    before = shop.served()
    yield
    assert shop.served() == before
    order_faults(shop.running)  # AWS has raised the quota
    yield
    assert shop.served() != before


def silent_rollback(shop: Shop) -> Iterator[None]:
    """In service, without a word, on a configuration that is not the one that was deployed."""
    wanted, api = shop.served(), shop.cloud.client("sagemaker")
    variants = api.describe_endpoint_config(EndpointConfigName=wanted)["ProductionVariants"]
    api.create_endpoint_config(EndpointConfigName="shop-prod-0a1b2c3d4e5f", ProductionVariants=variants)
    api.update_endpoint(EndpointName=ENDPOINT, EndpointConfigName="shop-prod-0a1b2c3d4e5f")
    waiter = api.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=ENDPOINT, WaiterConfig={"Delay": 0.05, "MaxAttempts": 1200})
    yield
    yield
    assert shop.served() == wanted


def leave_a_lock(shop: Shop) -> None:
    """That of the dead job: another machine's, and without a sign of life for minutes."""
    dead = replace(me(7, "up"), id=LOCK, host="runner-41", owner="ci", time="2026-01-05T01:00:00+00:00")
    (shop.state / "lock").write_text(json.dumps(asdict(dead)))
    killed = time.time() - 400
    os.utime(shop.state / "lock", (killed, killed))


def stuck_lock(shop: Shop) -> Iterator[None]:
    """A job of another machine was ended in the middle of an update."""
    shop.another_model()
    job = Shell(shop.folder, shop.terminal.environment()).start("up", "--stack", "prod", "--yes")
    lines_until(job, "endpoint updating (")
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()
    leave_a_lock(shop)
    yield
    yield
    assert not (shop.state / "lock").exists()


def expired_credentials(shop: Shop) -> Iterator[None]:
    shop.another_model()
    order_faults(shop.running, {"service": "sagemaker", "operation": "UpdateEndpoint", **EXPIRED})
    yield
    order_faults(shop.running)  # signed in again
    yield


def lost_state(shop: Shop) -> Iterator[None]:
    for path in sorted(shop.state.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    shop.state.rmdir()
    yield
    yield


def corrupt_state(shop: Shop) -> Iterator[None]:
    checkpoint = shop.state / "checkpoint.json"
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    yield
    yield


def lost_passphrase(shop: Shop) -> Iterator[None]:
    """The stack has a secret setting, which its program hands on; the passphrase that sealed it is gone."""
    program, settings = shop.folder / "__main__.py", shop.settings.read_text()
    before = program.read_text()
    program.write_text(before + "\nimport pulumi\npulumi.export('token', pulumi.Config().require_secret('token'))\n")

    def seal(passphrase: str) -> None:
        secrets = Secrets(lambda _: Passphrase(passphrase, "the page"))
        document = yaml.safe_load(settings)
        document["config"]["shop:token"] = {"secure": secrets.encrypt("sesame")}
        document["encryptionsalt"] = secrets.salt
        shop.settings.write_text(yaml.safe_dump(document))

    seal("correct horse")
    shop.terminal.variables["PULUMI_CONFIG_PASSPHRASE"] = "correct horse"
    shop.json("up --stack prod --yes")
    shop.terminal.variables["PULUMI_CONFIG_PASSPHRASE"] = "was it this one?"
    yield
    shop.terminal.variables["PULUMI_CONFIG_PASSPHRASE"] = "a new one, kept in the vault"
    seal("a new one, kept in the vault")
    yield
    assert shop.json("outputs --stack prod --show-secrets")["outputs"]["token"] == "sesame"
    program.write_text(before)
    shop.settings.write_text(settings)
    shop.json("up --stack prod --yes")
    del shop.terminal.variables["PULUMI_CONFIG_PASSPHRASE"]


def endpoint_stuck(shop: Shop) -> Iterator[None]:
    settings = shop.settings.read_text()
    shop.settings.write_text(settings + BAKING)
    shop.another_model()
    server.set_clock(shop.home, speed=0)
    with shop.patch.context() as patch:
        patch.setattr(sagemaker, "READY_SECONDS", 1.0)
        yield
    server.set_clock(shop.home, forward=1200)
    server.set_clock(shop.home, speed=600)
    yield
    shop.settings.write_text(settings)
    shop.json("up --stack prod --yes")
    server.set_clock(shop.home, speed=1)


def bad_model_live(shop: Shop) -> Iterator[None]:
    before, settings = shop.json("outputs --stack prod")["outputs"], shop.settings.read_text()
    shop.another_model()
    shop.json("up --stack prod --yes")
    shop.cloud.client("cloudwatch").set_alarm_state(
        AlarmName=f"{ENDPOINT}-errors", StateValue="ALARM", StateReason="a drill"
    )
    yield
    yield
    assert shop.json("outputs --stack prod")["outputs"] == before
    shop.settings.write_text(settings)


def saturation(shop: Shop) -> Iterator[None]:
    settings = shop.settings.read_text()
    shop.cloud.client("cloudwatch").set_alarm_state(
        AlarmName=f"{ENDPOINT}-saturation", StateValue="ALARM", StateReason="a drill"
    )
    yield
    shop.settings.write_text(settings + "  cloudmodel:scaling: {min: 1, max: 4}\n")
    yield
    scaling = shop.cloud.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert target["MaxCapacity"] == 4
    shop.settings.write_text(settings)


TO_DO = "What to do"


def walk(shop: Shop, page: Path, scene: Scene, otherwise: Mapping[str, str] | None = None) -> None:
    """Do what `page` says, in that trouble; `otherwise`: what a command prints instead, the first time it is typed."""
    acts, left = scene(shop), dict(otherwise or {})
    next(acts)
    mended = False
    for each in typed(page):
        if each.heading == TO_DO and not mended:
            mended = True
            next(acts)
        code, printed = shop.terminal.run(each.line)
        assert code == each.code, f"$ {each.line}\n{printed}"
        assert replace(each, prints=left.pop(each.line, each.prints)).fits(printed), f"$ {each.line}\n{printed}"
    assert mended
    assert list(acts) == []


SCENES: dict[str, Scene] = {
    each.__name__.replace("_", "-"): each
    for each in (
        failed_deploy, silent_rollback, stuck_lock, expired_credentials, lost_state, corrupt_state, lost_passphrase,
        endpoint_stuck, bad_model_live, saturation,
    )
}  # fmt: skip
"""By the name of the page."""
