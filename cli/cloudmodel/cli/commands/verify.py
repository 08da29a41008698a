"""`cloudmodel verify`: does a bundle still hold?"""

from __future__ import annotations

from pathlib import Path

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("verify", exits=(14,))
@click.argument("bundle", metavar="[BUNDLE]", required=False)
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="The public key it must be signed by.")
def command(context: Context, bundle: str | None, key: Path | None) -> None:
    """Hold every file of a bundle against its manifest, the archive against its digest where one was given, and all of
    it against its signature where a key was given."""
    from cloudmodel.bundle import signing
    from cloudmodel.bundle.archive import verify
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say
    from cloudmodel.cli.progress import reporting
    from cloudmodel.core.naming import DIGEST

    digest = bundle if bundle is not None and DIGEST.fullmatch(bundle) else None
    pem = signing.read_key(key) if key else None
    path, signature = bundles.find_signed(context, bundle)
    with reporting(debug=context.debug) as report:
        if pem is not None:
            manifest = signing.verified(path, signature, pem, digest=digest, report=report)
        else:
            manifest = verify(path, digest=digest, report=report)
    signed = {"present": signature is not None, "verified": pem is not None}
    if context.json:
        emit("verify", {**bundles.as_json(path, manifest), "holds": True, "signed": signed})
        return
    say(f"{path} holds: {len(manifest.files)} files are what the manifest says")
    if pem is not None:
        say(f"signed by {key}")
    elif signature is not None:
        say("it is signed; whose signature it is, verify --key FILE tells")
