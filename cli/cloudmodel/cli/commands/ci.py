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
    from cloudmodel.operate.pipeline.files import INCLUDED, installs, needed, pipeline_files, repository
    from cloudmodel.settings.load import load_stack

    project = context.project()
    name = stack_name(project, stack)
    root = repository(project.folder)
    found = facts(
        project, load_stack(project, name, pinned=False), root, GITHUB if host == "github" else GITLAB,
        environment=environment, branch=branch,
    )  # fmt: skip
    wanted = pipeline_files(host, found, root)
    theirs = [f"{shell_name(each.path)} {each.theirs}" for each in wanted if each.theirs and not each.kept]
    if theirs and not yes:
        if not context.interactive:
            raise UsageError(
                ", ".join(theirs),
                where=str(root),
                hint="keep what is yours elsewhere and add --yes, or give the project another name in Pulumi.yaml",
            )
        context.confirm(f"{', '.join(theirs)}. Overwrite it?", yes=False)
    written = [each for each in wanted if not each.kept]
    for each in written:
        write_bytes(each.path, each.content)
    next_ = f"cloudmodel bootstrap --stack {name} --{host} OWNER/NAME --environment {environment} --branch {branch}"
    requirements = wanted[-1]
    required = None if installs(requirements.path, found) else needed(found)
    lacking = host == "gitlab" and INCLUDED not in (root / ".gitlab-ci.yml").read_text()
    if context.json:
        paths = {
            key: [str(each.path.relative_to(root)) for each in wanted if (each in written) is taken]
            for key, taken in (("written", True), ("kept", False))
        }
        todo = {"include": INCLUDED if lacking else None, "requires": required, "next": next_}
        emit("ci-init", {"stack": name, "host": host, **paths, **todo})
        return
    for each in wanted:
        say(f"{'wrote' if each in written else 'kept '} {shell_name(each.path)}")
    if lacking:
        say(f"write into .gitlab-ci.yml:\n    include:\n      - local: {INCLUDED}")
    say(f"next:\n    {next_}")
    say(f"    let the environment {environment} be deployed to from {branch} only, and by approval of reviewers")
    if required:
        say(f"    let {shell_name(requirements.path)} install {required}, which it does not name")
    elif requirements in written:
        say(f"    write into {shell_name(requirements.path)} which index you trust for cloudmodel, or its wheel")
    if host == "gitlab":
        say(f"    let a pipeline schedule of {branch} run each night: it looks for drift")
        say("    let a masked variable CLOUDMODEL_COMMENT_TOKEN hold a project's access token (api, Reporter)")
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
