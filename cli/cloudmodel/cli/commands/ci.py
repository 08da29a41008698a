"""`cloudmodel ci`: a Git host's pipelines, and the comment that they write under a pull request."""

from __future__ import annotations

from pathlib import Path

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@click.group("ci", context_settings=options.SETTINGS)
def command() -> None:
    """Pipelines for GitHub and GitLab, and the comment under a pull request."""


@options.verb("init", group=command, exits=(6,))
@click.argument("host", type=click.Choice(["github", "gitlab"]))
@options.stack
@options.yes
@click.option("--environment", default="production", show_default=True, help="The environment that applies.")
@click.option("--branch", default="main", show_default=True, help="The branch that is deployed.")
def init(context: Context, host: str, stack: str | None, yes: bool, environment: str, branch: str) -> None:
    """Write a stack's pipeline: a plan and a comment on each pull request, on a merge a sealed plan to be applied once
    it is approved, and a look for drift each night.

    Environment and branch are those that `bootstrap` was given. What was changed by hand is kept without --yes.
    """
    from cloudmodel.cli.context import shell_name, stack_name
    from cloudmodel.cli.output import emit, say
    from cloudmodel.core.errors import UsageError
    from cloudmodel.core.files import write_bytes
    from cloudmodel.operate.bootstrap.setup import GITHUB, GITLAB
    from cloudmodel.operate.pipeline.facts import facts
    from cloudmodel.operate.pipeline.files import INCLUDED, pipeline_files, repository
    from cloudmodel.settings.load import load_stack

    project = context.project()
    name = stack_name(project, stack)
    root = repository(project.folder)
    found = facts(
        project, load_stack(project, name, pinned=False), root, GITHUB if host == "github" else GITLAB,
        environment=environment, branch=branch,
    )  # fmt: skip
    wanted = pipeline_files(host, found, root)
    changed = [shell_name(each.path) for each in wanted if each.by_hand and not each.kept]
    if changed and not yes:
        if not context.interactive:
            raise UsageError(
                f"changed by hand since it was written: {', '.join(changed)}",
                where=str(root),
                hint="keep what is yours elsewhere, and add --yes",
            )
        context.confirm(f"Overwrite {', '.join(changed)}?", yes=False)
    written = [each for each in wanted if not each.kept]
    for each in written:
        write_bytes(each.path, each.content)
    next_ = f"cloudmodel bootstrap --stack {name} --{host} OWNER/NAME --environment {environment} --branch {branch}"
    lacking = host == "gitlab" and INCLUDED not in (root / ".gitlab-ci.yml").read_text()
    if context.json:
        paths = {
            key: [str(each.path.relative_to(root)) for each in wanted if (each in written) is taken]
            for key, taken in (("written", True), ("kept", False))
        }
        emit("ci-init", {"stack": name, "host": host, **paths, "include": INCLUDED if lacking else None, "next": next_})
        return
    for each in wanted:
        say(f"{'wrote' if each in written else 'kept '} {shell_name(each.path)}")
    if lacking:
        say(f"write into .gitlab-ci.yml:\n    include:\n      - local: {INCLUDED}")
    say(f"next:\n    {next_}")
    say(f"    let the environment {environment} be deployed to from {branch} only, and by approval of reviewers")
    if host == "gitlab":
        say("    let no fork run pipelines here: ci_allow_fork_pipelines_to_run_in_parent_project=false (projects API)")


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
