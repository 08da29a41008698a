"""`cloudmodel init`: a project that works at once."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context

TEMPLATES = ("digits", "blank")
TEXT = (".yaml", ".py", ".md", ".gitignore")
RENAMED = {"gitignore": ".gitignore"}
HARMLESS = {".git"}


@options.verb("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--template", type=click.Choice(TEMPLATES), default="digits", show_default=True)
@click.option("--name", metavar="NAME", help="The project's name [default: digits, or by the folder].")
def command(context: Context, folder: Path, template: str, name: str | None) -> None:
    """Make a project in DIR, which is new or empty.

    digits has a small convolutional net with its data and deploys as it is; blank waits for a model of yours.
    """
    from cloudmodel.cli.context import select, shell_name
    from cloudmodel.cli.output import emit, say
    from cloudmodel.core.errors import UsageError
    from cloudmodel.core.files import write_bytes
    from cloudmodel.core.naming import PROJECT_NAME

    folder = (context.cwd / folder if context.cwd else folder).absolute()
    taken = sorted(entry.name for entry in folder.iterdir() if entry.name not in HARMLESS) if folder.exists() else []
    if taken:
        raise UsageError(
            f"the folder is not empty: it has {', '.join(taken[:5])}{', …' if len(taken) > 5 else ''}",
            where=str(folder),
            hint="cloudmodel init NEW_FOLDER",
        )
    name = name or (template if template == "digits" else project_name(folder))
    if not PROJECT_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a project's name: a letter, then up to 30 of a-z, 0-9 and '-'",
            hint="cloudmodel init --name my-model",
        )
    contents = dict(template_files(files("cloudmodel.cli") / "scaffold" / template, name))
    for path, content in contents.items():
        write_bytes(folder / path, content)
    select(folder, "local")
    if context.json:
        emit("init", {"folder": str(folder), "name": name, "template": template, "files": sorted(contents)})
        return
    say(f"made {name} in {folder}:")
    for path in sorted(contents):
        say(f"    {path}")
    say("next:")
    if folder != Path.cwd():
        say(f"    cd {shell_name(folder)}")
    if template == "blank":
        say("    put your model at the path of model.source in cloudmodel.yaml")
    say("    cloudmodel package")
    say("    cloudmodel up")


def project_name(folder: Path) -> str:
    """A project's name made of the folder's: lower case, what is not allowed replaced by one '-'."""
    return re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-0123456789")[:31].strip("-") or "model"


def template_files(root: Traversable, name: str, prefix: str = "") -> list[tuple[str, bytes]]:
    """The template's files by their path in the project; texts have the project's name filled in."""
    found: list[tuple[str, bytes]] = []
    for entry in sorted(root.iterdir(), key=lambda item: item.name):
        path = prefix + RENAMED.get(entry.name, entry.name)
        if entry.is_dir():
            found += [] if entry.name == "__pycache__" else template_files(entry, name, f"{path}/")
        elif path.endswith(TEXT):
            found.append((path, Template(entry.read_text("utf-8")).safe_substitute(project=name).encode()))
        else:
            found.append((path, entry.read_bytes()))
    return found
