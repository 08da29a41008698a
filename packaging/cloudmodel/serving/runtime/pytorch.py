"""The loaded PyTorch model, called with its inputs in the order of the signature: `model.pt` of TorchScript, or
`model.pt2`, a program of torch.export, which stays on the processor that it was exported for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import declared
from .errors import RequestRefused
from .machine import threads
from .tensors import Array, contradiction

SCRIPT, PROGRAM = "model.pt", "model.pt2"


class Model:
    """Safe to call from several threads at once. A tuple of outputs and a dict of outputs are taken by the names that
    the signature has."""

    def __init__(self, model_dir: str, signature: declared.Declared | None = None) -> None:
        torch.set_num_threads(threads())
        program = Path(model_dir) / PROGRAM
        if program.exists():
            self._device = torch.device("cpu")
            self._module = torch.export.load(str(program)).module()
        else:
            self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            self._module = torch.jit.load(str(Path(model_dir) / SCRIPT), map_location=self._device).eval()
        self.inputs, outputs = signature or declared.read(model_dir)
        self.outputs = tuple(spec.name for spec in outputs)
        self.batches = False

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name. Raises RequestRefused where sizes that the signature leaves open contradict each
        other."""
        given = [torch.from_numpy(np.array(arrays[spec.name])).to(self._device) for spec in self.inputs]
        try:
            with torch.inference_mode():
                answer = self._module(*given)
        except (RuntimeError, IndexError) as error:
            if differing := contradiction(arrays, self.inputs):
                raise RequestRefused(f"the model cannot run on inputs of these sizes: {differing}") from error
            raise
        return {name: tensor.cpu().numpy() for name, tensor in zip(self.outputs, self._tensors(answer), strict=True)}

    def _tensors(self, answer: Any) -> list[Any]:
        if isinstance(answer, dict):
            return [answer[name] for name in self.outputs]
        return [*answer] if isinstance(answer, (tuple, list)) else [answer]


def model_fn(model_dir: str) -> Model:
    """Load the model. Raises what torch raises."""
    return Model(model_dir)
