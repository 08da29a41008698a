"""What goes wrong on the way to the cloud: throttling, lost replies, roles that are not there yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cloudmodel.core.resource import ResourceFailure
from cloudmodel.provider.cloud import Cloud
from cloudmodel.provider.errors import CallFailed
from cloudmodel.provider.provider import AwsProvider

MODEL = "aws:sagemaker/model:Model"
INPUTS = {"name": "m", "executionRoleArn": "arn:aws:iam::123456789012:role/r", "primaryContainer": {"image": "i"}}
Answer = tuple[int, dict[str, Any]] | Exception


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, clock: Any) -> Callable[..., tuple[AwsProvider, list[str]]]:
    """A provider whose SageMaker gives these answers, one a request, with botocore's real retries and no pauses."""
    import botocore.endpoint
    from botocore.awsrequest import AWSResponse

    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=clock.sleep))

    class Raw:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def stream(self, **_: Any) -> Iterator[bytes]:
            yield self.body

    def answering(*answers: Answer) -> tuple[AwsProvider, list[str]]:
        provider = AwsProvider(waiter=clock.waiter)
        provider.configure({"region": "eu-west-1", "skipCredentialsValidation": "true"})
        requests: list[str] = []
        left = list(answers)

        def send(request: Any, **_: Any) -> Any:
            requests.append(request.headers["X-Amz-Target"].decode().split(".")[-1])
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            status, body = answer
            headers = {"x-amzn-RequestId": "req-1"}
            return AWSResponse(request.url, status, headers, Raw(json.dumps(body).encode()))

        provider._configured().client("sagemaker", "eu-west-1").meta.events.register("before-send.sagemaker", send)
        return provider, requests

    return answering


def refused(code: str, message: str, status: int = 400) -> Answer:
    return status, {"__type": code, "message": message}


OK: Answer = (200, {"ModelArn": "arn:aws:sagemaker:eu-west-1:123456789012:model/m"})
THROTTLED = refused("ThrottlingException", "Rate exceeded")


def create(provider: AwsProvider) -> Any:
    return provider.create("urn::m", MODEL, INPUTS, None, False)


def test_throttling_is_sat_out(cloud: Any, clock: Any) -> None:
    provider, requests = cloud(*[THROTTLED] * 6, OK)
    assert create(provider).id == "m"
    assert requests == ["CreateModel"] * 7 and len(clock.slept) == 6


def test_throttling_without_end_says_what_to_do(cloud: Any) -> None:
    provider, requests = cloud(*[THROTTLED] * 10)
    with pytest.raises(CallFailed, match="sagemaker CreateModel: ThrottlingException: Rate exceeded") as failure:
        create(provider)
    assert "--parallel" in (failure.value.hint or "") and not failure.value.uncertain
    assert len(requests) == 10


def test_a_server_error_is_retried_and_in_the_end_uncertain(cloud: Any) -> None:
    provider, _ = cloud(refused("InternalFailure", "oops", 500), OK)
    assert create(provider).id == "m"
    provider, _ = cloud(*[refused("InternalFailure", "oops", 500)] * 10)
    with pytest.raises(CallFailed) as failure:
        create(provider)
    assert failure.value.uncertain and failure.value.request == "sagemaker CreateModel (request req-1)"


def test_a_lost_reply_is_uncertain(cloud: Any) -> None:
    from botocore.exceptions import ReadTimeoutError

    provider, _ = cloud(*[ReadTimeoutError(endpoint_url="https://x")] * 10)
    with pytest.raises(ResourceFailure, match="sagemaker CreateModel: no answer") as failure:
        create(provider)
    assert failure.value.uncertain


ALREADY = refused("ValidationException", "Cannot create already existing model")


def test_already_there_is_certain_at_once_and_uncertain_after_a_lost_reply(cloud: Any) -> None:
    provider, _ = cloud(ALREADY)
    with pytest.raises(CallFailed) as failure:
        create(provider)
    assert not failure.value.uncertain and "import it" in (failure.value.hint or "")
    provider, _ = cloud(refused("InternalFailure", "oops", 500), ALREADY)
    with pytest.raises(CallFailed) as failure:
        create(provider)
    assert failure.value.uncertain


def test_in_progress_after_a_lost_reply_may_be_our_own_doing(cloud: Any) -> None:
    provider, _ = cloud(refused("InternalFailure", "oops", 500), refused("ValidationException", "in-progress endpoint"))
    with pytest.raises(CallFailed) as failure:
        create(provider)
    assert failure.value.uncertain


UNASSUMABLE = refused(
    "ValidationException", "Could not assume role arn:aws:iam::123456789012:role/r. Please ensure that the role exists"
)


def test_a_role_that_is_not_there_yet_is_waited_for(cloud: Any, clock: Any) -> None:
    provider, requests = cloud(UNASSUMABLE, UNASSUMABLE, OK)
    assert create(provider).id == "m"
    assert len(requests) == 3 and clock.slept


def test_a_role_that_never_comes_is_said_so_after_two_minutes(cloud: Any, clock: Any) -> None:
    provider, _ = cloud(*[UNASSUMABLE] * 60)
    with pytest.raises(CallFailed, match="Could not assume role"):
        create(provider)
    assert clock.now == pytest.approx(120)


def test_another_refusal_is_not_repeated(cloud: Any, clock: Any) -> None:
    provider, requests = cloud(refused("ResourceLimitExceeded", "The account-level service limit is 0"))
    with pytest.raises(CallFailed) as failure:
        create(provider)
    assert len(requests) == 1 and "Service Quotas" in (failure.value.hint or "")


def test_only_a_confirmed_not_found_is_none(cloud: Any) -> None:
    provider, _ = cloud(refused("ValidationException", "Could not find model"))
    assert provider.read("urn::m", MODEL, "m", INPUTS, {}) is None
    for other in (
        refused("ValidationException", "1 validation error detected"),
        refused("AccessDeniedException", "not authorized to perform sagemaker:DescribeModel"),
    ):
        provider, _ = cloud(other)
        with pytest.raises(CallFailed):
            provider.read("urn::m", MODEL, "m", INPUTS, {})


def test_a_parameter_that_boto_refuses_is_a_failure_and_certain(cloud: Any) -> None:
    provider, requests = cloud()
    with pytest.raises(ResourceFailure, match="Parameter validation failed") as failure:
        provider.create("urn::m", MODEL, {**INPUTS, "executionRoleArn": 5}, None, False)
    assert requests == [] and not failure.value.uncertain


def test_a_dead_local_aws_is_named() -> None:
    provider = AwsProvider(endpoint_url="http://127.0.0.1:1")
    with pytest.raises(ResourceFailure, match="no answer") as failure:
        provider.configure({"region": "eu-west-1"})
    assert "127.0.0.1:1" in (failure.value.hint or "") and failure.value.uncertain


def test_a_list_that_fails_is_a_failure_too(cloud: Any) -> None:
    provider, _ = cloud(refused("AccessDeniedException", "no"))
    place: Cloud = provider._configured().at()
    with pytest.raises(CallFailed, match="sagemaker ListModels: AccessDeniedException"):
        list(place.pages("sagemaker", "list_models", "Models"))
