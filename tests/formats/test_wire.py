"""The header walk ends, whatever the bytes are, and never asks for more memory than there are bytes."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onnx_models
from cloudmodel.formats import onnx_header
from cloudmodel.formats.scan import scan
from cloudmodel.formats.wire import Allowance, Broken, fields, signed, varint

LIMIT = 64 << 20


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return onnx_models.text(tmp_path_factory.mktemp("models") / "m.onnx").read_bytes()


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"\x00", 0), (b"\x7f", 127), (b"\x80\x01", 128), (b"\xff" * 9 + b"\x01", (1 << 64) - 1)],
)
def test_a_number(data: bytes, expected: int) -> None:
    assert varint(data, 0, len(data)) == (expected, len(data))


@pytest.mark.parametrize(("data", "short"), [(b"", 1), (b"\x80", 1), (b"\xff" * 11, 0)])
def test_a_number_that_does_not_end(data: bytes, short: int) -> None:
    with pytest.raises(Broken) as caught:
        varint(data, 0, len(data))
    assert caught.value.short == short


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_signed_numbers_come_back(number: int) -> None:
    assert signed(number & 0xFFFFFFFFFFFFFFFF) == number


def test_a_length_beyond_the_end_is_named_and_not_allocated() -> None:
    data = b"\x3a\xff\xff\xff\xff\xff\xff\xff\x7f"
    with pytest.raises(Broken) as caught:
        list(fields(data, 0, len(data), Allowance(10)))
    assert caught.value.offset == 0
    assert caught.value.short > 1 << 50


def test_a_walk_has_an_end_even_if_the_bytes_have_not() -> None:
    with pytest.raises(Broken, match="more fields"):
        list(fields(b"\x08\x00" * 100, 0, 200, Allowance(50)))


def _walk(data: bytes) -> None:
    tracemalloc.start()
    try:
        onnx_header.read(data)
    except Broken as broken:
        assert 0 <= broken.offset <= len(data)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < LIMIT


@given(st.binary(max_size=2000))
def test_any_bytes_are_walked_or_refused(data: bytes) -> None:
    _walk(data)


@settings(max_examples=300)
@given(st.data())
def test_any_change_of_a_valid_model_is_walked_or_refused(valid: bytes, data: st.DataObject) -> None:
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "copy"])):
            case "flip":
                content[place] = data.draw(st.integers(0, 255))
            case "cut":
                del content[place : place + data.draw(st.integers(1, 40))]
            case "insert":
                content[place:place] = data.draw(st.binary(min_size=1, max_size=20))
            case "copy":
                content += content[place : place + 200]
        if not content:
            return
    _walk(bytes(content))


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_a_scan_of_any_file_ends_in_a_verdict(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(data)
    assert scan(path).verdict in ("clean", "unsafe", "unknown")
