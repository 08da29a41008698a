"""Magnitude pruning: the smallest single weights become zero. The graph stays as large and as fast; only a compressed
file is smaller. Needs the extra `torch`, the PyTorch model and training data.

Source: Han and others 2015, "Learning both Weights and Connections for Efficient Neural Networks".
"""

from __future__ import annotations

import copy
import gzip
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from cloudmodel.core.errors import NothingChanged, StepFailed
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters
from cloudmodel.optimize.training import needs

NOTE = "no speed-up expected: zeros are multiplied like other numbers; only the compressed file is smaller"


class Zeros(Parameters):
    """`ratio` of all weights of convolutions and matrix products become zero, those of the smallest size; the others
    learn again for `epochs`."""

    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    epochs: Annotated[int, Field(ge=0, le=1000)] = 5
    batch: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    patience: Annotated[int, Field(ge=1)] = 3


class MagnitudePrune:
    """torch.nn.utils.prune's global L1 pruning, for size only."""

    name: ClassVar[str] = "magnitude-prune"
    family: ClassVar[Family] = "prune"
    parameters: ClassVar[type[Parameters]] = Zeros

    def inapplicable(self, before: Artifact, material: Material, parameters: Zeros) -> str | None:
        return needs.training(before, material)

    def apply(
        self, before: Artifact, material: Material, parameters: Zeros, folder: Path, report: Report = silent
    ) -> Artifact:
        import torch
        from torch.nn.utils import prune

        from cloudmodel.formats.pytorch import modules
        from cloudmodel.optimize.training import step
        from cloudmodel.optimize.training.loop import Plan
        from cloudmodel.optimize.training.loss import Mix
        from cloudmodel.optimize.training.trained import Trained

        plan = Plan(
            epochs=parameters.epochs, batch=parameters.batch, learning_rate=parameters.learning_rate,
            patience=parameters.patience, seed=material.seed, weight_decay=0.0,
        )  # fmt: skip
        with modules.quiet(material.threads, material.seed):
            desk = step.prepare(before, material)
            module, history = copy.deepcopy(desk.before.module), None
            kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
            weights = [(each, "weight") for each in module.modules() if isinstance(each, kinds)]
            if not weights:
                raise StepFailed("The model has no convolution and no linear layer", where=type(module).__name__)
            prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=parameters.ratio)
            if parameters.epochs:
                file = step.checkpoint(material, folder, 0)
                history = step.teach(module, desk, material, Mix(), plan, file, report)
            for layer, name in weights:
                prune.remove(layer, name)
            after = Trained(module, desk.before.factory, desk.before.edits)
            return step.finish(after, desk, material, folder, history)

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        """Counts zeros and compressed bytes. Raises NothingChanged where there are no more zeros than before."""
        (zeros, total), (more, _) = _zeros(before.model), _zeros(after.model)
        if more <= zeros:
            raise NothingChanged(
                f"The file has {more:,} zeros among its weights, as many as before", hint="leave it out"
            )
        packed = _packed(before.model), _packed(after.model)
        counts = {
            "weights": total, "zeros_before": zeros, "zeros_after": more,
            "compressed_bytes_before": packed[0], "compressed_bytes_after": packed[1],
        }  # fmt: skip
        return Evidence(counts=counts, note=NOTE)


def _zeros(path: Path) -> tuple[int, int]:
    """How many of the numbers in the graph's float weights are zero, and how many there are."""
    model: Any = onnx_files.load(path)
    arrays = [onnx_files.array_of(tensor) for tensor in model.graph.initializer]
    floats = [array for array in arrays if array.dtype.kind == "f"]
    return sum(int(np.sum(array == 0)) for array in floats), sum(int(array.size) for array in floats)


def _packed(path: Path) -> int:
    """Bytes of the weights under gzip, as a bundle stores them."""
    model: Any = onnx_files.load(path)
    raw = b"".join(onnx_files.array_of(tensor).tobytes() for tensor in model.graph.initializer)
    return len(gzip.compress(raw, mtime=0))
