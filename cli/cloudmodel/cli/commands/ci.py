"""`cloudmodel ci`: a Git host's pipelines, and the comment that they write under a pull request."""

from __future__ import annotations

from pathlib import Path

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@click.group("ci", context_settings=options.SETTINGS)
def command() -> None:
    """Pipelines for GitHub and GitLab, and the comment under a pull request."""


@options.verb("comment", group=command, exits=(6,))
@options.stack
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write it there [default: stdout].",
)  # fmt: skip
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(dir_okay=False, path_type=Path))
def comment(context: Context, stack: str | None, output: Path | None, files: tuple[Path, ...]) -> None:
    """Tell what would change, as Markdown, from what `preview`, `diff`, `optimize`, `package` and `drift` wrote with
    --json. It begins with a hidden line by which the next run finds the comment again."""
    from cloudmodel.cli.context import stack_name
    from cloudmodel.cli.output import emit
    from cloudmodel.core.files import write_text
    from cloudmodel.deploy.surroundings import pipeline_address
    from cloudmodel.operate.pipeline import documents
    from cloudmodel.operate.pipeline.comment import comment, marker

    project = context.project()
    name = stack_name(project, stack)
    text = comment(project.pulumi_name, name, documents.read(files), pipeline_address())
    if output is not None:
        write_text(output, text)
    if context.json:
        emit("ci-comment", {"stack": name, "marker": marker(project.pulumi_name, name), "comment": text})
    elif output is None:
        click.echo(text, nl=False)
