"""The table of all techniques; a technique's module is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module

from cloudmodel.core.errors import UsageError
from cloudmodel.optimize.technique import Technique

TECHNIQUES: Mapping[str, str] = {
    "slim": "graph.simplify:Slim",
    "onnxoptimizer": "graph.simplify:OnnxOptimizer",
    "onnxscript": "graph.simplify:ScriptOptimizer",
    "ort-basic": "graph.simplify:OrtBasic",
    "trim-padding": "graph.padding:TrimPadding",
    "opset": "graph.opset:Opset",
    "fuse-transformer": "graph.fusion:Fuse",
    "smooth": "quantize.smooth:Smooth",
    "dynamic-int8": "quantize.dynamic:DynamicInt8",
    "static-int8": "quantize.static:StaticInt8",
    "weight-only": "quantize.weight_only:WeightOnly",
    "torch-dynamic-int8": "quantize.torch_dynamic:TorchDynamicInt8",
    "keras-quantize": "quantize.keras_int8:KerasInt8",
    "tf-mot": "quantize.tf_mot:TfMot",
    "prune": "prune.structured:Prune",
    "magnitude-prune": "prune.magnitude:MagnitudePrune",
    "prune-trees": "prune.trees:PruneTrees",
    "distill": "distill.distill:Distill",
}
"""A technique's name -> `module:Class` below `cloudmodel.optimize`."""

TRAINS = frozenset({"distill", "magnitude-prune", "prune", "prune-trees", "tf-mot"})
"""Techniques that learn from optimize.train: it decides their bytes."""


def find(name: str, *, where: str | None = None) -> Technique:
    """The technique that a recipe calls `name`. Raises UsageError naming the nearest one."""
    if name not in TECHNIQUES:
        near = " or ".join(get_close_matches(name, TECHNIQUES))
        raise UsageError(
            f"There is no technique {name!r}",
            where=where,
            hint=f"did you mean {near}?" if near else f"one of: {', '.join(sorted(TECHNIQUES))}",
        )
    module, _, attribute = TECHNIQUES[name].partition(":")
    technique: Technique = getattr(import_module(f"cloudmodel.optimize.{module}"), attribute)()
    return technique
