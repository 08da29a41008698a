"""Ranges of activations, measured once and kept by the content that they came from.

onnxruntime's own cache checks the method only: it gives the ranges of one model to another, and scales were seen that
were ten times too small. Here the name of a file is the hash of everything that the ranges depend on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cloudmodel.core.errors import StepFailed
from cloudmodel.formats import onnx_files
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.quantize import checks

CHUNK = 16
"""Batches whose activations are held at once."""
CACHE_VARIABLE = "CLOUDMODEL_CALIBRATION_CACHE"


def ranges(
    model: Path, data: Dataset, *, method: str, percentile: float, operators: Sequence[str], folder: Path
) -> Path:
    """A file with the ranges of the activations that `operators` read and write, in onnxruntime's form.

    `method` is minmax, entropy or percentile. It is taken from the cache where the model's bytes, the rows, the
    method and the versions are the same. Raises StepFailed naming the tensor whose range is no number.
    """
    key = hashlib.sha256(
        json.dumps(
            [onnx_files.digest_of(model), data.digest, method, percentile if method == "percentile" else None,
             sorted(operators), version("onnxruntime"), version("onnx"), version("numpy")]
        ).encode()
    ).hexdigest()  # fmt: skip
    place = os.environ.get(CACHE_VARIABLE)
    path = (Path(place) if place else folder) / f"{key}.ranges.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, _measure(model, data, method, percentile, operators, folder))
    return path


def _measure(model: Path, data: Dataset, method: str, percentile: float, operators: Sequence[str], folder: Path) -> Any:
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    kinds = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
    augmented = folder / "augmented.onnx"
    try:
        calibrator = create_calibrator(
            model,
            sorted(operators),
            augmented_model_path=str(augmented),
            calibrate_method=CalibrationMethod[kinds[method]],
            use_external_data_format=onnx_files.size_of(model) >= onnx_files.MOST_INLINE,
            extra_options={"percentile": percentile} if method == "percentile" else {},
        )
        batches = _batches(model, data)
        for start in range(0, len(batches), CHUNK):
            calibrator.collect_data(_Reader(batches[start : start + CHUNK]))
        found = calibrator.compute_data()
    except Exception as error:
        raise StepFailed(f"The calibration failed: {' '.join(str(error).split())[:300]}", where=data.where) from error
    finally:
        for left in folder.glob("augmented.onnx*"):
            left.unlink()
    for name, tensor in found.items():
        checks.check_finite(name, tensor.range_value, data.where)
    return found


def _batches(model: Path, data: Dataset) -> list[dict[str, Any]]:
    """Single rows (or the model's fixed batch): histograms of batches that differ in size cannot be joined."""
    graph = onnx_files.load(model).graph
    sizes = [value.type.tensor_type.shape.dim[0].dim_value for value in graph.input if value.name in data.inputs]
    size = max([*sizes, 1])
    rows = [np.arange(start, start + size) % len(data) for start in range(0, len(data), size)]
    return [{name: array[index] for name, array in data.inputs.items()} for index in rows]


class _Reader:
    """onnxruntime's CalibrationDataReader."""

    def __init__(self, batches: list[dict[str, Any]]) -> None:
        self.left = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        return next(self.left, None)


def _write(path: Path, found: Any) -> None:
    from onnxruntime.quantization.calibrate import save_tensors_data

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_tensors_data(found, temporary)
    temporary.replace(path)
