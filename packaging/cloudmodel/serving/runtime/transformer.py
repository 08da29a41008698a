"""The loaded Hugging Face model: a folder that `transformers` reads, asked for the tensors of the signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import transformers

from . import declared
from .errors import RequestRefused
from .machine import threads
from .tensors import Array, contradiction


class Model:
    """Safe to call from several threads at once. Nothing is fetched, and no code of the folder is run."""

    def __init__(self, model_dir: str) -> None:
        torch.set_num_threads(threads())
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind = json.loads((Path(model_dir) / "config.json").read_text())["architectures"][0]
        source = getattr(transformers, kind)
        model = source.from_pretrained(model_dir, local_files_only=True, use_safetensors=True)
        self._module = model.to(self._device).eval()
        self.inputs, outputs = declared.read(model_dir)
        self.outputs = tuple(spec.name for spec in outputs)
        self.batches = False

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name. Raises RequestRefused where sizes contradict each other or an id is unknown."""
        given = {name: torch.from_numpy(np.array(array)).to(self._device) for name, array in arrays.items()}
        try:
            with torch.inference_mode():
                answer = self._module(**given)
        except (RuntimeError, IndexError) as error:
            if isinstance(error, IndexError):
                raise RequestRefused(f"the model refuses these values: {error}") from error
            if differing := contradiction(arrays, self.inputs):
                raise RequestRefused(f"the model cannot run on inputs of these sizes: {differing}") from error
            raise
        return {name: answer[name].cpu().numpy() for name in self.outputs}


def model_fn(model_dir: str) -> Model:
    """Load the model. Raises what transformers raises."""
    return Model(model_dir)
