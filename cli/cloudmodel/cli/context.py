"""Where a verb works: which project, which stack of it, on which engine, and who is listening."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cloudmodel.core.errors import StackNotFound, UsageError
from cloudmodel.core.files import PRIVATE, private_folder, write_text
from cloudmodel.core.naming import STACK_NAME

if TYPE_CHECKING:
    from cloudmodel.deploy.engines import Engine
    from cloudmodel.operate.invoke import Address
    from cloudmodel.settings.model import Project, StackSettings

SELECTED = "selected"


class OpenStack(NamedTuple):
    """A stack that a verb works on."""

    name: str
    project: Project
    settings: StackSettings
    engine: Engine


@dataclass
class Context:
    """What the flags common to every verb say."""

    cwd: Path | None = None
    json: bool = False
    debug: bool = False
    non_interactive: bool = False
    engine: str | None = None
    """What `--engine` said, once a stack is open."""

    @property
    def interactive(self) -> bool:
        """True when a person can be asked: terminals on all three streams, and no flag that forbids it."""
        return not (self.json or self.non_interactive) and all(
            stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)
        )

    def folder(self) -> Path:
        """The project's folder: `-C`, else the current folder or a parent, else `./stacks`. Raises ProjectInvalid."""
        from cloudmodel.settings.load import find_project

        return (self.cwd if self.cwd is not None else find_project(Path.cwd())).absolute()

    def project(self) -> Project:
        """The project of that folder, checked. Raises ProjectInvalid."""
        from cloudmodel.settings.load import load_project

        return load_project(self.folder())

    def open(
        self, flag: str | None, *, engine: str | None = None, offline: bool = False, anywhere: bool = False
    ) -> OpenStack:
        """The chosen stack on the engine that its target, or `--engine`, asks for. Raises what reading them raises.

        `anywhere` is for verbs that run no program: where there is no project, the stack of that name is found by its
        state in AWS.
        """
        from cloudmodel.core.errors import ProjectInvalid
        from cloudmodel.settings.load import load_project, load_stack

        self.engine = engine
        try:
            folder = self.folder()
        except ProjectInvalid as nowhere:
            if not (anywhere and flag):
                raise
            project, settings = _recorded(flag, nowhere.message)
        else:
            project = load_project(folder)
            settings = load_stack(project, stack_name(project, flag))
        name = settings.stack
        # An engine is slow to import; what is wrong with the project is said before that.
        from cloudmodel.deploy.select import open_engine

        return OpenStack(name, project, settings, open_engine(project, settings, name, engine=engine, offline=offline))

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before a change. Raises Cancelled when the answer is no; see `refuse_unasked` for no terminal."""
        self.refuse_unasked(yes=yes)
        if yes:
            return
        import click

        from cloudmodel.core.errors import Cancelled

        if not click.confirm(question, default=False, err=True):
            raise Cancelled("not confirmed, nothing was changed")

    def refuse_unasked(self, *, yes: bool) -> None:
        """Raises UsageError when a change would have to be confirmed and nobody can be asked."""
        if not yes and not self.interactive:
            raise UsageError(
                "this changes cloud resources or the stack's state, and there is no terminal to confirm it on",
                hint="add --yes",
            )


def _recorded(stack: str, why: str) -> tuple[Project, StackSettings]:
    """A stack as its last `up` recorded it, in a folder that ends with the command."""
    import tempfile

    import click

    from cloudmodel.cli.output import note
    from cloudmodel.deploy.official.recorded import opened

    note(f"{why}: the stack is looked for in AWS")
    folder = click.get_current_context().with_resource(tempfile.TemporaryDirectory(prefix="cloudmodel-"))
    return opened(stack, Path(folder))


def stack_name(project: Project, flag: str | None) -> str:
    """The stack of `--stack` or CLOUDMODEL_STACK, else the selected one. Raises UsageError, StackNotFound."""
    from cloudmodel.settings.load import stacks

    name = (flag or "").removeprefix(f"{project.pulumi_name}/") or selected(project.folder)
    known = stacks(project)
    if name is None:
        raise UsageError(
            "no stack is selected",
            where=str(project.folder),
            hint=f"cloudmodel stack select {known[0]}" if known else "cloudmodel stack init local --target local",
        )
    if name not in known or not is_stack_name(name):
        raise StackNotFound(
            f"the project has no stack {name!r}; it has {', '.join(known) if known else 'none'}",
            where=str(project.folder),
            hint="cloudmodel stack ls" if known else "cloudmodel stack init local --target local",
        )
    return name


def is_stack_name(name: str) -> bool:
    """Whether a stack may be called so."""
    return bool(STACK_NAME.fullmatch(name))


def valid_stack_name(name: str) -> str:
    """`name`, when a stack may be called so. Raises UsageError."""
    if not is_stack_name(name):
        raise UsageError(
            f"{name!r} cannot be a stack's name: 1 to 100 letters, digits, '_', '.' and '-'",
            hint="cloudmodel stack init dev --target local",
        )
    return name


def selected(folder: Path) -> str | None:
    """The stack that `stack select` chose, if any."""
    with suppress(OSError, UnicodeDecodeError):
        return (folder / PRIVATE / SELECTED).read_text().strip() or None
    return None


def select(folder: Path, name: str) -> None:
    """Make `name` the stack of verbs that are not told one."""
    write_text(private_folder(folder / PRIVATE) / SELECTED, f"{name}\n")


def unselect(folder: Path, name: str) -> None:
    """Forget `name`, when it is the selected one."""
    if selected(folder) == name:
        (folder / PRIVATE / SELECTED).unlink(missing_ok=True)


def shell_name(path: Path) -> str:
    """`path` as a person would type it: relative to the current folder where it lies below it."""
    with suppress(ValueError):
        return os.path.normpath(path.resolve().relative_to(Path.cwd().resolve()))
    return str(path)


def address(opened: OpenStack) -> Address:
    """Where the stack's endpoint is asked. Raises LocalCloudUnavailable when its local AWS does not run."""
    from cloudmodel.core.errors import LocalCloudUnavailable
    from cloudmodel.operate.invoke import Address

    if opened.settings.target != "local":
        return Address(opened.settings.region)
    from cloudmodel.localaws.server import status

    running = status(opened.project.folder / PRIVATE / "local")
    if running is None:
        raise LocalCloudUnavailable(
            "the local AWS is not running, and what stood in it is gone",
            where=f"stack {opened.name}",
            hint=f"cloudmodel up --stack {opened.name}",
        )
    return Address(opened.settings.region, running.endpoint_url)
