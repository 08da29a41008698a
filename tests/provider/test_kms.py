"""Keys and aliases on moto."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from cloudmodel.core.resource import DiffKind, ResourceFailure

KEY = "aws:kms/key:Key"
ALIAS = "aws:kms/alias:Alias"
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
)


@pytest.fixture
def kms(aws: Any) -> Any:
    return boto3.client("kms", region_name="eu-west-1")


def test_a_key_from_create_to_delete(aws: Any, kms: Any) -> None:
    inputs = {"description": "models", "enableKeyRotation": True, "tags": {"a": "b"}, "deletionWindowInDays": 7}
    live = aws.create(KEY, inputs)
    assert live.outputs["keyId"] == live.id and live.outputs["arn"].endswith(f"key/{live.id}")
    assert kms.get_key_rotation_status(KeyId=live.id)["KeyRotationEnabled"]
    assert aws.read(KEY, live) == live
    news = {
        "description": "other",
        "enableKeyRotation": False,
        "isEnabled": False,
        "policy": POLICY,
        "tags": {"c": "d"},
    }
    assert not aws.diff(KEY, live, news).replaces
    changed = aws.update(KEY, live, news)
    assert aws.read(KEY, changed) == changed
    assert aws.diff(KEY, changed, news).changes == {}
    back = aws.update(KEY, changed, inputs)
    assert aws.read(KEY, back) == back
    aws.delete(KEY, back)
    assert kms.describe_key(KeyId=live.id)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert aws.read(KEY, back) is None
    aws.delete(KEY, back)


def test_the_policy_that_kms_wrote_is_no_change(aws: Any) -> None:
    live = aws.create(KEY, {})
    assert "kms:*" in live.outputs["policy"] and "policy" not in live.inputs
    assert aws.diff(KEY, aws.read(KEY, live), {}).changes == {}


def test_a_key_is_found_by_the_tags_that_the_program_set(aws: Any, kms: Any) -> None:
    inputs = aws.checked(KEY, {"tags": {"cloudmodel:urn": "urn:1"}})
    aws.create(KEY, {"tags": {"cloudmodel:urn": "urn:2"}})
    assert aws.find(KEY, inputs) is None
    made = [aws.create(KEY, {"tags": {"cloudmodel:urn": "urn:1", "more": "x"}}).id for _ in range(2)]
    assert aws.find(KEY, inputs) in made
    for id in made:
        kms.schedule_key_deletion(KeyId=id)
    assert aws.find(KEY, inputs) is None


def test_a_key_without_tags_is_never_found(aws: Any) -> None:
    live = aws.create(KEY, {})
    assert aws.find(KEY, live.inputs) is None


def test_what_a_key_is_for_replaces_it(aws: Any) -> None:
    live = aws.create(KEY, {})
    assert aws.diff(KEY, live, {"keyUsage": "SIGN_VERIFY", "customerMasterKeySpec": "RSA_2048"}).replaces == (
        "customerMasterKeySpec",
        "keyUsage",
    )


def test_an_alias_from_create_to_delete(aws: Any) -> None:
    one, two = aws.create(KEY, {}), aws.create(KEY, {"description": "two"})
    live = aws.create(ALIAS, {"name": "alias/models", "targetKeyId": one.id})
    assert live.id == "alias/models"
    assert live.outputs["targetKeyArn"] == one.outputs["arn"]
    assert live.outputs["arn"] == "arn:aws:kms:eu-west-1:123456789012:alias/models"
    assert aws.read(ALIAS, live) == live
    assert aws.find(ALIAS, live.inputs) == live.id
    news = {"name": "alias/models", "targetKeyId": two.outputs["arn"]}
    assert aws.diff(ALIAS, live, news).changes == {"targetKeyId": DiffKind.UPDATE}
    changed = aws.update(ALIAS, live, news)
    assert changed.outputs["targetKeyArn"] == two.outputs["arn"]
    assert aws.read(ALIAS, changed) == changed
    assert aws.diff(ALIAS, live, {"name": "alias/x", "targetKeyId": one.id}).replaces == ("name",)
    aws.delete(ALIAS, changed)
    assert aws.read(ALIAS, changed) is None
    assert aws.find(ALIAS, live.inputs) is None
    aws.delete(ALIAS, changed)


def test_an_alias_that_is_taken_is_refused(aws: Any) -> None:
    key = aws.create(KEY, {})
    aws.create(ALIAS, {"name": "alias/models", "targetKeyId": key.id})
    with pytest.raises(ResourceFailure, match="AlreadyExistsException") as failure:
        aws.create(ALIAS, {"name": "alias/models", "targetKeyId": key.id})
    assert "import it" in (failure.value.hint or "")


def interrupted(aws: Any, interrupt: Callable[[Callable[[], Any]], None]) -> list[str]:
    """The creations that are sent to KMS; `interrupt(what KMS does)` may raise before KMS answers."""
    from moto.core.models import botocore_stubber

    sent: list[str] = []

    def send(request: Any, event_name: str, **_: Any) -> None:
        sent.append(event_name.rpartition(".")[2])
        interrupt(lambda: botocore_stubber(event_name, request))

    aws.provider._configured()._session.events.register_first("before-send.kms.CreateKey", send)
    return sent


def test_a_key_whose_creation_got_no_answer_is_not_made_twice_and_is_found(aws: Any, kms: Any) -> None:
    from botocore.exceptions import ConnectionClosedError

    def lose(effect: Callable[[], Any]) -> None:
        effect()
        raise ConnectionClosedError(endpoint_url="https://kms")

    sent = interrupted(aws, lose)
    with pytest.raises(ResourceFailure, match="kms CreateKey: no answer") as failure:
        aws.create(KEY, {"tags": {"a": "b"}})
    assert failure.value.uncertain
    assert sent == ["CreateKey"]
    keys = [each["KeyId"] for each in kms.list_keys()["Keys"]]
    assert len(keys) == 1
    assert aws.find(KEY, aws.checked(KEY, {"tags": {"a": "b"}})) == keys[0]


def test_a_throttled_creation_of_a_key_is_sat_out(aws: Any, kms: Any) -> None:
    from botocore.exceptions import ClientError

    refusals = [ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "CreateKey")] * 3

    def throttle(_: Callable[[], Any]) -> None:
        if refusals:
            raise refusals.pop()

    sent = interrupted(aws, throttle)
    aws.create(KEY, {"policy": POLICY})
    assert sent == ["CreateKey"] * 4
    assert len(kms.list_keys()["Keys"]) == 1
