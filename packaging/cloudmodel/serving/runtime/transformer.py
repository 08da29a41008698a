"""The loaded model of Hugging Face transformers: the class that the folder's own config.json names, its weights mapped
from safetensors files; tensors by name in, one tensor out (`heads`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import transformers

from . import declared, heads, preprocessing
from .errors import RequestRefused
from .machine import threads
from .tensors import Array, contradiction


class Model:
    """Safe to call from several threads at once. Nothing is fetched, and no code of the folder is run."""

    def __init__(self, model_dir: str) -> None:
        torch.set_num_threads(threads())
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._head = heads.read(model_dir)
        kind = json.loads((Path(model_dir) / "config.json").read_text())["architectures"][0]
        source = getattr(transformers, kind)
        # By its older name, which every version takes.
        model = source.from_pretrained(
            model_dir, local_files_only=True, use_safetensors=True, torch_dtype=self._head["dtype"]
        )
        self._module = model.to(self._device).eval()
        self.inputs, outputs = declared.read(model_dir)
        (self._output,) = outputs
        self.preprocessing = preprocessing.load(model_dir)
        self.writes = self._head["kind"] == "following"
        """Whether a text is answered by what the model writes behind it."""
        self.batches = False

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The output by name. Raises RequestRefused where sizes contradict each other or an id is unknown."""
        return {self._output.name: self._ask(heads.HEADS[self._head["kind"]], arrays).astype(self._output.dtype)}

    def write(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The tokens that come behind those of a text. Raises what `run` raises."""
        return {"tokens": self._ask(heads.written, arrays)}

    def _ask(self, head: heads.Head, arrays: Mapping[str, Array]) -> Array:
        given = {name: torch.from_numpy(np.array(array)).to(self._device) for name, array in arrays.items()}
        try:
            with torch.inference_mode():
                answer = head(self._module, given, self._head)
        except (RuntimeError, IndexError) as error:
            if isinstance(error, IndexError):
                raise RequestRefused(f"the model refuses these values: {error}") from error
            if differing := contradiction(arrays, self.inputs):
                raise RequestRefused(f"the model cannot run on inputs of these sizes: {differing}") from error
            raise
        found: Array = (answer.float() if answer.is_floating_point() else answer).cpu().numpy()  # numpy has no bfloat16
        return found


def model_fn(model_dir: str) -> Model:
    """Load the model. Raises what transformers raises."""
    return Model(model_dir)
