"""The manifest of a bundle: what is in it, where it came from, what was proven of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cloudmodel.formats.model import Finding, Frozen, Scan, Signature, Tensor

__all__ = [
    "MANIFEST_NAME",
    "OPTIMIZATION",
    "TRUSTED",
    "FileEntry",
    "Finding",
    "Frozen",
    "Golden",
    "Manifest",
    "Parity",
    "Provenance",
    "Scan",
    "Signature",
    "Tensor",
]

MANIFEST_NAME = "manifest.json"
OPTIMIZATION = "optimization"
"""Where a manifest's metadata hold what `optimize` proved."""
TRUSTED = "trusted"
"""Where they hold the digests of files that the user took on (`package --trust`); the verdict stays what it is."""


class Parity(Frozen):
    """Same inputs, original against bundle: worst errors over all outputs and batch sizes, `agreement` of the top
    answers. With no samples the bundle's files are the model's own, and its code has answered a request."""

    samples: int
    max_abs_error: float
    max_rel_error: float
    agreement: float
    passed: bool


class Golden(Frozen):
    """A request that the bundle holds and the answer that the original gives to it, as files of the bundle; another
    answer passes where |difference| <= absolute + relative * |original|."""

    request: str
    answer: str
    content_type: str
    absolute: float
    relative: float


class FileEntry(Frozen):
    """A file of the bundle; `size` in bytes."""

    path: str
    sha256: str
    size: int


class Provenance(Frozen):
    """Where the bundle came from. Holds nothing that differs between two builds of the same input (no time, no
    commit)."""

    source: str
    source_sha256: str


class Manifest(Frozen):
    """Everything a reader of a bundle may rely on; it lists every other file of the archive and not itself."""

    schema_version: Literal["cloudmodel.manifest/1"] = "cloudmodel.manifest/1"
    name: str
    task: str | None = None
    format: str
    layout: str
    signature: Signature
    labels: str | None = None
    scan: Scan
    parity: Parity
    golden: Golden | None = None
    files: tuple[FileEntry, ...]
    provenance: Provenance
    versions: dict[str, str]
    metadata: dict[str, Any] = Field(default_factory=dict)
