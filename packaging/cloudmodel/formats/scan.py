"""The verdict on a model file before anything loads it. What cannot be read or is not known here is never clean."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudmodel.core import files
from cloudmodel.core.errors import ModelUnreadable, UnsafeModel, Unsupported
from cloudmodel.formats import detect, onnx
from cloudmodel.formats.model import Finding, Frozen, Scan, Verdict
from cloudmodel.formats.scanning import opinions, savedmodel, walk

ONNX = ("onnx",)
UNREADABLE = "unreadable"
RULES: Mapping[str, Verdict] = {
    UNREADABLE: "unknown",
    "not-scanned": "unknown",
    "custom-operator": "unknown",
    "too-complex": "unknown",
    "external-missing": "unknown",
    "external-range": "unsafe",
    "external-path": "unsafe",
    "external-link": "unsafe",
    "external-key": "unsafe",
    "encrypted": "unknown",
    "pickle-broken": "unknown",
    "trailing-data": "unknown",
    "unlisted-import": "unknown",
    "python-code": "unknown",
    "dangerous-import": "unsafe",
    "pickle-name": "unsafe",
    "pickle-call": "unsafe",
    "archive": "unsafe",
    "keras-code": "unsafe",
    "file-operator": "unsafe",
    "size-mismatch": "unsafe",
    "repeated-field": "unsafe",
    "python-operator": "unsafe",
    "second-opinion": "unsafe",
    "second-opinion-failed": "unknown",
}
"""What each rule's finding makes of the verdict; the worst one counts."""
TRUSTABLE = frozenset(
    {"unlisted-import", "dangerous-import", "pickle-call", "python-code", "keras-code", "second-opinion"}
)
"""What a user may take on: code that the file names. What is broken or hides something stays refused."""
HINTS: Mapping[str, str] = {
    "external-missing": "put the weights file beside the model, under the name that it was exported with",
    "external-link": 'put the weights file itself beside the model: cp --remove-destination "$(realpath FILE)" FILE',
    "custom-operator": "export the model with the operators of onnx and onnxruntime only",
}
WORST: tuple[Verdict, ...] = ("clean", "unknown", "unsafe")


class ScannedFile(Frozen):
    """One file's verdict, in the words of the contract."""

    path: str
    format: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()

    @property
    def scan(self) -> Scan:
        """The part that a manifest keeps."""
        return Scan(verdict=self.verdict, findings=self.findings)


class ScanReport(Frozen):
    """Every file's verdict, and the worst of them."""

    files: tuple[ScannedFile, ...]
    verdict: Verdict


def scan_paths(paths: Iterable[Path]) -> ScanReport:
    """Scan files, and all files inside folders. Raises UsageError where there is no such path,
    ModelUnreadable for a folder that cannot be looked into, OSError.

    Weights files that a clean model beside them names were checked with it, and are listed as `onnx-weights`; so are
    the variables of a clean SavedModel, unless something was found in them, as `savedmodel-weights`.
    """
    paths = list(paths)
    every = [inner for path in paths for inner in (inside(path) if path.is_dir() else [path])]
    named = set(paths)
    scanned = [scan(path, companion=path not in named) for path in every]
    covered = {path: kind for each in scanned if each.verdict == "clean" for path, kind in _companions(each).items()}
    files = tuple(
        ScannedFile(path=each.path, format=covered[Path(each.path)], verdict="clean")
        if Path(each.path) in covered and each.verdict != "unsafe"
        else each
        for each in scanned
    )
    return ScanReport(files=files, verdict=worst(files))


def _companions(each: ScannedFile) -> dict[Path, str]:
    """The files beside a clean model that hold its numbers and nothing else, with what they are called here."""
    path = Path(each.path)
    if each.format == onnx.FORMAT:
        return {path.parent / name: "onnx-weights" for name in onnx.external_files(onnx.read_header(path))}
    if each.format == "savedmodel" and path.name == "saved_model.pb":
        return dict.fromkeys(savedmodel.variables(path.parent), "savedmodel-variables")
    return {}


def worst(scans: Iterable[ScannedFile]) -> Verdict:
    """The verdict on all of them together; `unknown` on none."""
    return max((each.verdict for each in scans), key=WORST.index, default="unknown")


def inside(folder: Path) -> list[Path]:
    """All that is in a folder but folders, links among it, in order. Raises ModelUnreadable for a folder in it that
    cannot be looked into."""

    def refuse(error: OSError) -> None:
        raise ModelUnreadable(
            f"The folder cannot be read: {error.strerror}", where=str(error.filename), hint="mend its permissions"
        )

    found = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found += [Path(place) / name for name in (*names, *links)]
    return sorted(found)


def scan(path: Path, *, companion: bool = False) -> ScannedFile:
    """Scan one file. Raises UsageError where there is no such file, OSError; everything else is in the verdict.

    A text is no model, but an honest `companion` of one: its labels, its configuration.
    """
    try:
        kind = detect.detect(path)
    except ModelUnreadable as error:
        return _judged(path, "unknown", [Finding(rule=UNREADABLE, location="file", detail=error.message)])
    if kind in walk.READERS:
        found, looked = walk.look(path)
        findings = looked.findings
        if _verdict(findings) != "unsafe":
            findings += opinions.ask(looked.pickles)
        if found == "text" and not companion:
            findings = [Finding(rule="not-scanned", location="file", detail="this is a text file, not a model")]
        elif found == "text" and path.suffix == ".py":
            findings = [
                Finding(rule="python-code", location="file", detail="this is Python code, which runs if it is used")
            ]
        return _judged(path, found, findings)
    detail = f"this is {detect.describe(kind)}, which is not scanned here"
    return _judged(path, kind, [Finding(rule="not-scanned", location="file", detail=detail)])


def require_clean(result: ScannedFile, *, kinds: Collection[str] | None = ONNX, trusted: Collection[str] = ()) -> None:
    """Raises Unsupported for a file that is none of `kinds` (None: whatever it is), ModelUnreadable for one that is
    empty, cut short or not what its name says, UnsafeModel with the findings for every other verdict that is not clean.

    A file whose digest (`sha256:<hex>`) is `trusted` may call what it likes; its structure must be whole.
    """
    where = result.path
    hint = detect.HINTS.get(result.format)
    broken = any(finding.rule == UNREADABLE for finding in result.findings)  # a part of a zip is no zip of another kind
    if kinds is not None and result.format not in kinds and not broken:
        what = f"This is {detect.describe(result.format)}, not a model that can be packaged"
        if result.format in ("empty", "text", "html", "git-lfs", "unknown") or where.endswith(".onnx"):
            raise ModelUnreadable(what, where=where, hint=hint or "export the model again as ONNX")
        raise Unsupported(
            what, where=where, hint="export it to ONNX, or save it as PyTorch, scikit-learn, Keras or TensorFlow do"
        )
    if result.verdict == "clean":
        return
    first = next((finding for finding in result.findings if finding.rule not in TRUSTABLE), result.findings[0])
    details: dict[str, Any] = {"findings": [finding.model_dump() for finding in result.findings]}
    if first.rule == UNREADABLE:
        raise ModelUnreadable(
            f"The model cannot be read: {first.detail}",
            where=f"{where}: {first.location}",
            hint="copy or export the file again",
            details=details,
        )
    hint = HINTS.get(first.rule, "export the model again from a source that you trust")
    if first.rule in TRUSTABLE:
        if (digest := digest_of(Path(where))) in trusted:
            return
        details["digest"] = digest
        hint = f"{hint}; {trust_hint(result)}"
    more = len(result.findings) - 1
    raise UnsafeModel(
        f"The scan says {result.verdict}: {first.detail}" + (f" (and {more} more)" if more else ""),
        where=f"{where}: {first.location}",
        hint=hint,
        details=details,
    )


def trust_hint(result: ScannedFile) -> str | None:
    """How to take on a file that runs code and has no other fault; None for every other one."""
    if not result.findings or any(finding.rule not in TRUSTABLE for finding in result.findings):
        return None
    return f"where you know what it runs: package --trust {digest_of(Path(result.path))}"


def digest_of(path: Path) -> str:
    """A file's digest, as `--trust` takes it."""
    return f"sha256:{files.sha256(path)}"


def _judged(path: Path, kind: str, findings: Sequence[Finding]) -> ScannedFile:
    return ScannedFile(path=str(path), format=kind, verdict=_verdict(findings), findings=tuple(findings))


def _verdict(findings: Iterable[Finding]) -> Verdict:
    return max((RULES[finding.rule] for finding in findings), key=WORST.index, default="clean")
