"""The layout of Triton Inference Server: a model repository with one model, and no code of ours.

    NAME/config.pbtxt  NAME/1/model.onnx [external data]        backend onnxruntime
    NAME/config.pbtxt  NAME/1/model.pt                          backend pytorch

`config.pbtxt` is the text form of `inference.ModelConfig`. Its `dims` leave the batch out where `max_batch_size` is
above 0, and are -1 where a size is open; Triton's own batcher joins requests (`dynamic_batching`) and, with no delay
set, waits for none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudmodel.core import files
from cloudmodel.core.errors import Unsupported
from cloudmodel.formats.model import Tensor
from cloudmodel.serving.layout import ONNX, Content
from cloudmodel.serving.placing import place

BACKENDS = {ONNX: "onnxruntime", "torchscript": "pytorch"}
DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "str": "BYTES",
}
"""The KServe v2 protocol's word for each of numpy's; a configuration says TYPE_ before it, and STRING for BYTES."""
MAX_BATCH = 64
VERSION = "1"


def write(folder: Path, content: Content) -> None:
    """Move the model into a repository, and write its configuration. Raises Unsupported for a dtype or a name that
    Triton does not have."""
    text = configuration(content)
    place(content, folder / content.name / VERSION)
    files.write_text(folder / content.name / "config.pbtxt", text)


def body(request: Mapping[str, Any]) -> bytes:
    """A request in the protocol's JSON form."""
    inputs = [
        {
            "name": name,
            "shape": [*array.shape],
            "datatype": "BYTES" if array.dtype.kind in "OU" else DATATYPES[array.dtype.name],
            "data": array.reshape(-1).tolist(),
        }
        for name, array in request.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def configuration(content: Content) -> str:
    """`config.pbtxt`: a batching model where every input and output begins with the same symbol."""
    batches = content.batch is not None
    lines = [
        f"name: {_quoted(content.name)}",
        f"backend: {_quoted(BACKENDS[content.format])}",
        f"max_batch_size: {MAX_BATCH if batches else 0}",
    ]
    for kind, tensors in (("input", content.signature.inputs), ("output", content.signature.outputs)):
        lines += [line for tensor in tensors for line in _tensor(kind, tensor, skip=int(batches))]
    lines += ["instance_group [{ kind: KIND_AUTO count: 1 }]"]
    if batches:
        lines += ["dynamic_batching { }"]
    return "\n".join(lines) + "\n"


def _tensor(kind: str, tensor: Tensor, skip: int) -> Sequence[str]:
    if tensor.dtype not in DATATYPES:
        raise Unsupported(
            f"Triton has no datatype for {tensor.name!r}, which is {tensor.dtype}",
            where="cloudmodel.yaml: serve.layout",
            hint="choose layout: auto",
        )
    word = DATATYPES[tensor.dtype].replace("BYTES", "STRING")
    sizes = [size if isinstance(size, int) else -1 for size in tensor.shape[skip:]]
    dims = ", ".join(map(str, sizes or [1]))
    lines = [f"  name: {_quoted(tensor.name)}", f"  data_type: TYPE_{word}", f"  dims: [ {dims} ]"]
    if not sizes:  # Triton has no scalars: a size of 1 that the model does not see
        lines.append("  reshape: { shape: [ ] }")
    return [f"{kind} {{", *lines, "}"]


def _quoted(text: str) -> str:
    """A string of protobuf's text format, which escapes as JSON does for what names hold."""
    return json.dumps(text, ensure_ascii=True)
