"""Models that write a text: encoder and decoder become one ONNX file with a Loop that decodes greedily.

The encoder runs once; every turn of the loop asks the decoder for the next token of all texts and ends when all have
ended. There is no cache of keys and values: a turn reads all tokens so far again, which is right for short texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper
from transformers.modeling_outputs import BaseModelOutput

from cloudmodel.core.errors import StepFailed, Unsupported
from cloudmodel.formats import export as exporting
from cloudmodel.formats import onnx_files
from cloudmodel.formats.huggingface.tokens import SAMPLES, Tokens
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.original import Asked, Exporter
from cloudmodel.formats.preprocess import TextSteps
from cloudmodel.formats.pytorch import export, modules

TOKENS = "tokens"
MOST = 128
"""New tokens where the folder sets no limit."""


class Encoder(torch.nn.Module):  # type: ignore[misc]
    """Tokens of the source, and their mask, to hidden states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.get_encoder()

    def forward(self, *tensors: Any) -> Any:
        """[batch, sequence, hidden]."""
        input_ids, attention_mask = tensors
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class Decoder(torch.nn.Module):  # type: ignore[misc]
    """Tokens so far to the scores of the next one."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Any) -> Any:
        """[batch, vocabulary]."""
        tokens, hidden, attention_mask = tensors
        states = BaseModelOutput(last_hidden_state=hidden)
        answer = self.model(
            encoder_outputs=states, attention_mask=attention_mask, decoder_input_ids=tokens, use_cache=False
        )
        return answer.logits[:, -1]


class Generator:
    """The model as `generate` answers without sampling and with one beam."""

    def __init__(self, model: Any, tokens: Tokens, names: tuple[str, ...], facts: Mapping[str, Any]) -> None:
        if names != ("input_ids", "attention_mask"):
            raise Unsupported(f"{facts['architecture']} takes {', '.join(names)}, which is not served")
        self._model = model
        self._tokens = tokens
        self._new = _new_tokens(model)
        shape = ("batch", "sequence")
        self.signature = Signature(
            inputs=tuple(Tensor(name=name, dtype="int64", shape=shape) for name in names),
            outputs=(Tensor(name=TOKENS, dtype="int64", shape=("batch", "generated")),),
        )
        head = {**facts["head"], "kind": "tokens", "max_new_tokens": self._new}
        self.facts = {**facts, "decoding": "greedy", "max_new_tokens": self._new, "head": head}

    def answer(self, request: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The tokens, with the one that begins and those that fill up. Raises StepFailed."""
        given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in request.items()}
        try:
            with torch.no_grad():
                found = self._model.generate(**given, max_new_tokens=self._new, do_sample=False, num_beams=1)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise StepFailed(f"The model fails on this request: {modules.line(error)}") from None
        return {TOKENS: found.numpy()}

    def exporters(self) -> Mapping[str, Exporter]:
        """Both halves by PyTorch's exporters, joined by a Loop."""
        return {"greedy loop": self._export}

    def request(self, batch: int) -> dict[str, NDArray[Any]]:
        """Texts, tokenized."""
        texts = [SAMPLES[place % len(SAMPLES)] for place in range(batch)]
        return self._tokens.encode(texts, ("input_ids", "attention_mask"))

    def preprocess(self) -> TextSteps:
        """Texts to tokens, and back."""
        return self._tokens.steps(TOKENS)

    def _export(self, asked: Asked, folder: Path) -> Path:
        encoder, decoder = Encoder(self._model).eval(), Decoder(self._model).eval()
        hidden = Tensor(name="hidden", dtype="float32", shape=("batch", "sequence", "width"))
        mask = asked.signature.inputs[1]
        tokens = Tensor(name=TOKENS, dtype="int64", shape=("batch", "generated"))
        scores = Tensor(name="scores", dtype="float32", shape=("batch", "vocabulary"))
        first = _asked(encoder, Signature(inputs=asked.signature.inputs, outputs=(hidden,)), asked.requests)
        requests = [
            {TOKENS: answer[TOKENS], "hidden": states["hidden"], mask.name: request[mask.name]}
            for request, answer, states in zip(asked.requests, asked.answers, first.answers, strict=True)
        ]
        width = first.answers[0]["hidden"].shape[-1]
        fixed = hidden.model_copy(update={"shape": ("batch", "sequence", width)})
        second = _asked(decoder, Signature(inputs=(tokens, fixed, mask), outputs=(scores,)), requests)
        halves = []
        for name, module, about in (("encoder", encoder, first), ("decoder", decoder, second)):
            place = folder / name
            place.mkdir()
            written = exporting.export(
                dict(reversed(tuple(export.exporters(module).items()))), about, place, where=name
            )
            halves.append(onnx.load(written.model))
        config = self._model.generation_config
        end = config.eos_token_id
        model = join(
            halves[0], halves[1], asked.signature, start=_start(self._model), most=self._new,
            end=[] if end is None else list(end) if isinstance(end, list | tuple) else [end], pad=self._tokens.pad,
        )  # fmt: skip
        for name in ("encoder", "decoder"):
            for left in (folder / name).iterdir():
                left.unlink()
            (folder / name).rmdir()
        return onnx_files.save(model, folder)


def join(
    encoder: Any, decoder: Any, signature: Signature, *, start: int, end: Sequence[int], pad: int, most: int
) -> Any:
    """One model: the encoder, then at most `most` turns of the decoder, from the token `start` on until every text has
    a token of `end`; what follows that is `pad`."""
    encoder, decoder = (_inner(half, f"{name}/") for half, name in ((encoder, "encoder"), (decoder, "decoder")))
    ids, mask = (tensor.name for tensor in signature.inputs)
    aliases = {f"encoder/{ids}": ids, f"encoder/{mask}": mask, f"decoder/{mask}": mask,
               "decoder/hidden": "encoder/hidden", f"decoder/{TOKENS}": "so_far"}  # fmt: skip
    for half in (encoder, decoder):
        for node in half.graph.node:
            _rename(node, aliases)
    constants = {
        "start": np.array(start, np.int64), "ends": np.array(end or [-1], np.int64).reshape(1, -1),
        "pad": np.array(pad, np.int64), "most": np.array(most, np.int64), "yes": np.array(True),
        "one": np.array([1], np.int64), "zero": np.array([0], np.int64),
    }  # fmt: skip
    node = helper.make_node
    body = helper.make_graph(
        [
            *decoder.graph.node,
            node("ArgMax", ["decoder/scores"], ["best"], axis=-1, keepdims=1),
            node("Where", ["ended", "pad", "best"], ["next"]),
            node("Concat", ["so_far", "next"], ["tokens_out"], axis=1),
            node("Equal", ["next", "ends"], ["is_end"]),
            node("Cast", ["is_end"], ["is_end_number"], to=TensorProto.INT64),
            node("ReduceMax", ["is_end_number", "one"], ["ends_now_number"], keepdims=1),
            node("Cast", ["ends_now_number"], ["ends_now"], to=TensorProto.BOOL),
            node("Or", ["ended", "ends_now"], ["ended_out"]),
            node("Cast", ["ended_out"], ["ended_number"], to=TensorProto.INT64),
            node("ReduceMin", ["ended_number"], ["all_ended"], keepdims=0),
            node("Cast", ["all_ended"], ["all_ended_bool"], to=TensorProto.BOOL),
            node("Not", ["all_ended_bool"], ["go_on"]),
        ],
        "next token",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("so_far", TensorProto.INT64, ["batch", "length"]),
            helper.make_tensor_value_info("ended", TensorProto.BOOL, ["batch", 1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("tokens_out", TensorProto.INT64, ["batch", "longer"]),
            helper.make_tensor_value_info("ended_out", TensorProto.BOOL, ["batch", 1]),
        ],
    )
    graph = helper.make_graph(
        [
            *encoder.graph.node,
            node("Shape", [ids], ["batch_size"], start=0, end=1),
            node("Concat", ["batch_size", "one"], ["column"], axis=0),
            node("Expand", ["start", "column"], ["first"]),
            node("Expand", ["no", "column"], ["none_ended"]),
            node("Loop", ["most", "yes", "first", "none_ended"], [TOKENS, "all_have_ended"], body=body),
        ],
        "greedy",
        [helper.make_tensor_value_info(each.name, TensorProto.INT64, each.shape) for each in signature.inputs],
        [helper.make_tensor_value_info(TOKENS, TensorProto.INT64, signature.outputs[0].shape)],
        initializer=[
            *encoder.graph.initializer, *decoder.graph.initializer,
            *(numpy_helper.from_array(value, name) for name, value in {**constants, "no": np.array(False)}.items()),
        ],
    )  # fmt: skip
    opsets = {each.domain: each.version for half in (encoder, decoder) for each in half.opset_import}
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=exporting.IR_VERSION)


def _inner(half: Any, prefix: str) -> Any:
    if half.functions:
        raise StepFailed(f"the {prefix[:-1]} was exported with functions, which a Loop cannot hold")
    return compose.add_prefix(half, prefix)


def _rename(node: Any, aliases: Mapping[str, str]) -> None:
    node.input[:] = [aliases.get(name, name) for name in node.input]
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
            for inner in graph.node:
                _rename(inner, aliases)


def _asked(module: Any, signature: Signature, requests: Sequence[Mapping[str, NDArray[Any]]]) -> Asked:
    return Asked(signature, requests, [modules.answer(module, request, signature) for request in requests], [])


def _new_tokens(model: Any) -> int:
    config = model.generation_config
    longest = getattr(model.config, "max_position_embeddings", None)
    wanted = config.max_new_tokens or (config.max_length - 1 if config.max_length else None) or MOST
    return max(1, min(wanted, longest - 1) if longest else wanted)


def _start(model: Any) -> int:
    start = model.generation_config.decoder_start_token_id
    if start is None:
        start = model.config.decoder_start_token_id
    if not isinstance(start, int):
        raise StepFailed("the folder does not say with which token an answer begins (decoder_start_token_id)")
    return start
