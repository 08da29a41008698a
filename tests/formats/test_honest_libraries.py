"""Models as torch, Keras, TensorFlow, safetensors, onnx, scikit-learn, joblib, skops, numpy and h5py write them
themselves: none is a false alarm, neither of ours nor of the second opinions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cloudmodel.formats.scan import ScannedFile, scan, scan_paths
from cloudmodel.formats.scanning import savedmodel

WRITES = Path(__file__).parents[1] / "support" / "honest_models.py"
FORMATS = {"torch", "torchscript", "torch-export", "safetensors", "keras", "hdf5", "savedmodel", "onnx", "joblib",
           "skops", "npy", "npz"}  # fmt: skip
WEIGHTS = {"onnx-weights", "savedmodel-variables"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    subprocess.run([sys.executable, WRITES, folder], check=True, capture_output=True)
    return folder


def test_at_least_forty_models_of_all_formats_are_clean(folder: Path) -> None:
    report = scan_paths([folder / "models"])
    assert [each for each in report.files if each.verdict != "clean"] == []
    models: list[ScannedFile] = [each for each in report.files if each.format not in WEIGHTS]
    assert {each.format for each in models} == FORMATS
    assert len(models) >= 40


def test_the_same_in_a_model_tar_gz(folder: Path, tmp_path: Path) -> None:
    # An ONNX model's external weights are looked for beside it, and in an archive nothing lies beside it.
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        for kind in ("torch", "keras", "safetensors", "table"):
            archive.add(folder / "models" / kind, kind)
    assert scan(tmp_path / "model.tar.gz").findings == ()


OWN = {"RestoreV2", "SaveV2", "MergeV2Checkpoints", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2"}
"""What every SavedModel has for its own variables and assets."""
NO_FILE = {"TensorSliceDataset"}
"""Says of its tensors whether they are names of files, and opens none."""


def test_every_operation_of_tensorflow_that_is_given_a_file_or_an_address_is_refused(folder: Path) -> None:
    operations: dict[str, list[str]] = json.loads((folder / "operations.json").read_text())
    reaches = {
        name
        for name, given in operations.items()
        if any(re.search(r"(^|_)(filenames?|files?|path|address|memory_region|pattern)(_|$)", each) for each in given)
        or re.search(r"PyFunc|^Debug(Identity|N\w*Summary)", name)
    }
    assert len(reaches) > 40
    string_patterns = {"RegexFullMatch", "RegexReplace", "StaticRegexFullMatch", "StaticRegexReplace"}
    assert reaches - savedmodel.REACHES_OUT - OWN - NO_FILE - string_patterns == set()
    assert savedmodel.REACHES_OUT - operations.keys() <= {"TryRpc"}
