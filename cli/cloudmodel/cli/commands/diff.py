"""`cloudmodel diff`: what changed between two bundles, for a reviewer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context


@options.verb("diff", exits=(14,))
@click.argument("before", metavar="BUNDLE")
@click.argument("after", metavar="BUNDLE")
def command(context: Context, before: str, after: str) -> None:
    """Say what changed from the first bundle to the second (paths or digests): signature, files, versions, proofs."""
    from cloudmodel.bundle.archive import read_folder, read_manifest
    from cloudmodel.bundle.diff import diff
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say

    paths = [bundles.find(context, each) for each in (before, after)]
    old, new = (read_folder(path) if path.is_dir() else read_manifest(path) for path in paths)
    document = {**{key: _named(path) for key, path in zip(("before", "after"), paths, strict=True)}, **diff(old, new)}
    if context.json:
        emit("diff", document)
    else:
        say(_text(document))


def _named(path: Path) -> dict[str, Any]:
    from cloudmodel.cli import bundles

    return {"digest": bundles.digest_of(path), "size_bytes": bundles.size_of(path)}


def _text(document: dict[str, Any]) -> str:
    """A document of `diff` for a reader."""
    from cloudmodel.cli import bundles

    old, new = document["before"], document["after"]
    facts = [
        ("digest", f"{old['digest'] or 'none (unpacked)'} -> {new['digest'] or 'none (unpacked)'}"),
        ("size", f"{old['size_bytes']:,} -> {new['size_bytes']:,} bytes"),
        ("callers", "BREAKING" if document["breaking"] else "compatible"),
    ]
    for each in document["signature"]:
        mark = "breaking" if each["breaking"] else "compatible"
        what = f"{each['side']} {each['name']}".strip()
        facts.append(("", f"{what} {each['change']}: {each['before']} -> {each['after']} ({mark})"))
    for key, value in document["facts"].items():
        facts.append((key, f"{json.dumps(value['before'])} -> {json.dumps(value['after'])}"))
    for key in ("files", "versions"):
        changes = [f"{kind} {', '.join(names)}" for kind, names in document[key].items() if names]
        facts.append((key, "; ".join(changes) or "the same"))
    for key, value in document["optimization"].items():
        if value is not None:
            facts.append((f"proven {key}", json.dumps(value, sort_keys=True)))
    return bundles.facts_table(facts)
