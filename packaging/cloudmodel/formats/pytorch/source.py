"""A PyTorch model from the project: a factory builds it, a file of weights fills it. Runs the factory's code: only in a
confined child (`core.confined`)."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cloudmodel.core.errors import ModelUnreadable, ProjectInvalid, UnsafeModel
from cloudmodel.formats import shards
from cloudmodel.formats.detect import detect
from cloudmodel.formats.factory import Source, function
from cloudmodel.formats.pytorch.modules import Module, line

WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
"""The keys under which training scripts keep a state dict in a checkpoint."""
MAPPED = 1 << 30
"""From this many bytes on weights are mapped, and the model is given them as they lie there: none is copied."""
PARALLEL = "module."
"""What DataParallel writes before every name."""


def load(source: Source, *, trusted: bool = False) -> Module:
    """The model in evaluation mode, on the CPU.

    Raises ProjectInvalid where the factory fails or makes no module, or the weights fit another model; UnsafeModel
    where the weights need code to be loaded; ModelUnreadable.
    """
    factory = source.factory or ""
    if source.weights is None:
        return build(factory, source.folder)
    path = source.folder / source.weights
    weights = read_weights(path, trusted=trusted)
    if size_of(path) >= MAPPED and (module := _mapped(factory, source.folder, weights, where=str(source.weights))):
        return module
    module = build(factory, source.folder)
    fill(module, weights, where=str(source.weights))
    return module.eval()


def size_of(path: Path) -> int:
    """Bytes of a file of weights, or of the shards of an index."""
    index = shards.index_of(path)
    return sum(each.stat().st_size for each in ((path,) if index is None else shards.read(index)))


def build(factory: str, folder: Path) -> Module:
    """What `module:function`, imported from `folder`, returns without arguments, as float32 on the CPU. Raises
    ProjectInvalid."""
    return _made(factory, folder).cpu().float().eval()


def _mapped(factory: str, folder: Path, weights: Mapping[str, Any], *, where: str) -> Module | None:
    """The model around weights that stay where they are mapped; None for one that is not made without values of its own
    (a buffer computed of a parameter). Raises ProjectInvalid where the weights fit another model."""
    try:
        with _empty():
            module = _made(factory, folder).float()
    except (ProjectInvalid, NotImplementedError, RuntimeError):
        return None
    fill(module, weights, where=where, assign=True)
    whole = not any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))
    return module.eval() if whole else None


@contextmanager
def _empty() -> Iterator[None]:
    """Parameters of modules that are made here have a shape and no values; buffers are what they are."""
    register = torch.nn.Module.register_parameter

    def empty(module: Module, name: str, parameter: Any) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = torch.nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    torch.nn.Module.register_parameter = empty
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register


def _made(factory: str, folder: Path) -> Module:
    call = function(factory, folder)
    try:
        module = call()
    except (Exception, SystemExit) as error:
        raise ProjectInvalid(
            f"The factory failed: {type(error).__name__}: {line(error)}",
            where=factory,
            hint="it is called without arguments, without network, and returns a torch.nn.Module",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ProjectInvalid(
            f"The factory returned {type(module).__name__}", where=factory, hint="return a torch.nn.Module"
        )
    return module


def read_weights(path: Path, *, trusted: bool = False) -> Mapping[str, Any]:
    """Tensors by name, from safetensors (one file, or shards by their index) or a file of torch.save, read without
    running any code from it unless it is `trusted`.

    A checkpoint that holds the state dict under one of WRAPPERS is taken apart. Raises UnsafeModel, ModelUnreadable,
    ProjectInvalid.
    """
    if (index := shards.index_of(path)) is not None:
        return _of_shards(index)
    if not path.is_file():
        raise ProjectInvalid("There is no such weights file", where=str(path), hint="check model.weights")
    if detect(path) == "safetensors":
        return _safetensors(path)
    try:
        large = path.stat().st_size >= MAPPED and zipfile.is_zipfile(path)
        content = torch.load(path, map_location="cpu", weights_only=not trusted, mmap=large)
    except pickle.UnpicklingError as error:
        raise UnsafeModel(
            f"The weights hold more than tensors: {line(error, 200)}",
            where=str(path),
            hint="save the state dict alone: torch.save(model.state_dict(), …), or use safetensors",
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelUnreadable(f"PyTorch cannot read it: {line(error)}", where=str(path)) from None
    return _state(content, path)


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except Exception as error:
        raise ModelUnreadable(f"safetensors cannot read it: {line(error)}", where=str(path)) from None


def fill(module: Module, weights: Mapping[str, Any], *, where: str, assign: bool = False) -> None:
    """Copy `weights` into the module, or with `assign` give it them as they are. Raises ProjectInvalid naming the first
    tensors that do not fit."""
    own = module.state_dict()
    if weights and all(name.startswith(PARALLEL) for name in weights) and not any(n.startswith(PARALLEL) for n in own):
        weights = {name.removeprefix(PARALLEL): tensor for name, tensor in weights.items()}
    wrong = [f"{name} is missing" for name in own if name not in weights]
    wrong += [f"{name} is unknown to the model" for name in weights if name not in own]
    wrong += [
        f"{name} is {list(tensor.shape)}, the model has {list(own[name].shape)}"
        for name, tensor in weights.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ProjectInvalid(
            f"The weights are those of another model: {'; '.join(wrong[:3])}{more}",
            where=where,
            hint="check model.weights against the factory in model.source",
        )
    with torch.no_grad():
        if assign:
            weights = {name: tensor.to(own[name].dtype) for name, tensor in weights.items()}
        module.load_state_dict(dict(weights), assign=assign)


def _of_shards(index: Path) -> Mapping[str, Any]:
    """The tensors of all shards, each in the one that the index says."""
    found: dict[str, Any] = {}
    for path, wanted in shards.read(index).items():
        part = _safetensors(path)
        if wrong := sorted(wanted ^ part.keys()):
            lacks = wrong[0] in wanted
            raise ModelUnreadable(
                f"The shard {path.name} {'lacks' if lacks else 'has'} the tensor {wrong[0]}, which the index "
                + ("puts there" if lacks else "does not put there"),
                where=str(index),
                hint="copy the index and its shards again, all of the same model",
            )
        found |= part
    return found


def _state(content: Any, path: Path) -> Mapping[str, Any]:
    for _ in range(2):
        if (
            isinstance(content, Mapping)
            and content
            and all(isinstance(each, torch.Tensor) for each in content.values())
        ):
            return {str(name): tensor for name, tensor in content.items()}
        inner = (
            next((content[key] for key in WRAPPERS if key in content), None) if isinstance(content, Mapping) else None
        )
        if inner is None:
            break
        content = inner
    raise ProjectInvalid(
        "The weights file holds no state dict", where=str(path), hint="write torch.save(model.state_dict(), …)"
    )
