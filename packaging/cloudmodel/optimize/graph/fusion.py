"""onnxruntime's transformer fusions: attention, skip layer normalization, GELU as one node each."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cloudmodel.core.errors import NothingChanged, StepFailed
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.optimize import proof
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters

FUSED = frozenset(
    {
        "Attention", "MultiHeadAttention", "GroupQueryAttention", "EmbedLayerNormalization", "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization", "SimplifiedLayerNormalization", "FastGelu", "BiasGelu", "Gelu",
        "QuickGelu", "RotaryEmbedding", "SkipGroupNorm", "NhwcConv", "BiasSplitGelu", "BiasAdd",
    }
)  # fmt: skip
NEEDED = frozenset({"Softmax", "MatMul"})


class Transformer(Parameters):
    """`heads` and `hidden` 0: read from the graph. `at_least` fusions must happen, else the step failed."""

    model: Literal["bert", "gpt2", "bart", "clip", "t5", "vit", "swin", "conformer"] = "bert"
    heads: Annotated[int, Field(ge=0, le=1024)] = 0
    hidden: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    at_least: Annotated[int, Field(ge=1, le=100_000)] = 1


class Fuse:
    """The fusions for the family `model`. The library takes any model as BERT and says nothing where nothing fused;
    here the fused nodes are counted."""

    name: ClassVar[str] = "fuse-transformer"
    family: ClassVar[Family] = "graph"
    parameters: ClassVar[type[Parameters]] = Transformer

    def inapplicable(self, before: Artifact, material: Material, parameters: Transformer) -> str | None:
        operators = onnx_files.census(before.model).operators
        missing = [name for name in NEEDED if not operators[name]]
        return f"no transformer: there is no {missing[0]} in the graph" if missing else None

    def apply(
        self, before: Artifact, material: Material, parameters: Transformer, folder: Path, report: Report = silent
    ) -> Artifact:
        from onnxruntime.transformers import optimizer

        logging.getLogger("onnxruntime.transformers").setLevel(logging.ERROR)
        try:
            # Without onnxruntime's own passes: what those write belongs to the processor that they ran on.
            fused = optimizer.optimize_model(
                str(before.model), model_type=parameters.model, num_heads=parameters.heads,
                hidden_size=parameters.hidden, opt_level=0,
            )  # fmt: skip
        except Exception as error:
            raise StepFailed(
                f"The fusions failed: {' '.join(str(error).split())[:300]}", where=str(before.model)
            ) from error
        after = Artifact(onnx_files.save(fused.model, folder))
        if (count := fusions(before, after)) < parameters.at_least:
            raise NothingChanged(
                f"{count} of at least {parameters.at_least} fusions happened",
                hint="name the model's own family as `model`, with heads and hidden size",
            )
        return after

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        return proof.changed(before, after, fusions=fusions(before, after))


def fusions(before: Artifact, after: Artifact) -> int:
    """Fused nodes that the new graph has and the old one had not."""
    old, new = (onnx_files.census(each.model).operators for each in (before, after))
    return sum(max(0, new[name] - old[name]) for name in FUSED)
