"""Held-out digits for the demo: write some as a request, and show an endpoint's answers beside the labels.

demo_digits.py images HELDOUT.npz REQUEST.npy
demo_digits.py answers HELDOUT.npz ANSWER.json      exits 1 where fewer than 9 in 10 are right
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

COUNT = 10
RIGHT = 0.9


def images(heldout: Path, request: Path) -> int:
    """Write the first images as `application/x-npy`, float32 [COUNT, 1, 8, 8]."""
    with np.load(heldout) as data:
        np.save(request, data["inputs"][:COUNT])
    print(f"{COUNT} images that the model never saw: {request}")
    return 0


def answers(heldout: Path, answer: Path) -> int:
    """Print label and answer of each image; the answer is the digit with the highest score."""
    with np.load(heldout) as data:
        labels = data["labels"][:COUNT]
    document = json.loads(answer.read_text())
    scores = np.array(next(iter(document["body"]["outputs"].values())))
    digits = scores.argmax(axis=1)
    print("label   ", *labels)
    print("answer  ", *digits)
    right = int((digits == labels).sum())
    print(f"{right} of {COUNT} are right; the endpoint took {document['latency_ms']:.0f} ms for all of them")
    return 0 if right >= RIGHT * COUNT else 1


if __name__ == "__main__":
    sys.exit({"images": images, "answers": answers}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3])))
