"""`cloudmodel bootstrap`: where the state is kept, its key, and the roles of a pipeline, before the first `up`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context, stack_name

if TYPE_CHECKING:
    from cloudmodel.engine.step import Step
    from cloudmodel.operate.bootstrap.setup import Setup


@options.verb("bootstrap", exits=(3, 4, 6))
@options.stack
@options.yes
@click.option("--github", metavar="OWNER/NAME", help="Let this repository's GitHub Actions take the roles.")
@click.option("--gitlab", metavar="GROUP/NAME", help="Let this project's GitLab pipelines take the roles.")
@click.option("--environment", default="production", show_default=True, help="GitHub's environment that applies.")
@click.option("--branch", default="main", show_default=True, help="The branch that is deployed.")
def command(
    context: Context,
    stack: str | None,
    yes: bool,
    github: str | None,
    gitlab: str | None,
    environment: str,
    branch: str,
) -> None:
    """Make what a stack's account needs once: a bucket and a key for state, secrets and bundles, a role that plans and
    one that applies. Run again it changes nothing, or adds what was asked for since."""
    from cloudmodel.cli.output import emit, say
    from cloudmodel.cli.plan import rows, step_json
    from cloudmodel.engine.step import Op
    from cloudmodel.operate.bootstrap import advice, carry_out
    from cloudmodel.operate.bootstrap.connect import connect
    from cloudmodel.operate.bootstrap.setup import GITHUB, GITLAB, Setup, pipeline
    from cloudmodel.settings.load import load_stack

    context.refuse_unasked(yes=yes)
    project = context.project()
    name = stack_name(project, stack)
    settings = load_stack(project, name, pinned=False)
    pipelines = tuple(
        pipeline(host, repository, environment, branch)
        for host, repository in ((GITHUB, github), (GITLAB, gitlab))
        if repository
    )
    provider, account = connect(project, settings)
    setup = Setup(project.name, account, settings.region, settings.existing, pipelines, project.pulumi_name)
    planned = carry_out.plan(provider, setup)
    if not context.json:
        say(f"Bootstrap (stack {name}): target {settings.target}, account {account}, region {settings.region}")
        say("\n".join(rows(planned)) or " nothing to do")
    done = planned
    if any(step.op is not Op.SAME for step in planned):
        context.confirm(f"Bootstrap account {account}, region {settings.region}?", yes=yes)
        done = carry_out.apply(provider, setup, _told)
    if context.json:
        emit("bootstrap", document(setup, name, done) | {"steps": [step_json(step) for step in done]})
    else:
        say("\n" + written(advice.settings(setup, name), advice.pipeline(setup)))


def _told(step: Step) -> None:
    from cloudmodel.engine.step import Op

    if step.op is not Op.SAME:
        click.echo(f"{step.name} {'made' if step.op is Op.CREATE else 'changed'}", err=True)


def document(setup: Setup, stack: str, done: tuple[Step, ...]) -> dict[str, Any]:
    """The answer as JSON."""
    from cloudmodel.operate.bootstrap import advice

    counts = {op: sum(step.op == op for step in done) for op in ("create", "update", "same")}
    return {
        "stack": stack,
        "account": setup.account,
        "region": setup.region,
        "summary": counts,
        "outputs": advice.outputs(setup),
        "settings": advice.settings(setup, stack),
        "pipeline": advice.pipeline(setup),
    }


def written(settings: dict[str, dict[str, Any]], pipeline: dict[str, dict[str, Any]]) -> str:
    """What to put where, for a reader."""
    import yaml

    parts = []
    for file, keys in settings.items():
        text = yaml.safe_dump(keys, sort_keys=False, width=120)
        parts.append(f"{file}\n" + "".join(f"    {line}\n" for line in text.splitlines()))
    lines = [
        f"    {what:5}  {job['role']}" + (f"  for {', '.join(job['subjects'])}" if job["subjects"] else "")
        for what, job in pipeline.items()
    ]
    return "\n".join(["Write this into", "", *parts, "Roles of the pipeline's jobs", *lines])
