"""Mapped weights are let go after they were read, so that a model of any size is asked in little memory.

A page of a file that is mapped and not written to is the file's own: the kernel takes it back where memory is short,
and reads it again. Until then it counts as memory of the process. Here it is given back of ourselves (`madvise(2)`,
MADV_DONTNEED). A mapping that was written to is left alone: it would lose that.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

STEP = 128 << 20
"""Bytes of mapped pages that may gather before they are given back."""
DONT_NEED = 4  # sys/mman.h
PAGE = 4096
MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ +(/.*)$", re.MULTILINE)
WRITTEN = re.compile(r"^Anonymous: +(\d+) kB$", re.MULTILINE)


def watch(torch: Any, folder: Path) -> None:
    """From here on a module of PyTorch that has answered gives the pages of files below `folder` back, where more than
    STEP were gathered."""
    seen = _gathered()

    def look(*_: Any) -> None:
        nonlocal seen
        if _gathered() - seen > STEP:
            give_back(folder)
            seen = _gathered()

    torch.nn.modules.module.register_module_forward_hook(look)


def unpacked(onnxruntime: Any) -> None:
    """From here on, sessions of onnxruntime compute with weights where they are mapped: by default it makes copies of
    those of products, in an order that is faster to go through."""

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.add_session_config_entry("session.disable_prepacking", "1")

    onnxruntime.SessionOptions = Options


def give_back(folder: Path) -> None:
    """Give the pages of every file below `folder` back that this process has mapped."""
    advise = ctypes.CDLL(None, use_errno=True).madvise
    below = f"{folder.resolve()}/"
    text = Path("/proc/self/smaps").read_text(errors="replace")
    for one in MAPPING.finditer(text):
        written = WRITTEN.search(text, one.end()) if one[3].startswith(below) else None
        if written and written[1] == "0":
            start, stop = int(one[1], 16), int(one[2], 16)
            advise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), DONT_NEED)


def _gathered() -> int:
    return int(Path("/proc/self/statm").read_text().split()[2]) * PAGE  # pages of files, resident
