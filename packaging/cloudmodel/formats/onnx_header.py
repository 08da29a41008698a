"""What an ONNX file says of itself, without onnx or onnxruntime: a walk over the header that skips the weights.

Field numbers: onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ...), onnx 1.23.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cloudmodel.formats.wire import BYTES, VARINT, Allowance, Broken, Buffer, Field, fields, signed, varint

MAX_FIELDS = 10_000_000
MAX_TENSORS = 1_000_000
MAX_OPERATORS = 100_000
MAX_DEPTH = 64
MAX_NAME = 1024
MAX_RANK = 64

NUMPY_NAME = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "str", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
}  # fmt: skip
BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
STRING = 8
RAW = "raw"
TYPED = {4: "float", 5: "int32", 6: "string", 7: "int64", 10: "double", 11: "uint64"}
MODEL_FIELDS = {
    1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES, 20: BYTES,
    25: BYTES, 26: BYTES,
}  # fmt: skip


class Segment(NamedTuple):
    """Where values lie in the file: `kind` is RAW or one of TYPED."""

    kind: str
    start: int
    stop: int


@dataclass
class TensorInfo:
    """A tensor anywhere in the model: initializer, constant or part of a sparse one. Sizes are as declared."""

    where: str
    name: str = ""
    dims: list[int] = field(default_factory=list)
    data_type: int = 0
    segments: list[Segment] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)
    is_external: bool = False

    @property
    def title(self) -> str:
        """Its own name, or where it is."""
        return self.name or self.where

    @property
    def byte_size(self) -> int | None:
        """The bytes that the declared shape needs in raw form; None for strings and types that are not known."""
        bits = BITS.get(self.data_type)
        return None if bits is None else (math.prod(self.dims) * bits + 7) // 8


@dataclass
class ValueInfo:
    """A declared input or output. `shape` is None where it is not declared, `data_type` 0 for what is no tensor."""

    name: str = ""
    data_type: int = 0
    shape: list[int | str | None] | None = None
    kind: str = "no type"


@dataclass
class Header:
    """Everything that the walk found."""

    ir_version: int = 0
    producer: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    has_graph: bool = False
    nodes: int = 0
    operators: Counter[tuple[str, str]] = field(default_factory=Counter)
    functions: set[tuple[str, str]] = field(default_factory=set)
    inputs: list[ValueInfo] = field(default_factory=list)
    outputs: list[ValueInfo] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)
    tensors: list[TensorInfo] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)


def sniff(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins with `head` is an ONNX model, perhaps one that is cut short.

    A TensorFlow SavedModel also begins with two such fields, but has version 1 and never a graph.
    """
    ir_version = 0
    try:
        for part in fields(head, 0, len(head), Allowance(64)):
            if MODEL_FIELDS.get(part.number) != part.wire:
                return False
            if part.number == 1:
                ir_version = part.value
            if part.number == 7:
                return ir_version < 1000
    except Broken as broken:
        if not broken.short:
            return False
        return 3 <= ir_version < 1000 and _begins_field(head, broken.offset)
    return 3 <= ir_version < 1000 and len(head) == size and size < 64  # cut between two fields, before the graph


def _begins_field(head: bytes, at: int) -> bool:
    """Whether a field that goes on beyond `head` is one that a model has."""
    try:
        key, _ = varint(head, at, len(head))
    except Broken:
        return True
    return MODEL_FIELDS.get(key >> 3) == key & 7


def read(buffer: Buffer) -> Header:
    """Walk the whole header. Raises Broken with the offset where the bytes make no sense or end too early."""
    return _Walk(buffer).model()


class _Walk:
    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._allowance = Allowance(MAX_FIELDS)
        self._depth = 0
        self._header = Header()

    def model(self) -> Header:
        header = self._header
        seen: set[int] = set()
        for part in self._fields(0, len(self._buffer)):
            if MODEL_FIELDS.get(part.number, part.wire) != part.wire:
                raise Broken(part.start, f"field {part.number} of the model has the wrong wire type")
            self._once(part, seen, (1, 2, 7), "model")
            if part.number == 1:
                header.ir_version = signed(part.value)
            elif part.number == 2:
                header.producer = self._text(part)
            elif part.number == 7:
                header.has_graph = True
                self._graph(part, "graph", top=True)
            elif part.number == 8:
                self._opset(part)
            elif part.number == 20:
                for graph in self._fields(part.start, part.stop):
                    if graph.number in (1, 2) and graph.wire == BYTES:
                        self._graph(graph, "training")
            elif part.number == 25:
                self._function(part)
        return header

    def _fields(self, start: int, stop: int) -> Iterator[Field]:
        return fields(self._buffer, start, stop, self._allowance)

    def _graph(self, outer: Field, where: str, *, top: bool = False) -> None:
        self._deeper(outer)
        for part in self._fields(outer.start, outer.stop):
            if part.wire != BYTES:
                continue
            if part.number == 1:
                self._node(part, where)
            elif part.number == 5:
                info = self._tensor(part, f"{where}.initializer[{len(self._header.tensors)}]")
                if top:
                    self._header.initializers.add(info.name)
            elif part.number == 15:
                info = self._sparse(part, f"{where}.sparse_initializer[{len(self._header.tensors)}]")
                if top:
                    self._header.initializers.add(info.name)
            elif top and part.number in (11, 12):
                values = self._header.inputs if part.number == 11 else self._header.outputs
                if len(values) >= MAX_OPERATORS:
                    raise Broken(part.start, "more inputs than any model that is known")
                values.append(self._value_info(part))
        self._depth -= 1

    def _node(self, outer: Field, where: str) -> None:
        header = self._header
        place = f"{where}.node[{header.nodes}]"
        header.nodes += 1
        operator = domain = ""
        seen: set[int] = set()
        for part in self._fields(outer.start, outer.stop):
            if part.wire != BYTES:
                continue
            self._once(part, seen, (4, 7), place)
            if part.number == 4:
                operator = self._text(part)
            elif part.number == 7:
                domain = self._text(part)
            elif part.number == 5:
                self._attribute(part, place)
        header.operators[domain, operator] += 1
        if len(header.operators) > MAX_OPERATORS:
            raise Broken(outer.start, "more kinds of operators than any model that is known")

    def _attribute(self, outer: Field, where: str) -> None:
        seen: set[int] = set()
        for part in self._fields(outer.start, outer.stop):
            if part.wire != BYTES:
                continue
            self._once(part, seen, (1, 5, 6, 22), where)
            if part.number in (5, 10):
                self._tensor(part, where)
            elif part.number in (6, 11):
                self._graph(part, where)
            elif part.number in (22, 23):
                self._sparse(part, where)

    def _function(self, outer: Field) -> None:
        name = domain = ""
        for part in self._fields(outer.start, outer.stop):
            if part.wire != BYTES:
                continue
            if part.number == 1:
                name = self._text(part)
            elif part.number == 10:
                domain = self._text(part)
            elif part.number == 7:
                self._node(part, "function")
            elif part.number == 11:
                self._attribute(part, "function")
        self._header.functions.add((domain, name))

    def _sparse(self, outer: Field, where: str) -> TensorInfo:
        values = TensorInfo(where)
        for part in self._fields(outer.start, outer.stop):
            if part.wire == BYTES and part.number == 1:
                values = self._tensor(part, where)
            elif part.wire == BYTES and part.number == 2:
                self._tensor(part, f"{where} (indices)")
        return values

    def _tensor(self, outer: Field, where: str) -> TensorInfo:
        info = TensorInfo(where)
        self._header.tensors.append(info)
        if len(self._header.tensors) > MAX_TENSORS:
            raise Broken(outer.start, "more tensors than any model that is known")
        seen: set[int] = set()
        for part in self._fields(outer.start, outer.stop):
            self._once(part, seen, (2, 8, 9, 14), where)
            if part.number == 1:
                self._dims(part, info)
            elif part.number == 2 and part.wire == VARINT:
                info.data_type = part.value
            elif part.number == 8 and part.wire == BYTES:
                info.name = self._text(part)
            elif part.number == 9 and part.wire == BYTES:
                info.segments.append(Segment(RAW, part.start, part.stop))
            elif part.number in TYPED:
                info.segments.append(Segment(TYPED[part.number], part.start, part.stop))
            elif part.number == 13 and part.wire == BYTES:
                key, value = self._pair(part)
                if key in info.external or len(info.external) > 16:
                    self._header.duplicates.append(f"{where}: external_data {key!r}")
                info.external[key] = value
            elif part.number == 14 and part.wire == VARINT:
                info.is_external = part.value == 1
        return info

    def _dims(self, part: Field, info: TensorInfo) -> None:
        at = part.start
        while at < part.stop:
            value, at = varint(self._buffer, at, part.stop)
            info.dims.append(signed(value))
            if len(info.dims) > MAX_RANK:
                raise Broken(part.start, f"a tensor of more than {MAX_RANK} dimensions")

    def _value_info(self, outer: Field) -> ValueInfo:
        info = ValueInfo()
        for part in self._fields(outer.start, outer.stop):
            if part.number == 1 and part.wire == BYTES:
                info.name = self._text(part)
            elif part.number == 2 and part.wire == BYTES:
                self._type(part, info)
        return info

    def _type(self, outer: Field, info: ValueInfo) -> None:
        kinds = {1: "tensor", 4: "sequence", 5: "map", 7: "opaque", 8: "sparse tensor", 9: "optional"}
        for part in self._fields(outer.start, outer.stop):
            info.kind = kinds.get(part.number, info.kind)
            if part.number == 1 and part.wire == BYTES:
                for inner in self._fields(part.start, part.stop):
                    if inner.number == 1 and inner.wire == VARINT:
                        info.data_type = inner.value
                    elif inner.number == 2 and inner.wire == BYTES:
                        info.shape = self._shape(inner)

    def _shape(self, outer: Field) -> list[int | str | None]:
        shape: list[int | str | None] = []
        for part in self._fields(outer.start, outer.stop):
            if part.number != 1 or part.wire != BYTES:
                continue
            dimension: int | str | None = None
            for inner in self._fields(part.start, part.stop):
                if inner.number == 1 and inner.wire == VARINT and signed(inner.value) >= 0:
                    dimension = signed(inner.value)
                elif inner.number == 2 and inner.wire == BYTES:
                    dimension = self._text(inner) or None
            shape.append(dimension)
            if len(shape) > MAX_RANK:
                raise Broken(part.start, f"a shape of more than {MAX_RANK} dimensions")
        return shape

    def _opset(self, outer: Field) -> None:
        domain, version = "", 0
        for part in self._fields(outer.start, outer.stop):
            if part.number == 1 and part.wire == BYTES:
                domain = self._text(part)
            elif part.number == 2 and part.wire == VARINT:
                version = signed(part.value)
        if len(self._header.opsets) >= 1000:
            raise Broken(outer.start, "more operator sets than any model that is known")
        self._header.opsets["" if domain == "ai.onnx" else domain] = version

    def _pair(self, outer: Field) -> tuple[str, str]:
        pair = {1: "", 2: ""}
        for part in self._fields(outer.start, outer.stop):
            if part.number in pair and part.wire == BYTES:
                pair[part.number] = self._text(part)
        return pair[1], pair[2]

    def _text(self, part: Field) -> str:
        if part.stop - part.start > MAX_NAME:
            raise Broken(part.start, f"a name of {part.stop - part.start:,} bytes")
        return bytes(self._buffer[part.start : part.stop]).decode("utf-8", "backslashreplace")

    def _once(self, part: Field, seen: set[int], singular: tuple[int, ...], where: str) -> None:
        """Readers of protocol buffers merge a message that comes twice, so that each half looks harmless."""
        if part.number in singular:
            if part.number in seen and len(self._header.duplicates) < 100:
                self._header.duplicates.append(f"{where}: field {part.number}")
            seen.add(part.number)

    def _deeper(self, outer: Field) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Broken(outer.start, f"graphs nested more than {MAX_DEPTH} deep")
