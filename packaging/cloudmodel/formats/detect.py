"""What a file is, by its content; its name is never asked."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cloudmodel.core.errors import ModelUnreadable, UsageError
from cloudmodel.formats import onnx_header

HEAD = 4096
LONGEST_HEADER = 100_000_000  # safetensors' own limit
MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"\x93NUMPY", "npy"),
    (0, b"GGUF", "gguf"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x5d\x00\x00", "lzma"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x28\xb5\x2f\xfd", "zstandard"),
    (0, b"\x78\x01", "zlib"),
    (0, b"\x78\x5e", "zlib"),
    (0, b"\x78\x9c", "zlib"),
    (0, b"\x78\xda", "zlib"),
    (0, b"\x08\x01\x12", "savedmodel"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!", "rar"),
    (0, b"\x7fELF", "elf"),
    (257, b"ustar", "tar"),
    (4, b"TFL3", "tflite"),
    (0, b"version https://git-lfs", "git-lfs"),
    (0, b"<!DOCTYPE html", "html"),
    (0, b"<!doctype html", "html"),
    (0, b"<html", "html"),
)
NAMES = {
    "onnx": "an ONNX model",
    "empty": "an empty file",
    "text": "a text file",
    "pickle": "a Python pickle, which runs code when it is loaded",
    "zip": "a zip archive (a PyTorch or Keras file is one)",
    "hdf5": "an HDF5 file (Keras)",
    "npy": "a numpy array",
    "gguf": "a GGUF file",
    "safetensors": "a safetensors file",
    "savedmodel": "a TensorFlow SavedModel's graph",
    "joblib": "a joblib file, which runs code when it is loaded",
    "torch": "a PyTorch file, which holds a pickle",
    "torchscript": "a TorchScript file",
    "torch-export": "a program of torch.export",
    "keras": "a Keras file",
    "npz": "a file of numpy arrays",
    "skops": "a skops file (scikit-learn)",
    "torchserve": "a TorchServe archive",
    "tflite": "a TensorFlow Lite model",
    "git-lfs": "a Git LFS pointer, not the file itself",
    "html": "a web page",
    "unknown": "of no kind that is known here",
}
REFINED = ("zip", "pickle", "gzip", "bzip2", "xz", "lzma", "lz4", "zlib", "hdf5", "unknown")
"""Kinds of which only a look inside tells what they are."""
HINTS = {
    "git-lfs": "fetch the file itself with: git lfs pull",
    "html": "a download was answered with a page; download the file again",
    "empty": "copy or export the file again",
}


def describe(kind: str) -> str:
    """`kind` in words for a message, such as "a text file"."""
    return NAMES.get(kind, f"a {kind} file")


def detect(path: Path) -> str:
    """The kind of a file: `onnx`, or one of NAMES and MAGIC. Reads at most a few KiB.

    Raises UsageError where there is no such file or it may not be read, ModelUnreadable for something that is no
    regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise UsageError("There is no such file", where=str(path), hint="check model.source") from None
    except OSError as error:
        raise UsageError(f"The file cannot be read: {error.strerror}", where=str(path)) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ModelUnreadable("Not a regular file", where=str(path))
        head = os.read(descriptor, HEAD)
    finally:
        os.close(descriptor)
    return sniff(head, status.st_size) if head else "empty"


def folder(path: Path) -> str | None:
    """The format that a folder as a whole is of, by the names that its writer gives: `savedmodel`, `huggingface`;
    None where it is just a folder."""
    if (path / "saved_model.pb").is_file():
        return "savedmodel"
    weights = ("*.safetensors", "pytorch_model*.bin")
    if (path / "config.json").is_file() and any(next(path.glob(pattern), None) for pattern in weights):
        return "huggingface"
    return None


def sniff(head: bytes, size: int) -> str:
    """The kind of a file of `size` bytes that begins with `head`."""
    for offset, magic, kind in MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if _is_safetensors(head, min(size, LONGEST_HEADER)):  # a length of 640 looks like a pickle's first bytes
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if _is_safetensors(head, size):
        return "safetensors"
    if onnx_header.sniff(head, size):
        return "onnx"
    return "text" if _is_text(head) else "unknown"


def _is_safetensors(head: bytes, size: int) -> bool:
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(head) < HEAD or error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return all(sign.isprintable() or sign in "\t\r\n\f" for sign in text)
