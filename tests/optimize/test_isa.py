"""What is read of the machine: the types of static int8 follow the processor; a tick of the clock is no theft."""

from __future__ import annotations

from typing import Any

import pytest

from cloudmodel.optimize import machine

X86 = {"activations": "uint8", "weights": "int8", "symmetric": False}


@pytest.mark.parametrize(
    ("architecture", "flags", "wanted"),
    [
        ("x86_64", ["avx2", "avx512_vnni"], X86 | {"reduce_range": False}),
        ("x86_64", ["avx2", "avx512f"], X86 | {"reduce_range": True}),  # its pairs of products saturate at 16 bits
        ("aarch64", ["asimddp", "i8mm"],
         {"activations": "int8", "weights": "int8", "symmetric": True, "reduce_range": False}),
    ],
)  # fmt: skip
def test_types_are_those_that_the_processor_multiplies(
    monkeypatch: pytest.MonkeyPatch, architecture: str, flags: list[str], wanted: dict[str, Any]
) -> None:
    monkeypatch.setattr(machine, "cpu", lambda: {"architecture": architecture, "flags": flags})
    assert machine.int8() == wanted


@pytest.mark.parametrize(("stolen", "share"), [(0, 0.0), (1, 0.0), (3, 0.04)])
def test_one_tick_that_others_took_may_be_none(stolen: int, share: float) -> None:
    end = machine.Moment(total=50, steal=stolen, switches=0)
    assert machine.between(machine.Moment(0, 0, 0), end)["steal"] == share
