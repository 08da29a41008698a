"""`model.preprocess`: what the endpoint makes of texts, images or ids before the model sees them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cloudmodel.settings.fields import Text, Tuple
from cloudmodel.settings.part import Settings

Size = Annotated[int, Field(ge=1, le=65536)]
Height = Annotated[tuple[Size, Size], Tuple]
"""Height and width in pixels."""
Numbers = Annotated[tuple[float, ...], Tuple, Field(min_length=1, max_length=3)]


class TextPreprocess(Settings):
    kind: Literal["text"]
    tokenizer: Text
    """A tokenizer.json."""
    max_length: Annotated[int, Field(ge=1, le=1 << 20)]
    """A text of more tokens is refused."""
    pad: Annotated[int, Field(ge=0)] = 0
    """The token that fills up shorter texts."""
    side: Literal["left", "right"] = "right"
    """Where it fills up."""


class ImagePreprocess(Settings):
    kind: Literal["image"]
    color: Literal["RGB", "L"] = "RGB"
    resize: Size | Height | None = None
    """The shorter side, or [height, width]."""
    crop: Height | None = None
    """Cut out of the middle: [height, width]."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    mean: Numbers = (0.0,)
    """(pixel / 255 - mean) / std, one number a channel."""
    std: Numbers = (1.0,)
    order: Literal["CHW", "HWC"] = "CHW"


class IdPreprocess(Settings):
    kind: Literal["ids"]
    maps: Annotated[dict[Text, Text], Field(min_length=1)]
    """By input: a text file with one id a line; an id's place is what the model takes."""


Preprocess = Annotated[TextPreprocess | ImagePreprocess | IdPreprocess, Field(discriminator="kind")]
