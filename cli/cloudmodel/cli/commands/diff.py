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
    from cloudmodel.bundle.precision import shares
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say

    found = [bundles.find_signed(context, each) for each in (before, after)]
    old, new = (read_folder(path) if path.is_dir() else read_manifest(path) for path, _ in found)
    weights = [shares(path, manifest) for (path, _), manifest in zip(found, (old, new), strict=True)]
    document = {
        **{key: _named(*each) for key, each in zip(("before", "after"), found, strict=True)},
        **diff(old, new),
        "precision": dict(zip(("before", "after"), weights, strict=True)),
    }
    if context.json:
        emit("diff", document)
    else:
        say(_text(document))


def _named(path: Path, signature: bytes | None) -> dict[str, Any]:
    """`signed` says that there is a signature; whose, `verify --key` tells."""
    from cloudmodel.cli import bundles

    return {
        "digest": bundles.digest_of(path),
        "size_bytes": bundles.size_of(path),
        "signed": signature is not None,
    }


def _text(document: dict[str, Any]) -> str:
    """A document of `diff` for a reader."""
    from cloudmodel.cli import bundles

    old, new = document["before"], document["after"]
    facts = [
        ("digest", f"{old['digest'] or 'none (unpacked)'} -> {new['digest'] or 'none (unpacked)'}"),
        ("size", f"{old['size_bytes']:,} -> {new['size_bytes']:,} bytes"),
        ("callers", "BREAKING" if document["breaking"] else "compatible"),
    ]
    if old["signed"] != new["signed"]:
        facts.append(("signed", f"{'yes' if old['signed'] else 'no'} -> {'yes' if new['signed'] else 'no'}"))
    for each in document["signature"]:
        mark = "breaking" if each["breaking"] else "compatible"
        what = f"{each['side']} {each['name']}".strip()
        facts.append(("", f"{what} {each['change']}: {each['before']} -> {each['after']} ({mark})"))
    facts.append(("precision", " -> ".join(_shares(document["precision"][key]) for key in ("before", "after"))))
    for key, value in document["facts"].items():
        facts.append((key, " -> ".join(_word(value[side]) for side in ("before", "after"))))
    for key in ("files", "versions"):
        changes = [f"{kind} {', '.join(names)}" for kind, names in document[key].items() if names]
        facts.append((key, "; ".join(changes) or "the same"))
    for key, value in document["optimization"].items():
        if value is not None:
            facts.append((f"proven {key}", _proof(value)))
    return bundles.facts_table(facts)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _proof(found: dict[str, Any]) -> str:
    """`accuracy 0.9925, change -0.0013 [-0.0037, +0.0012] on 798 rows, fidelity 0.9984, 1.55 [1.52, 1.58] times as
    fast`"""
    rows = f" on {found['rows']:,} rows" if found["rows"] else ""
    fidelity = "" if found["fidelity"] is None else f", fidelity {found['fidelity']:.4f}"
    return (
        f"{found['metric']} {found['value']:.4f}, change {_interval(found['delta'], '+.4f')}{rows}{fidelity},"
        f" {_interval(found['latency_ratio'], '.2f')} times as fast"
    )


def _interval(found: dict[str, float], form: str) -> str:
    return f"{found['mid']:{form}} [{found['low']:{form}}, {found['high']:{form}}]"


def _shares(found: dict[str, float] | None) -> str:
    """`int8 95.0 %, float32 5.0 %`"""
    ordered = sorted((found or {}).items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in ordered) or "unknown"
