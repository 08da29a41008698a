"""A Hugging Face folder: the class of transformers that `config.json` names, and never code of the folder's own."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
import transformers
from numpy.typing import NDArray

from cloudmodel.core.errors import ModelUnreadable, Unsupported
from cloudmodel.formats.huggingface import generation
from cloudmodel.formats.huggingface.continuation import Continuation
from cloudmodel.formats.huggingface.heads import Head, head
from cloudmodel.formats.huggingface.tokens import SAMPLES, Tokens
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.original import Exporter, Job, Original
from cloudmodel.formats.preprocess import TextSteps, Told
from cloudmodel.formats.pytorch import export, modules
from cloudmodel.formats.pytorch.original import settle

SEQUENCE = "sequence"
CONTINUE = ("ForCausalLM", "LMHeadModel")
EXPORTED = {"dtype": torch.float32, "attn_implementation": "eager"}
"""How a model is opened that may become ONNX; one that stays what it is, as the code of its bundle opens it."""
OWN = {"dtype": "auto"}


class TextModel:
    """A model that answers a text at once: an embedding or logits."""

    def __init__(
        self, module: Head, tokens: Tokens, facts: Mapping[str, Any], labels: Sequence[str] = (), told: Told = "label"
    ) -> None:
        self._module = module.eval()
        self._told = told
        self._tokens = tokens
        self._labels = labels
        self.signature = Signature(inputs=inputs(module.names), outputs=(module.output,))
        self.facts = dict(facts)

    def answer(self, request: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The output by name. Raises StepFailed."""
        return modules.answer(self._module, request, self.signature)

    def exporters(self) -> Mapping[str, Exporter]:
        """PyTorch's older exporter first: on MiniLM it takes 4 seconds of CPU and the newer one 93 (torch 2.15)."""
        return dict(reversed(tuple(export.exporters(self._module).items())))

    def request(self, batch: int) -> dict[str, NDArray[Any]]:
        """Texts, tokenized: numbers at random are no sentences, and no masks."""
        return request(self._tokens, batch, self._module.names)

    def preprocess(self) -> TextSteps:
        """Texts to tokens, and logits to what they mean."""
        return self._tokens.steps(labels=self._labels, told=self._told)


def inputs(names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """Token arrays."""
    return tuple(Tensor(name=name, dtype="int64", shape=("batch", SEQUENCE)) for name in names)


def request(tokens: Tokens, batch: int, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The first `batch` sample texts, as transformers tokenizes them."""
    return tokens.encode([SAMPLES[place % len(SAMPLES)] for place in range(batch)], names)


def open_model(job: Job) -> Original:
    """Load config, tokenizer and weights, which stay mapped where they are as the job asks for them. Raises
    ModelUnreadable, Unsupported."""
    assert job.path is not None
    settle()
    architecture, kind = _architecture(job.path)
    goes_on = architecture.endswith(CONTINUE)
    own = job.own or goes_on
    model = _load(job.path, kind, OWN if own else EXPORTED)
    config = model.config
    tokens = Tokens(job.path, getattr(config, "max_position_embeddings", None))
    facts: dict[str, Any] = {
        "architecture": architecture,
        "parameters": modules.parameters(model),
        "transformers": transformers.__version__,
        "torch": str(torch.__version__),
        "max_length": tokens.limit,
        "dtype": str(model.dtype).removeprefix("torch."),
        "head": {"dtype": "auto" if own else "float32"},
    }
    if goes_on:
        return Continuation(model, tokens, facts)
    names = tokens.names(set(inspect.signature(model.forward).parameters))
    if getattr(config, "is_encoder_decoder", False) and hasattr(model, "get_encoder") and model.can_generate():
        names = tuple(name for name in names if name != "token_type_ids")
        return generation.Generator(model, tokens, names, facts)
    found = head(model, architecture, names, job.path)
    named = getattr(config, "id2label", None) or {}
    labels = [str(named[place]) for place in sorted(named)] if found.output.name == "logits" else []
    if labels:
        facts["labels"] = labels
    facts["head"] |= found.document
    told = _told(config, found.output)
    return TextModel(found, tokens, facts, labels if told else (), told or "label")


def _told(config: Any, output: Tensor) -> Told | None:
    """What the classes of logits mean, by the rules of transformers' own pipelines; None for a number."""
    kind = getattr(config, "problem_type", None)
    if len(output.shape) == 3:
        return "entities"
    if kind == "multi_label_classification":
        return "labels"
    return "label" if config.num_labels > 1 and kind in (None, "single_label_classification") else None


def _architecture(folder: Path) -> tuple[str, Any]:
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
        (architecture,) = (str(each) for each in named)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnreadable(
            f"config.json does not name one architecture: {error}", where=str(folder / "config.json"),
            hint="model.save_pretrained(folder) writes it",
        ) from None  # fmt: skip
    kind = getattr(transformers, architecture, None)
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise Unsupported(
            f"transformers {transformers.__version__} has no {architecture}; code of a folder's own is never run",
            where=str(folder / "config.json"),
            hint="export it to ONNX where its code is trusted",
        )
    return architecture, kind


def _load(folder: Path, kind: Any, how: Mapping[str, Any]) -> Any:
    """The model with all its weights: transformers would make up those that are missing."""
    try:
        model, said = kind.from_pretrained(str(folder), local_files_only=True, output_loading_info=True, **how)
    except Exception as error:  # every architecture fails in its own way
        raise ModelUnreadable(
            f"transformers cannot load it: {modules.line(error)}", where=str(folder), hint="save the folder again"
        ) from None
    missing = sorted(
        name for name in said["missing_keys"] if not (kind.__name__.endswith("Model") and "pooler." in name)
    )
    wrong = sorted(str(each[0]) for each in said.get("mismatched_keys", ()))
    if missing or wrong:
        raise ModelUnreadable(
            f"The weights are not those of {kind.__name__}: {(missing or wrong)[0]} is "
            f"{'missing' if missing else 'of another shape'}" + (f", and {len(missing or wrong) - 1} more"),
            where=str(folder),
            hint="copy every shard that the index names",
        )
    return model.eval()
