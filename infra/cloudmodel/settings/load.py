"""Finding and reading a project and its stacks. Nothing here writes, and nothing needs a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import ProjectInvalid, SettingsInvalid, StackNotFound
from cloudmodel.core.naming import STACK_NAME
from cloudmodel.settings.check import nearest, validate
from cloudmodel.settings.document import Document, Mark, Problem, Unreadable, invalid, read
from cloudmodel.settings.model import Project, ProjectFile, StackSettings
from cloudmodel.settings.pulumi import stack_settings

PROJECT_FILE = "cloudmodel.yaml"
PULUMI_FILE = "Pulumi.yaml"
DEFAULT_FOLDER = "stacks"
PULUMI_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
ELSEWHERE = ("main", "config", "stackConfigDir")
"""Keys of Pulumi.yaml that move a program or its settings to places where cloudmodel does not look."""


def find_project(start: Path) -> Path:
    """The folder of the project that `start` is in: itself or a parent with cloudmodel.yaml, else `start`/stacks.

    Raises ProjectInvalid where there is none.
    """
    start = start.absolute()
    for folder in (start, *start.parents, start / DEFAULT_FOLDER):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise ProjectInvalid(
        f"no {PROJECT_FILE} in {start}, in a folder above it, or in {start / DEFAULT_FOLDER}",
        where=str(start),
        hint="cloudmodel init, or name the project with -C DIR",
    )


def load_project(folder: Path) -> Project:
    """Read cloudmodel.yaml and Pulumi.yaml of `folder`; raises ProjectInvalid with every problem of the first file
    that has one."""
    path = folder / PROJECT_FILE
    document = _project_document(path)
    value, problems = validate(ProjectFile, document.value, document)
    problems += document.duplicates
    if value is None or problems:
        raise invalid(ProjectInvalid, path, problems)
    fields = {name: getattr(value, name) for name in ProjectFile.model_fields}
    return Project(**fields, folder=folder.absolute(), pulumi_name=_pulumi_name(folder / PULUMI_FILE))


def _project_document(path: Path) -> Document:
    try:
        document = read(path)
    except Unreadable as error:
        hint = "cloudmodel init writes a project" if not path.exists() else None
        raise invalid(ProjectInvalid, path, [error.problem], hint) from error
    if not isinstance(document.value, dict):
        raise invalid(ProjectInvalid, path, [Problem(Mark(1, 1), "", "must be a mapping of keys to values")])
    return document


def _pulumi_name(path: Path) -> str:
    document = _project_document(path)
    content: dict[str, Any] = document.value
    problems = list(document.duplicates)

    def problem(key: str, message: str) -> None:
        problems.append(Problem(document.mark((key,)), key, message))

    name, runtime = content.get("name"), content.get("runtime")
    if not isinstance(name, str) or not PULUMI_NAME.fullmatch(name):
        problem("name", "must be 1 to 100 letters, digits, dots, hyphens or underscores")
    if (runtime.get("name") if isinstance(runtime, dict) else runtime) != "python":
        problem("runtime", "must be python: the program of a cloudmodel project is __main__.py")
    for key in ELSEWHERE:
        if key in content:
            problem(key, "is not used here: the program and its settings lie beside Pulumi.yaml")
    if problems:
        raise invalid(ProjectInvalid, path, problems)
    assert isinstance(name, str)
    return name


def stacks(project: Project) -> tuple[str, ...]:
    """The names of the stacks that have a settings file, sorted."""
    found = (path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in project.folder.glob("Pulumi.*.yaml"))
    return tuple(sorted(name for name in found if STACK_NAME.fullmatch(name)))


def load_stack(project: Project, stack: str, *, pinned: bool = True) -> StackSettings:
    """Read Pulumi.<stack>.yaml. Raises StackNotFound where there is none and SettingsInvalid with every problem.

    Without `pinned` a stack whose target is `aws` needs no bundle yet.
    """
    path = project.folder / f"Pulumi.{stack}.yaml"
    if not STACK_NAME.fullmatch(stack) or not path.is_file():
        known = stacks(project)
        raise StackNotFound(
            f"the project {project.name} has no stack {stack!r}" + (f"; {nearest(stack, known)}" if known else ""),
            where=str(project.folder),
            hint=f"cloudmodel stack init {stack} --target local"
            if STACK_NAME.fullmatch(stack)
            else "cloudmodel stack ls",
        )
    try:
        document = read(path)
    except Unreadable as error:
        raise invalid(SettingsInvalid, path, [error.problem]) from error
    return stack_settings(project, stack, document, pinned=pinned)
