"""Whatever is wrong, the user reads one block: what, where, the next command; and nothing is lost or half-written."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
import onnx
import pytest

from cloud import NOTHING, Cloud
from shell import Shell


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def written(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def cut(name: str, share: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return change


def with_nan(folder: Path) -> None:
    graph = onnx.load(folder / "models/digits.onnx")
    weights = onnx.numpy_helper.to_array(graph.graph.initializer[0]).copy()
    weights.flat[0] = np.nan
    graph.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, graph.graph.initializer[0].name))
    onnx.save(graph, folder / "models/digits.onnx")


MODEL = "models/digits.onnx"
PROJECT = "cloudmodel.yaml"
STACK = "Pulumi.local.yaml"

ROWS = [
    ("an unknown key", replaced(PROJECT, "model:", "modle:"), "package", 2, ["modle", "model", PROJECT]),
    ("a wrong type", replaced(PROJECT, "version: 1", "version: one"), "package", 2, ["version", PROJECT]),
    ("a name too long", replaced(PROJECT, "name: digits", "name: " + "d" * 40), "package", 2, ["name", PROJECT]),
    ("no YAML at all", written(PROJECT, b"a: [1"), "package", 2, [PROJECT]),
    ("an unknown setting", replaced(STACK, "cloudmodel:target", "cloudmodel:tarket"), "preview", 2, ["tarket", STACK]),
    ("a missing model", lambda folder: (folder / MODEL).unlink(), "package", 2, [MODEL]),
    ("a model cut short", cut(MODEL, 0.5), "package", 14, [MODEL]),
    ("an empty model", written(MODEL, b""), "package", 14, [MODEL, "empty"]),
    ("a text called .onnx", written(MODEL, b"hello, this is no model\n"), "package", 14, [MODEL]),
    ("a pickle called .onnx", written(MODEL, b"\x80\x04cposix\nsystem\n."), "package", 14, [MODEL]),
    ("weights that are no numbers", with_nan, "package", 14, ["NaN"]),
    ("a stack that is not there", lambda folder: None, "up --yes --stack prod", 6, ["prod", "local"]),
    ("no terminal and no --yes", lambda folder: None, "up --stack local", 2, ["--yes"]),
    ("no package yet", lambda folder: None, "preview --stack local", 2, ["cloudmodel package"]),
]


@pytest.mark.parametrize(("what", "spoil", "command", "code", "fragments"), ROWS, ids=[row[0] for row in ROWS])
def test_a_readable_block_and_its_exit_code(
    shell: Shell, what: str, spoil: Callable[[Path], None], command: str, code: int, fragments: list[str]
) -> None:
    assert shell.run("init", "digits", "--template", "digits").returncode == 0
    inside = Shell(shell.folder / "digits", shell.environment)
    spoil(inside.folder)
    words = command.split()
    if words == ["preview"]:
        words += ["--stack", "local"]
    done = inside.run(*words)
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert done.stdout == b""
    assert text.splitlines()[-1].strip().startswith(("next:", "where:")), text
    assert "Traceback" not in text
    for fragment in fragments:
        assert fragment in text
    assert not list((inside.folder / ".cloudmodel").glob("bundles/**/*.gz")), "nothing is left of what failed"


def test_a_state_that_was_cut_short_is_refused_and_left_as_it_is(digits: Shell) -> None:
    digits.json("up", "--stack", "local", "--yes")
    checkpoint = digits.folder / ".cloudmodel/stacks/local/checkpoint.json"
    damaged = checkpoint.read_bytes()[:-500]
    checkpoint.write_bytes(damaged)
    for words in (["preview"], ["up", "--yes"], ["destroy", "--yes"], ["refresh", "--yes"]):
        refused = digits.json(*words, "--stack", "local", code=1)
        assert refused["error"] == "StateCorrupt"
        assert "cloudmodel state import" in refused["hint"]
    assert checkpoint.read_bytes() == damaged


def test_a_port_that_is_taken_is_named_with_who_holds_it(digits: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = digits.json("local", "start", "--port", str(port), code=1)
    assert refused["error"] == "LocalCloudUnavailable"
    assert str(port) in refused["message"]


def test_a_bucket_that_someone_else_has_is_named_and_the_rest_is_recorded(digits: Shell) -> None:
    cloud = digits.json("local", "start")
    url, region = cloud["endpoint_url"], cloud["region"]
    keys = (
        Cloud(url, region)
        .client("sts")
        .assume_role(RoleArn="arn:aws:iam::111122223333:role/other", RoleSessionName="other")["Credentials"]
    )
    name = f"digits-local-123456789012-{region}"
    boto3.client(
        "s3", endpoint_url=url, region_name=region, aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"],
    ).create_bucket(Bucket=name)  # fmt: skip

    refused = digits.json("up", "--stack", "local", "--yes", code=4)
    assert name in refused["message"]
    assert "another account" in refused["message"]
    assert refused["hint"]
    digits.json("destroy", "--stack", "local", "--yes")
    assert Cloud(url, region).inventory() == NOTHING


def test_a_resource_that_the_local_aws_does_not_do_is_refused_by_name(digits: Shell) -> None:
    program = digits.folder / "__main__.py"
    program.write_text(program.read_text() + "\nimport pulumi_aws\n\npulumi_aws.sqs.Queue('jobs')\n")
    refused = digits.json("preview", "--stack", "local", code=2)
    assert refused["error"] == "Unsupported"
    assert "aws:sqs/queue:Queue" in refused["message"]
    assert "target" in refused["hint"]
