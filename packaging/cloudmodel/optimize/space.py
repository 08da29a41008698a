"""Which recipes are worth a try for a model: a table, not a search of its own. What a family of models is known to gain
from comes first; nothing is left out that a measurement could still surprise with, as long as it is cheap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudmodel.formats.onnx_files import Census
from cloudmodel.optimize import techniques
from cloudmodel.optimize.recipe import Recipe, step

TRIM = Recipe(steps=(step("trim-padding"),))
"""Exact, and of use to 8-bit convolutions above all: no choice to make, so that no recipe is tried without it."""


def after_training(
    census: Census, families: Sequence[str], int8: Mapping[str, Any], *, trims: bool = False
) -> tuple[Recipe, ...]:
    """Recipes that need no training: graph rewrites and quantization, the most promising first. `trims`: the graph has
    weights that only meet padding; they are cut before it is quantized, and alone."""
    first = TRIM.steps if trims else ()
    chosen = []
    if "quantize" in families:
        chosen += [Recipe(steps=(*first, *each.steps)) for each in _quantized(census, int8)]
    if trims:
        chosen.append(TRIM)
    if "graph" in families:
        chosen += _rewritten(census)
    return tuple(chosen)


def training(families: Sequence[str], int8: Mapping[str, Any]) -> tuple[Recipe, ...]:
    """Recipes that train: tried only where the others miss. Each alone, and quantized afterwards."""
    recipes = []
    for name, parameters in TRAINED:
        if name in techniques.TECHNIQUES and techniques.find(name).family in families:
            first = step(name, **parameters)
            recipes.append(Recipe(steps=(first,)))
            if "quantize" in families:
                recipes.append(Recipe(steps=(first, step("static-int8", **int8))))
    return tuple(recipes)


TRAINED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("prune", {"ratio": 0.25}),
    ("prune", {"ratio": 0.5}),
    ("prune-trees", {}),
    ("distill", {"width": 0.5, "depth": 0.5}),
)
"""Training techniques with the parameters that are tried, the mildest first."""


STRENGTHS = (0.7, 0.8)
"""How strongly is smoothed: what SmoothQuant's authors found right for models with outliers, and more."""


def _quantized(census: Census, int8: Mapping[str, Any]) -> Iterator[Recipe]:
    has = census.operators
    static = [
        step("static-int8", method="minmax", **int8),
        step("static-int8", method="percentile", **int8),
        step("static-int8", method="entropy", **int8),
        step("static-int8", method="minmax", per_channel=False, **int8),
    ]
    channels, whole = step("dynamic-int8", reduce_range=int8["reduce_range"]), step("dynamic-int8", per_channel=False)
    blocks = [step("weight-only", bits=8), step("weight-only", bits=4)]
    if has["Conv"] or has["ConvTranspose"]:
        order = static
    elif has["MatMul"] > has["Gemm"]:
        # A MatMul keeps its float neighbours: quantizing all operators costs a sentence encoder its embedding.
        # Smoothed first: one channel far above the others costs single rows their answer.
        yield from (Recipe(steps=(step("smooth", strength=each), channels)) for each in STRENGTHS)
        order = [channels, *blocks, whole, step("static-int8", operators=["MatMul", "Gemm"], **int8), static[0]]
    else:
        order = [*static, channels, whole]
    yield from (Recipe(steps=(each,)) for each in order)


def _rewritten(census: Census) -> Iterator[Recipe]:
    if census.operators["Softmax"] and census.operators["MatMul"]:
        yield Recipe(steps=(step("fuse-transformer"),))
    yield from (Recipe(steps=(step(name),)) for name in ("slim", "onnxoptimizer", "onnxscript", "ort-basic"))
