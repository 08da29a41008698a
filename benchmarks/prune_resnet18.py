"""Structured pruning with distillation on the resnet18 of `mnist_resnet18.py`, judged on its 1,000 final images.

    python benchmarks/prune_resnet18.py FOLDER

needs what `mnist_resnet18.py FOLDER` wrote. Prints multiply-adds, bytes, accuracy with the bound of the drop
(one-sided, 95 %), and the ratio of latencies at batch 1 with its interval and the noise floor of the same run.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from cloudmodel.formats.factory import Source
from cloudmodel.optimize.bounds import paired
from cloudmodel.optimize.data import read_npz
from cloudmodel.optimize.inference import answers
from cloudmodel.optimize.measure import Effort, measure
from cloudmodel.optimize.prune.structured import Channels, Prune
from cloudmodel.optimize.technique import Artifact, Material
from mnist_resnet18 import FACTORY, SIGNATURE, Arrays, accuracy

PARAMETERS = Channels(ratio=0.45, epochs=8, learning_rate=2e-3, labels=0.1, soft_targets=0.9, patience=8)
CONFIDENCE = 0.95


def pruned(folder: Path) -> tuple[Artifact, Artifact]:
    """The original, and the pruned model, made where it is not there yet."""
    before = Artifact(folder / "model.onnx", folder / "resnet18.pt")
    place = folder / "pruned"
    if (place / "trained").is_dir():
        return before, Artifact(place / "model.onnx", place / "trained")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    here = Path(__file__).parent
    material = Material(
        signature=SIGNATURE, train=folder / "train.npz", metric="accuracy", folder=here,
        source=Source(folder=here, factory=FACTORY, weights=(folder / "resnet18.pt").resolve()),
    )  # fmt: skip
    technique = Prune()
    assert (reason := technique.inapplicable(before, material, PARAMETERS)) is None, reason
    return before, technique.apply(before, material, PARAMETERS, place, lambda at: print(at.done, at.note, flush=True))


def main() -> None:
    """Prune, judge, measure."""
    folder = Path(sys.argv[1])
    before, after = pruned(folder)
    counts = Prune().prove(before, after).counts
    for what in ("macs", "parameters", "bytes"):
        was, now = counts[f"{what}_before"], counts[f"{what}_after"]
        print(f"{what}: {was:,} -> {now:,}, {was / now:.2f} times fewer")
    final = read_npz(folder / "final.npz", SIGNATURE)
    rows: Arrays = {"labels": final.labels}
    first, second = (answers(each.model, final, SIGNATURE)["logits"] for each in (before, after))
    right = [found.argmax(1) == final.labels for found in (first, second)]
    losses, gains = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    bound = -paired(losses, gains, len(final), CONFIDENCE).low
    print(f"accuracy on {len(final)}: {accuracy(first, rows):.4f} -> {accuracy(second, rows):.4f}")
    print(f"{losses} lost, {gains} gained; the drop is at most {100 * bound:.2f} points")
    request = folder / "request.npz"
    np.savez(request, image=final.inputs["image"][:1])
    found = measure(before.model, [after.model], request, folder / "measured", effort=Effort(rounds=40, seconds=60.0))
    ratio, floor = found.ratios[0], found.floor
    print(f"latency {found.latency_ms:.2f} ms, {ratio.mid:.2f} times faster [{ratio.low:.2f}, {ratio.high:.2f}]")
    print(f"noise floor [{floor.low:.3f}, {floor.high:.3f}], {dict(found.conditions)}, void: {found.void}")


if __name__ == "__main__":
    main()
