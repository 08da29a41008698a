"""What is known of a model file: its signature, its files, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["clean", "unsafe", "unknown"]


class Frozen(BaseModel):
    """A value that never changes and knows all its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(Frozen):
    """A named input or output. `dtype` is numpy's name (`float32`, `int64`, `bool`, `str`); a dimension is a size
    or a symbol."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Signature(Frozen):
    """Named inputs and outputs, in the model's order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Finding(Frozen):
    """One thing that a scan noticed."""

    rule: str
    location: str
    detail: str


class Scan(Frozen):
    """The verdict on the model's files before anything loaded them."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Model:
    """A model that was scanned, checked and loaded once. `files` are names relative to the folder of `path`, the
    model itself first; `facts` holds what its format knows of itself (opset, producer)."""

    format: str
    path: Path
    files: tuple[str, ...]
    signature: Signature
    facts: dict[str, Any] = field(default_factory=dict)
