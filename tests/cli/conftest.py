"""The command line in this process, on a real project, with an engine that follows a scenario."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cloudmodel.cli.main import answer

FAKE = Path(__file__).with_name("fake_engine.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fake_engine", FAKE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fake_engine = _load()


@dataclass(frozen=True)
class Ran:
    """What one command line left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document on stdout, which is all there is."""
        document: dict[str, Any] = json.loads(self.out)
        assert self.out == json.dumps(document, sort_keys=True, indent=2) + "\n"
        return document


Cli = Callable[..., Ran]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine reaches a test, and it works in a folder of its own."""
    for name in list(os.environ):
        if name.startswith(("CLOUDMODEL_", "AWS_", "PULUMI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line as the console script does, without leaving this process."""

    def run(*words: str) -> Ran:
        capfd.readouterr()
        code = answer(words)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def project(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A digits project with the stack `local` selected and a stack `dev` beside it; the test stands in it."""
    folder = tmp_path / "digits"
    assert cli("init", str(folder)).code == 0
    (folder / "Pulumi.dev.yaml").write_text((folder / "Pulumi.local.yaml").read_text())
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The engines that verbs are given; a test sets `fleet.scenario`."""
    fleet = fake_engine.Fleet()
    monkeypatch.setitem(sys.modules, "cloudmodel.deploy.select", fleet)
    return fleet


@pytest.fixture
def fake_cloudmodel() -> list[str]:
    """The command line of a process that is `cloudmodel` with the engine of FAKE_ENGINE."""
    return [sys.executable, str(FAKE)]
