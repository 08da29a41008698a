"""What leaves the program: results on stdout, errors on stderr, one JSON document where `--json` was given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from cloudmodel.core.errors import CloudmodelError
from cloudmodel.core.runbooks import runbook


def printable(text: str) -> str:
    """`text` with control and direction characters spelled out, so that no name can steer a terminal."""
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else sign.encode("unicode_escape").decode() for sign in text
    )


def say(text: str = "", **style: Any) -> None:
    """A line of a result, on stdout."""
    click.secho(printable(text), **style)


def note(text: str, **style: Any) -> None:
    """A line about the work, on stderr; lost when nobody reads it, for the work goes on."""
    with suppress(OSError, ValueError):
        click.secho(printable(text), err=True, **style)


def encode(document: Mapping[str, Any]) -> str:
    """JSON with sorted keys: the same content gives the same bytes. Raises ValueError for NaN, which is no JSON."""
    return json.dumps(document, sort_keys=True, indent=2, allow_nan=False)


def emit(verb: str, content: Mapping[str, Any]) -> None:
    """The one document of a `--json` run, on stdout."""
    click.echo(encode({"schema": f"cloudmodel.{verb}/1", **content}))


def show_error(error: CloudmodelError, *, as_json: bool) -> None:
    """One block on stderr: what happened, where, the next command, the page; with `as_json` the document on stdout."""
    page = runbook(error.runbook) if error.runbook else None
    block = [click.style("error: ", fg="red", bold=True) + printable(error.message).rstrip().replace("\n", "\n       ")]
    block += [
        f"  {label + ':':<7}" + printable(text).replace("\n", "\n         ")
        for label, text in (("where", error.where), ("next", error.hint), ("read", page))
        if text
    ]
    with suppress(OSError, ValueError):
        click.echo("\n".join(block), err=True)
    if as_json:
        click.echo(encode(error.as_json()))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns, two blanks apart, without trailing blanks."""
    cells = [tuple(header), *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
