"""The plugin reaches the local AWS only, and ends with the engine that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from cloudmodel.core.errors import UsageError
from cloudmodel.deploy.official import plugin
from cloudmodel.engine.wire import to_struct
from cloudmodel.program.aws.local import LOCAL_URL

NOT_LOCAL = [
    None,
    "",
    "127.0.0.1:4566",
    "https://127.0.0.1:4566",
    "http://localhost:4566",
    "http://127.0.0.1.example.com",
    "http://127.0.0.1@sagemaker.us-east-1.amazonaws.com",
    "http://10.0.0.1:4566",
    "http://0.0.0.0:4566",
    "http://sagemaker.us-east-1.amazonaws.com",
]


def started(folder: Path, url: str | None) -> subprocess.Popen[str]:
    plugin.write_launcher(folder)
    environment = {name: value for name, value in os.environ.items() if name != LOCAL_URL}
    return subprocess.Popen(
        [folder / plugin.EXECUTABLE, "127.0.0.1:1"], env=environment | ({LOCAL_URL: url} if url else {}),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("url", NOT_LOCAL)
def test_an_address_that_is_not_this_machine_is_refused(url: str | None) -> None:
    with pytest.raises(UsageError):
        plugin.require_loopback(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:4566", "http://[::1]:4566"])
def test_a_loopback_address_is_taken(url: str) -> None:
    assert plugin.require_loopback(url) == url


def test_it_does_not_start_without_the_address(tmp_path: Path) -> None:
    process = started(tmp_path / "plugin", None)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and "loopback" in said


def test_it_serves_until_the_engine_is_gone_and_takes_no_endpoints_of_its_own(tmp_path: Path) -> None:
    process = started(tmp_path / "plugin", "http://127.0.0.1:9")
    assert process.stdin and process.stdout
    with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        elsewhere = to_struct({"region": "us-east-1", "endpoints": '[{"s3": "https://s3.amazonaws.com"}]'})
        with pytest.raises(grpc.RpcError, match="local AWS only"):
            stub.Configure(provider_pb2.ConfigureRequest(args=elsewhere))
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def test_it_ends_at_once_when_the_engine_says_that_it_is_done(tmp_path: Path) -> None:
    """With SIGINT, its input still open; who does not heed it is killed after 5 seconds, in which the engine waits."""
    process = started(tmp_path / "plugin", "http://127.0.0.1:9")
    assert process.stdout and process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    process.communicate()


def test_the_launcher_starts_this_very_python(tmp_path: Path) -> None:
    assert sys.executable in (plugin.write_launcher(tmp_path / "plugin") / plugin.EXECUTABLE).read_text()
