"""The `--json` documents that a comment is made of, as far as it tells of them.

They come from jobs that ran a stranger's code: each is checked when it is read, and what it holds is text to be shown,
never to be believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cloudmodel.operate.pipeline.canaries import masked

LARGEST = 64 << 20
Kind = TypeVar("Kind")


class Part(BaseModel):
    """Frozen; more keys than these may stand there."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Interval(Part):
    low: float
    mid: float
    high: float


class Change(Part):
    """One property of a step; both values are as `--json` shows them, secrets as `[secret]`."""

    kind: str
    old: Any = None
    new: Any = None


class Step(Part):
    op: str
    type: str
    name: str
    changes: dict[str, Change] = {}
    replaceReasons: tuple[str, ...] = ()  # noqa: N815  (the contract's key)


class Plan(Part):
    """`preview`, `up`, `refresh`, `destroy`."""

    stack: str
    target: str
    engine: str
    region: str
    account: str | None = None
    steps: tuple[Step, ...]
    summary: dict[str, int]
    outputs: dict[str, Any] = {}
    warnings: tuple[str, ...] = ()


class Side(Part):
    digest: str | None
    size_bytes: int
    signed: bool = False


class SignatureChange(Part):
    side: str
    name: str
    change: str
    before: Any
    after: Any
    breaking: bool


class Pair(Part):
    before: Any
    after: Any


class Names(Part):
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


class Proof(Part):
    """What `optimize` proved of a bundle against its own original, on how many rows and at what confidence."""

    metric: str
    value: float
    delta: Interval
    fidelity: float | None
    rows: int | None = None
    confidence: float | None = None
    latency_ratio: Interval


class Proofs(Part):
    before: Proof | None
    after: Proof | None


class Shares(Part):
    """Of each bundle the share of its weights' bytes by dtype; None where it is not known."""

    before: dict[str, float] | None
    after: dict[str, float] | None


class Difference(Part):
    """`diff BUNDLE BUNDLE`."""

    before: Side
    after: Side
    breaking: bool
    signature: tuple[SignatureChange, ...]
    facts: dict[str, Pair]
    files: Names
    versions: Names
    optimization: Proofs
    precision: Shares | None = None


class Trial(Part):
    """`data` names the set that its numbers are of."""

    id: str
    title: str
    data: str | None = None
    metric_delta: Interval | None
    fidelity: float | None
    size_bytes: int | None
    latency_ratio: Interval | None


class Baseline(Part):
    size_bytes: int


class Demand(Part):
    confidence: float


class Search(Part):
    """`optimize`. `sets` has the rows of each set of data."""

    metric: str
    demand: Demand | None = None
    sets: dict[str, Any] = {}
    baseline: Baseline
    trials: tuple[Trial, ...]
    chosen: str | None
    reason: str
    bundle: str | None


class Packaged(Part):
    """`package`. `bundle` is the path of an archive, or of a large bundle's folder."""

    bundle: str
    digest: str
    size_bytes: int


class Drifted(Part):
    """`drift`."""

    verdict: str
    infrastructure: tuple[dict[str, Any], ...]
    serving: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...] = ()


class Failed(Part):
    """What a verb answers instead when it fails."""

    code: int
    error: str
    message: str
    where: str | None = None
    hint: str | None = None


Document = Plan | Difference | Search | Packaged | Drifted | Failed
KINDS: dict[str, type[Document]] = {
    **{f"cloudmodel.{verb}/1": Plan for verb in ("preview", "up", "refresh", "destroy")},
    "cloudmodel.diff/1": Difference,
    "cloudmodel.optimize/1": Search,
    "cloudmodel.package/1": Packaged,
    "cloudmodel.drift/1": Drifted,
    "cloudmodel.error/1": Failed,
}


@dataclass(frozen=True)
class Said:
    """What one file holds: `name` says which command wrote it; None for what is no document that a comment tells of."""

    name: str
    document: Document | None


def of(said: Iterable[Said], kind: type[Kind]) -> Iterator[Kind]:
    """The documents of one kind."""
    return (each.document for each in said if isinstance(each.document, kind))


def read(paths: Sequence[Path]) -> list[Said]:
    """What files hold, with secrets masked in all of them."""
    plains = [_plain(path) for path in paths]
    return [Said(path.stem, _document(plain)) for path, plain in zip(paths, masked(plains), strict=True)]


def _plain(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes()) if path.stat().st_size <= LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None


def _document(plain: Any) -> Document | None:
    try:
        return KINDS[plain["schema"]].model_validate(plain)
    except (KeyError, TypeError, ValidationError):
        return None
