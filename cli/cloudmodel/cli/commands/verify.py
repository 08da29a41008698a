"""`cloudmodel verify`: does a bundle still hold?"""

from __future__ import annotations

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("verify", exits=(14,))
@click.argument("bundle", metavar="[BUNDLE]", required=False)
def command(context: Context, bundle: str | None) -> None:
    """Hold every file of a bundle against its manifest, and the archive against its digest where one was given."""
    from cloudmodel.bundle.archive import verify
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say
    from cloudmodel.cli.progress import reporting
    from cloudmodel.core.naming import DIGEST

    path = bundles.find(context, bundle)
    digest = bundle if bundle is not None and DIGEST.fullmatch(bundle) else None
    with reporting(debug=context.debug) as report:
        manifest = verify(path, digest=digest, report=report)
    if context.json:
        emit("verify", {**bundles.as_json(path, manifest), "holds": True})
    else:
        say(f"{path} holds: {len(manifest.files)} files are what the manifest says")
