"""The optional libraries: which modules each extra of this package brings, and what to install. Imports none."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS = {
    "torch": ("torch", "torch_pruning", "safetensors"),
    "sklearn": ("sklearn", "skl2onnx", "skops"),
    "keras": ("keras", "tensorflow", "h5py", "tf2onnx"),
    "tf-mot": ("tensorflow_model_optimization", "tf_keras", "tensorflow", "h5py", "tf2onnx"),
    "huggingface": ("transformers", "tokenizers", "torch", "safetensors"),
    "text": ("tokenizers",),
    "image": ("PIL",),
}


def missing(extra: str) -> str | None:
    """What to install, or None where all modules of the extra are there."""
    absent = [module for module in EXTRAS[extra] if not _present(module)]
    if not absent:
        return None
    return f"needs {' and '.join(absent)}: pip install 'cloudmodel[{extra}]'"


def _present(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
