"""TorchScript: a model with its own program, as torch.jit.save wrote it."""

from __future__ import annotations

import torch

from cloudmodel.core.errors import ModelUnreadable
from cloudmodel.formats.original import Job
from cloudmodel.formats.pytorch.modules import line
from cloudmodel.formats.pytorch.original import ModuleOriginal, named_inputs, settle


def open_model(job: Job) -> ModuleOriginal:
    """Load the file on the CPU. Raises ModelUnreadable, ProjectInvalid for inputs that are not given."""
    signature = named_inputs(job)
    settle()
    try:
        module = torch.jit.load(str(job.path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelUnreadable(f"PyTorch cannot load it: {line(error)}", where=str(job.path)) from None
    return ModuleOriginal(module, signature, {"class": module.original_name})
