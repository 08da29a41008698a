"""What a preview would set, as one digest a resource: so that a plan is bound to values that it does not hold."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from cloudmodel.core.resource import ARCHIVE, ASSET
from cloudmodel.engine.secrets import dump
from cloudmodel.engine.step import Op, Step
from cloudmodel.engine.values import is_secret, rewritten, signature

SETS_NOTHING = frozenset({Op.SAME, Op.READ, Op.REFRESH, Op.DELETE, Op.DELETE_REPLACED, Op.DISCARD})
DEFAULTS = "__defaults"
SHORTEST = 8
"""Characters of the shortest automatic name that is looked for inside other values."""


def digests(steps: Iterable[Step]) -> dict[str, str]:
    """By URN, the hex sha256 of the inputs that the steps of a preview would set.

    Left out: secrets (a digest of a short one could be guessed), where a file lies (its content counts), and
    automatic names, which are drawn anew in each preview, wherever they stand. Unknown values count as unknown.
    """
    setting = [step for step in steps if step.op not in SETS_NOTHING and step.new is not None]
    automatic = sorted({name for step in setting for name in _automatic(step)}, key=len, reverse=True)
    texts: dict[str, list[str]] = defaultdict(list)
    for step in setting:
        text = dump(rewritten(_chosen(step), _open))
        for name in automatic:
            text = text.replace(name, "[automatic]")
        texts[step.urn].append(text)
    return {urn: hashlib.sha256("\n".join(found).encode()).hexdigest() for urn, found in sorted(texts.items())}


def _inputs(step: Step) -> dict[str, Any]:
    return dict(step.new.inputs) if step.new else {}


def _chosen(step: Step) -> dict[str, Any]:
    inputs = _inputs(step)
    left_out = {*inputs.get(DEFAULTS, ()), DEFAULTS}
    return {name: value for name, value in inputs.items() if name not in left_out}


def _automatic(step: Step) -> Iterable[str]:
    inputs = _inputs(step)
    for name in inputs.get(DEFAULTS, ()):
        value = inputs.get(name)
        if isinstance(value, str) and len(value) >= SHORTEST:
            yield value


def _open(node: Any) -> Any:
    if is_secret(node):
        return "[secret]"
    if signature(node) in (ASSET, ARCHIVE):
        return {"hash": node.get("hash")}
    return node
