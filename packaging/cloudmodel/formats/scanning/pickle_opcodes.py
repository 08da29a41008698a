"""Pickle's opcodes: what each does to the machine of `pickles`. Source: Python's Lib/pickletools.py."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudmodel.formats.scanning.pickle_values import KEPT_TEXT, OPAQUE, BrokenPickle, Items

if TYPE_CHECKING:
    from cloudmodel.formats.scanning.pickles import Machine


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
