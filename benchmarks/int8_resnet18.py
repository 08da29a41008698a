"""`optimize` with 8 bits on the resnet18 of `mnist_resnet18.py`: what it chooses, proven on 1,008 images.

    python benchmarks/int8_resnet18.py FOLDER

needs what `mnist_resnet18.py FOLDER` wrote. The search sees 112 of `heldout.npz`'s 1,120 images and reports from the
others, at batch 1. Prints every trial, and the bytes and the bound of the drop of the chosen one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

from cloudmodel.core.progress import Progress
from cloudmodel.optimize import report
from cloudmodel.optimize.gate import Demand
from cloudmodel.optimize.optimize import Request, optimize
from mnist_resnet18 import SIGNATURE


def main(folder: Path) -> None:
    """Search, print, and write the report beside the model."""
    started = perf_counter()

    def tell(progress: Progress, /) -> None:
        print(f"{perf_counter() - started:7.1f} s  {progress.task} {progress.done} {progress.note}", file=sys.stderr)

    outcome = optimize(
        Request(
            folder / "model.onnx", SIGNATURE, folder, "heldout.npz", "accuracy", folder / "cache",
            calibrate="train.npz", train="train.npz", demand=Demand(max_drop=0.01), objective="latency",
            techniques=("graph", "quantize"), budget=1800.0,
        ),
        tell,
    )  # fmt: skip
    found = outcome.document
    report.write(folder / "report.html", "resnet18", found)
    (folder / "result.json").write_text(json.dumps(found, indent=1))
    print(f"{perf_counter() - started:.0f} s: {found['reason']}")
    for trial in found["trials"]:
        print(trial["id"], trial["title"], trial["latency_ratio"], trial["size_bytes"], trial["reason"])
    if found["chosen"]:
        chosen = next(trial for trial in found["trials"] if trial["id"] == found["chosen"])
        was = found["baseline"]["size_bytes"]
        print(f"bytes {was:,} -> {chosen['size_bytes']:,}, {was / chosen['size_bytes']:.2f} times smaller")
        print(f"noise floor {found['noise_floor']}, {found['sets']['final']} final rows, {found['conditions']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
