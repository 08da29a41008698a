"""Log groups on moto."""

from __future__ import annotations

from typing import Any

import pytest

from cloudmodel.core.resource import DiffKind, ResourceFailure, ResourceNotReady

TYPE = "aws:cloudwatch/logGroup:LogGroup"


def test_a_log_group_from_create_to_delete(aws: Any) -> None:
    inputs = {"name": "/aws/sagemaker/Endpoints/e", "retentionInDays": 14, "tags": {"a": "b"}}
    live = aws.create(TYPE, inputs)
    assert live.id == inputs["name"]
    assert live.outputs["arn"] == "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/e"
    assert aws.read(TYPE, live) == live
    assert aws.find(TYPE, live.inputs) == live.id
    news = {"name": live.id, "retentionInDays": 3, "kmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/k"}
    assert aws.diff(TYPE, live, news).changes == {
        "retentionInDays": DiffKind.UPDATE,
        "kmsKeyId": DiffKind.ADD,
        "tags": DiffKind.DELETE,
    }
    changed = aws.update(TYPE, live, {**news, "kmsKeyId": ""})
    assert aws.diff(TYPE, aws.read(TYPE, changed), {**news, "kmsKeyId": ""}).changes == {}
    forever = aws.update(TYPE, changed, {"name": live.id})
    assert aws.read(TYPE, forever) == forever and forever.outputs["retentionInDays"] == 0
    aws.delete(TYPE, forever)
    assert aws.read(TYPE, forever) is None
    assert aws.find(TYPE, live.inputs) is None
    aws.delete(TYPE, forever)


@pytest.mark.parametrize(("property", "value"), [("name", "x"), ("logGroupClass", "INFREQUENT_ACCESS")])
def test_name_and_class_replace(aws: Any, property: str, value: str) -> None:
    live = aws.create(TYPE, {})
    live.outputs.setdefault("logGroupClass", "STANDARD")
    assert aws.diff(TYPE, live, {property: value}).replaces == (property,)


def test_a_name_that_begins_like_another_is_not_taken_for_it(aws: Any) -> None:
    aws.create(TYPE, {"name": "/a/bc"})
    assert aws.find(TYPE, {"name": "/a/b"}) is None


def test_a_group_that_is_there_already_is_refused(aws: Any) -> None:
    aws.create(TYPE, {"name": "taken"})
    with pytest.raises(ResourceFailure, match="ResourceAlreadyExistsException") as failure:
        aws.create(TYPE, {"name": "taken"})
    assert "import it" in (failure.value.hint or "")


def test_logs_that_are_to_stay_stay(aws: Any) -> None:
    live = aws.create(TYPE, {"skipDestroy": True})
    aws.delete(TYPE, live)
    assert aws.read(TYPE, live) == live


def test_a_group_whose_retention_failed_is_recorded_without_it(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from cloudmodel.provider.cloud import Cloud

    real = Cloud.call

    def call(self: Cloud, service: str, operation: str, **parameters: Any) -> Any:
        if operation == "put_retention_policy":
            raise ResourceFailure("logs PutRetentionPolicy: no")
        return real(self, service, operation, **parameters)

    monkeypatch.setattr(Cloud, "call", call)
    with pytest.raises(ResourceNotReady) as failure:
        aws.create(TYPE, {"retentionInDays": 14})
    live = failure.value.live
    assert aws.diff(TYPE, live, {"retentionInDays": 14}).changes == {"retentionInDays": DiffKind.UPDATE}
