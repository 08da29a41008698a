"""From a file to everything inside it: what each thing is, by its bytes, and who looks at it."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cloudmodel.formats import detect, onnx
from cloudmodel.formats.scanning import (
    archives,
    arrays,
    hdf5,
    opinions,
    pickles,
    safetensors,
    savedmodel,
    streams,
    zips,
)
from cloudmodel.formats.scanning.budget import Budget, Exhausted
from cloudmodel.formats.scanning.context import Context, Place, on_disk, path_of, seekable
from cloudmodel.formats.scanning.pickle_values import BrokenPickle

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PICKLES = 5  # torch's old file: magic, protocol, system, the model, the keys of its storages; then numbers
UNKNOWN_SIZE = 1 << 62


def look(path: Path) -> tuple[str, Context]:
    """What a regular file is, and what was noticed in it and in all that is nested in it. Raises OSError."""
    with path.open("rb", buffering=streams.PIECE) as file:
        assert isinstance(file, io.BufferedReader)
        context = Context(Budget(packed=os.fstat(file.fileno()).st_size))
        return inside(file, Place(context)), context


def inside(stream: io.BufferedReader, place: Place) -> str:
    """Look at one thing, which is read once. What cannot be read is a finding; a spent budget ends it all."""
    kind = "unknown"
    try:
        place.budget.enter(len(place.names))
        head = stream.peek(detect.HEAD)[: detect.HEAD]
        size = os.fstat(stream.fileno()).st_size if on_disk(stream) else UNKNOWN_SIZE
        kind = detect.sniff(head, size) if head else "empty"
        return READERS.get(kind, _not_read)(stream, place) or kind
    except streams.BrokenArchive as error:
        place.note("unreadable", str(error))
    except Exhausted as error:
        place.note("too-complex", error.reason)
        if place.names:
            raise
    return kind


def _not_read(stream: io.BufferedReader, place: Place) -> str:
    place.note("not-scanned", "is of a kind that is not scanned here")
    return ""


def _empty(stream: io.BufferedReader, place: Place) -> str:
    if not place.names:
        place.note("unreadable", "this is an empty file")
    return "empty"


def _plain(stream: io.BufferedReader, place: Place, *, text: bool) -> str:
    """Text or unknown bytes: perhaps a pickle of the oldest protocols, perhaps a zip with something before it."""
    with seekable(stream, place.budget) as file:
        machine = pickles.Machine(file, place.budget, place.where)
        stopped = _runs(machine)
        if machine.calls or (stopped and (machine.imports or not file.read(1))):
            place.context.add(machine.findings)
            if not stopped:
                place.note("pickle-broken", "a pickle that does not end")
            file.seek(0)
            place.context.keep(place.where, file.read(opinions.MAX_PICKLE + 1))
            return "pickle"
        file.seek(max(0, file.seek(0, 2) - zips.TAIL))
        tail = file.read()
    end = tail.rfind(zips.END)
    if end >= 0 and len(tail) - end >= 22:
        place.note("size-mismatch", "is a zip with something else before it")
    elif text and place.names and place.names[-1].endswith(".py"):
        place.note("python-code", "is Python code, which would run where the model is served")
    elif not text:
        place.note("not-scanned", "is of no kind that is known here")
    return ""


def _runs(machine: pickles.Machine) -> bool:
    try:
        machine.run()
    except (BrokenPickle, ValueError):
        return False
    return True


def _pickle(stream: io.BufferedReader, place: Place) -> str:
    """All pickles that stand one behind the other; what is behind them must be nothing, or torch's numbers."""
    kind = "pickle"
    count = 0
    kept = opinions.Kept(stream)
    while stream.peek(1):
        machine = pickles.Machine(kept, place.budget, place.where)
        try:
            machine.run()
        except (BrokenPickle, ValueError) as error:
            place.note("trailing-data" if count else "pickle-broken", f"a pickle that cannot be read: {error}")
            break
        finally:
            place.context.add(machine.findings)
        count += 1
        if machine.joblib:
            kind = "joblib"
        if count == 1 and machine.result == TORCH_MAGIC:
            kind = "torch"
        if kind == "torch" and count == TORCH_PICKLES:
            break
    if kind != "joblib":  # whose arrays stand between the opcodes, where the others cannot pass
        place.context.keep(place.where, kept.content)
    return kind


def _array(stream: io.BufferedReader, place: Place) -> str:
    try:
        array = arrays.Npy(stream)
    except ValueError as error:
        place.note("unreadable", str(error))
        return "npy"
    if array.objects:
        _pickle(stream, place)
    else:
        place.context.add(arrays.numbers(stream, array, place.where))
    return "npy"


def _hdf5(stream: io.BufferedReader, place: Place) -> str:
    with path_of(stream, place.budget) as path:
        place.context.add(hdf5.scan(path, place.where))
    return "hdf5"


def _onnx(stream: io.BufferedReader, place: Place) -> str:
    with path_of(stream, place.budget) as path:
        found = onnx.scan(path)
    prefix = f"{place.where} > " if place.names else ""
    place.context.add([each.model_copy(update={"location": prefix + each.location}) for each in found])
    return "onnx"


def _safetensors(stream: io.BufferedReader, place: Place) -> str:
    with seekable(stream, place.budget) as file:
        place.context.add(safetensors.scan(file, place.where))
    return "safetensors"


def _savedmodel(stream: io.BufferedReader, place: Place) -> str:
    with path_of(stream, place.budget) as path, onnx.mapped(path) as buffer:
        place.context.add(savedmodel.scan(buffer, place.where))
    return "savedmodel"


def _archive(
    read: Callable[[io.BufferedReader, Place, archives.Inside], str],
) -> Callable[[io.BufferedReader, Place], str]:
    return lambda stream, place: read(stream, place, inside)


READERS: Mapping[str, Callable[[io.BufferedReader, Place], str]] = {
    "empty": _empty,
    "text": functools.partial(_plain, text=True),
    "html": functools.partial(_plain, text=False),
    "unknown": functools.partial(_plain, text=False),
    "pickle": _pickle,
    "npy": _array,
    "hdf5": _hdf5,
    "onnx": _onnx,
    "safetensors": _safetensors,
    "savedmodel": _savedmodel,
    "tar": _archive(archives.read_tar),
    "zip": _archive(archives.read_zip),
    **{kind: _archive(archives.read_compressed(kind)) for kind in streams.DECOMPRESSORS},
}
"""Who looks at which kind, and tells what it is more closely; what is not here is not scanned, and so never clean."""
