"""`cloudmodel serve`: the container contract on this machine."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("serve", exits=(14,))
@click.argument("bundle", metavar="[BUNDLE]", required=False)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
def command(context: Context, bundle: str | None, port: int, host: str) -> None:
    """Serve a bundle as SageMaker's container would (GET /ping, POST /invocations), until Ctrl-C."""
    from cloudmodel.bundle.archive import extract, verify
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, note
    from cloudmodel.serving.server import serve

    path = bundles.find(context, bundle)
    with tempfile.TemporaryDirectory(prefix="cloudmodel-") as scratch:
        folder = path
        if path.is_dir():
            verify(path)
        else:
            folder = Path(scratch) / "model"
            extract(path, folder)
        note(f"serving {path} on http://{host}:{port} (Ctrl-C ends it)")
        gc.enable()
        serve(folder, host, port)
    if context.json:
        emit("serve", {"bundle": str(path), "host": host, "port": port})
