"""A PyTorch model that a factory of the project builds and a file of weights fills."""

from __future__ import annotations

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats.original import Job
from cloudmodel.formats.pytorch import source
from cloudmodel.formats.pytorch.original import ModuleOriginal, named_inputs, settle


def open_model(job: Job) -> ModuleOriginal:
    """Call the factory and fill in the weights. Raises what `source.load` raises; ProjectInvalid for weights without
    a factory, or inputs that are not given."""
    if job.source is None or job.source.factory is None:
        raise ProjectInvalid(
            "The file holds weights, and not the model that they are for",
            where=str(job.path),
            hint="source: module:factory, which returns the model without its weights; weights: this file",
        )
    signature = named_inputs(job)
    settle()
    module = source.load(job.source, trusted=job.trusted)
    return ModuleOriginal(module, signature, {"factory": job.source.factory, "class": type(module).__name__})
