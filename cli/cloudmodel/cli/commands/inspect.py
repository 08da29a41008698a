"""`cloudmodel inspect`: what is in a bundle or a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("inspect", exits=(14,))
@click.argument("path", metavar="[PATH|DIGEST]", required=False)
def command(context: Context, path: str | None) -> None:
    """Show what is in a bundle (an archive, its folder, a digest) or a model file [default: the newest bundle]."""
    from cloudmodel.bundle.inspect import inspect
    from cloudmodel.bundle.manifest import Manifest
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say

    found = bundles.find(context, path)
    document = inspect(found)
    if document["kind"] == "model":
        if context.json:
            emit("inspect", document)
        else:
            say(model_summary(found, document))
        return
    manifest = Manifest.model_validate(document["manifest"])
    if context.json:
        emit("inspect", {**bundles.as_json(found, manifest), **document})
    else:
        say(bundles.summary(found, manifest) + "\n\n" + bundles.contents(manifest))


def model_summary(path: Path, document: dict[str, Any]) -> str:
    """A model file for a reader."""
    from cloudmodel.cli import bundles

    scan = document["scan"]
    facts = [
        ("model", str(path)),
        ("digest", f"sha256:{document['sha256']}"),
        ("size", f"{document['size_bytes']:,} bytes"),
        ("format", document["format"]),
        ("scan", scan["verdict"]),
        *(("", f"{each['rule']} at {each['location']}: {each['detail']}") for each in scan["findings"]),
    ]
    if "unsupported" in document:
        facts.append(("served", f"not: {document['unsupported']}"))
    if "signature" in document:
        signature = document["signature"]
        facts += [("input", bundles.tensor(each)) for each in signature["inputs"]]
        facts += [("output", bundles.tensor(each)) for each in signature["outputs"]]
        opsets = ", ".join(f"{domain or 'ai.onnx'} {number}" for domain, number in document["opsets"].items())
        facts += [("opsets", opsets), ("nodes", f"{document['nodes']}"), ("weights", _weights(document["weights"]))]
    return bundles.facts_table(facts)


def _weights(value: dict[str, Any]) -> str:
    beside = f", in {', '.join(value['files'])}" if value["files"] else ""
    return f"{value['tensors']} tensors, {value['bytes']:,} bytes{beside}"
