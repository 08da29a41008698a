"""`cloudmodel inspect`: what is in a bundle."""

from __future__ import annotations

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("inspect", exits=(14,))
@click.argument("bundle", metavar="[PATH|DIGEST]", required=False)
def command(context: Context, bundle: str | None) -> None:
    """Show what is in a bundle: an archive, its folder, or a digest [default: the project's newest]."""
    from cloudmodel.bundle.archive import read_folder, read_manifest
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say

    path = bundles.find(context, bundle)
    manifest = read_folder(path) if path.is_dir() else read_manifest(path)
    if context.json:
        emit("inspect", {**bundles.as_json(path, manifest), "manifest": manifest.model_dump(mode="json")})
    else:
        say(bundles.summary(path, manifest) + "\n\n" + bundles.contents(manifest))
