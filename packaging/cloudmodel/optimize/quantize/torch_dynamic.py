"""PyTorch's own dynamic quantization: linear layers in int8 inside a TorchScript file. A step for models that are
served as TorchScript; where ONNX is served it is refused, for its operators have no ONNX form.

Needs the extra `torch` and the PyTorch model.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any, ClassVar

from cloudmodel.core import files
from cloudmodel.core.errors import NothingChanged, StepFailed
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.optimize import data
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters
from cloudmodel.optimize.training import needs

MODEL = "model.pt"
ONNX_REASON = (
    "not applicable to an ONNX file: quantized::linear_dynamic has no ONNX form; use dynamic-int8, or serve TorchScript"
)
QUANTIZED = "quantized::linear_dynamic"


class Dynamic(Parameters):
    """No parameters: weights are int8 a channel, activations are quantized while the model runs."""


class TorchDynamicInt8:
    """torch.ao.quantization.quantize_dynamic on every linear layer; a TorchScript file goes in and one comes out."""

    name: ClassVar[str] = "torch-dynamic-int8"
    family: ClassVar[Family] = "quantize"
    parameters: ClassVar[type[Parameters]] = Dynamic

    def inapplicable(self, before: Artifact, material: Material, parameters: Dynamic) -> str | None:
        if before.model.suffix == ".onnx":
            return ONNX_REASON
        return needs.pytorch_model(before, material)

    def apply(
        self, before: Artifact, material: Material, parameters: Dynamic, folder: Path, report: Report = silent
    ) -> Artifact:
        import torch

        from cloudmodel.formats.pytorch import modules
        from cloudmodel.optimize.training import trained

        place = material.calibration or material.train
        if place is None:
            raise StepFailed("There are no rows to trace the model with", hint="give optimize.calibrate")
        report(Progress("quantize", 0, 1))
        rows = data.read_npz(place, material.signature)
        with modules.quiet(material.threads, material.seed), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # that torch.ao will move; torchao's int8 was slower here
            inputs = modules.example(rows.inputs, material.signature)
            module = copy.deepcopy(trained.load(before, material, inputs).module).eval()
            layers = sum(isinstance(each, torch.nn.Linear) for each in module.modules())
            if layers == 0:
                raise StepFailed("The model has no linear layer to quantize", where=type(module).__name__)
            configuration = torch.ao.quantization.per_channel_dynamic_qconfig
            quantized = torch.ao.quantization.quantize_dynamic(module, {torch.nn.Linear: configuration})
            script = torch.jit.freeze(torch.jit.trace(quantized, tuple(inputs)).eval())
            wanted, found = modules.call(quantized, inputs), modules.call(script, inputs)
            if any(not torch.equal(left, right) for left, right in zip(wanted, found, strict=True)):
                raise StepFailed("The TorchScript file answers otherwise than the module", where=type(module).__name__)
        target = folder / MODEL
        files.write_bytes(target, script.save_to_buffer())
        return Artifact(target)

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        """Counts the quantized layers in the file. Raises NothingChanged where there are none."""
        was, now = _quantized(before.model), _quantized(after.model)
        if now <= was:
            raise NothingChanged("No layer was quantized", hint="only linear layers are; leave it out")
        sizes = {"bytes_before": before.model.stat().st_size, "bytes_after": after.model.stat().st_size}
        return Evidence(counts={"quantized": now - was, **sizes})


def _quantized(path: Path) -> int:
    import torch

    script: Any = torch.jit.load(str(path), map_location="cpu")
    return str(script.inlined_graph).count(QUANTIZED)
