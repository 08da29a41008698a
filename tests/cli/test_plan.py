"""A plan as text and as JSON, in Pulumi's manner."""

from __future__ import annotations

import dataclasses

import pytest

from cloudmodel.cli import plan
from cloudmodel.core.resource import ASSET, SECRET, SIGNATURE, UNKNOWN, DiffKind
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.engine.state import Resource
from cloudmodel.engine.step import Change, Op, Step

ROOT = "urn:pulumi:local::digits"
STACK = f"{ROOT}::pulumi:pulumi:Stack::digits-local"
BUCKET_TYPE = "aws:s3/bucket:Bucket"


def urn(type: str, name: str) -> str:
    return f"{ROOT}::{type}::{name}"


def step(op: Op, name: str = "models", type: str = BUCKET_TYPE, **more: object) -> Step:
    return dataclasses.replace(Step(op=op, urn=urn(type, name), type=type), **more)  # type: ignore[arg-type]


def outcome(*steps: Step, **more: object) -> Outcome:
    made = Outcome(stack="local", target="local", engine="embedded", region="eu-west-1", steps=steps)
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


UPDATED = {"tags.owner": Change(DiffKind.ADD, None, "a"), "acl": Change(DiffKind.UPDATE, "private", "public")}


@pytest.mark.parametrize(
    ("given", "row"),
    [
        (step(Op.CREATE), " +  aws:s3:Bucket models create"),
        (step(Op.UPDATE, diff=UPDATED), " ~  aws:s3:Bucket models update [diff: ~acl,tags]"),
        (step(Op.DELETE), " -  aws:s3:Bucket models delete"),
        (step(Op.DELETE, note="[retain]"), " -  aws:s3:Bucket models delete[retain]"),
        (step(Op.CREATE_REPLACEMENT), " ++ aws:s3:Bucket models create replacement"),
        (
            step(Op.REPLACE, diff={"bucket": Change(DiffKind.UPDATE_REPLACE, "a", "b")}),
            " +- aws:s3:Bucket models replace [diff: ~bucket]",
        ),
        (step(Op.DELETE_REPLACED), " -- aws:s3:Bucket models delete original"),
        (step(Op.IMPORT), " =  aws:s3:Bucket models import"),
        (step(Op.READ), " >  aws:s3:Bucket models read"),
        (step(Op.READ_REPLACEMENT), " >~ aws:s3:Bucket models read for replacement"),
        (step(Op.REFRESH), " ~  aws:s3:Bucket models refresh"),
        (step(Op.DISCARD), " <  aws:s3:Bucket models discard"),
        (step(Op.SAME, "digits-local", plan.STACK), "    pulumi:pulumi:Stack digits-local"),
    ],
    ids=lambda value: value.op.value if isinstance(value, Step) else "",
)
def test_each_operation_has_its_row(given: Step, row: str) -> None:
    assert plan.rows([given]) == [row]


def test_every_operation_has_a_look() -> None:
    assert set(plan.LOOKS) == set(Op)


def test_what_stays_the_same_and_the_engines_own_providers_have_no_row() -> None:
    provider = step(Op.CREATE, "default_7_51_1", "pulumi:providers:aws")
    assert plan.rows([step(Op.SAME), provider]) == []


def test_an_explicit_provider_has_a_row() -> None:
    assert plan.rows([step(Op.CREATE, "frankfurt", "pulumi:providers:aws")]) == [
        " +  pulumi:providers:aws frankfurt create"
    ]


def test_added_and_removed_properties_are_told_apart() -> None:
    changes = {
        "b": Change(DiffKind.ADD, None, 1),
        "a": Change(DiffKind.ADD_REPLACE, None, 1),
        "c": Change(DiffKind.DELETE, 1, None),
        "d[0].e": Change(DiffKind.ADD, None, 1),
    }
    assert plan.short_diff(step(Op.UPDATE, diff=changes)) == "[diff: +a,b-c~d]"


def test_columns_stand_under_each_other_on_a_terminal() -> None:
    shown = plan.rows([step(Op.CREATE), step(Op.CREATE, "m", "aws:sagemaker/model:Model")], aligned=True)
    assert shown == [" +  aws:s3:Bucket       models create", " +  aws:sagemaker:Model m      create"]


def test_a_name_cannot_steer_the_terminal() -> None:
    (row,) = plan.rows([step(Op.CREATE, "a\x1b[2Jb\rc\u202ed")])
    assert row == r" +  aws:s3:Bucket a\x1b[2Jb\rc\u202ed create"


def test_the_first_line_names_stack_target_account_and_region() -> None:
    assert plan.text("Previewing update", outcome(account="123456789012"), tree=False).split("\n")[0] == (
        "Previewing update (stack local): target local, account 123456789012, region eu-west-1, engine embedded"
    )
    assert "account none (no credentials used)" in plan.heading("Previewing update", outcome())


def test_the_tail_counts_each_kind_and_a_replacement_once() -> None:
    steps = [
        step(Op.CREATE, "new"),
        step(Op.UPDATE, "changed"),
        step(Op.DELETE, "gone"),
        *(step(op, name) for name in ("x", "y") for op in (Op.CREATE_REPLACEMENT, Op.REPLACE, Op.DELETE_REPLACED)),
        step(Op.SAME, "kept"),
        step(Op.SAME, "kept too"),
    ]
    assert plan.resources(outcome(*steps), preview=True) == [
        "Resources:",
        "    + 1 to create",
        "    ~ 1 to update",
        "    - 1 to delete",
        "    +-2 to replace",
        "    5 changes. 2 unchanged",
    ]


def test_the_tail_of_one_kind_has_no_sum() -> None:
    assert plan.resources(outcome(step(Op.CREATE)), preview=True) == ["Resources:", "    + 1 to create"]
    assert plan.resources(outcome(step(Op.SAME)), preview=True) == ["Resources:", "    1 unchanged"]
    assert plan.resources(outcome(), preview=True) == ["Resources:", "    none"]


def test_a_result_says_what_was_done_and_how_long_it_took() -> None:
    done = outcome(step(Op.CREATE), step(Op.SAME, "kept"), outputs={"name": "a", "count": 2}, duration_s=2.4)
    assert plan.result(done) == (
        'Outputs:\n    count: 2\n    name: "a"\n\nResources:\n    + 1 created\n    1 unchanged\n\nDuration: 2s'
    )


def test_the_tree_shows_parents_identities_and_properties() -> None:
    bucket = Resource(
        urn=urn(BUCKET_TYPE, "models"), type=BUCKET_TYPE, parent=STACK, provider="p::1", inputs={
            "bucket": UNKNOWN,
            "key": {SIGNATURE: SECRET, "value": "hunter2"},
            "source": {SIGNATURE: ASSET, "hash": "7692c3ad3540bb", "path": "/x"},
            "tags": {"a": "b"},
        },
    )  # fmt: skip
    topic_type = "aws:sns/topic:Topic"
    topic = Resource(urn=urn(topic_type, "alarms"), type=topic_type, parent=STACK, id="arn:1")
    steps = (
        Step(Op.CREATE, STACK, plan.STACK, new=Resource(urn=STACK, type=plan.STACK)),
        Step(Op.CREATE, bucket.urn, BUCKET_TYPE, new=bucket),
        Step(
            Op.REPLACE,
            topic.urn,
            topic_type,
            {
                "name": Change(DiffKind.UPDATE_REPLACE, "a", "b"),
                "policy": Change(DiffKind.DELETE, "[secret]", None),
                "tags.x": Change(DiffKind.ADD, None, "[unknown]"),
            },
            ("name",),
            old=topic,
            new=topic,
        ),
    )
    assert list(plan.branches(steps)) == [
        "+ pulumi:pulumi:Stack: (create)",
        f"    [urn={STACK}]",
        "    + aws:s3:Bucket: (create)",
        f"        [urn={bucket.urn}]",
        "        [provider=p::1]",
        "        bucket: [unknown]",
        "        key: [secret]",
        "        source: asset(file:7692c3a)",
        '        tags: {"a": "b"}',
        "    +-aws:sns:Topic: (replace)",
        "        [id=arn:1]",
        f"        [urn={topic.urn}]",
        '      ~ name: "a" => "b"  (forces replacement)',
        "      - policy: [secret]",
        "      + tags.x: [unknown]",
    ]


def test_the_tree_keeps_an_unchanged_parent_of_a_changed_child_only() -> None:
    component = "cloudmodel:index:Endpoint"
    parent, idle = urn(component, "endpoint"), urn(component, "idle")
    child = Resource(urn=urn(BUCKET_TYPE, "models"), type=BUCKET_TYPE, parent=parent)
    steps = (
        Step(Op.SAME, parent, component, new=Resource(urn=parent, type=component, custom=False)),
        Step(Op.SAME, idle, component, new=Resource(urn=idle, type=component, custom=False)),
        Step(Op.DELETE, child.urn, BUCKET_TYPE, old=child),
    )
    shown = "\n".join(plan.branches(steps))
    assert "cloudmodel:index:Endpoint: (same)" in shown
    assert "    - aws:s3:Bucket: (delete)" in shown
    assert idle not in shown


def test_the_document_has_the_contracts_fields_and_no_secret() -> None:
    changed = step(
        Op.UPDATE,
        diff={"b": Change(DiffKind.UPDATE_REPLACE, {SIGNATURE: SECRET, "value": "hunter2"}, 2), "a": UPDATED["acl"]},
        replace_reasons=("b",),
    )
    document = plan.as_json(outcome(changed, outputs={"token": {SIGNATURE: SECRET, "value": "hunter2"}}))
    assert set(document) == {
        "stack", "target", "engine", "region", "steps", "summary", "outputs", "policies", "warnings",
    }  # fmt: skip
    assert document["steps"] == [
        {
            "op": "update",
            "urn": changed.urn,
            "type": BUCKET_TYPE,
            "name": "models",
            "diff": ["a", "b"],
            "changes": {
                "a": {"kind": "update", "old": "private", "new": "public"},
                "b": {"kind": "update-replace", "old": "[secret]", "new": 2},
            },
            "replaceReasons": ["b"],
        }
    ]
    assert document["summary"] == {"create": 0, "update": 1, "replace": 0, "delete": 0, "same": 0}
    assert document["outputs"] == {"token": "[secret]"}
    assert plan.as_json(outcome(account="123456789012"))["account"] == "123456789012"


def test_how_long_planning_took_does_not_reach_the_document() -> None:
    assert plan.as_json(outcome(duration_s=1.0)) == plan.as_json(outcome(duration_s=2.0))
