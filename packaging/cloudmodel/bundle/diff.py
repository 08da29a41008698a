"""What a reviewer must know of two bundles: what callers notice, what was proven, which files and versions changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloudmodel.bundle.manifest import OPTIMIZATION, Manifest, Signature, Tensor

Side = Literal["input", "output"]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Interval(_Checked):
    low: Number
    mid: Number
    high: Number


class _Proof(_Checked):
    """What `optimize` proved of a bundle against its own original."""

    metric: Annotated[str, Field(max_length=200)]
    value: Number
    delta: _Interval
    fidelity: Number | None = None
    rows: Annotated[int, Field(gt=0)] | None = None
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    latency_ratio: _Interval


def diff(before: Manifest, after: Manifest) -> dict[str, Any]:
    """The differences as JSON; equal manifests have empty lists and equal pairs.

    `signature`: `[{side, name, change, before, after, breaking}]`, `change` one of `added`, `removed`, `dtype`,
    `shape`, `order`. `files` and `versions`: `{added, removed, changed}` with names. `facts`: `{key: {before, after}}`
    of what differs among name, task, format, layout, labels, scan, source. `optimization`: `{before, after}`, each
    `{metric, value, delta, fidelity, rows, confidence, latency_ratio}` as `optimize` proved it against its own original
    on so many rows, or null.
    """
    return {
        "signature": [*_tensors("input", before.signature, after.signature),
                      *_tensors("output", before.signature, after.signature)],
        "breaking": any(each["breaking"] for side in ("input", "output")
                        for each in _tensors(side, before.signature, after.signature)),
        "facts": _facts(before, after),
        "files": _names({each.path: each.sha256 for each in before.files},
                        {each.path: each.sha256 for each in after.files}),
        "versions": _names(before.versions, after.versions),
        "optimization": {"before": _proven(before), "after": _proven(after)},
    }  # fmt: skip


def _tensors(side: Side, before: Signature, after: Signature) -> Iterator[dict[str, Any]]:
    """A new output hurts nobody; every other change of names, types or fixed sizes does. Where the first output or
    the order of inputs changes, callers that name nothing get something else."""
    old, new = _side(side, before), _side(side, after)
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            change = "added" if was is None else "removed"
            breaking = change == "removed" or side == "input"
            yield _change(side, name, change, was and _text(was), now and _text(now), breaking=breaking)
            continue
        if was.dtype != now.dtype:
            yield _change(side, name, "dtype", was.dtype, now.dtype, breaking=True)
        if was.shape != now.shape:
            breaking = not _takes(was, now) if side == "input" else not _takes(now, was)
            yield _change(side, name, "shape", list(was.shape), list(now.shape), breaking=breaking)
    kept = [name for name in old if name in new]
    moved = [name for name in new if name in old]
    if kept != moved or (side == "output" and list(old)[:1] != list(new)[:1] and kept[:1] == list(old)[:1]):
        yield _change(side, "", "order", list(old), list(new), breaking=True)


def _takes(was: Tensor, now: Tensor) -> bool:
    """Whether every shape of `was` is one of `now`: a size may become a symbol; a symbol's name says nothing."""
    return len(was.shape) == len(now.shape) and all(
        isinstance(new, str) or old == new for old, new in zip(was.shape, now.shape, strict=True)
    )


def _side(side: Side, signature: Signature) -> dict[str, Tensor]:
    return {each.name: each for each in (signature.inputs if side == "input" else signature.outputs)}


def _change(side: Side, name: str, change: str, before: Any, after: Any, *, breaking: bool) -> dict[str, Any]:
    return {"side": side, "name": name, "change": change, "before": before, "after": after, "breaking": breaking}


def _text(tensor: Tensor) -> str:
    return f"{tensor.dtype} [{', '.join(map(str, tensor.shape))}]"


def _facts(before: Manifest, after: Manifest) -> dict[str, Any]:
    keys = {"name", "task", "format", "layout", "labels", "scan"}
    old, new = before.model_dump(mode="json", include=keys), after.model_dump(mode="json", include=keys)
    old["source"], new["source"] = before.provenance.source_sha256, after.provenance.source_sha256
    return {key: {"before": old[key], "after": new[key]} for key in sorted(old) if old[key] != new[key]}


def _names(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
    }


def _proven(manifest: Manifest) -> dict[str, Any] | None:
    """The manifest of a stranger may hold anything there: what has not the form of a proof counts as not proven."""
    found = manifest.metadata.get(OPTIMIZATION)
    gate, latency = (found.get("gate"), found.get("latency")) if isinstance(found, dict) else (None, None)
    try:
        return _Proof.model_validate({**gate, "latency_ratio": latency["ratio"]}).model_dump()  # type: ignore[dict-item,index]
    except (ValidationError, KeyError, TypeError):
        return None
