"""What bootstrap makes: twice on a local AWS, and its documents before a linter that knows AWS's list of actions."""

from __future__ import annotations

import fnmatch
import json
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from moto.iam.access_control import IAMPolicy

from cloud import Cloud
from cloudmodel.cli.main import answer
from cloudmodel.core.errors import OperationFailed, UsageError
from cloudmodel.core.resource import UNKNOWN
from cloudmodel.localaws import server
from cloudmodel.localaws.constraints import violations
from cloudmodel.localaws.identity import ACCOUNT, Running
from cloudmodel.operate.bootstrap import carry_out, documents, goals, neighbours
from cloudmodel.operate.bootstrap.setup import GITHUB, GITLAB, Setup, pipeline
from cloudmodel.provider.provider import AwsProvider
from cloudmodel.settings.model import Existing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # parliament imports a part of setuptools that is going away
    import parliament

REGION = "eu-west-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
PIPELINES = (
    pipeline(GITHUB, "acme/digits", "production", "main"),
    pipeline(GITLAB, "acme/ml/digits", "production", "main"),
)
SETUP = Setup("digits", ACCOUNT, REGION, Existing(), PIPELINES)
LONGEST = Setup("d" * 31, ACCOUNT, "ap-southeast-3", Existing(name_prefix="p" * 20), PIPELINES)
OWNED = Existing(
    role=f"arn:aws:iam::{ACCOUNT}:role/serving",
    bucket="acme-models",
    key=KEY,
    boundary=f"arn:aws:iam::{ACCOUNT}:policy/limits",
    name_prefix="acme-",
)
SETUPS = {"plain": SETUP, "longest": LONGEST, "owned": Setup("digits", ACCOUNT, REGION, OWNED, PIPELINES)}


def apply(setup: Setup, key: str) -> str:
    """Everything that the apply role has, as one document."""
    parts = (documents.apply_policy(setup, key), *documents.apply_changes(setup).values())
    return json.dumps({"Version": "2012-10-17", "Statement": [each for part in parts for each in statements(part)]})


POLICIES: dict[str, Callable[[Setup, str], str]] = {
    "plan": documents.plan_policy,
    "apply": apply,
    "boundary": lambda setup, _: documents.boundary_policy(setup),
}


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_linter_finds_nothing_against_a_policy(setup: Setup, policy: str) -> None:
    found = parliament.analyze_policy_string(POLICIES[policy](setup, KEY)).findings
    told = {(each.issue, str(each.detail)) for each in found}
    # An alias takes a permission on itself and one on its key, a group one on itself and one on its network: two
    # statements, each of which lacks the other's half.
    halves = ("kms:CreateAlias", "ec2:CreateSecurityGroup")
    assert {each for each in told if not any(half in each[1] for half in halves)} == set()


def test_the_linter_does_find_what_is_wrong() -> None:
    text = documents.plan_policy(SETUP, KEY)
    wrong = {
        "UNKNOWN_ACTION": text.replace("s3:GetBucketAcl", "s3:GetBucketColour"),
        "RESOURCE_MISMATCH": text.replace(":key/1234abcd-12ab-34cd-56ef-1234567890ab", ":alias/a"),
        "UNKNOWN_PREFIX": text.replace("sagemaker:DescribeModel", "sagemakers:DescribeModel"),
    }
    for issue, document in wrong.items():
        assert issue in {each.issue for each in parliament.analyze_policy_string(document).findings}


def test_the_plan_role_reads_and_changes_nothing() -> None:
    levels = {
        f"{service['prefix']}:{each['privilege']}": each["access_level"]
        for service in parliament.iam_definition
        for each in service["privileges"]
    }
    actions = {action for each in statements(documents.plan_policy(SETUP, KEY)) for action in many(each["Action"])}
    assert {action for action in actions if levels[action] not in ("Read", "List")} <= {"kms:Decrypt", "kms:Encrypt"}


@pytest.mark.parametrize("policy", POLICIES)
def test_no_action_is_a_wildcard_and_no_change_is_allowed_everywhere(policy: str) -> None:
    for each in statements(POLICIES[policy](SETUP, KEY)):
        assert not [action for action in many(each["Action"]) if "*" in action]
        if "*" in many(each["Resource"]) and policy != "plan":
            changing = [
                a for a in many(each["Action"]) if not a.partition(":")[2].startswith(("Describe", "Get", "List"))
            ]
            assert set(changing) <= {"cloudwatch:PutMetricData", "kms:CreateKey", *SUBSCRIPTIONS}


SUBSCRIPTIONS = {"sns:SetSubscriptionAttributes", "sns:Unsubscribe"}


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_documents_fit_into_iam(setup: Setup) -> None:
    """Limits of IAM: 10,240 characters of a role's inline policies, 6,144 of a managed policy, 2,048 of a trust policy;
    blanks do not count."""
    inline = [documents.plan_policy(setup, KEY), documents.apply_policy(setup, KEY)]
    managed = [documents.boundary_policy(setup), *documents.apply_changes(setup).values()]
    assert max(len("".join(each.split())) for each in inline) <= 10_240
    assert max(len("".join(each.split())) for each in managed) <= 6_144
    assert len("".join(documents.trust(setup, apply=False).split())) <= 2_048


CALLS: dict[str, tuple[str, str, dict[str, str]]] = {
    "Key": ("kms", "CreateKey", {"description": "Description", "policy": "Policy"}),
    "Alias": ("kms", "CreateAlias", {"name": "AliasName", "targetKeyId": "TargetKeyId"}),
    "Role": (
        "iam",
        "CreateRole",
        {"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument", "maxSessionDuration": "MaxSessionDuration",
         "description": "Description"},
    ),
    "RolePolicy": ("iam", "PutRolePolicy", {"role": "RoleName", "name": "PolicyName", "policy": "PolicyDocument"}),
    "Policy": ("iam", "CreatePolicy", {"name": "PolicyName", "policy": "PolicyDocument", "description": "Description"}),
    "OpenIdConnectProvider": ("iam", "CreateOpenIDConnectProvider", {"url": "Url", "clientIdLists": "ClientIDList"}),
}  # fmt: skip


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_every_call_is_within_the_bounds_of_botocores_models(setup: Setup) -> None:
    made = [goals.key(setup), *goals.others(setup, KEY)]
    asked = [(goal, CALLS[kind]) for goal in made if (kind := goal.type.rpartition(":")[2]) in CALLS]
    assert len(asked) >= 8
    for goal, (service, operation, names) in asked:
        request = {member: goal.inputs[name] for name, member in names.items() if name in goal.inputs}
        assert violations(service, operation, request) is None
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", setup.bucket)


def test_tokens_are_matched_by_audience_and_subject() -> None:
    """P29: no wildcard, so no other repository, branch or environment; but for GitLab's branches of the very project,
    which merge requests are planned from: its tokens know no merge request."""
    expected = {
        True: {
            GITHUB: ["repo:acme/digits:environment:production"],
            GITLAB: ["project_path:acme/ml/digits:ref_type:branch:ref:main"],
        },
        False: {
            GITHUB: ["repo:acme/digits:pull_request", "repo:acme/digits:ref:refs/heads/main"],
            GITLAB: ["project_path:acme/ml/digits:ref_type:branch:ref:*"],
        },
    }
    for apply, subjects in expected.items():
        for statement, host in zip(statements(documents.trust(SETUP, apply=apply)), (GITHUB, GITLAB), strict=True):
            assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
            assert statement["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"}
            condition = statement["Condition"]
            like = condition.pop("StringLike", {})
            assert list(condition) == ["StringEquals"]
            told = condition["StringEquals"]
            assert bool(like) == (host == GITLAB and not apply) and "*" not in json.dumps(told)
            assert (like | told)[f"{host}:sub"] == subjects[host]
            assert told[f"{host}:aud"] == {GITHUB: "sts.amazonaws.com", GITLAB: "https://gitlab.com"}[host]
    # What IAM's StringLike does with the pattern: any branch, and neither a tag nor another project.
    (pattern,) = PIPELINES[1].plans
    for token, taken in (
        ("project_path:acme/ml/digits:ref_type:branch:ref:feature/labels", True),
        ("project_path:acme/ml/digits:ref_type:tag:ref:v1", False),
        ("project_path:mallory/digits:ref_type:branch:ref:main", False),
        ("project_path:acme/ml/digits-too:ref_type:branch:ref:main", False),
    ):
        assert fnmatch.fnmatchcase(token, pattern) == taken


@pytest.mark.parametrize(
    ("host", "repository", "environment", "branch"),
    [
        (GITHUB, "acme", "production", "main"),
        (GITHUB, "acme/*", "production", "main"),
        (GITHUB, "acme/digits/more", "production", "main"),
        (GITLAB, "acme/digits:x", "production", "main"),
        (GITHUB, "acme/digits", "*", "main"),
        (GITHUB, "acme/digits", "production", "mai?"),
        (GITHUB, "acme/digits", "", "main"),
    ],
)
def test_what_no_token_could_carry_exactly_is_refused(
    host: str, repository: str, environment: str, branch: str
) -> None:
    with pytest.raises(UsageError):
        pipeline(host, repository, environment, branch)


def test_roles_that_stacks_make_cannot_go_beyond_the_boundary() -> None:
    found = statements(apply(SETUP, KEY))
    makes = [each for each in found if {"iam:CreateRole", "iam:PutRolePolicy"} & set(many(each["Action"]))]
    assert all(each["Condition"] == {"ArnEquals": {"iam:PermissionsBoundary": SETUP.boundary_arn}} for each in makes)
    assert makes and not [a for each in found for a in many(each["Action"]) if a == "iam:DeleteRolePermissionsBoundary"]
    inside = {action for each in statements(documents.boundary_policy(SETUP)) for action in many(each["Action"])}
    assert not [action for action in inside if action.startswith(("iam:", "sts:"))]


def test_nothing_that_bootstrap_made_is_within_reach_of_a_stacks_apply() -> None:
    own = [goal.inputs.get("name") or goal.inputs.get("bucket") for goal in goals.others(SETUP, KEY)]
    assert not [name for name in own if name and name.startswith(f"{SETUP.stem}-")]
    denied = [each for each in statements(apply(SETUP, KEY)) if each["Effect"] == "Deny"]
    assert denied[0]["Resource"] == KEY and "kms:ScheduleKeyDeletion" in denied[0]["Action"]


def project(prefix: str, name: str) -> Setup:
    return replace(SETUP, project=name, existing=Existing(name_prefix=prefix) if prefix else Existing())


def reached(role: Setup, other: Setup) -> set[str]:
    """The kinds of named things of `other`'s stacks that the apply role of `role` may change, as moto's evaluation of
    policies has it, where every condition is met."""
    name, region = f"{other.stem}-prod", other.region
    named = {
        "s3:DeleteBucket": f"arn:aws:s3:::{name}-{ACCOUNT}-{region}",
        "s3:PutObject": f"arn:aws:s3:::{name}-{ACCOUNT}-{region}/bundles/x",
        "iam:DeleteRole": other.arn("iam", f"role/{name}", region=""),
        "iam:PassRole": other.arn("iam", f"role/{name}", region=""),
        "sagemaker:DeleteModel": other.arn("sagemaker", f"model/{name}-0123456789ab"),
        "sagemaker:UpdateEndpoint": other.arn("sagemaker", f"endpoint/{name}"),
        "sagemaker:DeleteEndpointConfig": other.arn("sagemaker", f"endpoint-config/{name}-0123456789ab"),
        "cloudwatch:DeleteAlarms": other.arn("cloudwatch", f"alarm:{name}-errors"),
        "cloudwatch:DeleteDashboards": other.arn("cloudwatch", f"dashboard/{name}", region=""),
        "logs:DeleteLogGroup": other.arn("logs", f"log-group:/aws/sagemaker/Endpoints/{name}"),
        "sns:DeleteTopic": other.arn("sns", name),
        "kms:DeleteAlias": other.arn("kms", f"alias/{name}"),
    }
    free = [
        {key: value for key, value in each.items() if key != "Condition"}
        for part in documents.apply_changes(role).values()
        for each in statements(part)
        if each["Sid"] not in BY_TAGS
    ]
    policy = IAMPolicy(json.dumps({"Version": "2012-10-17", "Statement": free}))
    return {action for action, arn in named.items() if policy.is_action_permitted(action, arn).name == "PERMITTED"}


OURS, THEIRS = "digits/prod/aws:appautoscaling/target:Target/x", "letters/prod/aws:appautoscaling/target:Target/x"
TARGETS = [
    ("RegisterScalableTarget", OURS, None, True),
    ("RegisterScalableTarget", None, OURS, True),
    ("RegisterScalableTarget", None, None, False),
    ("RegisterScalableTarget", THEIRS, None, False),
    ("RegisterScalableTarget", OURS, THEIRS, False),
    ("TagResource", OURS, None, True),
    ("TagResource", OURS, THEIRS, False),
    ("TagResource", None, OURS, True),
    *((action, None, OURS, True) for action in ("DeregisterScalableTarget", "PutScalingPolicy", "UntagResource")),
    *((action, None, THEIRS, False) for action in ("DeregisterScalableTarget", "PutScalingPolicy", "UntagResource")),
    ("DeleteScheduledAction", None, None, False),
]
"""A call on a scalable target, the tag in the request, the one that it has, and whether the role of `digits` may."""


@pytest.mark.parametrize(("action", "asked", "has", "allowed"), TARGETS)
def test_scalable_targets_of_two_projects_are_told_apart_by_their_tags(
    action: str, asked: str | None, has: str | None, allowed: bool
) -> None:
    def permits(namespace: str) -> bool:
        context = {
            "aws:RequestTag/cloudmodel:urn": asked,
            "aws:ResourceTag/cloudmodel:urn": has,
            "application-autoscaling:service-namespace": namespace,
        }

        def holds(operator: str, key: str, pattern: str) -> bool:
            value = context[key]
            return operator.endswith("IfExists") if value is None else fnmatch.fnmatchcase(value, pattern)

        return any(
            all(
                holds(operator, key, value)
                for operator, keys in each["Condition"].items()
                for key, value in keys.items()
            )
            for each in statements(apply(SETUP, KEY))
            if f"application-autoscaling:{action}" in each["Action"]
        )

    assert permits("sagemaker") == allowed
    assert permits("ecs") == (allowed and action.endswith("agResource")), "a tag's call names no service"


BY_TAGS = {"KeyOfAnAlias"}
"""Statements about what has no name of its own: the tags of its key tell whose an alias is."""
STEMS = st.tuples(st.sampled_from(["", "acme-", "a-"]), st.from_regex(r"[a-c]-?[a-c0-9]?(-v2)?", fullmatch=True))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(STEMS, STEMS)
@example(("", "digits"), ("", "digits-v2"))
@example(("", "digits"), ("", "digits2"))
@example(("acme-", "digits"), ("", "acme"))
def test_roles_reach_another_projects_things_only_where_bootstrap_refuses_the_pair(
    one: tuple[str, str], two: tuple[str, str]
) -> None:
    ours, theirs = (project(*each) for each in (one, two))
    assert len(reached(ours, ours)) == 12
    if neighbours.overlap(ours.stem, theirs.stem):
        assert reached(ours, theirs) | reached(theirs, ours)
    elif ours.stem != theirs.stem:
        assert reached(ours, theirs) | reached(theirs, ours) == set()


@pytest.mark.parametrize("project", ["cloudmodel", "cloudmodel-apply"])
def test_a_project_named_as_what_bootstrap_makes_is_refused(project: str) -> None:
    with pytest.raises(UsageError, match="bootstrap's own"):
        replace(SETUP, project=project)


def test_what_the_platform_owns_is_used() -> None:
    setup = SETUPS["owned"]
    names = {goal.name for goal in goals.others(setup, KEY)}
    assert "boundary" not in names
    found = statements(apply(setup, KEY))
    (passed,) = [each for each in found if "iam:PassRole" in each["Action"]]
    assert passed["Resource"] == OWNED.role
    assert not [a for each in found for a in many(each["Action"]) if a in ("iam:CreateRole", "kms:CreateKey")]
    (buckets,) = [each for each in found if "s3:CreateBucket" in each["Action"]]
    assert buckets["Resource"] == ["arn:aws:s3:::acme-models", "arn:aws:s3:::acme-models/*"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("aws")
    yield server.start(home, region=REGION)
    server.stop(home)


@pytest.fixture
def provider(running: Running) -> AwsProvider:
    made = AwsProvider(endpoint_url=running.endpoint_url)
    made.configure({"region": REGION})
    return made


def ops(steps: Any) -> set[str]:
    return {str(step.op) for step in steps}


def test_it_makes_everything_once_and_mends_what_was_changed(running: Running, provider: AwsProvider) -> None:
    told: list[str] = []
    planned = carry_out.plan(provider, SETUP)
    assert ops(planned) == {"create"}
    assert UNKNOWN in json.dumps([step.new.inputs for step in planned if step.new])
    made = carry_out.apply(provider, SETUP, lambda step: told.append(step.name))
    assert [step.urn for step in made] == [step.urn for step in planned] and len(told) == len(planned)
    assert ops(carry_out.plan(provider, SETUP)) == {"same"}
    assert ops(carry_out.apply(provider, SETUP, lambda step: None)) == {"same"}
    with pytest.raises(UsageError, match="another project that is called digits: its name"):
        carry_out.plan(provider, replace(SETUP, pulumi="vision-digits"))

    cloud = Cloud(running.endpoint_url, REGION)
    s3, iam, kms = cloud.client("s3"), cloud.client("iam"), cloud.client("kms")
    assert s3.get_bucket_versioning(Bucket=SETUP.bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=SETUP.bucket)["PublicAccessBlockConfiguration"].values())
    key = kms.describe_key(KeyId=f"alias/{SETUP.own('state')}")["KeyMetadata"]
    (rule,) = s3.get_bucket_encryption(Bucket=SETUP.bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]}
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    denied = statements(s3.get_bucket_policy(Bucket=SETUP.bucket)["Policy"])[0]
    assert denied["Effect"] == "Deny" and denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]) == 2

    iam.update_role(RoleName=SETUP.own("apply"), Description="somebody else's", MaxSessionDuration=3600)
    iam.delete_role_policy(RoleName=SETUP.own("plan"), PolicyName="plan")
    mended = {step.name: str(step.op) for step in carry_out.apply(provider, SETUP, lambda step: None)}
    assert {name: op for name, op in mended.items() if op != "same"} == {
        "apply-role": "update",
        "plan-role-policy": "create",
    }


def test_another_projects_things_are_left_alone(running: Running, provider: AwsProvider) -> None:
    other = Setup("letters", ACCOUNT, REGION, Existing(), PIPELINES[:1])
    client = Cloud(running.endpoint_url, REGION).client("iam")
    client.create_role(
        RoleName=other.own("plan"),
        AssumeRolePolicyDocument=documents.trust(other, apply=False),
        Tags=[{"Key": "owner", "Value": "x"}],
    )
    with pytest.raises(OperationFailed, match="cloudmodel-plan-letters"):
        carry_out.apply(provider, other, lambda step: None)
    client.delete_role(RoleName=other.own("plan"))
    steps = {step.name: str(step.op) for step in carry_out.apply(provider, other, lambda step: None)}
    assert steps[GITHUB] == "same" and steps["key"] == "same" and steps["apply-role"] == "create"


@pytest.mark.parametrize(
    ("prefix", "name", "other"), [("", "digits-v2", "digits"), ("", "dig", "dig-its"), ("digits-", "v2", "digits")]
)
def test_a_project_whose_names_begin_as_another_ones_is_refused_before_anything_is_made(
    provider: AwsProvider, running: Running, prefix: str, name: str, other: str
) -> None:
    iam, theirs = Cloud(running.endpoint_url, REGION).client("iam"), replace(SETUP, project=other, region="us-east-1")
    iam.create_role(
        RoleName=theirs.own("apply"),
        AssumeRolePolicyDocument=documents.trust(theirs, apply=True),
        Tags=[{"Key": key, "Value": value} for key, value in theirs.tags.items()],
    )
    try:
        with pytest.raises(UsageError, match=f"the roles of {other}") as refused:
            carry_out.plan(provider, project(prefix, name))
        assert "name_prefix" in str(refused.value.hint)
    finally:
        iam.delete_role(RoleName=theirs.own("apply"))


def test_an_identity_provider_of_the_account_that_lacks_the_audience_is_named(
    provider: AwsProvider, running: Running
) -> None:
    iam = Cloud(running.endpoint_url, REGION).client("iam")
    for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=each["Arn"])
    iam.create_open_id_connect_provider(Url=f"https://{GITHUB}", ClientIDList=["others"])
    with pytest.raises(UsageError, match=r"does not know the audience sts\.amazonaws\.com") as refused:
        carry_out.plan(provider, SETUP)
    assert "add-client-id" in str(refused.value.hint)


def test_the_verb_says_what_to_write_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = str(tmp_path / "digits")
    assert answer(["init", folder]) == 0
    capfd.readouterr()
    words = ["-C", folder, "bootstrap", "--yes", "--github", "acme/digits"]
    try:
        assert answer(words) == 0
        out = capfd.readouterr().out
        assert f"account {ACCOUNT}, region us-east-1" in out.splitlines()[0]
        blocks = out[out.index("Pulumi.yaml\n") : out.index("Roles of")].split("\n\n")
        pasted = [
            yaml.safe_load(each.partition("\n")[2] + "\nmore: 1\n".replace("\n", "\n    ")) for each in blocks if each
        ]
        assert [sorted(each) for each in pasted] == [
            ["backend", "more"],
            ["bundles", "more"],
            ["config", "more", "secretsprovider"],
        ]
        assert (
            pasted[0]["backend"]["url"].startswith("s3://") and pasted[2]["config"]["cloudmodel:existing"]["boundary"]
        )
        assert answer([*words, "--json"]) == 0
        told = json.loads(capfd.readouterr().out)
        assert told["summary"] == {"create": 0, "update": 0, "same": 19}
        assert told["pipeline"]["apply"]["subjects"] == ["repo:acme/digits:environment:production"]
        assert answer(["-C", folder, "bootstrap"]) == 2
    finally:
        answer(["-C", folder, "local", "stop"])
