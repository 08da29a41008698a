"""A PyTorch model between two steps of a recipe: the folder `trained/` with its structure as JSON and its weights as
safetensors. Nothing in it is code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import save

from cloudmodel.core import files
from cloudmodel.core.errors import ModelUnreadable, StepFailed
from cloudmodel.formats.model import Frozen
from cloudmodel.formats.pytorch import source
from cloudmodel.formats.pytorch.modules import Module, Tensor, line
from cloudmodel.optimize.technique import Artifact, Material
from cloudmodel.optimize.training import structure

FOLDER = "trained"
STRUCTURE = "structure.json"
WEIGHTS = "weights.safetensors"


class Document(Frozen):
    """`structure.json`: the factory that builds the model and what was changed in it since."""

    version: int = 1
    factory: str
    edits: tuple[structure.Edit, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A module and how it came from its factory."""

    module: Module
    factory: str
    edits: tuple[structure.Edit, ...] = ()


def load(before: Artifact, material: Material, inputs: Sequence[Tensor]) -> Trained:
    """The PyTorch model that an artifact stands for: that of the last training step, else the project's own source.

    Raises what `source.load` raises, and ModelUnreadable for a folder that is not whole.
    """
    origin = material.source
    if origin is None or origin.factory is None:
        raise StepFailed("There is no PyTorch model", hint="give model.source as module:factory")
    if before.trained is not None and (before.trained / STRUCTURE).is_file():
        return read(before.trained, origin.folder, inputs)
    return Trained(source.load(origin), origin.factory)


def read(folder: Path, project: Path, inputs: Sequence[Tensor]) -> Trained:
    """What `write` wrote; the factory is imported from `project`. Raises ModelUnreadable, ProjectInvalid."""
    try:
        document = Document.model_validate_json((folder / STRUCTURE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelUnreadable(f"The trained model is not whole: {line(error)}", where=str(folder)) from None
    module = source.build(document.factory, project)
    structure.repeat(module, document.edits, inputs)
    source.fill(module, source.read_weights(folder / WEIGHTS), where=str(folder))
    return Trained(module.eval(), document.factory, document.edits)


def write(trained: Trained, folder: Path) -> Path:
    """Write `trained/` into `folder`; the same model gives the same bytes. Returns its path."""
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in trained.module.state_dict().items()}
    strange = next((name for name, tensor in weights.items() if not isinstance(tensor, torch.Tensor)), None)
    if strange is not None:
        raise StepFailed(
            f"The model's state {strange!r} is no tensor", hint="keep only tensors as parameters and buffers"
        )
    document = Document(factory=trained.factory, edits=trained.edits)
    files.write_text(target / STRUCTURE, document.model_dump_json(indent=1) + "\n")
    files.write_bytes(target / WEIGHTS, save(weights))
    return target
