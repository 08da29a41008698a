"""From what people have (texts, images, ids) to the tensors that the model takes, as `preprocess/preprocess.json` says.

The file was written when the model was packaged. A bundle without it takes tensors only; one with it takes both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from . import requests
from .requests import Request
from .tensors import Array, Spec

FOLDER = "preprocess"
FILE = "preprocess.json"


class Preprocessing(Protocol):
    """One kind of it. The module of that name has `load(folder, document)`."""

    def takes(self, request: Request) -> bool:
        """Whether the request holds what this one prepares; others hold tensors."""

    def arrays(self, request: Request, specs: Sequence[Spec]) -> dict[str, Array]:
        """The model's inputs. Raises RequestRefused with what was expected."""

    def finish(self, request: Request, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The answer to a request that was prepared here."""


def load(model_dir: str) -> Preprocessing | None:
    """What the bundle in `model_dir` says, None where it says nothing. Raises what a broken bundle raises."""
    folder = Path(model_dir) / FOLDER
    if not (folder / FILE).exists():
        return None
    document = json.loads((folder / FILE).read_text(encoding="utf-8"))
    found: Preprocessing = import_module(f".{document['kind']}", __package__).load(folder, document)
    return found


def prepares(request: Request, model: Any) -> bool:
    """Whether a model's own preprocessing is for this request."""
    own: Preprocessing | None = getattr(model, "preprocessing", None)
    return own is not None and own.takes(request)


def arrays(request: Request, model: Any) -> dict[str, Array]:
    """The inputs of a model, prepared where it prepares them. Raises RequestRefused."""
    prepared: dict[str, Array] = (model.preprocessing if prepares(request, model) else requests).arrays(
        request, model.inputs
    )
    return prepared


def finished(request: Request, outputs: Mapping[str, Array], model: Any) -> Mapping[str, Array]:
    """The outputs as the client of this request gets them."""
    return model.preprocessing.finish(request, outputs) if prepares(request, model) else outputs
