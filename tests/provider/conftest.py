"""A provider on moto's in-process AWS, and the small things that the tests of this folder share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cloudmodel.core.resource import Checked, Difference, Live, Properties
from cloudmodel.provider.provider import AwsProvider
from cloudmodel.provider.waiters import Waiter

ACCOUNT = "123456789012"
REGION = "eu-west-1"
SEED = bytes(range(32))


@dataclass
class Clock:
    """Time that passes only when somebody sleeps; `on_sleep` is what happens in the cloud meanwhile."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.on_sleep()

    @property
    def waiter(self) -> Waiter:
        return Waiter(clock=self.time, sleep=self.sleep)


@dataclass
class Lifecycle:
    """The calls that an engine makes, for one provider."""

    provider: AwsProvider

    def urn(self, type: str, name: str = "it") -> str:
        return f"urn:pulumi:dev::demo::{type}::{name}"

    def check(
        self, type: str, inputs: Properties, *, name: str = "it", olds: Properties | None = None, seed: bytes = SEED
    ) -> Checked:
        return self.provider.check(self.urn(type, name), type, olds, inputs, seed)

    def checked(self, type: str, inputs: Properties, **more: Any) -> Properties:
        checked = self.check(type, inputs, **more)
        assert checked.failures == ()
        return checked.inputs

    def create(self, type: str, inputs: Properties, **more: Any) -> Live:
        return self.provider.create(self.urn(type), type, self.checked(type, inputs, **more), None, False)

    def read(self, type: str, live: Live) -> Live | None:
        return self.provider.read(self.urn(type), type, live.id, live.inputs, live.outputs)

    def diff(self, type: str, live: Live, inputs: Properties) -> Difference:
        news = self.checked(type, inputs, olds=live.inputs)
        return self.provider.diff(self.urn(type), type, live.id, live.inputs, live.outputs, news)

    def update(self, type: str, live: Live, inputs: Properties) -> Live:
        news = self.checked(type, inputs, olds=live.inputs)
        return self.provider.update(self.urn(type), type, live.id, live.inputs, live.outputs, news, None, False)

    def delete(self, type: str, live: Live) -> None:
        self.provider.delete(self.urn(type), type, live.id, live.inputs, live.outputs, None)

    def find(self, type: str, inputs: Properties) -> str | None:
        return self.provider.find(self.urn(type), type, inputs)


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's AWS settings reaches a test."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def moto() -> Iterator[None]:
    from moto import mock_aws

    with mock_aws():
        yield


@pytest.fixture
def aws(moto: None, clock: Clock) -> Lifecycle:
    """A configured provider on an empty moto account."""
    provider = AwsProvider(waiter=clock.waiter)
    provider.configure({"region": REGION})
    return Lifecycle(provider)


@pytest.fixture
def trust() -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sagemaker.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                    "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
                }
            ],
        }
    )
