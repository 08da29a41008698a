"""Pickle's machine, run without importing or calling anything: each import and each call is judged, none is made.

Opcodes: Python's Lib/pickletools.py and Lib/pickle.py. The machine keeps names where the real one would, in memo and
on the stack, so that a name that is put together from pieces is still seen; where it cannot know a name, that itself
is a finding.
"""

from __future__ import annotations

import _compat_pickle
import ast
import contextlib
import io
import pickle
from collections.abc import Callable
from typing import IO, Any

from cloudmodel.formats.model import Finding
from cloudmodel.formats.scanning import joblib_arrays
from cloudmodel.formats.scanning.budget import FINDINGS, Budget
from cloudmodel.formats.scanning.pickle_names import judge
from cloudmodel.formats.scanning.pickle_values import KEPT_TEXT, MARK, OPAQUE, Call, Global, Items

LINE = 1 << 16
NESTED = 16 << 20
PIECE = 1 << 20
MAX_NESTING = 3
BROKEN = "pickle-broken"


class BrokenPickle(Exception):
    """Bytes that Python's own unpickler would stop at."""


class Machine:
    """One pickle from `stream`, which is left behind its STOP. `findings` holds what was met, also before a break."""

    def __init__(self, stream: IO[bytes], budget: Budget, where: str, nesting: int = 0) -> None:
        self.stream = stream
        self.where = where
        self.budget = budget
        self.nesting = nesting
        self.findings: list[Finding] = []
        self.imports: list[Global] = []
        self.calls = 0
        self.joblib = False
        self.result: Any = None
        self._proto = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._at = 0
        self._stopped = False

    def run(self) -> None:
        """Walk to STOP. Raises BrokenPickle, and Exhausted from the budget."""
        while not self._stopped:
            code = self.stream.read(1)
            if not code:
                raise BrokenPickle("it ends before its end mark")
            step = STEPS.get(code[0])
            if step is None:
                raise BrokenPickle(f"byte {self._at} is no opcode")
            self._at += 1
            step(self)

    # What the opcodes are made of

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises BrokenPickle where there are fewer."""
        data = self.stream.read(size)
        if len(data) != size:
            raise BrokenPickle("it ends inside a value")
        self._at += size
        return data

    def skip(self, size: int) -> None:
        """Pass over `size` bytes, a piece at a time."""
        while size:
            size -= len(self.take(min(size, PIECE)))

    def number(self, size: int, *, signed: bool = False) -> int:
        """A little-endian number of `size` bytes."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> bytes:
        """The bytes up to the end of the line, which is taken off."""
        line = self.stream.readline(LINE)
        self._at += len(line)
        if not line.endswith(b"\n"):
            raise BrokenPickle("a line that does not end")
        return line[:-1]

    def push(self, value: Any) -> None:
        """Put a new value on the stack."""
        self.budget.build()
        self._stack.append(value)

    def pop(self) -> Any:
        """Take the top of the stack, which must not be a mark."""
        if not self._stack or self._stack[-1] is MARK:
            raise BrokenPickle(f"nothing to take from the stack at byte {self._at}")
        return self._stack.pop()

    def to_mark(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is MARK:
                taken = self._stack[index + 1 :]
                del self._stack[index:]
                return taken
        raise BrokenPickle(f"no mark on the stack at byte {self._at}")

    def note(self, rule: str, detail: str) -> None:
        """Keep a finding; beyond FINDINGS of them the first ones are enough."""
        if len(self.findings) < FINDINGS:
            self.findings.append(Finding(rule=rule, location=f"{self.where}: byte {self._at}", detail=detail))

    def memoize(self, index: int) -> None:
        """Remember the top of the stack."""
        if not self._stack:
            raise BrokenPickle("nothing to remember")
        self.budget.build()
        self._memo[index] = self._stack[-1]

    def recall(self, index: int) -> None:
        """Put a remembered value on the stack again."""
        if index not in self._memo:
            raise BrokenPickle(f"nothing was remembered as {index}")
        self.push(self._memo[index])

    # The opcodes that matter

    def text(self, size: int) -> None:
        """A text of `size` bytes; a long one is skipped."""
        if size <= KEPT_TEXT:
            self.push(self.take(size).decode("utf-8", "surrogatepass"))
        else:
            self.blob(size)

    def blob(self, size: int) -> None:
        """Bytes of no interest by themselves, unless they are a pickle again."""
        head = self.take(min(size, NESTED))
        self.skip(size - len(head))
        if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and self.nesting < MAX_NESTING:
            inner = Machine(
                io.BytesIO(head), self.budget, f"{self.where}: pickle inside, byte {self._at}", self.nesting + 1
            )
            with contextlib.suppress(
                BrokenPickle, ValueError
            ):  # plain data that begins like a pickle; what was met in it still counts
                inner.run()
            self.findings += inner.findings
        self.push(OPAQUE)

    def imported(self, module: Any, name: Any) -> None:
        """An import: judged by the allow-list, under the name that Python 3 would look up."""
        if not (isinstance(module, str) and isinstance(name, str)):
            self.note("pickle-name", "imports something whose name is not written in the file")
            self.push(OPAQUE)
            return
        if self._proto < 3:
            module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
            module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        found = Global(module, name)
        self.imports.append(found)
        if verdict := judge(found):
            self.note(*verdict)
        self.push(found)

    def called(self, callee: Any, arguments: Any) -> None:
        """A call: of an import, which was judged already, or of something made on the way, which no model needs."""
        self.calls += 1
        if not isinstance(callee, Global):
            self.note("pickle-call", "calls something that it has made itself")
        self.push(Call(callee, arguments))

    def build(self) -> None:
        """BUILD: attributes for the object below the state."""
        state = self.pop()
        target = self._stack[-1] if self._stack else None
        if isinstance(target, Global):
            self.note("pickle-call", f"changes {target} itself, not an object of its own")
        if not isinstance(target, Call):
            if target is None or target is MARK:
                raise BrokenPickle("nothing to build")
            return
        target.state = state
        if joblib_arrays.is_wrapper(target):
            self.joblib = True
            array = joblib_arrays.Array.of(state)
            if array is None:
                self.note("pickle-name", "an array of joblib whose size is not written in the file")
            elif array.objects:
                inner = Machine(self.stream, self.budget, f"{self.where}: objects in an array", self.nesting + 1)
                if self.nesting >= MAX_NESTING:
                    raise BrokenPickle("arrays of arrays without end")
                try:
                    inner.run()
                finally:
                    self.findings += inner.findings
                    self.imports += inner.imports
            else:
                if array.aligned:
                    self.skip(self.number(1))
                self.skip(array.size)

    def stop(self) -> None:
        """STOP: the value on top is the result."""
        self.result = self.pop()
        self._stopped = True

    def protocol(self) -> None:
        """PROTO may stand anywhere, and counts from there on."""
        self._proto = self.number(1)
        if self._proto > pickle.HIGHEST_PROTOCOL:
            raise BrokenPickle(f"protocol {self._proto} is not known")

    def put(self) -> None:
        """MEMOIZE: the next free number."""
        self.memoize(len(self._memo))

    def mark(self) -> None:
        """MARK."""
        self.budget.build()
        self._stack.append(MARK)

    def dup(self) -> None:
        """DUP."""
        if not self._stack:
            raise BrokenPickle("nothing to double")
        self.push(self._stack[-1])

    def drop(self) -> None:
        """POP: a value, or a mark."""
        if not self._stack:
            raise BrokenPickle("nothing to drop")
        self._stack.pop()

    def items(self, kind: str) -> None:
        """A collection of everything above the mark."""
        made = Items(kind)
        taken = self.to_mark()
        for item in zip(taken[::2], taken[1::2], strict=False) if kind == "dict" else taken:
            made.add(item)
        self.push(tuple(taken) if kind == "tuple" else made)

    def fill(self, values: list[Any], *, pairs: bool) -> None:
        """Members for the collection on top of the stack."""
        target = self._stack[-1] if self._stack else None
        if target is None or target is MARK:
            raise BrokenPickle("nothing to fill")
        if isinstance(target, Items):
            for item in zip(values[::2], values[1::2], strict=False) if pairs else values:
                target.add(item)

    def tuple_of(self, count: int) -> None:
        """TUPLE1 to TUPLE3."""
        self.push(tuple(reversed([self.pop() for _ in range(count)])))


def _text_line(machine: Machine) -> None:
    try:
        value = ast.literal_eval(machine.line()[: 4 * KEPT_TEXT].decode("latin-1"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise BrokenPickle("a text without quotes") from None
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    machine.push(value if isinstance(value, str) else OPAQUE)


def _int_line(machine: Machine) -> None:
    line = machine.line().rstrip(b"L")
    try:
        value = int(line) if len(line) < 64 else OPAQUE
    except ValueError:
        raise BrokenPickle("a number that is none") from None
    machine.push(value)


def _float_line(machine: Machine) -> None:
    try:
        float(machine.line())
    except ValueError:
        raise BrokenPickle("a number that is none") from None
    machine.push(OPAQUE)


def _long(machine: Machine, size: int) -> None:
    if size < 0:
        raise BrokenPickle("a number of less than no bytes")
    if size <= 16:
        machine.push(machine.number(size, signed=True))
    else:
        machine.blob(size)


def _index_line(machine: Machine) -> int:
    line = machine.line()
    if not (line.isdigit() and len(line) < 12):
        raise BrokenPickle("an index that is none")
    return int(line)


def _global_line(machine: Machine) -> tuple[str, str]:
    try:
        return machine.line().decode("utf-8"), machine.line().decode("utf-8")
    except UnicodeDecodeError:
        raise BrokenPickle("a name that is no text") from None


def _instance(machine: Machine) -> None:
    names = _global_line(machine)
    arguments = tuple(machine.to_mark())
    machine.imported(*names)
    machine.called(machine.pop(), arguments)


def _object(machine: Machine) -> None:
    taken = machine.to_mark()
    if not taken:
        raise BrokenPickle("a class is missing")
    machine.called(taken[0], tuple(taken[1:]))


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.imported(module, name)


def _reduce(machine: Machine) -> None:
    arguments, callee = machine.pop(), machine.pop()
    machine.called(callee, arguments)


def _new_with_keywords(machine: Machine) -> None:
    machine.pop()
    _reduce(machine)


def _append(machine: Machine) -> None:
    machine.fill([machine.pop()], pairs=False)


def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.fill([key, value], pairs=True)


def _extension(machine: Machine, size: int) -> None:
    machine.number(size)
    machine.note("pickle-name", "imports by a number of the copyreg registry")
    machine.push(OPAQUE)


def _persistent(machine: Machine) -> None:
    machine.pop()
    machine.push(OPAQUE)


STEPS: dict[int, Callable[[Machine], object]] = {
    key[0]: step
    for key, step in {
        b"I": _int_line, b"L": _int_line, b"F": _float_line,
        b"J": lambda m: m.push(m.number(4, signed=True)),
        b"K": lambda m: m.push(m.number(1)),
        b"M": lambda m: m.push(m.number(2)),
        b"\x8a": lambda m: _long(m, m.number(1)),
        b"\x8b": lambda m: _long(m, m.number(4, signed=True)),
        b"G": lambda m: m.take(8) and m.push(OPAQUE),
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),
        b"\x89": lambda m: m.push(False),
        b"S": _text_line,
        b"T": lambda m: m.text(m.number(4)),
        b"U": lambda m: m.text(m.number(1)),
        b"V": lambda m: m.push(m.line().decode("raw-unicode-escape")[:KEPT_TEXT]),
        b"X": lambda m: m.text(m.number(4)),
        b"\x8c": lambda m: m.text(m.number(1)),
        b"\x8d": lambda m: m.text(m.number(8)),
        b"B": lambda m: m.blob(m.number(4)),
        b"C": lambda m: m.blob(m.number(1)),
        b"\x8e": lambda m: m.blob(m.number(8)),
        b"\x96": lambda m: m.blob(m.number(8)),
        b"\x97": lambda m: m.push(OPAQUE),
        b"\x98": lambda m: None,
        b"]": lambda m: m.push(Items("list")),
        b"}": lambda m: m.push(Items("dict")),
        b"\x8f": lambda m: m.push(Items("set")),
        b")": lambda m: m.push(()),
        b"l": lambda m: m.items("list"),
        b"d": lambda m: m.items("dict"),
        b"t": lambda m: m.items("tuple"),
        b"\x91": lambda m: m.items("set"),
        b"\x85": lambda m: m.tuple_of(1),
        b"\x86": lambda m: m.tuple_of(2),
        b"\x87": lambda m: m.tuple_of(3),
        b"a": _append,
        b"e": lambda m: m.fill(m.to_mark(), pairs=False),
        b"\x90": lambda m: m.fill(m.to_mark(), pairs=False),
        b"s": _set_item,
        b"u": lambda m: m.fill(m.to_mark(), pairs=True),
        b"0": lambda m: m.drop(),
        b"1": lambda m: m.to_mark(),
        b"2": lambda m: m.dup(),
        b"(": lambda m: m.mark(),
        b"p": lambda m: m.memoize(_index_line(m)),
        b"q": lambda m: m.memoize(m.number(1)),
        b"r": lambda m: m.memoize(m.number(4)),
        b"\x94": lambda m: m.put(),
        b"g": lambda m: m.recall(_index_line(m)),
        b"h": lambda m: m.recall(m.number(1)),
        b"j": lambda m: m.recall(m.number(4)),
        b"c": lambda m: m.imported(*_global_line(m)),
        b"\x93": _stack_global,
        b"i": _instance,
        b"o": _object,
        b"R": _reduce,
        b"\x81": _reduce,
        b"\x92": _new_with_keywords,
        b"b": lambda m: m.build(),
        b"\x82": lambda m: _extension(m, 1),
        b"\x83": lambda m: _extension(m, 2),
        b"\x84": lambda m: _extension(m, 4),
        b"P": lambda m: m.line() is not None and m.push(OPAQUE),
        b"Q": _persistent,
        b"\x80": lambda m: m.protocol(),
        b"\x95": lambda m: m.take(8),
        b".": lambda m: m.stop(),
    }.items()
}  # fmt: skip
"""What each opcode does to the machine."""
