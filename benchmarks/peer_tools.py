"""What other tools make of a model by default, each in a process (and where needed an environment) of its own.

    PYTHON peer_tools.py TOOL MODEL ROWS LABELLED OUT [transformer]

`ROWS` is an npz with calibration rows by input name, one row at a time for those that ask; `LABELLED` one with
`labels`, for the tool that minds accuracy. Imports nothing of cloudmodel: the environments of NNCF and Olive do not
have it. Olive's own command (`olive quantize`) asks for no labels and measures nothing.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 300
"""NNCF's default number of calibration rows, given to all."""
MAX_DROP = 0.01


def each(rows: Path, most: int = ROWS) -> Iterator[dict[str, Any]]:
    """The rows, one at a time, with their batch axis; at most so many."""
    with np.load(rows, allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files if name != "labels"}
    for place in range(min(most, *(len(array) for array in arrays.values()))):
        yield {name: array[place : place + 1] for name, array in arrays.items()}


def ort_dynamic(model: Path, rows: Path, labelled: Path, out: Path, transformer: bool) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(model, out)


def ort_static(model: Path, rows: Path, labelled: Path, out: Path, transformer: bool) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = each(rows)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rows, None)

    quantize_static(model, out, Reader())


def nncf_default(model: Path, rows: Path, labelled: Path, out: Path, transformer: bool) -> None:
    import nncf
    import onnx

    kind = nncf.ModelType.TRANSFORMER if transformer else None
    made = nncf.quantize(onnx.load(model), nncf.Dataset(list(each(rows))), model_type=kind)
    onnx.save(made, out)


def nncf_accuracy(model: Path, rows: Path, labelled: Path, out: Path, transformer: bool) -> None:
    """With its accuracy control, to the drop that we allow: it puts operators back to float until that is met."""
    import nncf
    import onnx
    import onnxruntime

    with np.load(labelled, allow_pickle=False) as data:
        labels = data["labels"]

    def right(candidate: Any, items: Any) -> tuple[float, list[float]]:
        session = onnxruntime.InferenceSession(candidate.SerializeToString(), providers=["CPUExecutionProvider"])
        name = session.get_outputs()[0].name
        found = [float(session.run([name], row)[0].argmax() == label) for row, label in items]
        return float(np.mean(found)), found

    made = nncf.quantize_with_accuracy_control(
        onnx.load(model),
        nncf.Dataset(list(each(rows))),
        nncf.Dataset(list(zip(each(labelled, len(labels)), labels, strict=True))),
        validation_fn=right,
        max_drop=MAX_DROP,
        drop_type=nncf.DropType.ABSOLUTE,
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
    )
    onnx.save(made, out)


def olive_default(model: Path, rows: Path, labelled: Path, out: Path, transformer: bool) -> None:
    folder = out.with_suffix(".olive")
    command = [
        str(Path(sys.executable).with_name("olive")), "quantize", "--model_name_or_path", str(model), "--output_path",
        str(folder), "--implementation", "ort", "--precision", "int8", "--algorithm", "rtn", "--disable_telemetry",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=out.parent)  # it leaves a cache where it runs
    import onnx

    onnx.save(onnx.load(next(folder.rglob("*.onnx"))), out)


TOOLS = {
    "ort-dynamic": ort_dynamic, "ort-static": ort_static, "nncf": nncf_default, "nncf-accuracy": nncf_accuracy,
    "olive": olive_default,
}  # fmt: skip

if __name__ == "__main__":
    tool, model, rows, labelled, out = sys.argv[1:6]
    TOOLS[tool](Path(model), Path(rows), Path(labelled), Path(out), sys.argv[6:] == ["transformer"])
