"""Work in a confined child: no network, no credentials, limits; the parent always learns what happened."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloudmodel.core import confined
from cloudmodel.core.errors import ChildDied, StepFailed
from cloudmodel.core.progress import Progress

SUPPORT = str(Path(__file__).parents[1] / "support")


def run(name: str, folder: Path, job: dict[str, Any] | None = None, seconds: float = 120, **options: Any) -> Any:
    return confined.run(
        f"confined_jobs:{name}",
        job or {},
        folder=folder,
        seconds=seconds,
        environment={"PYTHONPATH": SUPPORT},
        **options,
    )


@pytest.fixture
def server() -> Iterator[int]:
    """A server of this machine that answers everybody; yields its port."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening.server_port
        listening.shutdown()
        thread.join()


def test_child_sees_the_job_and_a_bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    heard: list[Progress] = []
    answer = run("environment", tmp_path, {"a": [1, "b"]}, report=heard.append)
    assert answer["job"] == {"a": [1, "b"]}
    assert answer["folder"] == str(tmp_path)
    assert not [name for name in answer["names"] if name.startswith("AWS") or "PROXY" in name]
    assert {"OMP_WAIT_POLICY", "OMP_NUM_THREADS"} <= set(answer["names"])  # threads that spin slow all others down
    assert heard == [Progress("work", 1, 2)]
    assert "a library prints" in (tmp_path / confined.LOG).read_text()


def test_own_errors_cross_the_border_whole(tmp_path: Path) -> None:
    with pytest.raises(StepFailed) as caught:
        run("refuse", tmp_path)
    assert (caught.value.message, caught.value.where, caught.value.hint) == ("no", "here", "do")
    assert caught.value.details == {"number": 1}


def test_child_has_no_network(tmp_path: Path, server: int) -> None:
    assert "no network" in run("ask", tmp_path, {"url": f"http://127.0.0.1:{server}/"})["refused"]
    # Below Python only the kernel can refuse, where it gives users an empty network.
    kernel_does = subprocess.run(["unshare", "-Urn", "true"], check=False).returncode == 0
    assert run("ask_below_python", tmp_path, {"port": server}) == {"connected": not kernel_does}


@pytest.mark.parametrize(
    ("name", "job", "options", "said"),
    [
        ("hang", {}, {"seconds": 3}, "longer than 3 s"),
        ("crash", {}, {}, "SIGABRT"),
        ("eat", {"bytes": 3 << 30}, {"memory": 1 << 30}, "out of memory"),
        ("missing", {}, {}, "has no attribute 'missing'"),
    ],
)
def test_death_of_a_child_is_named(tmp_path: Path, name: str, job: Any, options: Any, said: str) -> None:
    with pytest.raises(ChildDied, match=said):
        run(name, tmp_path, job, **options)
