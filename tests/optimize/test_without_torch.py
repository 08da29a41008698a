"""Without PyTorch the training techniques say what to install, and nothing else of the package asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from pathlib import Path
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.factory import Source
from cloudmodel.optimize.technique import Artifact, Material
"""
ASK = """
signature = Signature(inputs=(Tensor(name="x", dtype="float32", shape=("batch", 4)),), outputs=())
material = Material(signature=signature, train=Path("t.npz"), metric="accuracy", source=Source(Path(), "nets:net"))
from importlib import import_module
for reference in {references}:
    module, _, name = reference.partition(":")
    technique = getattr(import_module("cloudmodel.optimize." + module), name)()
    print(technique.inapplicable(Artifact(Path("model.pt"), Path("weights.pt")), material, technique.parameters()))
"""
TRAINING = ["prune.structured:Prune", "prune.magnitude:MagnitudePrune", "distill.distill:Distill",
            "quantize.torch_dynamic:TorchDynamicInt8"]  # fmt: skip
EXPORT = """
from cloudmodel.formats import opening
from cloudmodel.formats.original import Job
try:
    opening.export(Job("torch", None, signature.inputs, Source(Path(), "nets:net")), Path())
except Exception as error:
    print(type(error).__name__, error)
"""
TORCH = ("torch", "torch_pruning", "safetensors")


def run(script: str, folder: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_every_training_technique_says_what_to_install(tmp_path: Path) -> None:
    script = BLOCKED.format(names=TORCH) + ASK.format(references=TRAINING) + EXPORT
    *reasons, error = run(script, tmp_path)
    wanted = "needs torch and torch_pruning and safetensors: pip install 'cloudmodel[torch]'"
    assert reasons == [wanted] * len(TRAINING)
    assert error == f"ProjectInvalid A torch model {wanted}"


@pytest.mark.parametrize("absent", TORCH)
def test_it_names_the_one_that_is_missing(tmp_path: Path, absent: str) -> None:
    script = BLOCKED.format(names=(absent,)) + ASK.format(references=TRAINING[:1])
    assert run(script, tmp_path) == [f"needs {absent}: pip install 'cloudmodel[torch]'"]
