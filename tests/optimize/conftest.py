"""One optimized digits project for all tests that look at what the whole command leaves behind."""

from __future__ import annotations

import json

import pytest

from optimized_project import Optimized, cloudmodel


@pytest.fixture(scope="session")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Optimized:
    """The digits project, optimized for size: what is chosen does not depend on how busy the machine is."""
    folder = tmp_path_factory.mktemp("optimized") / "digits"
    assert cloudmodel("init", str(folder), "--template", "digits").returncode == 0
    settings = folder / "cloudmodel.yaml"
    text = settings.read_text()
    assert "objective: throughput" in text
    settings.write_text(text.replace("objective: throughput", "objective: size"))
    ran = cloudmodel("optimize", "--json", folder=folder)
    assert ran.returncode == 0, ran.stderr
    return Optimized(folder, json.loads(ran.stdout))
