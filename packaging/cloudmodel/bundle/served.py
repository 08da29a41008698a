"""A bundle's own code asked in a confined child, as a container asks it: from its folder, without cloudmodel."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from cloudmodel.core import pages
from cloudmodel.core.progress import Report

NPZ = "application/x-npz"


class NotHere:
    """Finds everything but cloudmodel."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Raises ImportError, as a container would."""
        if name.split(".")[0] == "cloudmodel":
            raise ImportError("a container has no cloudmodel")


def run(job: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The child's part of `parity.prove`: answers `request-N.npz` of its working folder in `answer-N.npz`. Raises what
    the bundle's code raises."""
    sys.meta_path.insert(0, NotHere)
    for name in [each for each in sys.modules if each.split(".")[0] == "cloudmodel"]:
        del sys.modules[name]
    sys.dont_write_bytecode = True  # the folder stays as it was written
    sys.path.insert(0, f"{job['bundle']}/code")
    code: Any = import_module("inference")
    if job["large"] and "torch" in sys.modules:
        pages.watch(sys.modules["torch"], Path(job["bundle"]))
    elif job["large"]:
        pages.unpacked(sys.modules["onnxruntime"])
    model = code.model_fn(job["bundle"])
    for number in range(job["count"]):
        request = code.input_fn(Path(f"request-{number}.npz").read_bytes(), NPZ)
        answer = code.output_fn(code.predict_fn(request, model), NPZ)
        # AWS's Hugging Face container takes the body alone.
        Path(f"answer-{number}.npz").write_bytes(answer[0] if isinstance(answer, tuple) else answer)
    return {}
