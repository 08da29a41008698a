"""Images: JPEG and PNG, brought to the size and the numbers that the model was trained with.

Resizing, cropping and normalization are torchvision's: `resize` is the shorter side or [height, width], the crop is the
middle, and a value is (pixel / 255 - mean) / std, a channel each.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import RequestRefused
from .requests import Request
from .tensors import Array, Spec

MOST_PIXELS = 50_000_000
EXPECTED = 'the model takes a JPEG or PNG image as the body, or {"instances": [{"b64": "..."}, ...]}'
FILTERS = {name: getattr(Image.Resampling, name.upper()) for name in ("nearest", "bilinear", "bicubic", "lanczos")}


class Images:
    """See `formats.preprocess.ImageSteps`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._mode = str(document["color"])
        self._resize: int | list[int] | None = document["resize"]
        self._crop: list[int] | None = document["crop"]
        self._filter = FILTERS[document["interpolation"]]
        self._mean = np.array(document["mean"], dtype=np.float32)
        self._std = np.array(document["std"], dtype=np.float32)
        self._channels_first = document["order"] == "CHW"

    def takes(self, request: Request) -> bool:
        """An image, or rows that hold encoded ones."""
        if request.form == "instances":
            return any(isinstance(row, dict) and set(row) == {"b64"} for row in request.values)
        return request.form == "image"

    def arrays(self, request: Request, specs: Sequence[Spec]) -> dict[str, Array]:
        """The model's one input, a row an image."""
        (spec,) = specs
        images = [request.values] if request.form == "image" else [_decoded(row) for row in request.values]
        rows = [self._row(image, place) for place, image in enumerate(images)]
        if len({row.shape for row in rows}) != 1:
            raise RequestRefused("the images have different sizes, and this model does not bring them to one")
        return {spec.name: np.stack(rows).astype(spec.dtype)}

    def finish(self, request: Request, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """As they are."""
        return outputs

    def _row(self, data: bytes, place: int) -> Array:
        try:
            image: Image.Image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
            if image.width * image.height > MOST_PIXELS:
                raise RequestRefused(f"image {place} has more than {MOST_PIXELS:,} pixels")
            image = image.convert(self._mode)
        except RequestRefused:
            raise
        except UnidentifiedImageError:
            raise RequestRefused(f"image {place} is neither JPEG nor PNG; {EXPECTED}") from None
        except Exception as error:  # Pillow raises a dozen kinds for bytes that are no image
            raise RequestRefused(f"image {place} cannot be read: {error}; {EXPECTED}") from None
        pixels = np.asarray(self._cropped(self._resized(image)), dtype=np.float32)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        values = (pixels / np.float32(255) - self._mean) / self._std
        return values.transpose(2, 0, 1) if self._channels_first else values

    def _resized(self, image: Any) -> Any:
        if self._resize is None:
            return image
        if isinstance(self._resize, list):
            height, width = self._resize
        else:
            shorter = min(image.size)
            width, height = (int(self._resize * size / shorter) for size in image.size)
        return image.resize((width, height), self._filter)

    def _cropped(self, image: Any) -> Any:
        if self._crop is None:
            return image
        height, width = self._crop
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        return image.crop((left, top, left + width, top + height))


def _decoded(row: Any) -> bytes:
    if not isinstance(row, dict) or set(row) != {"b64"} or not isinstance(row["b64"], str):
        raise RequestRefused(EXPECTED)
    try:
        return base64.b64decode(row["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestRefused(f"not base64: {error}; {EXPECTED}") from None


def load(folder: Path, document: Mapping[str, Any]) -> Images:
    """Images as `preprocess.json` describes them."""
    return Images(document)
