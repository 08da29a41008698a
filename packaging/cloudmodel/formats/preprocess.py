"""What a bundle does before and after its model: texts to tokens, images to numbers, ids to places in a list.

A project names it as `model.preprocess`; a Hugging Face folder brings its own. `write` puts it into a bundle's folder,
where the code that travels reads it (`serving/runtime/preprocessing.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from cloudmodel.core import files
from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats.extras import EXTRAS, missing
from cloudmodel.formats.model import Frozen, Signature

FOLDER = "preprocess"
FILE = "preprocess.json"
TOKENIZER = "tokenizer.json"
MAX_FILE = 256 << 20


Told = Literal["label", "labels", "entities"]


class _Steps(Frozen):
    kind: str

    def lacks(self) -> str | None:
        """What to install for it; None where all is there."""
        return missing(self.kind) if self.kind in EXTRAS else None


class TextSteps(_Steps):
    """A tokenizer (the text of a tokenizer.json) and how its tokens become arrays; a text of more than `max_length`
    tokens is refused. `decode` is the output that holds tokens to be made texts again; `labels` are the classes of a
    model whose one output is their logits, and `told` is what an answer to texts tells of them: the likeliest `label`
    and its probability, all `labels` where one excludes no other, or the `entities`, one a token."""

    kind: Literal["text"] = "text"
    tokenizer: str
    max_length: int
    pad: int = 0
    pad_type: int = 0
    side: Literal["left", "right"] = "right"
    decode: str | None = None
    labels: tuple[str, ...] = ()
    told: Told = "label"

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer; what `preprocess.json` says."""
        files.write_text(folder / TOKENIZER, self.tokenizer)
        return {**self.model_dump(mode="json"), "tokenizer": TOKENIZER}

    def check(self, signature: Signature) -> None:
        """Raises ProjectInvalid where the model takes something else than tokens."""
        known = ("input_ids", "attention_mask", "token_type_ids")
        for tensor in signature.inputs:
            if tensor.name not in known or len(tensor.shape) != 2 or not tensor.dtype.startswith("int"):
                raise _contradicts(
                    f"input {tensor.name!r} is {tensor.dtype}{list(tensor.shape)}", f"{', '.join(known)}"
                )


class ImageSteps(_Steps):
    """As torchvision does it: `resize` the shorter side, or to [height, width]; cut `crop` [height, width] out of the
    middle; (pixel / 255 - mean) / std, one number a channel of `color`; channels first in `order` CHW."""

    kind: Literal["image"] = "image"
    color: Literal["RGB", "L"] = "RGB"
    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: Literal["CHW", "HWC"] = "CHW"

    def write(self, folder: Path) -> dict[str, Any]:
        """What `preprocess.json` says."""
        return self.model_dump(mode="json")

    def check(self, signature: Signature) -> None:
        """Raises ProjectInvalid where the model takes no such image."""
        channels = 3 if self.color == "RGB" else 1
        tensor = signature.inputs[0]
        shape = tensor.shape[1:]
        if len(signature.inputs) != 1 or len(shape) != 3:
            raise _contradicts(f"input {tensor.name!r} is {tensor.dtype}{list(tensor.shape)}", "one image a row")
        found = shape[0] if self.order == "CHW" else shape[-1]
        if isinstance(found, int) and found != channels:
            raise _contradicts(
                f"input {tensor.name!r} is {list(tensor.shape)}",
                f"{channels} channels, {self.order}",
                hint="color: RGB or L (one channel); order: CHW, or HWC as Keras' models take it",
            )
        size = self.crop or (self.resize if isinstance(self.resize, tuple) else None)
        sides = shape[1:] if self.order == "CHW" else shape[:-1]
        if any(isinstance(side, int) and (size is None or side != size[place]) for place, side in enumerate(sides)):
            made = (
                f"images of {list(size)}" if size else "images of every size, without crop or resize: [height, width]"
            )
            raise _contradicts(f"input {tensor.name!r} is {list(tensor.shape)}", made)
        if any(len(each) not in (1, channels) for each in (self.mean, self.std)) or 0 in self.std:
            raise _contradicts(f"mean has {len(self.mean)} numbers and std {len(self.std)}", f"1 or {channels}, none 0")


class IdSteps(_Steps):
    """The ids that the model knows by input, one a line of a text; an id's place is what the model takes."""

    kind: Literal["ids"] = "ids"
    maps: Annotated[dict[str, str], Field(min_length=1)]

    @property
    def counts(self) -> dict[str, int]:
        """How many ids there are, by input."""
        return {name: len(ids) for name, ids in self._lists()}

    def _lists(self) -> Iterator[tuple[str, list[str]]]:
        for name, text in self.maps.items():
            yield name, text.removesuffix("\n").split("\n")

    def write(self, folder: Path) -> dict[str, Any]:
        """Write a file for each list; what `preprocess.json` says."""
        named = {name: f"ids-{place}.txt" for place, name in enumerate(sorted(self.maps))}
        for name, file in named.items():
            files.write_text(folder / file, self.maps[name])
        return {"kind": self.kind, "maps": named}

    def check(self, signature: Signature) -> None:
        """Raises ProjectInvalid where the model has no such input, or a list an id twice."""
        for name, ids in self._lists():
            if len(set(ids)) != len(ids):
                twice = next(each for each, count in Counter(ids).items() if count > 1)
                raise ProjectInvalid(
                    f"The ids of {name!r} have {twice!r} twice", where="model.preprocess",
                    hint="an id's line is what the model takes, so each id has one",
                )  # fmt: skip
        own = {tensor.name: tensor for tensor in signature.inputs}
        for name in self.maps:
            if name not in own or not own[name].dtype.startswith(("int", "uint")):
                raise _contradicts(f"its inputs are {', '.join(map(str, own))}", f"whole numbers as {name!r}")


Steps = TextSteps | ImageSteps | IdSteps


def write(steps: Steps, folder: Path) -> None:
    """Write `preprocess.json` and what it names into the folder of that name in `folder`. Raises OSError."""
    own = folder / FOLDER
    document = steps.write(own)
    files.write_text(own / FILE, json.dumps(document, indent=1, sort_keys=True) + "\n")


def read_text(path: Path) -> str:
    """A tokenizer or a list of ids. Raises ProjectInvalid."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise ProjectInvalid("The file is too large", where=str(path))
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProjectInvalid("There is no such file", where=str(path), hint="check model.preprocess") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectInvalid(f"The file cannot be read: {error}", where=str(path)) from None


def _contradicts(model: str, steps: str, *, hint: str | None = None) -> ProjectInvalid:
    return ProjectInvalid(
        f"model.preprocess does not fit the model: {model}; it makes {steps}", where="model.preprocess", hint=hint
    )
