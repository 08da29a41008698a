"""What the places of a model's scores are called: a text in the bundle, one label a line."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from cloudmodel.core import files
from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats.model import Signature

FILE = "labels.txt"
LARGEST = 16 << 20


def copy(labels: Path | None, folder: Path, signature: Signature) -> str | None:
    """Put the project's labels, one a line, into the bundle's folder; their name there, None without any. Raises
    ProjectInvalid for a file that is no text, or where no output has as many scores."""
    if labels is None:
        return None
    try:
        if labels.stat().st_size > LARGEST:
            raise ProjectInvalid("The labels file is too large", where=str(labels))
        count = len(labels.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        raise ProjectInvalid("There is no such labels file", where=str(labels), hint="check model.labels") from None
    except UnicodeDecodeError:
        raise ProjectInvalid("The labels file is not UTF-8 text", where=str(labels)) from None
    scores = [each for each in signature.outputs if each.dtype.startswith("float") and len(each.shape) > 1]
    sizes = [each.shape[-1] for each in scores]
    if sizes and count not in sizes and all(isinstance(size, int) for size in sizes):
        raise ProjectInvalid(
            f"The labels file has {count} lines, and no output has as many scores: "
            + ", ".join(f"{each.name} has {each.shape[-1]}" for each in scores),
            where=str(labels),
            hint="one label a line, in the order of the scores",
        )
    shutil.copyfile(labels, folder / FILE)
    return FILE


def own(labels: Sequence[str] | None, folder: Path) -> str | None:
    """Write the labels that the model's own files name, one a line; None where it names none that are lines."""
    if not labels or any(len(each.splitlines()) != 1 for each in labels):
        return None
    files.write_text(folder / FILE, "".join(f"{each}\n" for each in labels))
    return FILE
