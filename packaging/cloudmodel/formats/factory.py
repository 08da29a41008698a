"""What a project gives as Python: `module:function`, imported from the project's folder. It is the user's code: call it
in a confined child only (`core.confined`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import ProjectInvalid


@dataclass(frozen=True)
class Source:
    """The model behind an ONNX file: a factory `module:function`, importable from `folder`, and its weights. Without a
    factory, `weights` is a file that PyTorch loads by itself."""

    folder: Path
    factory: str | None = None
    weights: Path | None = None


def function(reference: str, folder: Path) -> Callable[..., Any]:
    """The function `module:function` of the project in `folder`. Raises ProjectInvalid."""
    module, _, name = reference.partition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:  # a module's code may raise anything
        absent = isinstance(error, ImportError | AttributeError)
        what = str(error) if absent else f"{type(error).__name__}: {error}"
        raise ProjectInvalid(
            f"{reference} cannot be imported: {' '.join(what.split())[:300]}",
            where=reference,
            hint=f"it is looked for in {folder}"
            if absent
            else "mend it; `python -c 'import " + module + "'` shows where",
        ) from None
    if not callable(found):
        raise ProjectInvalid(f"{reference} is no function", where=reference)
    call: Callable[..., Any] = found
    return call
