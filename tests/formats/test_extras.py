"""What an extra of this package brings is enough for the formats it is for, and where it is absent its name is told."""

from __future__ import annotations

import json
import subprocess
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sklearn.linear_model import LogisticRegression

import onnx_models
from cloudmodel.bundle.store import open_store
from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats import extras
from cloudmodel.formats.opening import open_model
from cloudmodel.formats.original import FORMATS, Job
from cloudmodel.formats.preprocess import ImageSteps, TextSteps
from cloudmodel.serving.package import ModelSource, package

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXT = TextSteps(tokenizer="{}", max_length=4)


def top(name: str) -> dict[str, Path]:
    """What a distribution has at the top of site-packages, by name."""
    own = distribution(name)
    names = {file.parts[0] for file in own.files or ()} - {"..", "__pycache__"}
    return {name: Path(str(own.locate_file(name))) for name in names}


def closure(requirements: list[str]) -> dict[str, Path]:
    """The same of all that these requirements bring, and of what that needs."""
    found: dict[str, Path] = {}
    wanted = [Requirement(each) for each in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        requirement = wanted.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in seen:
            continue
        seen.add(key)
        found |= top(requirement.name)
        for each in map(Requirement, distribution(requirement.name).requires or ()):
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *key[1])):
                wanted.append(each)
    return found


def strangers_python(folder: Path, extra: str) -> str:
    """An interpreter that has what `pip install cloudmodel[extra]` brings, and nothing else of what is here."""
    venv.EnvBuilder(symlinks=True).create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    own = {name: path for name, path in top("cloudmodel").items() if name.endswith(".dist-info")}
    for name, path in (own | closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]])).items():
        (site / name).symlink_to(path)
    (site / "cloudmodel.pth").write_text("".join(f"{ROOT / part}\n" for part in ("cli", "infra", "packaging")))
    return str(folder / "bin" / "python")


def test_the_sklearn_extra_is_enough_for_skops(tmp_path: Path) -> None:
    rows = np.arange(12.0).reshape(6, 2)
    skops.io.dump(LogisticRegression().fit(rows, [0, 0, 0, 1, 1, 1]), tmp_path / "m.skops")
    (tmp_path / "cloudmodel.yaml").write_text("version: 1\nname: m\nmodel:\n  source: m.skops\n")
    (tmp_path / "Pulumi.yaml").write_text("name: m\nruntime: python\n")
    python = strangers_python(tmp_path / "env", "sklearn")
    command = [python, "-c", "from cloudmodel.cli.main import run; run()", "-C", str(tmp_path), "package", "-j"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["parity"]["passed"]
    assert subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 1


def test_every_module_of_an_extra_is_one_that_it_brings() -> None:
    for extra in {"text", "image", *(each.extra for each in FORMATS.values() if each.extra)}:
        brought = [top(Requirement(each).name) for each in PROJECT["optional-dependencies"][extra]]
        assert set(extras.EXTRAS[extra]) <= set().union(*brought), extra


@pytest.mark.parametrize("format", [name for name, each in FORMATS.items() if each.extra])
def test_a_format_whose_extra_is_absent_names_it(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    extra = FORMATS[format].extra
    with pytest.raises(ProjectInvalid, match=rf"pip install 'cloudmodel\[{extra}\]'"):
        open_model(Job(format, tmp_path / "model"), tmp_path / "work", folder=None)


@pytest.mark.parametrize("steps", [TEXT, ImageSteps()], ids=lambda steps: steps.kind)
def test_steps_whose_extra_is_absent_name_it(steps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = onnx_models.linear(tmp_path / "m.onnx")
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(ProjectInvalid, match=rf"pip install 'cloudmodel\[{steps.kind}\]'"):
        package(ModelSource("m", source, preprocess=steps), open_store("store", base=tmp_path))
