"""A project in a folder, whose files a test writes as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudmodel.settings.load import load_project, load_stack
from cloudmodel.settings.model import Project, StackSettings

PROJECT = "version: 1\nname: digits\nmodel: {source: digits.onnx}\n"
PULUMI = "name: digits\nruntime: python\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cloudmodel.yaml").write_text(PROJECT)
    (tmp_path / "Pulumi.yaml").write_text(PULUMI)
    return tmp_path


@pytest.fixture
def project_of(folder: Path) -> Callable[[str | bytes], Project]:
    """Loads the project whose cloudmodel.yaml is the text."""

    def load(text: str | bytes) -> Project:
        (folder / "cloudmodel.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_project(folder)

    return load


@pytest.fixture
def stack_of(folder: Path) -> Callable[[str | bytes], StackSettings]:
    """Loads the stack `dev` whose file is the text."""

    def load(text: str | bytes) -> StackSettings:
        (folder / "Pulumi.dev.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_stack(load_project(folder), "dev")

    return load


@pytest.fixture
def local_stack(stack_of: Any) -> Callable[[str], StackSettings]:
    """Loads a local stack with further lines under `config:`."""
    return lambda lines: stack_of(
        "config:\n  cloudmodel:target: local\n" + "".join(f"  {x}\n" for x in lines.splitlines())
    )
