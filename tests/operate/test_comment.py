"""The comment under a pull request, rendered from the documents of other verbs and read by a Markdown parser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cloudmodel.operate.pipeline import documents
from cloudmodel.operate.pipeline.comment import LONGEST, comment, marker

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
INTERVAL = {"low": 1.5, "mid": 1.55, "high": 1.6}
DELTA = "-0.0010 [-0.0040, +0.0020]"
FIDELITY = "fidelity 0.9987 (share of rows below it 0.00 % [0.00, 0.33])"
"""Of 898 rows none was worse: at 95 % at most 1 - 0.05^(1/898) are."""
SMALLER = "size 89,028 → 29,657 bytes (-66.7 %)"
PROOF = {
    "metric": "accuracy", "value": 0.99, "delta": {"low": -0.004, "mid": -0.001, "high": 0.002}, "fidelity": 0.9987,
    "rows": 898, "confidence": 0.95, "latency_ratio": INTERVAL,
}  # fmt: skip
CHANGES: dict[str, Any] = {
    "primaryContainer.environment": {
        "kind": "update",
        "old": {"LEVEL": "info-level", "GONE": "old-value", "SAME": "same-value", "KEY": "[secret]"},
        "new": {"LEVEL": "debug-level", "NEW": "new-value", "SAME": "same-value", "KEY": "[secret]"},
    },
    "productionVariants[0].instanceType": {"kind": "update-replace", "old": "ml.c7i.large", "new": "ml.c7i.xlarge"},
    "maxCapacity": {"kind": "update", "old": 2, "new": 6},
    "policy": {"kind": "update", "old": "a long document", "new": "another document"},
    "tags.team": {"kind": "add", "old": None, "new": "vision-team"},
    "cfg.dbPass": {"kind": "update", "old": 31415, "new": 92653},
}


def step(op: str, type: str, name: str, **more: Any) -> dict[str, Any]:
    return {"op": op, "urn": f"urn:pulumi:prod::digits::{type}::{name}", "type": type, "name": name, "diff": [], **more}


def preview() -> dict[str, Any]:
    return {
        "schema": "cloudmodel.preview/1", "stack": "prod", "target": "aws", "engine": "official",
        "region": "eu-west-1", "account": "111122223333", "policies": [],
        "steps": [
            step("update", "aws:sagemaker/model:Model", "model", changes=dict(CHANGES),
                 replaceReasons=["productionVariants[0].instanceType"]),
            step("delete", "aws:s3/bucket:Bucket", "bucket"),
            step("same", "aws:kms/key:Key", "key"),
        ],
        "summary": {"create": 0, "update": 1, "replace": 0, "delete": 1, "same": 1},
        "outputs": {"bundle_digest": OLD, "token": "an-output"},
        "warnings": ["the fleet may shrink to one instance"],
    }  # fmt: skip


def diff() -> dict[str, Any]:
    return {
        "schema": "cloudmodel.diff/1", "breaking": True,
        "before": {"digest": OLD, "size_bytes": 89_028, "signed": True},
        "after": {"digest": NEW, "size_bytes": 29_657, "signed": False},
        "signature": [{"side": "input", "name": "image", "change": "dtype", "before": "float32", "after": "int8",
                       "breaking": True}],
        "facts": {"labels": {"before": "labels.txt", "after": None}},
        "files": {"added": [], "removed": ["labels.txt"], "changed": ["model.onnx"]},
        "versions": {"added": [], "removed": [], "changed": ["onnxruntime"]},
        "optimization": {"before": None, "after": PROOF},
        "precision": {"before": {"float32": 1.0}, "after": {"int8": 0.95, "float32": 0.05}},
    }  # fmt: skip


def optimize() -> dict[str, Any]:
    trial = {
        "id": "t1", "title": "static-int8", "metric_delta": PROOF["delta"], "fidelity": 0.9987, "size_bytes": 29_657,
        "latency_ratio": INTERVAL, "data": "final",
    }  # fmt: skip
    return {
        "schema": "cloudmodel.optimize/1", "metric": "accuracy", "baseline": {"size_bytes": 89_028},
        "demand": {"confidence": 0.95}, "sets": {"final": 898},
        "trials": [trial], "chosen": "t1", "reason": "1.55 times as fast", "bundle": NEW,
    }  # fmt: skip


def error() -> dict[str, Any]:
    return {
        "schema": "cloudmodel.error/1", "code": 15, "error": "GateNotMet", "message": "the gate was missed",
        "where": "bundle", "hint": "cloudmodel optimize",
    }  # fmt: skip


def drift() -> dict[str, Any]:
    item = {
        "urn": "urn:pulumi:prod::digits::aws:sns/topic:Topic::alarms",
        "property": "tags",
        "state": "a",
        "live": "b",
    }
    serving = {"urn": "u", "endpoint": "digits-prod", "what": "serves another image"}
    return {"schema": "cloudmodel.drift/1", "infrastructure": [item], "serving": [serving], "verdict": "drift"}


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., str]:
    """The comment on documents, each in the file of its verb."""

    def write(*found: Any) -> str:
        files = []
        for number, each in enumerate(found):
            name = str(each.get("file") or each.get("schema", number)).partition("/")[0].removeprefix("cloudmodel.")
            files.append(tmp_path / f"{name}.json")
            files[-1].write_text(json.dumps(each))
        return comment("digits", "prod", documents.read(files), "https://github.com/acme/digits/actions/runs/7")

    return write


def everything() -> list[dict[str, Any]]:
    return [preview(), diff(), optimize(), error(), drift()]


def test_verdict_and_totals_come_first_and_then_what_a_reviewer_asks(told: Callable[..., str]) -> None:
    text = told(preview(), diff(), optimize())
    lines = [line for line in text.splitlines() if line]
    assert lines[0] == marker("digits", "prod") == "<!-- cloudmodel digits/prod -->"
    assert lines[2] == (
        "**Changes** · 0 to create, 1 to update, 0 to replace, 1 to delete, 1 unchanged · **callers break** · "
        "**1 irreversible**"
    )
    assert "account `111122223333`, region `eu-west-1`" in lines[3]
    wanted = [
        "- **delete** `aws:s3:Bucket` `bucket`: every object in it is lost",
        f"- bundle `{OLD}` → `{NEW}`",
        f"- {SMALLER}",
        "- callers: **breaking**",
        "- **not signed any more**",
        "    - `input` `image` `dtype`: `float32` → `int8` (**breaking**)",
        "- precision `float32` 100.0 % → `int8` 95.0 %, `float32` 5.0 %",
        f"- proven after: `accuracy` 0.9900, change {DELTA}, {FIDELITY}, 1.55 [1.5, 1.6] times as fast",
        "- `labels`: `labels.txt` → `null`",
        "- files: removed `labels.txt`; changed `model.onnx`",
        "- `1.55 times as fast`",
        f"- `static-int8`: 1.55 [1.5, 1.6] times as fast, `accuracy` {DELTA}, {FIDELITY}, {SMALLER}",
        f"cloudmodel:bundle: {NEW}",
        "- `the fleet may shrink to one instance`",
        "! update aws:sagemaker:Model model",
        "!     cfg.dbPass changed",
        "!     maxCapacity: 2 → 6",
        "!     policy changed",
        "!     primaryContainer.environment.GONE removed",
        "!     primaryContainer.environment.KEY changed",
        "!     primaryContainer.environment.LEVEL changed",
        "!     primaryContainer.environment.NEW added",
        "!     productionVariants[0].instanceType: ml.c7i.large → ml.c7i.xlarge  (forces the replacement)",
        "!     tags.team added",
        "- delete aws:s3:Bucket bucket",
    ]
    found = [lines.index(line) for line in wanted]
    assert found == sorted(found)
    assert "SAME" not in text and "aws:kms" not in text


def test_no_change_drift_a_refusal_and_a_command_that_wrote_nothing(told: Callable[..., str]) -> None:
    quiet = preview() | {"steps": [step("same", "aws:kms/key:Key", "key")], "summary": {"same": 1}}
    assert "**No changes** · 0 to create" in told(quiet)
    drifted = told(drift())
    assert "**Drift**" in drifted and "- `alarms`: `tags`" in drifted and "`serves another image`" in drifted
    refused = told(error(), {})
    assert "**No plan** · **`error` failed** (exit code 15)" in refused and "the gate was missed" in refused
    assert "next: cloudmodel optimize" in refused and "1: its command wrote no document" in refused


def test_a_bundle_is_proposed_where_the_next_job_can_have_it(told: Callable[..., str]) -> None:
    made = {"schema": "cloudmodel.package/1", "bundle": "/b/sha256/b.tar.gz", "digest": NEW, "size_bytes": 1}
    assert f"cloudmodel:bundle: {NEW}" in told(preview(), made) and "--push" not in told(preview(), made)
    large = made | {"bundle": "/b/sha256/b"}
    assert f"put it into the store from a machine that may write there, `cloudmodel package --push {NEW}`" in told(
        large
    )
    for code, proposed in ((15, True), (2, False)):  # a gate that was not met leaves the model as it is
        text = told(preview(), made, error() | {"code": code, "file": "optimize"})
        assert ("cloudmodel:bundle" in text, f"**`optimize` failed** (exit code {code})" in text) == (proposed, True)


def leaves(node: Any, plant: Callable[[str], str], key: str = "") -> Any:
    """`node` with every text of it planted, but for what says which kind of document it is."""
    if isinstance(node, dict):
        return {
            name if name in KEYS or not key else plant(name): value if name == "schema" else leaves(value, plant, name)
            for name, value in node.items()
        }
    if isinstance(node, list):
        return [leaves(each, plant, key) for each in node]
    return plant(node) if isinstance(node, str) and node not in ("update", "delete", "t1") else node


KEYS = {key for each in everything() for key in json.dumps(each).split('"')} - set(CHANGES)
"""Names that the documents' own form gives; all others are somebody's."""

BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
"""A line of a key, as PEM has them."""
FORMED = [
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "glpat-abcdefghij0123456789", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "https://user:hunter2hunter2@host/",
    "password=hunter2hunter2", f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n{BODY[:20]}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{BODY}", BODY, "Authorization: Bearer hunter2", "bearer hunter2hunter2hunter2",
    "IQoJb3JpZ2luX2VjEJrEXAMPLETOKEN", "npm_abcdefghijklmnopqrstuvwxyz0123456789", f"pul-{'0123456789' * 4}",
    "AccountKey=hunter2hunter2==", "PULUMI_CONFIG_PASSPHRASE=hunter2", '"password": "hunter2"',
]  # fmt: skip


@pytest.mark.parametrize("secret", FORMED)
def test_what_has_the_form_of_a_secret_is_masked_wherever_it_stands(told: Callable[..., str], secret: str) -> None:
    text = told(*(leaves(each, lambda word: f"{word} {secret}") for each in everything()))
    assert secret not in text and "hunter2" not in text and not any(line in text for line in secret.splitlines())
    assert BODY[:20] not in text
    assert text.count("[masked]") > 20


def test_no_value_is_told_and_one_of_an_environment_nowhere_at_all(told: Callable[..., str]) -> None:
    canary = "cheerful-canary"
    planned = preview()
    planned["outputs"]["token"] = canary
    for change in planned["steps"][0]["changes"].values():
        change["old"], change["new"] = (
            dict.fromkeys(value, canary) if isinstance(value, dict) else canary if isinstance(value, str) else value
            for value in (change["old"], change["new"])
        )
    planned["warnings"].append(f"it said {canary} in the log")
    failed = error() | {"message": f"the container printed {canary}", "where": canary}
    found = optimize() | {"reason": canary}
    text = told(planned, failed, found)
    assert canary not in text
    assert "it said [masked] in the log" in text and "the container printed [masked]" in text


def test_a_short_value_is_masked_where_it_stands_alone_and_hides_nothing_else(told: Callable[..., str]) -> None:
    planned = preview()
    environment = {"PIN": "4711", "CODE": 90125, "WORD": "update", "KIND": "bucket", "ON": "true", "PEM": f"a\n{BODY}"}
    planned["steps"][0]["changes"]["primaryContainer.environment"]["new"] = environment
    planned["warnings"] = ["pin 4711, code 90125 and pin=4711; true; 147110 rows", f"it read {BODY[:64]}"]
    text = told(planned)
    assert "`pin [masked], code [masked] and pin=[masked]; true; 147110 rows`" in text and BODY not in text
    assert "! update aws:sagemaker:Model model" in text and "`aws:s3:Bucket`" in text, "what the comment is about stays"


HOSTILE = [
    "a` [click](http://evil.example) `b",
    "`", "```", "a`b``c", "a|b", "@octocat", "</details>", "</summary></details><img src=http://evil.example/x.png>",
    "![x](http://evil.example/x.png)", "[click](http://evil.example)", "<script>alert(1)</script>",
    "https://evil.example/path", "\n\n# heading\n", "\n/approve\n", "\r\n```\n</details>\n", "\u202eevil", "<!-- -->",
    "```\n[click](http://evil.example)", "*bold* _it_ ~~no~~", "&lt;b&gt;", "a\\|b", "\x1b[31m", " ", "- item",
]  # fmt: skip
OURS = {
    marker("digits", "prod"),
    "</details>",
    "<details><summary>Resources: 0 to create, 1 to update, 0 to replace, 1 to delete, 1 unchanged</summary>",
}


def walk(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from walk(token.children or [])


@pytest.mark.parametrize("word", HOSTILE, ids=repr)
def test_a_strangers_text_is_shown_and_never_obeyed(told: Callable[..., str], word: str) -> None:
    found = everything()
    # What stands there would be masked everywhere, and nothing would be left to obey.
    del found[0]["outputs"]["token"], found[0]["steps"][0]["changes"]["primaryContainer.environment"]
    text = told(*(leaves(each, lambda _: word) for each in found))
    assert "[masked]" not in text
    tokens = list(walk(MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)))
    markup = {token.content.strip() for token in tokens if token.type in ("html_block", "html_inline")}
    assert markup <= OURS
    assert {token.attrGet("href") for token in tokens if token.type == "link_open"} == {
        "https://github.com/acme/digits/actions/runs/7"
    }
    assert not [token for token in tokens if token.type == "image"]
    shown = " ".join(token.content for token in tokens if token.type == "text")
    assert not [sign for sign in ("@", "evil", "http", "alert", "bold") if sign in shown]
    assert sum(token.type == "heading_open" for token in tokens) == 6
    outside = MarkdownIt("commonmark", {"html": True}).parse(text)
    fenced = {n for token in outside if token.type == "fence" and token.map for n in range(*token.map)}
    assert not [n for n, line in enumerate(text.split("\n")) if n not in fenced and line.startswith("/")]


def test_what_is_too_long_is_cut_in_its_middle(told: Callable[..., str]) -> None:
    many = preview()
    many["steps"] = [step("create", "aws:sns/topic:Topic", f"topic-{n:05}-ü") for n in range(5000)]
    many["warnings"] = ["w" * 5000, *(f"warning {n}" for n in range(5000))]
    failed = error() | {"message": "\n".join(f"line {n} {'`' * 300}" for n in range(5000))}
    text = told(many, diff(), failed)
    assert len(text.encode()) <= LONGEST
    assert text.count("lines are left out here") == 3
    for seen in ("topic-00000-ü", "topic-04999-ü", "- `warning 4999`", "line 0 ", "**`error` failed**", "</details>"):
        assert seen in text
    alone = told(many | {"warnings": []})
    assert LONGEST - 1500 < len(alone.encode()) <= LONGEST, "what there is room for is told"
    text = told(*(error() | {"file": f"{n:03}-{'n' * 200}"} for n in range(500)))
    assert len(text.encode()) <= LONGEST and "**No plan** · **`000-n" in text and "· **492 more failed**\n" in text
