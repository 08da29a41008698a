"""The process of the local AWS: found, started once, stopped with everything it started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from cloudmodel.core.errors import LocalCloudUnavailable
from cloudmodel.localaws import identity, server

REGION = "eu-west-1"


def start(home: Path, **settings: Any) -> identity.Running:
    return server.start(home, region=REGION, max_workers=2, **settings)


def test_start_is_found_again_and_stop_ends_it(home: Path) -> None:
    assert server.status(home) is None
    running = start(home)
    assert server.status(home) == running
    assert start(home) == running
    assert (home / "server.json").stat().st_mode & 0o777 == 0o600
    report = server.report(home)
    assert report is not None
    assert (report["instance_id"], report["region"]) == (running.instance_id, REGION)
    assert report["memory_bytes"] > 0
    assert server.stop(home)
    assert not psutil.pid_exists(running.pid) or psutil.Process(running.pid).status() == psutil.STATUS_ZOMBIE
    assert server.status(home) is None
    assert not (home / "server.json").exists()
    assert not server.stop(home)


def test_it_listens_on_this_machine_only(home: Path) -> None:
    running = start(home)
    listening = [c for c in psutil.Process(running.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_a_restart_is_another_instance_that_forgot_everything(home: Path, cloud_at: Any) -> None:
    first = start(home)
    cloud_at(first, home).upload(b"x")
    server.stop(home)
    second = start(home)
    assert second.instance_id != first.instance_id
    assert cloud_at(second, home).s3.list_buckets()["Buckets"] == []


def test_reset_is_another_instance_in_the_same_process(home: Path, cloud_at: Any) -> None:
    first = start(home)
    cloud = cloud_at(first, home)
    name = cloud.endpoint(cloud.config(cloud.model()))
    second = server.reset(home)
    assert (second.pid, second.endpoint_url) == (first.pid, first.endpoint_url)
    assert second.instance_id != first.instance_id
    assert server.status(home) == second
    assert cloud.s3.list_buckets()["Buckets"] == []
    assert cloud.sagemaker.list_endpoints()["Endpoints"] == []
    assert "not found" in cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=b"x")["Error"]["Message"]
    again = cloud.endpoint(cloud.config(cloud.model("again")))
    assert cloud.ask(again) == "again"


def test_reset_needs_the_instance_it_is_meant_for(home: Path) -> None:
    import urllib.error
    import urllib.request

    running = start(home)
    for headers in ({}, {"X-Cloudmodel-Instance": "another"}):
        request = urllib.request.Request(f"{running.endpoint_url}/_cloudmodel/reset", headers=headers, method="POST")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)
    assert server.status(home) == running


def test_a_port_in_use_is_named_with_its_holder(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LocalCloudUnavailable) as caught:
            start(home, port=port)
    assert caught.value.where == f"127.0.0.1:{port}"
    assert f"process {os.getpid()}" in caught.value.message
    assert caught.value.hint
    assert server.status(home) is None
    assert start(home, port=port).endpoint_url == f"http://127.0.0.1:{port}"


def test_a_file_that_is_closed_meanwhile_hides_no_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    readlink = Path.readlink
    seen: list[Path] = []

    def vanishing(path: Path) -> Path:
        if path.parent == Path(f"/proc/{os.getpid()}/fd") and not seen:
            seen.append(path)
            raise FileNotFoundError
        return readlink(path)

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(Path, "readlink", vanishing)
        assert f"process {os.getpid()}" in str(identity.listener(other.getsockname()[1]))
    assert seen


def test_another_port_than_the_running_ones_is_refused(home: Path) -> None:
    running = start(home)
    taken = int(running.endpoint_url.rpartition(":")[2])
    with pytest.raises(LocalCloudUnavailable, match="already runs"):
        start(home, port=taken + 1)


def test_a_server_that_dies_at_the_start_shows_its_last_lines(home: Path) -> None:
    with pytest.raises(LocalCloudUnavailable, match="unrecognized arguments: --imaginary") as caught:
        start(home, options=["--imaginary"])
    assert caught.value.where == str(home / "server.log")


def test_a_disk_without_room_is_the_reason_that_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(home.parent)._replace(free=0)
    monkeypatch.setattr("cloudmodel.localaws.server.shutil.disk_usage", lambda _: full)
    with pytest.raises(LocalCloudUnavailable, match="no space is left") as caught:
        start(home, options=["--imaginary"])
    assert caught.value.where == str(home)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x"}'])
def test_a_file_that_is_no_record_is_no_server(home: Path, content: str) -> None:
    home.mkdir()
    (home / "server.json").write_text(content)
    assert server.status(home) is None


def test_a_stale_file_is_recognised_by_the_start_of_its_process(home: Path) -> None:
    running = start(home)
    record = identity.read(home)
    assert record is not None
    server.stop(home)
    record.write(home)  # dead pid
    assert server.status(home) is None
    identity.Record(os.getpid(), "1", record.port, REGION, "x").write(home)  # a pid that was given to us since
    assert server.status(home) is None
    assert not server.stop(home)  # and so it must not end us
    assert start(home).instance_id != running.instance_id


def test_a_server_that_does_not_answer_is_said_so_and_can_be_stopped(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(home)
    for patience in ("ANSWER", "SHUTDOWN", "DYING"):
        monkeypatch.setattr(server, patience, 0.2)
    os.kill(running.pid, signal.SIGSTOP)
    with pytest.raises(LocalCloudUnavailable, match="does not answer") as caught:
        server.status(home)
    assert caught.value.hint == "cloudmodel local stop, then try again"
    assert server.stop(home)
    assert server.status(home) is None


def test_a_killed_server_that_the_system_still_lists_is_no_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start(home)
    record = identity.read(home)
    assert record is not None
    os.kill(running.pid, signal.SIGKILL)
    sees = iter([record.pid_started] * 3)  # its connections are closed before it is gone
    monkeypatch.setattr(identity, "started", lambda pid: next(sees, None))
    assert server.status(home) is None


def test_two_starts_at_once_give_one_server(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cloudmodel.localaws import server;"
        f"print(server.start(Path(sys.argv[1]), region={REGION!r}, max_workers=2))"
    )
    command = [sys.executable, "-c", code, str(home)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=120)[0] for process in both)
    assert first == second
    assert first.strip() == str(server.status(home))  # and it outlived both


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_server(home: Path, cloud_at: Any, number: signal.Signals) -> None:
    running = start(home)
    cloud = cloud_at(running, home)
    cloud.endpoint(cloud.config(cloud.model(code=SPAWNING)))
    family = psutil.Process(running.pid).children(recursive=True)
    assert len(family) == 2  # the worker, and what the model's code started
    os.kill(running.pid, number)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert server.status(home) is None


SPAWNING = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
def model_fn(model_dir):
    return ANSWER
def input_fn(data, content_type):
    return data
def predict_fn(data, model):
    return model
def output_fn(prediction, accept):
    return prediction, accept
"""


def test_credentials_of_the_shell_reach_neither_server_nor_worker(
    home: Path, cloud_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a real secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a real token")
    monkeypatch.setenv("DATABASE_PASSWORD", "another")
    running = start(home)
    environment = psutil.Process(running.pid).environ()
    assert not {name for name in environment if name.startswith("AWS_")}
    cloud = cloud_at(running, home)
    seen = cloud.ask(cloud.endpoint(cloud.config(cloud.model(Environment={"MODE": "fast"}))), "environment")
    assert seen["MODE"] == "fast"
    assert seen["AWS_REGION"] == REGION
    assert seen["HOME"].startswith(str(home))
    assert not {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "DATABASE_PASSWORD"} & seen.keys()


def test_starting_from_a_thread_leaves_no_zombie(home: Path) -> None:
    found: list[identity.Running] = []
    thread = threading.Thread(target=lambda: found.append(start(home)))
    thread.start()
    thread.join()
    assert server.stop(home)
    (running,) = found
    psutil.wait_procs([process for process in psutil.process_iter() if process.pid == running.pid], timeout=10)
    assert not psutil.pid_exists(running.pid)


def test_without_workers_an_endpoint_is_in_service_and_answers_nobody(home: Path, cloud_at: Any) -> None:
    cloud = cloud_at(start(home, options=["--without-workers"]), home)
    name = cloud.endpoint(cloud.config(cloud.model()))
    assert cloud.settled(name)["EndpointStatus"] == "InService"
    (worker,) = cloud.report()["workers"]
    assert (worker["pid"], worker["users"]) == (None, 1)
    error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=b"x")
    assert error["ResponseMetadata"]["HTTPStatusCode"] >= 400
    cloud.delete(name)
    assert cloud.report()["workers"] == []
