"""RapidOCR's recognizer on licence plates that are rendered here: an ONNX file whose weights are all constants, with an
open width; the characters stand in the file itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from wheels import unpacked

SETTINGS = "version: 1\nname: plates\nmodel: {source: plates.onnx}\n"
COUNT, TABLE = 200, 0.985
TOGETHER = 20
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def plates(font: Any) -> tuple[list[str], Any]:
    """Texts such as ABC-1234 and their pictures, float32 [COUNT, 3, 48, 192] in -1 to 1: a little turned, blurred and
    noisy."""
    random = np.random.default_rng(7)
    texts, images = [], []
    for _ in range(COUNT):
        text = "".join(random.choice(list(LETTERS), 3)) + "-" + "".join(random.choice(list("0123456789"), 4))
        page = Image.new("L", (320, 80), 255)
        ImageDraw.Draw(page).text((30, 12), text, font=font, fill=0)
        page = page.rotate(float(random.uniform(-3, 3)), fillcolor=255, resample=Image.Resampling.BICUBIC)
        page = page.filter(ImageFilter.GaussianBlur(1.2)).resize((192, 48))
        noisy = np.clip(np.asarray(page, np.float32) + random.normal(0, 12, (48, 192)), 0, 255)
        images.append(np.repeat(((noisy / 255 - 0.5) / 0.5)[None], 3, axis=0))
        texts.append(text)
    return texts, np.stack(images).astype(np.float32)


def read(scores: Any, characters: list[str]) -> list[str]:
    """The likeliest signs of each step, without repetitions and blanks (CTC)."""
    found = []
    for row in scores.argmax(-1):
        kept = [sign for place, sign in enumerate(row) if sign and (place == 0 or sign != row[place - 1])]
        found.append("".join(characters[sign - 1] for sign in kept).strip())
    return found


def test_plates_are_read_as_well_from_the_endpoint(stand: Callable[[str], Any], project: Path) -> None:
    models = unpacked("rapidocr-onnxruntime==1.4.4") / "rapidocr_onnxruntime/models"
    model = project / "plates.onnx"
    shutil.copy(models / "ch_PP-OCRv4_rec_infer.onnx", model)
    fonts = unpacked("matplotlib==3.10.0") / "matplotlib/mpl-data/fonts/ttf"
    texts, images = plates(ImageFont.truetype(str(fonts / "DejaVuSansMono-Bold.ttf"), 46))
    kept = {each.key: each.value for each in onnx.load(model).metadata_props}
    characters = [*kept["character"].splitlines(), " "]
    endpoint = stand(SETTINGS)
    parts = [endpoint.array(images[start : start + TOGETHER]) for start in range(0, COUNT, TOGETHER)]
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    own = session.run(None, {session.get_inputs()[0].name: images[:TOGETHER]})[0]
    np.testing.assert_allclose(parts[0], own, atol=1e-5)
    served = [text for part in parts for text in read(part, characters)]
    right = sum(a == b for a, b in zip(served, texts, strict=True)) / COUNT
    print(f"{COUNT} plates: {right:.4f} read rightly through InvokeEndpoint")
    wrong = [pair for pair in zip(served, texts, strict=True) if pair[0] != pair[1]]
    assert abs(right - TABLE) <= 0.005 + 1e-9, wrong
