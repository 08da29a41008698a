"""Which bundle a verb is about: a path, a digest of the project's store, or the project's newest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudmodel.cli.context import Context
from cloudmodel.cli.output import table
from cloudmodel.core.errors import UsageError
from cloudmodel.core.files import PRIVATE
from cloudmodel.core.naming import DIGEST

if TYPE_CHECKING:
    from cloudmodel.bundle.manifest import Manifest
    from cloudmodel.bundle.store import BundleStore
    from cloudmodel.settings.model import Project

LOCAL = f"{PRIVATE}/bundles"


def store(project: Project, *, shared: bool = False) -> BundleStore:
    """The project's bundles on this machine, or with `shared` those of `bundles:` in cloudmodel.yaml."""
    from cloudmodel.bundle.store import open_store

    return open_store(project.bundles if shared else LOCAL, base=project.folder)


def find(context: Context, reference: str | None) -> Path:
    """The path of an archive or of an unpacked bundle. Raises UsageError where there is none."""
    if reference is not None and not DIGEST.fullmatch(reference):
        return _existing(reference)
    place, digest = _kept(context, reference)
    return place.get(digest)


def find_signed(context: Context, reference: str | None) -> tuple[Path, bytes | None]:
    """As `find`, with its signature: the file beside it, or the store's; None where it has none."""
    from cloudmodel.bundle.store import read_signature

    if reference is not None and not DIGEST.fullmatch(reference):
        return _existing(reference), read_signature(Path(reference))
    place, digest = _kept(context, reference)
    return place.get(digest), place.signature(digest)


def _existing(reference: str) -> Path:
    path = Path(reference)
    if not path.exists():
        raise UsageError("no such bundle", where=reference, hint="cloudmodel package")
    return path


def _kept(context: Context, reference: str | None) -> tuple[BundleStore, str]:
    """The first of the project's stores that has the bundle, and its digest."""
    project = context.project()
    places = [store(project)] if project.bundles == LOCAL else [store(project), store(project, shared=True)]
    for place in places:
        digest = reference or place.newest(project.name)
        if digest is not None and place.has(digest):
            return place, digest
    what = f"bundle {reference}" if reference else "bundle yet"
    raise UsageError(f"the project has no {what}", where=str(project.folder), hint="cloudmodel package")


def digest_of(path: Path) -> str | None:
    """The digest that names an archive, or a large bundle's folder in a store; None for an unpacked bundle."""
    from cloudmodel.core.files import sha256

    if path.is_dir():
        kept = path.parent.name == "sha256" and DIGEST.fullmatch(f"sha256:{path.name}")
        return f"sha256:{path.name}" if kept else None
    return f"sha256:{sha256(path)}"


def size_of(path: Path) -> int:
    """Bytes of an archive, or of all files of an unpacked bundle."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def as_json(path: Path, manifest: Manifest) -> dict[str, Any]:
    """A bundle in the contract's words."""
    return {
        "bundle": str(path),
        "digest": digest_of(path),
        "size_bytes": size_of(path),
        **manifest.model_dump(mode="json", include={"name", "format", "layout", "signature", "scan", "parity"}),
    }


def summary(path: Path, manifest: Manifest) -> str:
    """A bundle for a reader."""
    facts = [
        ("bundle", str(path)),
        ("digest", digest_of(path) or "none (unpacked)"),
        ("size", f"{size_of(path):,} bytes"),
        ("model", f"{manifest.name}, {manifest.format}" + (f", {manifest.task}" if manifest.task else "")),
        ("layout", manifest.layout),
        *(("input", tensor(each.model_dump())) for each in manifest.signature.inputs),
        *(("output", tensor(each.model_dump())) for each in manifest.signature.outputs),
        ("scan", manifest.scan.verdict),
        *_parity(manifest),
    ]
    return facts_table(facts)


def _parity(manifest: Manifest) -> list[tuple[str, str]]:
    parity = manifest.parity
    if not parity.samples:
        return [("parity", "its weights are the model's own files, and its code answered a request")]
    said = f"{'passed' if parity.passed else 'FAILED'} on {parity.samples} samples, agreement {parity.agreement:.4g}"
    worst = f"worst error {parity.max_abs_error:.3g}, relative {parity.max_rel_error:.3g}"
    return [("parity", said), ("", worst)]


def facts_table(facts: Sequence[tuple[str, str]]) -> str:
    """Labels and what they label, one a line."""
    width = max(len(label) for label, _ in facts)
    return "\n".join(f"{label.ljust(width)}  {text}" for label, text in facts)


def contents(manifest: Manifest) -> str:
    """The files of a bundle, largest first."""
    entries = sorted(manifest.files, key=lambda entry: (-entry.size, entry.path))
    return table(("FILE", "BYTES", "SHA256"), [(entry.path, f"{entry.size:,}", entry.sha256[:12]) for entry in entries])


def tensor(value: Mapping[str, Any]) -> str:
    """`input float32 [batch, 1, 8, 8]`"""
    return f"{value['name']} {value['dtype']} [{', '.join(map(str, value['shape']))}]"
