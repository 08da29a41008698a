"""Which imports of a pickle are harmless: an allow-list, exact names only; everything else is not clean.

The list (`allowed_names.json`, made by `tools/make_allowed_names.py`) holds classes that do nothing but hold data
when they are made with any arguments, and the functions that rebuild arrays and tensors.
"""

from __future__ import annotations

import functools
import json
import sys
from importlib import resources

from cloudmodel.formats.scanning.pickle_values import Global

TORCHSCRIPT = "__torch__"
"""The root of the names inside a TorchScript archive; no module of Python is called so."""


@functools.cache
def allowed() -> frozenset[tuple[str, str]]:
    """Every allowed (module, name)."""
    document = json.loads((resources.files("cloudmodel.formats.scanning") / "allowed_names.json").read_text())
    return frozenset(
        (module, name) for group in document["names"].values() for module, names in group.items() for name in names
    )


def judge(found: Global) -> tuple[str, str] | None:
    """The rule that an import breaks and what to say of it; None for a harmless one."""
    if (found.module, found.name) in allowed():
        return None
    root = found.module.partition(".")[0]
    if root == TORCHSCRIPT and "." not in found.name:
        return None
    if "." in found.name:
        return "dangerous-import", f"imports {found}, an attribute by a dotted name, which no model needs"
    if root in sys.stdlib_module_names or root in ("__builtin__", "__main__", "posix", "nt"):
        return "dangerous-import", f"imports {found} of Python's standard library, which can run code when it is loaded"
    return "unlisted-import", f"imports {found}, which is not among the classes that are known to hold data only"
