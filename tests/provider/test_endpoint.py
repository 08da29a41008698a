"""The endpoint's life on a SageMaker that takes its time, fails, rolls back and loses deletes; no second passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cloudmodel.core.resource import Live, Properties, ResourceFailure, ResourceNotReady
from cloudmodel.provider.cloud import Account
from cloudmodel.provider.provider import AwsProvider

TYPE = "aws:sagemaker/endpoint:Endpoint"
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/e"


def refusal(code: str, message: str, operation: str) -> Exception:
    from botocore.exceptions import ClientError

    failure: Exception = ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}, operation
    )
    return failure


class SlowSageMaker:
    """One endpoint. `script` is what happens at each sleep of the waiter: a dict of fields to set, or None for gone."""

    def __init__(self) -> None:
        self.endpoint: dict[str, Any] | None = None
        self.script: Iterator[dict[str, Any] | None] = iter(())
        self.calls: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.lost_deletes = 0

    def tick(self) -> None:
        for change in self.script:
            self.endpoint = None if change is None else {**(self.endpoint or {}), **change}
            return

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
        if self.endpoint is None:
            raise refusal("ValidationException", f'Could not find endpoint "{ARN}".', "DescribeEndpoint")
        return dict(self.endpoint)

    def create_endpoint(self, **parameters: Any) -> dict[str, Any]:
        self.calls.append("create")
        self.sent.append(parameters)
        if self.endpoint is not None:
            raise refusal("ValidationException", "Cannot create already existing endpoint", "CreateEndpoint")
        self.endpoint = self._new("Creating", parameters["EndpointConfigName"])
        return {"EndpointArn": ARN}

    def update_endpoint(self, **parameters: Any) -> dict[str, Any]:
        self.calls.append("update")
        self.sent.append(parameters)
        assert self.endpoint and self.endpoint["EndpointStatus"] == "InService"
        self.endpoint["EndpointStatus"] = "Updating"
        return {"EndpointArn": ARN}

    def delete_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
        self.calls.append("delete")
        assert self.endpoint and self.endpoint["EndpointStatus"] not in ("Creating", "Updating")
        if self.lost_deletes:
            self.lost_deletes -= 1
        else:
            self.endpoint["EndpointStatus"] = "Deleting"
        return {}

    def list_tags(self, ResourceArn: str) -> dict[str, Any]:  # noqa: N803
        return {"Tags": []}

    def _new(self, status: str, config: str) -> dict[str, Any]:
        return {"EndpointName": "e", "EndpointArn": ARN, "EndpointStatus": status, "EndpointConfigName": config,
                "ProductionVariants": [{"VariantName": "v"}]}  # fmt: skip


@pytest.fixture
def sagemaker() -> SlowSageMaker:
    return SlowSageMaker()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, clock: Any, sagemaker: SlowSageMaker) -> AwsProvider:
    monkeypatch.setattr(Account, "client", lambda self, service, region: {"sagemaker": sagemaker}[service])
    clock.on_sleep = sagemaker.tick
    provider = AwsProvider(waiter=clock.waiter)
    provider.configure({"region": "eu-west-1", "skipCredentialsValidation": "true"})
    return provider


def inputs(config: str = "one", **more: Any) -> Properties:
    return {"name": "e", "endpointConfigName": config, **more}


def create(provider: AwsProvider, timeout: float | None = None, **more: Any) -> Live:
    return provider.create("urn::e", TYPE, inputs(**more), timeout, False)


def update(provider: AwsProvider, live: Live, config: str, timeout: float | None = None, **more: Any) -> Live:
    news = inputs(config, **more)
    return provider.update("urn::e", TYPE, "e", live.inputs, live.outputs, news, timeout, False)


def standing(sagemaker: SlowSageMaker, config: str = "one") -> Live:
    sagemaker.endpoint = sagemaker._new("InService", config)
    outputs = {**inputs(config), "arn": ARN, "region": "eu-west-1", "tagsAll": {}}
    return Live("e", outputs, inputs(config))


def test_a_create_waits_until_it_is_in_service(provider: AwsProvider, sagemaker: SlowSageMaker, clock: Any) -> None:
    sagemaker.script = iter([{}, {}, {"EndpointStatus": "InService"}])
    live = create(provider)
    assert live.outputs["endpointConfigName"] == "one" and live.outputs["arn"] == ARN
    assert len(clock.slept) == 3


def test_a_create_that_fails_says_why_and_leaves_something_to_change(
    provider: AwsProvider, sagemaker: SlowSageMaker
) -> None:
    reason = "The primary container for production variant v did not pass the ping health check."
    sagemaker.script = iter([{}, {"EndpointStatus": "Failed", "FailureReason": reason}])
    with pytest.raises(ResourceNotReady) as failure:
        create(provider)
    assert reason in failure.value.message and "/aws/sagemaker/Endpoints/e" in (failure.value.hint or "")
    live = failure.value.live
    assert live.id == "e"
    assert provider.diff("urn::e", TYPE, "e", live.inputs, live.outputs, inputs()).changes


def test_a_failed_endpoint_reads_as_one_that_serves_nothing_and_an_update_makes_it_again(
    provider: AwsProvider, sagemaker: SlowSageMaker
) -> None:
    sagemaker.endpoint = sagemaker._new("Failed", "one")
    live = provider.read("urn::e", TYPE, "e", inputs(), {})
    assert live is not None and live.outputs["endpointConfigName"] == ""
    assert provider.diff("urn::e", TYPE, "e", inputs(), live.outputs, inputs()).changes
    sagemaker.script = iter([None, {"EndpointStatus": "InService"}])
    assert update(provider, live, "one").outputs["endpointConfigName"] == "one"
    assert sagemaker.calls == ["delete", "create"]


def test_a_create_that_takes_too_long_is_recorded_and_can_be_waited_for_again(
    provider: AwsProvider, sagemaker: SlowSageMaker
) -> None:
    with pytest.raises(ResourceNotReady, match="still Creating after 60 s") as failure:
        create(provider, timeout=60)
    live = failure.value.live
    assert provider.diff("urn::e", TYPE, "e", live.inputs, live.outputs, inputs()).changes
    sagemaker.script = iter([{}, {"EndpointStatus": "InService"}])
    assert update(provider, live, "one").outputs["endpointConfigName"] == "one"
    assert sagemaker.calls == ["create"]


def test_an_update_waits_for_the_new_configuration(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    sagemaker.script = iter([{}, {"EndpointStatus": "InService", "EndpointConfigName": "two"}])
    assert update(provider, live, "two").outputs["endpointConfigName"] == "two"


def test_an_update_that_ends_in_service_with_the_old_configuration_has_failed(
    provider: AwsProvider, sagemaker: SlowSageMaker
) -> None:
    live = standing(sagemaker)
    reason = "Request to service failed; rolled back."
    sagemaker.script = iter(
        [{}, {"EndpointStatus": "RollingBack"}, {"EndpointStatus": "InService", "FailureReason": reason}]
    )
    with pytest.raises(ResourceNotReady) as failure:
        update(provider, live, "two")
    assert "did not land; it still serves one" in failure.value.message and reason in failure.value.message
    assert failure.value.live.outputs["endpointConfigName"] == "one"


def test_a_rollback_that_says_nothing_is_noticed_all_the_same(
    provider: AwsProvider, sagemaker: SlowSageMaker, clock: Any
) -> None:
    live = standing(sagemaker)
    sagemaker.script = iter([{"EndpointStatus": "InService"}])
    with pytest.raises(ResourceNotReady, match="did not land"):
        update(provider, live, "two")
    assert clock.now < 10


def test_an_update_that_shows_late_is_waited_for(
    provider: AwsProvider, sagemaker: SlowSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = standing(sagemaker)
    monkeypatch.setattr(sagemaker, "update_endpoint", lambda **_: {})
    sagemaker.script = iter(
        [{}, {"EndpointStatus": "Updating"}, {"EndpointStatus": "InService", "EndpointConfigName": "two"}]
    )
    assert update(provider, live, "two").outputs["endpointConfigName"] == "two"


def test_an_old_reason_is_not_taken_for_a_new_failure(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    assert sagemaker.endpoint
    sagemaker.endpoint["FailureReason"] = "an earlier update failed"
    sagemaker.script = iter([{}, {"EndpointStatus": "InService", "EndpointConfigName": "two"}])
    assert update(provider, live, "two").outputs["endpointConfigName"] == "two"


def test_an_update_waits_for_what_is_in_progress_first(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    assert sagemaker.endpoint
    sagemaker.endpoint["EndpointStatus"] = "Updating"
    sagemaker.script = iter(
        [{"EndpointStatus": "InService"}, {"EndpointStatus": "InService", "EndpointConfigName": "two"}]
    )
    update(provider, live, "two")
    assert sagemaker.calls == ["update"]


def test_an_update_that_takes_too_long_says_what_stands(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    with pytest.raises(ResourceNotReady, match="still Updating") as failure:
        update(provider, live, "two", timeout=30)
    assert failure.value.live.outputs["endpointConfigName"] == "one"


def test_an_endpoint_that_vanishes_under_a_wait_is_a_failure(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    sagemaker.script = iter([None])
    with pytest.raises(ResourceFailure, match="is gone"):
        update(provider, live, "two")


def delete(provider: AwsProvider, live: Live, timeout: float | None = None) -> None:
    provider.delete("urn::e", TYPE, "e", live.inputs, live.outputs, timeout)


def test_a_delete_waits_until_it_is_gone(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    sagemaker.script = iter([{}, {}, None])
    delete(provider, live)
    assert sagemaker.calls == ["delete"] and sagemaker.endpoint is None


def test_a_delete_during_an_update_waits_for_its_end(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    assert sagemaker.endpoint
    sagemaker.endpoint["EndpointStatus"] = "Updating"
    sagemaker.script = iter([{}, {"EndpointStatus": "InService"}, {}, None])
    delete(provider, live)
    assert sagemaker.calls == ["delete"]


def test_a_lost_delete_is_repeated(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    sagemaker.lost_deletes = 1
    sagemaker.script = iter([{}, {}, None])
    delete(provider, live)
    assert sagemaker.calls == ["delete", "delete"]


def test_a_delete_that_finds_another_operation_in_progress_waits_for_its_end(
    provider: AwsProvider, sagemaker: SlowSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = standing(sagemaker)
    refusals = [refusal("ValidationException", "Cannot update in-progress endpoint", "DeleteEndpoint")]
    delete_endpoint = sagemaker.delete_endpoint

    def occupied(EndpointName: str) -> Any:  # noqa: N803
        if refusals:
            raise refusals.pop()
        return delete_endpoint(EndpointName)

    monkeypatch.setattr(sagemaker, "delete_endpoint", occupied)
    sagemaker.script = iter([{}, {}, None])
    delete(provider, live)
    assert sagemaker.calls == ["delete"]


def test_a_delete_that_does_not_end_is_uncertain(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    with pytest.raises(ResourceFailure, match="still Deleting after 30 s") as failure:
        delete(provider, live, timeout=30)
    assert failure.value.uncertain


def test_one_that_is_gone_already_is_deleted(provider: AwsProvider, sagemaker: SlowSageMaker) -> None:
    live = standing(sagemaker)
    sagemaker.endpoint = None
    delete(provider, live)
    assert sagemaker.calls == []


def test_find_waits_for_what_a_lost_create_left_in_progress(
    provider: AwsProvider, sagemaker: SlowSageMaker, clock: Any
) -> None:
    sagemaker.endpoint = sagemaker._new("Creating", "one")
    sagemaker.script = iter([{}, {"EndpointStatus": "InService"}])
    assert provider.find("urn::e", TYPE, inputs()) == "e"
    assert clock.slept
    sagemaker.endpoint = None
    assert provider.find("urn::e", TYPE, inputs()) is None
