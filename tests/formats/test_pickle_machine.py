"""The machine sees every import that Python's own unpickler would make, on any bytes whatever."""

from __future__ import annotations

import contextlib
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudmodel.formats.scan import scan
from cloudmodel.formats.scanning.budget import Budget, Exhausted
from cloudmodel.formats.scanning.pickle_values import BrokenPickle
from cloudmodel.formats.scanning.pickles import Machine
from hostile import CONTAINERS, OPCODES, short, system


class Stub:
    """Stands for whatever would be imported: it takes any arguments and does nothing."""

    def __new__(cls, *arguments: Any, **named: Any) -> Stub:
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...

    def add(self, item: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def __hash__(self) -> int:
        return 1


class Judge(pickle.Unpickler):
    """Python's unpickler, which notes what it is asked to import and imports nothing."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.asked: list[tuple[str, str]] = []

    def find_class(self, module: str, name: str) -> Any:
        self.asked.append((module, name))
        return Stub

    def persistent_load(self, pid: Any) -> Any:
        return None


def asked_by_python(data: bytes) -> list[tuple[str, str]]:
    judge = Judge(data)
    with contextlib.suppress(Exception):
        judge.load()
    return judge.asked


def seen_by_us(data: bytes) -> tuple[int, int]:
    """How many imports were met, and how many findings there are of names that are not plain."""
    machine = Machine(io.BytesIO(data), Budget(packed=len(data)), "file")
    with contextlib.suppress(BrokenPickle, ValueError, Exhausted):
        machine.run()
    hidden = [finding for finding in machine.findings if finding.rule == "pickle-name"]
    return len(machine.imports), len(hidden)


NAMES = st.sampled_from(["os", "system", "numpy", "ndarray", "builtins", "eval", "a.b", ""])
PIECES = st.one_of(
    st.builds(short, NAMES),
    st.builds(lambda a, b: f"c{a}\n{b}\n".encode(), NAMES, NAMES),
    st.builds(lambda a, b: short(a) + short(b) + b"\x93", NAMES, NAMES),
    st.builds(lambda code, n: bytes([code, n]), st.sampled_from(b"qhKC\x80\x82"), st.integers(0, 5)),
    st.sampled_from(
        [bytes([code]) for code in b"(.012NRQ]})\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94\x81\x92abdelostu"]
    ),
    st.sampled_from([b"p0\n", b"g0\n", b"I1\n", b"S'os'\n", b"Vos\n", b"\x95" + bytes(8), b"P1\n", b"ios\nsystem\n"]),
    st.binary(max_size=3),
)


@given(st.lists(PIECES, max_size=25).map(b"".join))
@example(b"\x80\x04" + short("os") + b"\x94" + short("system") + b"\x94h\x00h\x01\x93.")
@example(b"(cos\nsystem\n1(ios\nsystem\n.")
def test_no_import_of_pythons_unpickler_is_missed(data: bytes) -> None:
    imports, hidden = seen_by_us(data)
    assert imports + hidden >= len(asked_by_python(data))


@pytest.mark.parametrize("data", OPCODES.values(), ids=OPCODES)
def test_the_table_of_hostile_pickles_is_understood_as_python_does(data: bytes) -> None:
    imports, hidden = seen_by_us(data)
    assert imports + hidden >= len(asked_by_python(data))


SEEDS = [wrap(system(protocol)) for wrap in CONTAINERS.values() for protocol in (0, 4)]


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=4),
    st.integers(0, 99),
)
def test_a_damaged_file_ends_in_a_verdict(
    tmp_path_factory: pytest.TempPathFactory, seed: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(seed)
    for at, value in changes:
        data[at % len(data)] = value
    path: Path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(bytes(data[: len(data) - cut] if cut < 20 else data))
    assert scan(path).verdict in ("clean", "unknown", "unsafe")


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_verdict(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(data)
    assert scan(path).verdict in ("clean", "unknown", "unsafe")
