"""Pulumi.<stack>.yaml: Pulumi's forms, our keys, AWS's bounds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cloudmodel.core.errors import SettingsInvalid, StackNotFound
from cloudmodel.settings import load
from cloudmodel.settings.model import Local, StackFile
from cloudmodel.settings.modes import Asynchronous, Serverless
from cloudmodel.settings.pending import DONE
from cloudmodel.settings.pulumi import AWS_KEYS
from cloudmodel.settings.variants import Variant

EXAMPLE = Path(load.__file__).with_name("example.stack.yaml")
DIGEST = "sha256:" + "0" * 64
TWO = f"{{name: b, weight: 1, bundle: {DIGEST}}}"
PAIR = "cloudmodel:variants: [{name: a, weight: 1}, {name: b, weight: 1}]"
KEY = "arn:aws:kms:us-east-1:111122223333:key"


def many(count: int) -> str:
    """So many variants."""
    return ", ".join(f"{{name: v{each}, weight: 1}}" for each in range(count))


def test_the_example_holds_every_key(stack_of: Any) -> None:
    stack = stack_of(EXAMPLE.read_text())

    def keys(model: Any, without: set[str]) -> None:
        assert model.model_fields_set >= set(type(model).model_fields) - without
        for name in set(type(model).model_fields) - without:
            value = getattr(model, name)
            if hasattr(type(value), "model_fields"):
                keys(value, set())

    # These cannot stand beside the others: each is told whole in a comment that is valid by itself.
    asides: dict[str, type[BaseModel]] = {"local": Local, "serverless": Serverless, "asynchronous": Asynchronous}
    keys(stack, {*asides, "variants"})
    commented = "\n".join(re.findall(r"^  # (.*)$", EXAMPLE.read_text(), re.MULTILINE))
    for name, model in asides.items():
        written = yaml.safe_load(commented)[f"cloudmodel:{name}"]
        assert set(written) == set(model.model_fields)
        assert model.model_validate(written)
    variants = yaml.safe_load(commented)["cloudmodel:variants"]
    assert set().union(*variants) == set(Variant.model_fields)
    assert [Variant.model_validate(each).weight for each in variants] == [90, 10]


def test_one_key_is_enough_for_a_local_stack(local_stack: Any) -> None:
    stack = local_stack("")
    assert (stack.target, stack.mode, stack.instance) == ("local", "realtime", "ml.c7i.large")
    assert (stack.region, stack.allowed_account_ids, stack.bundle) == ("us-east-1", (), None)
    assert (stack.scaling.min, stack.scaling.max) == (1, 2)
    assert stack.raw == {"aws:region": "us-east-1", "cloudmodel:target": "local"}
    assert stack.secret_keys == frozenset()


def test_pulumis_own_forms(stack_of: Any) -> None:
    stack = stack_of(
        f"""
encryptionsalt: v1:abc=:v1:def:ghi
secretsprovider: passphrase
config:
  cloudmodel:config:target: local
  cloudmodel:protect: "true"
  cloudmodel:scaling: '{{"min": 2, "max": 4}}'
  cloudmodel:signed: "false"
  aws:region: eu-west-1
  aws:secretKey:
    secure: v1:AAAA:BBBB
  aws:profile: dev
  aws:maxRetries: 5
  digits:feature: {{b: [1, true], a: {{secure: "v1:x:y"}}}}
  own: {DIGEST}
"""
    )
    assert stack.protect is True
    assert stack.signed is False
    assert (stack.scaling.min, stack.scaling.max) == (2, 4)
    assert stack.region == "eu-west-1"
    assert stack.raw == {
        "cloudmodel:target": "local",
        "cloudmodel:protect": "true",
        "cloudmodel:scaling": '{"min": 2, "max": 4}',
        "cloudmodel:signed": "false",
        "aws:region": "eu-west-1",
        "aws:secretKey": "v1:AAAA:BBBB",
        "aws:profile": "dev",
        "aws:maxRetries": "5",
        "digits:feature": '{"a":{"secure":"v1:x:y"},"b":[1,true]}',
        "digits:own": DIGEST,
    }
    assert stack.secret_keys == {"aws:secretKey", "digits:feature"}
    assert (stack.encryption_salt, stack.secrets_provider) == ("v1:abc=:v1:def:ghi", "passphrase")


def test_what_a_stack_on_aws_needs(stack_of: Any) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        stack_of("config: {'cloudmodel:target': aws}")
    assert sorted(problem["key"] for problem in caught.value.details["problems"]) == [
        "aws:allowedAccountIds",
        "aws:region",
        "cloudmodel:bundle",
    ]
    named = (
        "config: {{'cloudmodel:target': aws, 'aws:region': us-east-1, 'aws:allowedAccountIds': ['111122223333'], {}}}"
    )
    assert stack_of(named.format(f"'cloudmodel:variants': [{TWO}]")).served[0].bundle == DIGEST
    with pytest.raises(SettingsInvalid, match="cloudmodel:bundle: is required"):
        stack_of(named.format(f"'cloudmodel:variants': [{TWO}, {{name: c, weight: 1}}]"))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("cloudmodel:instance: ml.t3.medium", "cloudmodel:instance: is not an endpoint instance type"),
        ("cloudmodel:instance: c7i.large", "cloudmodel:instance: is not an endpoint instance type"),
        ("cloudmodel:instance: ml.t2.medium", "ml.t2.medium is burstable"),
        ("cloudmodel:instance: ml.inf2.xlarge", "no image serves the layout onnxruntime on ml.inf2.xlarge"),
        ("cloudmodel:signed: true", "cloudmodel:signed: must name the public key"),
        ("cloudmodel:bundle: sha256:12", "cloudmodel:bundle: must be a digest"),
        ("cloudmodel:scaling: {min: 3, max: 2}", "min 3 is larger than max 2"),
        ("cloudmodel:scaling: {min: 0}", "cloudmodel:scaling.min: must be at least 1"),
        ("cloudmodel:scaling: {target: 0}", "cloudmodel:scaling.target: must be greater than 0"),
        ("cloudmodel:scaling: {min: 1.5}", "cloudmodel:scaling.min: must be a whole number"),
        ("cloudmodel:scaling: {min: yes}", "cloudmodel:scaling.min: must be a whole number, and is text"),
        ("cloudmodel:scaling: [1]", "cloudmodel:scaling: must be a mapping"),
        ("cloudmodel:scaling: {mim: 1}", "cloudmodel:scaling.mim: unknown key; did you mean min?"),
        ("cloudmodel:timeouts: {startup: 59}", "must be greater than or equal to 60"),
        ("cloudmodel:timeouts: {download: 3601}", "must be less than or equal to 3600"),
        ("cloudmodel:environment: {1A: x}", "must be letters, digits and _"),
        ("cloudmodel:environment: {SAGEMAKER_PROGRAM: x}", "do not set themselves"),
        ("cloudmodel:environment: {A: 5}", "cloudmodel:environment.A: must be text, and is a number"),
        ("cloudmodel:environment: {A: {secure: v1:a:b}}", "cloudmodel:environment: cannot be secret"),
        (f"cloudmodel:environment: {{A: {'x' * 1025}}}", "at most 1024 characters (AWS's limit), and has 1025"),
        ("cloudmodel:tags: {aws:x: y}", "does not begin with aws:"),
        ("cloudmodel:tags: {a: 'b#c'}", "letters, digits, spaces"),
        (f"cloudmodel:tags: {{{'k' * 129}: v}}", "1 to 128"),
        ("cloudmodel:rollout: {strategy: bluegreen}", "cloudmodel:rollout.strategy: must be"),
        ("cloudmodel:rollout: {step: 10}", "all-at-once has no step"),
        ("cloudmodel:rollout: {strategy: canary, step: 51}", "a canary step is 1 to 50 percent (AWS's limit)"),
        ("cloudmodel:rollout: {strategy: canary, step: 0}", "cloudmodel:rollout.step: must be greater than or equal"),
        ("cloudmodel:rollout: {strategy: canary, step: 2.5}", "cloudmodel:rollout.step: must be a whole number"),
        ("cloudmodel:rollout: {strategy: linear, step: 9}", "a linear step is 10 to 50 percent (AWS's limit)"),
        ("cloudmodel:rollout: {strategy: rolling, step: 4}", "a rolling step is 5 to 50 percent (AWS's limit)"),
        ("cloudmodel:rollout: {bake: 3601}", "cloudmodel:rollout.bake: must be less than or equal to 3600"),
        ("cloudmodel:rollout: {bake: -1}", "cloudmodel:rollout.bake: must be greater than or equal to 0"),
        ("cloudmodel:rollout: {rollback_on: [errors]}", "alarms are watched while a step bakes: give bake"),
        ("cloudmodel:rollout: {bake: 60, rollback_on: [a, a]}", "rollback_on names an alarm twice"),
        ("cloudmodel:rollout: {bake: 60, rollback_on: [' ']}", "must be the name of a CloudWatch alarm"),
        (f"cloudmodel:rollout: {{bake: 60, rollback_on: [{'x' * 256}]}}", "at most 255 characters (AWS's limit)"),
        (
            f"cloudmodel:rollout: {{bake: 60, rollback_on: [{', '.join('abcdefghijk')}]}}",
            "cloudmodel:rollout.rollback_on: tuple should have at most 10 items",
        ),
        (
            "cloudmodel:rollout: {strategy: linear, step: 10, bake: 1261}",
            "10 steps of 1261 s leave no time to bring instances up: a deployment ends after 14400 s",
        ),
        (
            "cloudmodel:rollout: {strategy: rolling, step: 5, bake: 631}",
            "20 steps of 631 s leave no time to bring instances up: a deployment ends after 14400 s",
        ),
        (
            "cloudmodel:rollout: {strategy: canary}",
            "canary moves at most half of the fleet at a time: scaling.min must be at least 2",
        ),
        (
            "cloudmodel:rollout: {strategy: linear}\ncloudmodel:instance: ml.inf1.xlarge\ncloudmodel:scaling: {min: 2}",
            "cloudmodel:rollout: AWS moves ml.inf1.xlarge all at once, and watches no alarm",
        ),
        (
            "cloudmodel:rollout: {bake: 60}\ncloudmodel:mode: serverless",
            "cloudmodel:rollout: is for real-time and async endpoints: a serverless one moves all at once",
        ),
        ("cloudmodel:variants: [{name: A, weight: 1}]", "cloudmodel:variants[0].name: must be a small letter"),
        ("cloudmodel:variants: [{name: a-, weight: 1}]", "cloudmodel:variants[0].name: must be a small letter"),
        ("cloudmodel:variants: [{name: a}]", "cloudmodel:variants[0].weight: is required"),
        ("cloudmodel:variants: [{name: a, weight: -1}]", "must be greater than or equal to 0"),
        ("cloudmodel:variants: [{name: a, weight: 0}]", "all weights are 0"),
        (f"cloudmodel:variants: [{TWO}, {TWO}]", "variants names one twice"),
        (
            f"cloudmodel:variants: [{TWO}, {{name: c, weight: 1, colour: red}}]",
            "cloudmodel:variants[1].colour: unknown",
        ),
        (
            f"cloudmodel:variants: [{many(11)}]",
            "at most 10 items",
        ),
        (
            f"cloudmodel:variants: [{TWO}]\ncloudmodel:bundle: {DIGEST}",
            "cloudmodel:bundle: is of no variant, each names its own",
        ),
        (
            "cloudmodel:variants: [{name: a, weight: 1}, {name: b, weight: 1, scaling: {min: 0}}]",
            "cloudmodel:variants[1].scaling.min: must be at least 1",
        ),
        (
            "cloudmodel:variants: [{name: a, weight: 1, instance: ml.t2.medium}]",
            "cloudmodel:variants[0].instance: ml.t2.medium is burstable",
        ),
        (
            "cloudmodel:variants: [{name: a, weight: 1, scaling: {metric: backlog}}]",
            "cloudmodel:variants[0].scaling.metric: backlog is for stacks whose cloudmodel:mode is async",
        ),
        (
            PAIR.replace(
                "}]", ", scaling: {min: 1}}]\ncloudmodel:rollout: {strategy: canary}\ncloudmodel:scaling: {min: 2}"
            ),
            "canary moves at most half of the fleet at a time: scaling.min of b must be at least 2",
        ),
        (
            f"{PAIR}\ncloudmodel:scaling: {{min: 2}}\ncloudmodel:rollout: {{strategy: rolling}}",
            "cloudmodel:rollout.strategy: AWS rolls no endpoint with several variants: write canary or linear",
        ),
        (
            f"cloudmodel:variants: [{many(4)}]\ncloudmodel:rollout: {{bake: 300}}",
            "cloudmodel:rollout.rollback_on: is 12 alarms with those of each variant, and AWS watches 10: name fewer",
        ),
        ("cloudmodel:encryption: {key: alias/x}", "must be 'create' or must be the ARN of a KMS key"),
        ("cloudmodel:existing: {role: admin}", "cloudmodel:existing.role: "),
        ("cloudmodel:existing: {bucket: A_B}", "an S3 bucket's name"),
        ("cloudmodel:existing: {image: nginx}", "must be an image in Amazon ECR"),
        ("cloudmodel:alarms: {notify: [ops]}", "an e-mail address or the ARN of an SNS topic"),
        ("cloudmodel:alarms: {error_rate: 101}", "must be less than or equal to 100"),
        ("cloudmodel:network: {isolation: 'no'}", "cloudmodel:network.isolation: must be true or false, and is text"),
        ("cloudmodel:protect:", "cloudmodel:protect: must be true or false, and is empty"),
        ("cloudmodel:traget: x", "cloudmodel:traget: unknown key; did you mean target?"),
        ("cloudmodle:protect: true", "write cloudmodel:protect"),
        ("protect: true", "write cloudmodel:protect"),
        ("aws:regoin: x", "aws:regoin: unknown key; did you mean region?"),
        ("aws:region: mars-1", "aws:region: is not a region"),
        ("aws:allowedAccountIds: [123456789012]", "must be text, and is a number"),
        ("aws:allowedAccountIds: ['12']", "12 digits in quotes"),
        ("cloudmodel:config:target: local", "says the same as cloudmodel:target"),
        ("a:b:c: x", "must be namespace:name"),
        (
            "cloudmodel:encryption: {key: 'arn:aws:kms:eu-west-1:111122223333:key/a'}\naws:region: us-east-1",
            "is a key of another region than us-east-1",
        ),
        (
            "cloudmodel:existing: {image: '111122223333.dkr.ecr.eu-west-1.amazonaws.com/a:1'}\naws:region: us-east-1",
            "cloudmodel:existing.image: is an image of another region than us-east-1",
        ),
        (
            "cloudmodel:alarms: {notify: ['arn:aws:sns:eu-west-1:111122223333:t']}\naws:region: us-east-1",
            "cloudmodel:alarms.notify: is a topic of another region than us-east-1",
        ),
        (
            f"cloudmodel:encryption: {{key: '{KEY}/a'}}\ncloudmodel:existing: {{key: '{KEY}/b'}}",
            "name different keys",
        ),
    ],
    ids=lambda value: value[:50],
)
def test_each_impossible_value_is_told_by_key(local_stack: Any, lines: str, told: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        local_stack(lines)
    assert told in caught.value.message
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("mode", "line", "told"),
    [
        ("realtime", "serverless: {memory: 1024}", "serverless: is for stacks whose cloudmodel:mode is serverless"),
        ("realtime", "asynchronous: {prefix: a}", "asynchronous: is for stacks whose cloudmodel:mode is async"),
        (
            "realtime",
            "scaling: {metric: backlog}",
            "scaling.metric: backlog is for stacks whose cloudmodel:mode is async",
        ),
        ("serverless", "instance: ml.g5.xlarge", "instance: a serverless endpoint has no instances, and no GPU"),
        ("serverless", "scaling: {max: 3}", "scaling: a serverless endpoint has no instances"),
        ("serverless", "capture: {percent: 5}", "capture.percent: a serverless endpoint captures no data"),
        ("serverless", "network: {isolation: true}", "network.isolation: a serverless endpoint cannot be isolated"),
        (
            "serverless",
            "network: {vpc: vpc-0a1b2c3d, subnets: [subnet-0a1b2c3d]}",
            "network.vpc: a serverless endpoint cannot be in a VPC",
        ),
        ("serverless", "timeouts: {startup: 90}", "timeouts.startup: a serverless endpoint has AWS's own limits"),
        ("serverless", "variants: [{name: a, weight: 1}]", "variants: is for real-time endpoints"),
        ("async", "variants: [{name: a, weight: 1}]", "variants: is for real-time endpoints"),
        ("serverless", "rollout: {strategy: canary}", "rollout: is for real-time and async endpoints"),
        ("serverless", "serverless: {memory: 1500}", "serverless.memory: must be a multiple of 1024"),
        ("serverless", "serverless: {memory: 7168}", "serverless.memory: must be less than or equal to 6144"),
        ("serverless", "serverless: {max_concurrency: 201}", "must be less than or equal to 200"),
        ("serverless", "serverless: {max_concurrency: 2, provisioned: 3}", "must be in order"),
        ("serverless", "serverless: {provisioned_max: 3}", "provisioned_max needs provisioned"),
        (
            "async",
            "scaling: {metric: invocations}",
            "scaling.metric: AWS publishes no invocations of an async endpoint",
        ),
        ("async", "capture: {percent: 5}", "capture.percent: is for real-time endpoints"),
        ("async", "asynchronous: {prefix: /a}", "asynchronous.prefix: must be the beginning of S3 keys"),
        ("async", "asynchronous: {max_concurrent: 1001}", "must be less than or equal to 1000"),
        ("async", "asynchronous: {success_topic: mine}", "asynchronous.success_topic: must be"),
        (
            "async",
            "asynchronous: {error_topic: 'arn:aws:sns:eu-west-1:111122223333:t'}\naws:region: us-east-1",
            "asynchronous.error_topic: is a topic of another region",
        ),
    ],
    ids=lambda value: value[:40],
)
def test_what_does_not_go_with_a_mode_is_told_by_key(local_stack: Any, mode: str, line: str, told: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        local_stack(f"cloudmodel:mode: {mode}\ncloudmodel:{line}")
    assert told in caught.value.message


@pytest.mark.parametrize(
    "lines",
    [
        "cloudmodel:mode: serverless",
        "cloudmodel:mode: serverless\ncloudmodel:network: {isolation: false}",
        "cloudmodel:mode: serverless\ncloudmodel:serverless: {provisioned: 1, provisioned_max: 3}",
        "cloudmodel:mode: async\ncloudmodel:scaling: {min: 0, max: 3}",
        "cloudmodel:mode: async\ncloudmodel:scaling: {metric: backlog, target: 2}",
    ],
)
def test_what_goes_with_a_mode_is_taken(local_stack: Any, lines: str) -> None:
    assert local_stack(lines).mode in lines


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("cloudmodel:cloud: azure", "cloud"),
        ("cloudmodel:mode: inference-components", "mode"),
        ("cloudmodel:policies: {level: mandatory}", "policies.level"),
        ("cloudmodel:policies: {exempt: [{rule: P01, until: 2027-01-31, reason: x}]}", "policies.exempt"),
    ],
)
def test_what_the_program_does_not_do_yet_is_refused_by_name(local_stack: Any, lines: str, key: str) -> None:
    assert key in DONE
    with pytest.raises(SettingsInvalid) as caught:
        local_stack(lines)
    (problem,) = caught.value.details["problems"]
    assert problem["key"] == f"cloudmodel:{key}"
    assert "is not built in this version" in problem["message"]


def test_a_local_key_is_for_local_stacks(stack_of: Any, local_stack: Any) -> None:
    assert local_stack("cloudmodel:local: {max_workers: 7, port: 4566}").local.max_workers == 7
    with pytest.raises(SettingsInvalid, match="is for stacks whose cloudmodel:target is local"):
        stack_of(
            "config:\n  cloudmodel:target: aws\n  aws:region: us-east-1\n  aws:allowedAccountIds: ['111122223333']\n"
            f"  cloudmodel:bundle: {DIGEST}\n  cloudmodel:local: {{max_workers: 7}}\n"
        )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cloudmodel:target: local", "cloudmodel:target: belongs under config:"),
        ("confg: {}", "confg: unknown key; did you mean config?"),
        ("environment: [x]", "ESC"),
        ("config: []", "config: must be a mapping"),
        ("config: {}\nencryptionsalt: 5", "encryptionsalt: must be text"),
        ("[]", "must be a mapping"),
        ("", "cloudmodel:target: is required"),
    ],
)
def test_a_file_of_another_shape(stack_of: Any, text: str, told: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        stack_of(text)
    assert told in caught.value.message


@pytest.mark.parametrize("name", ["prdo", "../x", "a b", "", "x" * 101])
def test_a_stack_that_does_not_exist(folder: Path, name: str) -> None:
    (folder / "Pulumi.prod.yaml").write_text("config: {'cloudmodel:target': local}")
    with pytest.raises(StackNotFound) as caught:
        load.load_stack(load.load_project(folder), name)
    assert caught.value.code == 6
    if name == "prdo":
        assert "did you mean prod?" in caught.value.message


def test_a_secret_is_never_told(stack_of: Any) -> None:
    canary = "c4n4ry-0f-the-mine"
    config = {"environment": {"A": [canary], "B": {"secure": canary}}, "tags": {"a": {"b": canary}}}
    text = json.dumps({"config": {f"cloudmodel:{name}": value for name, value in config.items()}})
    with pytest.raises(SettingsInvalid) as caught:
        stack_of(text)
    assert canary not in json.dumps(caught.value.as_json())
    assert canary not in str(caught.value.__cause__)


def test_bounds_are_botocores() -> None:
    """The edges of a number and of a text, asked of the service model itself."""
    sagemaker = botocore.session.get_session().get_service_model("sagemaker")
    schema = StackFile.model_json_schema()["$defs"]
    for name, shape in (
        ("startup", "ProductionVariantContainerStartupHealthCheckTimeoutInSeconds"),
        ("download", "ProductionVariantModelDataDownloadTimeoutInSeconds"),
    ):
        bounds = sagemaker.shape_for(shape).metadata
        (number,) = [each for each in schema["Timeouts"]["properties"][name]["anyOf"] if each["type"] == "integer"]
        assert (number["minimum"], number["maximum"]) == (bounds["min"], bounds["max"])
    rollout = schema["Rollout"]["properties"]
    (bake,) = [each for each in rollout["bake"]["anyOf"] if each["type"] == "integer"]
    for shape in ("WaitIntervalInSeconds", "TerminationWaitInSeconds"):
        bounds = sagemaker.shape_for(shape).metadata
        assert (bake["minimum"], bake["maximum"]) == (bounds["min"], bounds["max"])
    (alarms,) = [each for each in rollout["rollback_on"]["anyOf"] if each["type"] == "array"]
    assert alarms["maxItems"] == sagemaker.shape_for("AlarmList").metadata["max"]
    network = schema["Network"]["properties"]
    assert network["subnets"]["maxItems"] == sagemaker.shape_for("Subnets").metadata["max"]
    assert network["security_groups"]["maxItems"] == sagemaker.shape_for("VpcSecurityGroupIds").metadata["max"]


def test_aws_keys_are_those_of_the_installed_package() -> None:
    from pulumi_aws.provider import ProviderArgs

    names = [name for name, value in vars(ProviderArgs).items() if isinstance(value, property)]
    wire = {name.split("_")[0] + "".join(part.capitalize() for part in name.split("_")[1:]) for name in names}
    assert wire == set(AWS_KEYS)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(max_size=6)
    | st.sampled_from(["local", "aws", "{}", "[[", '{"min": 1e999}', "true", DIGEST]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["min", "max", "secure", "key", "role", "percent", "x", ""]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [f"cloudmodel:{name}" for name in StackFile.model_fields]
    + ["aws:region", "aws:allowedAccountIds", "x", ":", "a:", ":b"]
) | st.text(max_size=8)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_configuration_is_a_stack_or_one_error(stack_of: Any, config: dict[str, Any]) -> None:
    try:
        stack = stack_of(json.dumps({"config": {"cloudmodel:target": "local"} | config}))
    except SettingsInvalid as error:
        assert error.details["problems"]
    else:
        assert all(isinstance(value, str) for value in stack.raw.values())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 4000), st.binary(max_size=4), st.integers(0, 60))
def test_a_damaged_file_is_a_stack_or_one_error(stack_of: Any, place: int, put: bytes, cut: int) -> None:
    data = EXAMPLE.read_bytes()
    try:
        stack_of(data[:place] + put + data[place + cut :])
    except SettingsInvalid as error:
        assert error.message


def test_the_raw_map_is_what_pulumi_would_hand_to_a_program(stack_of: Any) -> None:
    stack = stack_of(EXAMPLE.read_text())
    config = yaml.safe_load(EXAMPLE.read_text())["config"]
    assert stack.raw.keys() == config.keys()
    for name, value in config.items():
        assert value in (stack.raw[name], json.loads(stack.raw[name]) if not isinstance(value, str) else value)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("cloudmodel:network: {vpc: vpc-0a1b2c3d}", "subnets are required"),
        ("cloudmodel:network: {security_groups: [sg-1]}", "subnets are required"),
        ("cloudmodel:network: {subnets: [subnet-1]}", "nor the vpc that a group is to be made in"),
        ("cloudmodel:network: {vpc: vpc-0a1b2c3d, subnets: [subnet-1, subnet-1]}", "subnets names one twice"),
        ("cloudmodel:network: {subnets: [subnet-1], security_groups: [sg-1, sg-1]}", "security_groups names one twice"),
        ("cloudmodel:network: {vpc: default, subnets: [subnet-1]}", "the id of a VPC"),
        ("cloudmodel:capture: {percent: 101}", "less than or equal to 100"),
        ("cloudmodel:capture: {percent: 1, retention_days: 0}", "greater than or equal to 1"),
    ],
)
def test_a_network_or_a_capture_that_cannot_be_is_refused(local_stack: Any, lines: str, told: str) -> None:
    with pytest.raises(SettingsInvalid, match=told):
        local_stack(lines)
