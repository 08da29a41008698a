"""ONNX: scan without loading, load once, copy into a bundle."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cloudmodel.core.digests import Digests
from cloudmodel.core.errors import ModelUnreadable, UnsafeModel, Unsupported
from cloudmodel.formats import onnx_header
from cloudmodel.formats.copying import copy_file
from cloudmodel.formats.model import Finding, Model, Signature, Tensor
from cloudmodel.formats.onnx_header import Header, TensorInfo, ValueInfo
from cloudmodel.formats.wire import Broken

FORMAT = "onnx"
MODEL_FILE = "model.onnx"
RESERVED = ("manifest.json", "labels.txt", "code", "preprocess")
MIN_OPSET = 7  # onnxruntime's own floor
MIN_IR_VERSION = 3
KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
PYTHON_OPERATORS = frozenset({"PyOp", "PythonOp", "PythonOpGrad"})
EXTERNAL_KEYS = frozenset({"location", "offset", "length", "checksum"})
MAX_FINDINGS = 100


def scan(path: Path) -> list[Finding]:
    """What is wrong with an ONNX file and the weights beside it; at most MAX_FINDINGS. Raises OSError."""
    try:
        with mapped(path) as buffer:
            header = onnx_header.read(buffer)
    except Broken as broken:
        return [_unreadable(broken)]
    if not header.has_graph:
        return [Finding(rule="unreadable", location="end of file", detail="the file ends before its graph")]
    if not header.opsets:
        return [Finding(rule="unreadable", location="end of file", detail="the file ends before its operator sets")]
    return list(_findings(path, header))[:MAX_FINDINGS]


def load(path: Path, *, checked: bool = False) -> Model:
    """Check a scanned file's versions and weights (unless they were `checked` as it was copied), and load it once with
    onnx's checker and with onnxruntime.

    Raises ModelUnreadable naming the tensor or the reason, Unsupported for inputs that cannot be served.
    """
    from cloudmodel.formats import onnx_weights

    with mapped(path) as buffer:
        header = onnx_header.read(buffer)
        _check_versions(header, path)
        if not checked:
            onnx_weights.check_finite(buffer, header, path)
    _check_with_onnx(path)
    _load_with_onnxruntime(path)
    return Model(
        format=FORMAT,
        path=path,
        files=(path.name, *external_files(header)),
        signature=_signature(header, path),
        facts={"opsets": dict(sorted(header.opsets.items())), "ir_version": header.ir_version,
               "producer": header.producer},
    )  # fmt: skip


def read_header(path: Path) -> Header:
    """What the file says of itself. Raises ModelUnreadable naming the byte where it makes no sense, OSError."""
    try:
        with mapped(path) as buffer:
            return onnx_header.read(buffer)
    except Broken as broken:
        finding = _unreadable(broken)
        raise ModelUnreadable(finding.detail, where=f"{path}: {finding.location}") from None


def signature(path: Path) -> Signature:
    """Inputs and outputs as declared; initializers are not inputs. Raises ModelUnreadable, Unsupported."""
    return _signature(read_header(path), path)


def external_files(header: Header) -> tuple[str, ...]:
    """The names of the files that hold weights, relative to the model's folder, sorted."""
    return tuple(sorted({tensor.external["location"] for tensor in header.tensors if "location" in tensor.external}))


def export(path: Path, folder: Path, digests: Digests) -> Path:
    """Copy a model into a bundle's folder as `model.onnx`, with its weights beside it; returns that path.

    Scan the copy before it is loaded: the original may have changed meanwhile. No weights file is copied through a
    link or from outside the model's folder. That the weights are numbers is seen as they go by. Raises UnsafeModel,
    ModelUnreadable.
    """
    from cloudmodel.formats import onnx_weights

    target = folder / MODEL_FILE
    header = read_header(path)
    copy_file(path.resolve(), target, digests, onnx_weights.Passing(header, path, None))
    copied = read_header(target)
    for name in external_files(copied):
        if reason := _why_unsafe(name, path.name):
            raise UnsafeModel(f"Weights file {name!r} {reason}", where=str(path))
        copy_file(path.parent / name, folder / name, digests, onnx_weights.Passing(copied, path, name))
    if copied != header or not onnx_weights.passes(copied):
        with mapped(target) as buffer:
            onnx_weights.check_finite(buffer, copied, target)
    return target


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    """The file's bytes, mapped: reading a header touches the pages of the header only."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
            yield buffer


def _unreadable(broken: Broken) -> Finding:
    cut = " (the file is cut short)" if broken.short else ""
    return Finding(rule="unreadable", location=f"byte {broken.offset}", detail=f"{broken.reason}{cut}")


def _findings(path: Path, header: Header) -> Iterator[Finding]:
    for duplicate in header.duplicates:
        yield Finding(rule="repeated-field", location=duplicate, detail="a part that may be there once comes twice")
    own = {domain for domain, _ in header.functions}
    for domain, operator in sorted(header.operators):
        if operator in PYTHON_OPERATORS and domain:
            yield Finding(rule="python-operator", location=f"{domain}::{operator}", detail="it calls Python code")
        elif domain not in KNOWN_DOMAINS and domain not in own:
            detail = f"operator {operator} of domain {domain!r} needs a native library that nobody here has seen"
            yield Finding(rule="custom-operator", location=f"{domain}::{operator}", detail=detail)
    for tensor in header.tensors:
        yield from _tensor_findings(path, tensor)


def _tensor_findings(path: Path, tensor: TensorInfo) -> Iterator[Finding]:
    if any(size < 0 for size in tensor.dims):
        yield Finding(rule="size-mismatch", location=tensor.title, detail=f"negative dimension in {tensor.dims}")
        return
    for key in sorted(tensor.external.keys() - EXTERNAL_KEYS):
        yield Finding(rule="external-key", location=tensor.title, detail=f"external_data has the key {key!r}")
    if tensor.is_external or tensor.external:
        yield from _external_findings(path, tensor)
        return
    needed = tensor.byte_size
    held = sum(segment.stop - segment.start for segment in tensor.segments)
    raw = any(segment.kind == onnx_header.RAW for segment in tensor.segments)
    if needed is None:
        return
    # In a typed field a number may take a single byte, and a 32-bit one may hold up to 16 small values.
    if held != needed if raw else held * 16 < math.prod(tensor.dims):
        detail = f"shape {tensor.dims} needs {needed:,} bytes, the file has {held:,}"
        yield Finding(rule="size-mismatch", location=tensor.title, detail=detail)


def _external_findings(path: Path, tensor: TensorInfo) -> Iterator[Finding]:
    location = tensor.external.get("location", "")
    if reason := _why_unsafe(location, path.name):
        yield Finding(rule="external-path", location=tensor.title, detail=f"weights file {location!r} {reason}")
        return
    place = path.parent
    for part in location.split("/"):
        place = place / part
        try:
            status = place.lstat()
        except OSError:
            detail = f"weights file {location!r} is missing beside the model"
            yield Finding(rule="external-missing", location=tensor.title, detail=detail)
            return
        if stat.S_ISLNK(status.st_mode):
            detail = f"weights file {location!r} is reached through a link"
            yield Finding(rule="external-link", location=tensor.title, detail=detail)
            return
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        detail = f"weights file {location!r} is not a plain file with one name"
        yield Finding(rule="external-link", location=tensor.title, detail=detail)
        return
    yield from _range_findings(tensor, location, status.st_size)


def _why_unsafe(location: str, model_name: str) -> str | None:
    """Why `location` may not name a weights file, or None."""
    parts = location.split("/")
    if not location or location.startswith("/") or "\\" in location or any(ord(sign) < 32 for sign in location):
        return "is not a plain relative name"
    if any(part in ("", ".", "..") for part in parts):
        return "leaves the model's folder"
    if parts[0].casefold() in (*RESERVED, MODEL_FILE) or location == model_name:
        return "is a name that the bundle needs for another file"
    return None


def _range_findings(tensor: TensorInfo, location: str, size: int) -> Iterator[Finding]:
    needed = tensor.byte_size
    span = external_span(tensor, size)
    if span is None or span[0] + span[1] > size:
        detail = f"offset {tensor.external.get('offset')} and length {tensor.external.get('length')} of {location!r}, "
        detail += f"which has {size:,} bytes"
        yield Finding(rule="external-range", location=tensor.title, detail=detail)
    elif needed is None or span[1] != needed:
        detail = f"shape {tensor.dims} needs {needed} bytes, its part of {location!r} has {span[1]:,}"
        yield Finding(rule="size-mismatch", location=tensor.title, detail=detail)


def external_span(tensor: TensorInfo, size: int) -> tuple[int, int] | None:
    """Offset and length of a tensor in its weights file of `size` bytes; None where they are no numbers."""
    offset = tensor.external.get("offset", "0")
    length = tensor.external.get("length", "")
    if not all(text.isascii() and text.isdigit() and len(text) < 20 for text in (offset, length or "0")):
        return None
    start = int(offset)
    return start, int(length) if length else (tensor.byte_size or max(size - start, 0))


def _check_versions(header: Header, path: Path) -> None:
    import onnx

    newest = onnx.defs.onnx_opset_version()
    opset = header.opsets.get("")
    if opset is not None and not MIN_OPSET <= opset <= newest:
        raise Unsupported(
            f"The model has opset {opset}; {MIN_OPSET} to {newest} can be served",
            where=str(path),
            hint="export it again with an opset in that range, or convert it with onnx.version_converter",
        )
    if not MIN_IR_VERSION <= header.ir_version <= onnx.IR_VERSION:
        raise Unsupported(
            f"The model has IR version {header.ir_version}; {MIN_IR_VERSION} to {onnx.IR_VERSION} can be served",
            where=str(path),
            hint="export it again with a current exporter",
        )


def _check_with_onnx(path: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(str(path))
    except Exception as error:
        raise ModelUnreadable(f"onnx's checker refuses it: {_line(error)}", where=str(path)) from None


def _load_with_onnxruntime(path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelUnreadable(f"onnxruntime cannot load it: {_line(error)}", where=str(path)) from None


def _signature(header: Header, path: Path) -> Signature:
    inputs = [value for value in header.inputs if value.name not in header.initializers]
    names = [value.name for value in header.outputs]
    if len(set(names)) != len(names) or not names:
        raise Unsupported(
            "The model has two outputs of one name" if names else "The model has no outputs; there is nothing to serve",
            where=str(path),
            hint="export it again, each output under a name of its own",
        )
    return Signature(
        inputs=tuple(_tensor(value, path) for value in inputs),
        outputs=tuple(_tensor(value, path) for value in header.outputs),
    )


def _tensor(value: ValueInfo, path: Path) -> Tensor:
    dtype = onnx_header.NUMPY_NAME.get(value.data_type)
    if dtype is None:
        kind = value.kind if value.kind != "tensor" else f"tensor of ONNX type {value.data_type}"
        raise Unsupported(
            f"{value.name!r} is a {kind}; tensors of numpy's types can be served",
            where=str(path),
            hint="cast it to float32 inside the model"
            if value.kind == "tensor"
            else "for scikit-learn exports: options={'zipmap': False}",
        )
    if value.shape is None:
        raise Unsupported(
            f"{value.name!r} declares no shape",
            where=str(path),
            hint="run onnx.shape_inference.infer_shapes on it; a dimension may stay open, their number may not",
        )
    named = tuple(size if size is not None else f"{value.name}_{place}" for place, size in enumerate(value.shape))
    return Tensor(name=value.name, dtype=dtype, shape=named)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
