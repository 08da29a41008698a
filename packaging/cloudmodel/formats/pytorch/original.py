"""An open PyTorch model as `package` asks it; how it was opened is the matter of the modules beside this one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats.model import Signature
from cloudmodel.formats.original import Asked, Exporter, Job
from cloudmodel.formats.pytorch import export, modules
from cloudmodel.formats.pytorch.modules import Module


class ModuleOriginal:
    """A module in evaluation mode; its outputs are called `output`, or `output_0` and so on."""

    def __init__(self, module: Module, signature: Signature, facts: Mapping[str, Any]) -> None:
        self.module = module.eval()
        self.signature = signature
        self.facts: dict[str, Any] = {"torch": str(torch.__version__), **facts}

    def answer(self, request: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs by name. Raises StepFailed."""
        return modules.answer(self.module, request, self.signature)

    def exporters(self) -> Mapping[str, Exporter]:
        """See `pytorch.export`."""
        return export.exporters(self.module)

    def save(self, path: Path, asked: Asked) -> None:
        """A program of torch.export. Raises StepFailed."""
        export.save_program(self.module, asked, path)


def settle() -> None:
    """One thread, one seed, and no fused kernels of inference, which have no ONNX form: for the rest of a child."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)


def named_inputs(job: Job) -> Signature:
    """The project's `model.inputs` as a signature. Raises ProjectInvalid where it names none."""
    if not job.inputs:
        raise ProjectInvalid(
            "A factory does not say what its model takes"
            if job.source
            else f"A {job.format} file does not say what its model takes",
            where="model.inputs",
            hint="inputs: [{name: image, dtype: float32, shape: [batch, 3, 224, 224]}]",
        )
    return Signature(inputs=job.inputs, outputs=())
