"""`init` makes a project that loads, and never writes over what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudmodel.cli.commands.init import TEMPLATES, project_name
from cloudmodel.core.naming import PROJECT_NAME
from cloudmodel.settings.load import load_project, load_stack


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_a_project_with_a_local_stack_selected(cli: Any, tmp_path: Path, template: str) -> None:
    ran = cli("init", "mine", "--template", template, "--name", "my-model", "-j")
    assert ran.code == 0
    folder = tmp_path / "mine"
    assert ran.json["files"] == sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".cloudmodel" not in path.parts
    )
    project = load_project(folder)
    assert (project.name, project.pulumi_name) == ("my-model", "my-model")
    assert load_stack(project, "local").target == "local"
    assert (folder / ".cloudmodel/selected").read_text() == "local\n"
    assert (folder / ".cloudmodel").stat().st_mode & 0o777 == 0o700
    assert ".cloudmodel/" in (folder / ".gitignore").read_text()
    assert "$project" not in "".join(path.read_text() for path in folder.glob("*.*") if path.is_file())
    compile((folder / "__main__.py").read_text(), "__main__.py", "exec")


def test_the_digits_template_has_a_model_and_its_data(project: Path) -> None:
    loaded = load_project(project)
    assert (project / loaded.model.source).stat().st_size > 10_000
    assert loaded.model.labels is not None
    assert (project / loaded.model.labels).read_text().split() == [str(digit) for digit in range(10)]
    assert loaded.evaluate is not None
    with np.load(project / loaded.evaluate.data) as data:
        assert data["inputs"].shape[1:] == (1, 8, 8)
        assert len(data["inputs"]) == len(data["labels"])


@pytest.mark.parametrize("there", ["notes.txt", "cloudmodel.yaml", ".cloudmodel", "README.md"])
def test_a_folder_with_something_in_it_is_refused_and_left_alone(cli: Any, tmp_path: Path, there: str) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / there).write_text("mine")
    ran = cli("init", "taken")
    assert ran.code == 2
    assert there in ran.err
    assert [path.name for path in folder.iterdir()] == [there]
    assert (folder / there).read_text() == "mine"


def test_an_empty_folder_and_an_empty_repository_are_taken(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Fresh Project"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    ran = cli("init", "--template", "blank")
    assert ran.code == 0
    assert "cd " not in ran.out
    assert load_project(folder).name == "fresh-project"


@pytest.mark.parametrize("name", ["", "Upper", "a b", "../x", "1st", "a" * 32, "a\nversion: 2", "é", "$project"])
def test_a_name_that_cannot_be_one_is_refused_before_anything_is_written(cli: Any, tmp_path: Path, name: str) -> None:
    ran = cli("init", "mine", "--name", name or "-")
    assert ran.code == 2
    assert not (tmp_path / "mine").exists()


def test_a_file_in_the_way_is_refused(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert cli("init", "file").code == 2
    assert cli("init", "x" * 300).code == 1
    assert cli("init", "file/inside").code == 1
    assert (tmp_path / "file").read_text() == "mine"


@given(st.text(min_size=1))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_folder_gives_a_projects_name(name: str) -> None:
    assert PROJECT_NAME.fullmatch(project_name(Path("/") / name.replace("\0", "")))
