"""Harmless stand-ins for hostile files: each would make a marker file if anything loaded it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

MARKER = "loaded-by-the-scan"
COMMAND = f"touch {MARKER}"


class Reduces:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made = (function, arguments)

    def __reduce__(self) -> Any:
        return self.made


def short(text: str) -> bytes:
    """SHORT_BINUNICODE."""
    data = text.encode()
    return b"\x8c" + bytes([len(data)]) + data


def stack_global(module: str, name: str, argument: str = COMMAND) -> bytes:
    """A call of `module.name(argument)` in protocol 4, named on the stack."""
    return b"\x80\x04" + short(module) + short(name) + b"\x93" + short(argument) + b"\x85R."


def by_global(module: str, name: str, argument: str = COMMAND) -> bytes:
    """The same in the oldest protocol, in letters only."""
    return f"c{module}\n{name}\n(S{argument!r}\ntR.".encode()


def system(protocol: int = 4) -> bytes:
    """The plain case."""
    import os

    return pickle.dumps(Reduces(os.system, COMMAND), protocol=protocol)


OPCODES: dict[str, bytes] = {
    **{f"system, protocol {protocol}": system(protocol) for protocol in range(6)},
    "letters only": by_global("os", "system"),
    "python 2 name": by_global("__builtin__", "eval"),
    "eval": stack_global("builtins", "eval"),
    "exec": stack_global("builtins", "exec"),
    "compile": stack_global("builtins", "compile"),
    "open": stack_global("builtins", "open"),
    "getattr": stack_global("builtins", "getattr"),
    "import": stack_global("builtins", "__import__"),
    "importlib": stack_global("importlib", "import_module"),
    "subprocess": stack_global("subprocess", "Popen"),
    "posix": stack_global("posix", "system"),
    "dotted name": stack_global("logging", "os.system"),
    "dotted name of an allowed module": stack_global("numpy", "f2py.crackfortran.myeval"),
    "pkgutil.resolve_name": stack_global("pkgutil", "resolve_name", "os:system"),
    "timeit": stack_global("timeit", "timeit"),
    "runpy": stack_global("runpy", "run_path"),
    "ctypes": stack_global("ctypes", "CDLL"),
    "webbrowser": stack_global("webbrowser", "open"),
    "socket": stack_global("socket", "create_connection"),
    "operator": stack_global("operator", "attrgetter"),
    "functools": stack_global("functools", "partial"),
    "types": stack_global("types", "FunctionType"),
    "marshal": stack_global("marshal", "loads"),
    "pickle inside": stack_global("pickle", "loads"),
    "shutil": stack_global("shutil", "rmtree"),
    "pty": stack_global("pty", "spawn"),
    "asyncio": stack_global("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    "numpy runstring": stack_global("numpy.testing._private.utils", "runstring"),
    "numpy load": stack_global("numpy", "load"),
    "joblib load": stack_global("joblib", "load"),
    "torch load": stack_global("torch", "load"),
    "torch storage": stack_global("torch.storage", "_load_from_bytes"),
    "torch hub": stack_global("torch.hub", "load"),
    "a module that sklearn imports": stack_global("sklearn.utils._testing", "os"),
    "pandas": stack_global("pandas", "read_pickle"),
    "pip": stack_global("pip", "main"),
    "inst": f"(S{COMMAND!r}\nios\nsystem\n.".encode(),
    "obj": b"(cos\nsystem\n" + f"S{COMMAND!r}\no.".encode(),
    "newobj": b"\x80\x02cos\nsystem\n" + short(COMMAND) + b"\x85\x81.",
    "newobj with keywords": b"\x80\x04" + short("os") + short("system") + b"\x93" + short(COMMAND) + b"\x85}\x92.",
    "built of pieces in the memo": b"\x80\x04"
    + short("os")
    + b"\x940"
    + short("system")
    + b"\x940h\x00h\x01\x93"
    + short(COMMAND)
    + b"\x85R.",
    "a name that is read from a list": b"\x80\x04" + short("os") + short("system") + b"\x85\x93.",
    "a name that is computed": b"\x80\x04cbuiltins\nstr\n" + short("os") + b"\x85R" + short("system") + b"\x93.",
    "an import that is not called": b"\x80\x04" + short("os") + short("system") + b"\x93.",
    "an import that is dropped": b"\x80\x04" + short("os") + short("system") + b"\x930N.",
    "a call whose value is dropped": b"\x80\x04" + stack_global("os", "system")[2:-1] + b"0N.",
    "obj and pop": b"(cos\nsystem\n" + f"S{COMMAND!r}\no0N.".encode(),
    "a call of what was made": b"\x80\x04cbuiltins\nobject\n)R)R.",
    "a changed class": b"\x80\x04cnumpy\nndarray\n}" + short("x") + b"K\x01sb.",
    "an extension code": b"\x80\x02\x82\x01.",
    "an extension code of 4 bytes": b"\x80\x02\x84\x01\x00\x00\x00.",
    "behind many frames": b"\x80\x04" + (b"\x95" + bytes(8)) * 50 + stack_global("os", "system")[2:],
    "after a protocol change": b"\x80\x04N0\x80\x02c__builtin__\neval\n(S'1'\ntR.",
    "payload before garbage": stack_global("os", "system")[:-1] + b"\xff\xfe garbage",
    "payload before the end of the file": stack_global("os", "system")[:-1],
    "a second pickle": pickle.dumps({"honest": 1}) + stack_global("os", "system"),
    "nested in bytes": pickle.dumps({"inner": system()}),
    "persistent id with an import": b"\x80\x02cos\nsystem\nQ.",
    "a long text before": b"\x80\x04"
    b"X" + struct.pack("<I", 5000) + b"a" * 5000 + b"0" + stack_global("os", "system")[2:],
}
"""Pickles by what they try."""


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members: dict[str, bytes], mode: Any = "w") -> bytes:
    """A tar; `mode` `w:gz` packs it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def torch_zip(pickled: bytes, root: str = "archive") -> bytes:
    """What torch.save writes since 1.6, as far as a scan goes."""
    members = {f"{root}/data.pkl": pickled, f"{root}/version": b"3\n", f"{root}/data/0": bytes(64)}
    return zipped(members, zipfile.ZIP_STORED)


def object_npy(pickled: bytes) -> bytes:
    """A `.npy` whose elements are pickled."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return file.getvalue() + pickled


def wrong_crc(content: bytes) -> bytes:
    """The same zip with other checksums, local and central."""
    data = bytearray(content)
    for magic, offset in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        at = data.find(magic)
        while at >= 0:
            data[at + offset : at + offset + 4] = b"\x12\x34\x56\x78"
            at = data.find(magic, at + 4)
    return bytes(data)


def encrypted(content: bytes) -> bytes:
    """The same zip with the flag of a password."""
    data = bytearray(content)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(magic)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(magic, at + 4)
    return bytes(data)


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "zlib, level 1": lambda data: zlib.compress(data, 1),
    "zip": lambda data: zipped({"a.bin": data}),
    "zip, stored": lambda data: zipped({"a.bin": data}, zipfile.ZIP_STORED),
    "zip, bzip2": lambda data: zipped({"a.bin": data}, zipfile.ZIP_BZIP2),
    "zip with wrong checksums": lambda data: wrong_crc(zipped({"a.bin": data})),
    "torch": torch_zip,
    "torch with wrong checksums": lambda data: wrong_crc(torch_zip(data)),
    "torch in a root of another name": lambda data: torch_zip(data, "x/y"),
    "tar": lambda data: tarred({"model.pkl": data}),
    "model.tar.gz": lambda data: tarred({"model/weights.bin": data}, "w:gz"),
    "torch in model.tar.gz": lambda data: tarred({"model.pt": torch_zip(data)}, "w:gz"),
    "object array": object_npy,
    "object array in npz": lambda data: zipped({"a.npy": object_npy(data)}),
    "gzip of gzip": lambda data: gzip.compress(gzip.compress(data)),
    "the second stream of a gzip": lambda data: gzip.compress(data[:2]) + gzip.compress(data[2:]),
    "zip in zip in tar": lambda data: tarred({"a": zipped({"b": zipped({"c": data})})}),
    "keras archive": lambda data: zipped({"config.json": b"{}", "metadata.json": b"{}", "x.npy": data}),
    "TorchServe archive": lambda data: zipped({"MAR-INF/MANIFEST.json": b"{}", "model.pt": torch_zip(data)}),
}
"""Ways to wrap a file."""
