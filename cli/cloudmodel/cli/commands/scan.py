"""`cloudmodel scan`: the verdict on model files before anything loads them."""

from __future__ import annotations

from pathlib import Path

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context
from cloudmodel.cli.exit_codes import UNSAFE

COLOURS = {"clean": "green", "unsafe": "red", "unknown": "yellow"}


@options.verb("scan", exits=(UNSAFE,))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def command(context: Context, paths: tuple[Path, ...]) -> None:
    """Look at model files, and every file of a folder, without loading them. Ends with 0 only where all are clean."""
    from cloudmodel.cli.output import emit, say
    from cloudmodel.formats.scan import scan_paths, trust_hint

    found = scan_paths(paths)
    if context.json:
        emit("scan", found.model_dump(mode="json"))
    else:
        for file in found.files:
            say(f"{file.verdict:<8} {file.path} ({file.format})", fg=COLOURS[file.verdict])
            for finding in file.findings:
                say(f"         {finding.rule} at {finding.location}: {finding.detail}")
            if hint := trust_hint(file):
                say(f"         {hint}")
        if not found.files:
            say("no file to scan")
    if found.verdict != "clean":
        click.get_current_context().exit(UNSAFE)
