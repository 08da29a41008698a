"""Checkpoints of any size: the shards of a real architecture, filled with made-up numbers piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import text_models

BLOCK = 16 << 20
WORDS = [f"word{place}" for place in range(60)]


def shapes(config: Any, kind: str) -> dict[str, tuple[int, ...]]:
    """What the weights of a class of transformers are called, with their shapes; none of them is made."""
    with torch.device("meta"):
        model = getattr(transformers, kind)(config)
    tied = set(getattr(model, "all_tied_weights_keys", ()))
    return {name: tuple(each.shape) for name, each in model.state_dict().items() if name not in tied}


def write_shard(path: Path, tensors: Mapping[str, tuple[int, ...]], seed: int) -> None:
    """float32 in safetensors' own form, small random numbers: a block of BLOCK over and over."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + int(np.prod(shape)) * 4
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = (np.random.default_rng(seed).standard_normal(BLOCK // 4, dtype=np.float32) / 50).tobytes()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for at in range(0, end, BLOCK):
            file.write(block[: min(BLOCK, end - at)])


def write_shards(folder: Path, tensors: Mapping[str, tuple[int, ...]], shard: int) -> int:
    """Files of about `shard` bytes, and their index; returns all their bytes."""
    parts = list(_parts(tensors, shard))
    index: dict[str, str] = {}
    for place, part in enumerate(parts, 1):
        name = f"model-{place:05}-of-{len(parts):05}.safetensors"
        write_shard(folder / name, part, place)
        index |= dict.fromkeys(part, name)
    total = sum(path.stat().st_size for path in folder.iterdir())
    document = {"metadata": {"total_size": total}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))
    return total


def refill(path: Path) -> None:
    """Other numbers in place of a shard's."""
    with path.open("r+b") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        end = file.seek(0, 2)
        block = (np.random.default_rng(99).standard_normal(BLOCK // 4, dtype=np.float32) / 50).tobytes()
        file.seek(start)
        for at in range(start, end, BLOCK):
            file.write(block[: min(BLOCK, end - at)])


def sharded(folder: Path, config: Any, kind: str, shard: int) -> int:
    """A folder as `save_pretrained` writes it, its weights in files of about `shard` bytes; returns their bytes."""
    folder.mkdir(parents=True)
    total = write_shards(folder, shapes(config, kind), shard)
    config.architectures = [kind]
    config.dtype = "float32"
    config.save_pretrained(folder)
    text_models.tokenizer(WORDS, 64).save_pretrained(folder)
    return total


def _parts(tensors: Mapping[str, tuple[int, ...]], shard: int) -> Iterator[dict[str, tuple[int, ...]]]:
    part: dict[str, tuple[int, ...]] = {}
    held = 0
    for name, shape in tensors.items():
        size = int(np.prod(shape)) * 4
        if part and held + size > shard:
            yield part
            part, held = {}, 0
        part[name] = shape
        held += size
    yield part
