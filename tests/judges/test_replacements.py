"""What forces a replacement: our tables against what terraform's AWS provider planned, property by property.

`replace_changes.json` holds the changes that were put to it, `replace_paths.json` its dated answers
(`make replace-paths` asks again).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloudmodel.provider.rules import RULES

HERE = Path(__file__).parent
ANSWERS: dict[str, Any] = json.loads((HERE / "replace_paths.json").read_text())
CHANGES: dict[str, Any] = json.loads((HERE / "replace_changes.json").read_text())

DIFFERENCES = {
    # SageMaker has no call that changes a model; terraform "updates" it, which sends nothing and changes nothing.
    ("aws:sagemaker/model:Model", "inferenceExecutionConfig"),
}
"""Where we replace and terraform does not."""
NOT_ASKED = {
    ("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "timeouts"),  # is no property of the cloud's
    ("aws:sns/topicSubscription:TopicSubscription", "replayPolicy"),  # needs a topic that archives; moto has none
}
NEWER = {
    ("aws:iam/policy:Policy", "delayAfterPolicyCreationInMs"),
    ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "skipDestroy"),
    ("aws:sagemaker/endpointConfiguration:EndpointConfiguration", "executionRoleArn"),
    ("aws:sns/topic:Topic", "maximumMessageSize"),
}
"""Properties of provider 6, from which pulumi_aws 7 is made; 5.100 has none of them, nor any resource's `region`."""


def test_the_provider_answered_for_every_property_of_every_type() -> None:
    properties = {(token, name) for token, rule in RULES.items() for name in rule.fields if name != "region"}
    answered = {(token, name) for token, answers in ANSWERS["types"].items() for name in answers}
    assert properties - answered == NOT_ASKED | NEWER
    assert answered <= properties
    assert ANSWERS["not_applied"] == []
    assert sorted(f"{token} {name}" for token, name in NEWER) == ANSWERS["unknown_to_provider"]


def test_every_answer_is_to_a_change_that_still_stands_in_the_file() -> None:
    asked = {(token, name) for token, rows in CHANGES.items() for name in rows["changes"]}
    answered = {(token, name) for token, answers in ANSWERS["types"].items() for name in answers}
    assert asked == answered | NEWER


def test_every_change_was_seen_as_a_change() -> None:
    verdicts = {verdict for answers in ANSWERS["types"].values() for verdict in answers.values()}
    assert verdicts == {"replace", "update"}


@pytest.mark.parametrize("token", sorted(RULES))
def test_what_replaces_here_replaces_there(token: str) -> None:
    answers = ANSWERS["types"][token]
    ours = {name for name, each in RULES[token].fields.items() if each.replaces and name in answers}
    theirs = {name for name, verdict in answers.items() if verdict == "replace"}
    assert theirs - ours == set()
    assert ours - theirs == {name for kind, name in DIFFERENCES if kind == token}
