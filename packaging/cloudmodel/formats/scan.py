"""The verdict on a model file before anything loads it. What cannot be read or is not known here is never clean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudmodel.core.errors import ModelUnreadable, UnsafeModel, Unsupported
from cloudmodel.formats import detect, onnx
from cloudmodel.formats.model import Finding, Scan, Verdict

SCANNERS: Mapping[str, Callable[[Path], Sequence[Finding]]] = {"onnx": onnx.scan}

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
    "size-mismatch": "unsafe",
    "repeated-field": "unsafe",
    "python-operator": "unsafe",
}
"""What each rule's finding makes of the verdict; the worst one counts."""
WORST: tuple[Verdict, ...] = ("clean", "unknown", "unsafe")


@dataclass(frozen=True)
class FileScan:
    """One file's verdict."""

    path: Path
    format: str
    scan: Scan


def scan(path: Path) -> FileScan:
    """Scan one file. Raises UsageError where there is no such file, OSError; everything else is in the verdict."""
    try:
        kind = detect.detect(path)
    except ModelUnreadable as error:
        return FileScan(path, "unknown", _judge([Finding(rule=UNREADABLE, location="file", detail=error.message)]))
    if kind in SCANNERS:
        return FileScan(path, kind, _judge(SCANNERS[kind](path)))
    rule = UNREADABLE if kind == "empty" else "not-scanned"
    detail = f"this is {detect.describe(kind)}, which is not scanned here"
    return FileScan(path, kind, _judge([Finding(rule=rule, location="file", detail=detail)]))


def worst(scans: Sequence[FileScan]) -> Verdict:
    """The verdict on all of them together."""
    return max((each.scan.verdict for each in scans), key=WORST.index, default="clean")


def require_clean(result: FileScan) -> None:
    """Raises Unsupported for a file of another format, ModelUnreadable for one that is empty, cut short or not what
    its name says, UnsafeModel with the findings for every other verdict that is not clean."""
    where = str(result.path)
    hint = detect.HINTS.get(result.format)
    if result.format not in SCANNERS:
        what = f"This is {detect.describe(result.format)}, not a model that can be packaged"
        if result.format in ("empty", "text", "html", "git-lfs", "unknown") or result.path.suffix == ".onnx":
            raise ModelUnreadable(what, where=where, hint=hint or "export the model again as ONNX")
        raise Unsupported(what, where=where, hint="export it to ONNX; other formats are not taken yet")
    if result.scan.verdict == "clean":
        return
    first = result.scan.findings[0]
    details = {"findings": [finding.model_dump() for finding in result.scan.findings]}
    if first.rule == UNREADABLE:
        raise ModelUnreadable(
            f"The model cannot be read: {first.detail}",
            where=f"{where}: {first.location}",
            hint="copy or export the file again",
            details=details,
        )
    more = len(result.scan.findings) - 1
    raise UnsafeModel(
        f"The scan says {result.scan.verdict}: {first.detail}" + (f" (and {more} more)" if more else ""),
        where=f"{where}: {first.location}",
        hint="export the model again from a source that you trust",
        details=details,
    )


def _judge(findings: Sequence[Finding]) -> Scan:
    verdict = max((RULES[finding.rule] for finding in findings), key=WORST.index, default="clean")
    return Scan(verdict=verdict, findings=tuple(findings))
