"""`cloudmodel invoke`: one prediction from the stack's endpoint."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context, address

JSON = "application/json"
FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@options.verb("invoke", exits=(3, 6, 9))
@options.on_a_stack
@click.option("-i", "--input", "source", type=FILE, required=True, metavar="FILE|-", help="The request's body.")
@click.option("--content-type", metavar="TYPE", help="[default: by the file's suffix; JSON from a pipe]")
@click.option("--accept", default=JSON, show_default=True, metavar="TYPE", help="The answer's content type.")
def command(
    context: Context, stack: str | None, engine: str | None, source: Path, content_type: str | None, accept: str
) -> None:
    """Send one request to the stack's endpoint and print the answer's body.

    On a stack whose mode is async the input goes to S3, and the command waits for the output there.
    """
    from cloudmodel.cli.output import emit
    from cloudmodel.core.errors import InvocationFailed
    from cloudmodel.operate.asynchronous import invoke_async
    from cloudmodel.operate.invoke import content_type_of, invoke

    piped = str(source) == "-"
    kind = content_type or (JSON if piped else content_type_of(source))
    body = sys.stdin.buffer.read() if piped else source.read_bytes()
    opened = context.open(stack, engine=engine, anywhere=True)
    outputs = opened.engine.outputs()
    endpoint, inputs = outputs.get("endpoint_name"), outputs.get("input_uri")
    if not isinstance(endpoint, str):
        raise InvocationFailed(
            "the stack has no endpoint", where=f"stack {opened.name}", hint=f"cloudmodel up --stack {opened.name}"
        )
    if isinstance(inputs, str):
        answer = invoke_async(address(opened), endpoint, inputs, body, content_type=kind, accept=accept)
    else:
        answer = invoke(address(opened), endpoint, body, content_type=kind, accept=accept)
    if context.json:
        emit("invoke", answer.as_json())
        return
    sys.stdout.buffer.write(answer.body)
    if answer.content_type.startswith((JSON, "text/")) and not answer.body.endswith(b"\n"):
        click.echo()
