"""`cloudmodel package`: the project's model becomes a bundle."""

from __future__ import annotations

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("package", exits=(3, 14, 15))
@click.option("--push", is_flag=True, help="Also put it where `bundles` in cloudmodel.yaml says.")
def command(context: Context, push: bool) -> None:
    """Scan, load and export the model, prove parity, and keep the bundle by its digest."""
    from cloudmodel.bundle.archive import read_manifest
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say
    from cloudmodel.cli.progress import reporting
    from cloudmodel.serving.package import package

    project = context.project()
    store = bundles.store(project)
    with reporting(debug=context.debug) as report:
        packaged = package(project, store, report)
    path = store.get(packaged.digest)
    if push:
        bundles.store(project, shared=True).put(path)
    manifest = read_manifest(path)
    if context.json:
        emit("package", {**bundles.as_json(path, manifest), "pushed": project.bundles if push else None})
        return
    say(bundles.summary(path, manifest))
    if push:
        say(f"pushed to {project.bundles}")
