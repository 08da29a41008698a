"""Keras' configuration: a tree of classes that loading would make. Only Keras' own, and nothing that holds code.

Known ways around Keras' safe mode (CVE-2024-3660, CVE-2025-1550, CVE-2025-8747, CVE-2025-9906, CVE-2026-1462): a
Lambda layer, any module by name, a function of Keras itself, a switch for the safe mode inside the configuration, a
layer that opens a SavedModel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cloudmodel.formats.model import Finding

MAX_CONFIG = 64 << 20
CODE = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "__lambda__"}
MODULES = {
    "keras", "keras.models", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints",
    "keras.activations", "keras.optimizers", "keras.optimizers.schedules", "keras.losses", "keras.metrics",
    "keras.dtype_policies", "keras.random", "keras.quantizers", "keras.src.models.functional",
    "keras.src.models.sequential", "keras.src.dtype_policies.dtype_policy",
}  # fmt: skip
OPERATIONS = {f"keras.src.ops.{name}" for name in ("core", "image", "linalg", "math", "nn", "numpy")}
"""Where `a + b` on Keras' tensors and their like are classes; the functions beside them are not for a configuration."""
CALLS = {"AssociativeScan", "Cond", "ForiLoop", "Map", "Scan", "Switch", "VectorizedMap", "WhileLoop"}
"""Operations that call a function."""
DATA = {"__tuple__", "__tensor__", "__numpy__", "__ellipsis__", "__bytes__", "__keras_tensor__"}


def scan(text: bytes, where: str) -> list[Finding]:
    """What is wrong with a configuration in JSON."""
    if len(text) > MAX_CONFIG:
        return [Finding(rule="unreadable", location=where, detail=f"a configuration of {len(text):,} bytes")]
    try:
        document = json.loads(text)
        return list(_findings(document, where, "config"))
    except (ValueError, RecursionError) as error:
        return [Finding(rule="unreadable", location=where, detail=f"the configuration is no JSON: {error}")]


def _findings(value: Any, where: str, path: str) -> Iterator[Finding]:
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _findings(each, where, f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    location = f"{where}: {path}"
    name, module = value.get("class_name"), value.get("module")
    if name in CODE:
        yield Finding(rule="keras-code", location=location, detail=f"{name} runs code that the file brings along")
    elif name == "function":
        yield Finding(rule="keras-code", location=location, detail=f"looks up the function {value.get('config')!r}")
    elif isinstance(name, str) and name.startswith("__") and name not in DATA:
        yield Finding(rule="keras-code", location=location, detail=f"{name} is no class of Keras")
    elif isinstance(name, str) and module in OPERATIONS and name[:1].isupper() and name not in CALLS:
        pass
    elif isinstance(name, str) and module is not None and module not in MODULES:
        yield Finding(
            rule="keras-code", location=location, detail=f"imports {name} from {module}, which is not Keras' own"
        )
    elif isinstance(name, str) and module is None and "module" in value and value.get("registered_name") is not None:
        detail = f"{value['registered_name']} is a class of your own, whose code is not in the file"
        yield Finding(rule="custom-operator", location=location, detail=detail)
    if "safe_mode" in value:
        yield Finding(rule="keras-code", location=location, detail="sets Keras' safe mode from inside the file")
    for key, each in value.items():
        yield from _findings(each, where, f"{path}.{key}")
