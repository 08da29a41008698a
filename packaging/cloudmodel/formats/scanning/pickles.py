"""Pickle's machine, run without importing or calling anything: each import and each call is judged, none is made.

Opcodes: Python's Lib/pickletools.py and Lib/pickle.py. The machine keeps names where the real one would, in memo and
on the stack, so that a name that is put together from pieces is still seen; where it cannot know a name, that itself
is a finding.
"""

from __future__ import annotations

import _compat_pickle
import contextlib
import io
import pickle
from typing import Any, Protocol

from cloudmodel.formats.model import Finding
from cloudmodel.formats.scanning import joblib_arrays
from cloudmodel.formats.scanning.budget import FINDINGS, Budget
from cloudmodel.formats.scanning.pickle_names import judge
from cloudmodel.formats.scanning.pickle_opcodes import STEPS
from cloudmodel.formats.scanning.pickle_values import KEPT_TEXT, MARK, OPAQUE, BrokenPickle, Call, Global, Items

LINE = 1 << 16
NESTED = 16 << 20
PIECE = 1 << 20
MAX_NESTING = 3


class Readable(Protocol):
    """What the machine asks of a stream."""

    def read(self, size: int = -1, /) -> bytes: ...
    def readline(self, size: int = -1, /) -> bytes: ...


class Machine:
    """One pickle from `stream`, which is left behind its STOP. `findings` holds what was met, also before a break."""

    def __init__(self, stream: Readable, budget: Budget, where: str, nesting: int = 0) -> None:
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
