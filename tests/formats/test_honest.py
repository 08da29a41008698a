"""Honest models of all kinds: none is a false alarm."""

from __future__ import annotations

import bz2
import collections
import datetime
import gzip
import io
import json
import pickle
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pytest
import scipy.sparse
import skops.io
from sklearn import (
    calibration,
    cluster,
    compose,
    datasets,
    decomposition,
    ensemble,
    feature_extraction,
    gaussian_process,
    isotonic,
    linear_model,
    model_selection,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

from cloudmodel.formats.scan import scan, scan_paths
from cloudmodel.formats.scanning import opinions
from hostile import tarred, torch_zip, zipped


@pytest.fixture(autouse=True)
def no_second_opinions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process a file; tests/formats/test_honest_libraries.py hears them all."""
    monkeypatch.setattr(opinions, "installed", tuple)


X, Y = datasets.load_iris(return_X_y=True)
KERNEL = gaussian_process.kernels.RBF() + gaussian_process.kernels.WhiteKernel()
ESTIMATORS: dict[str, Callable[[], Any]] = {
    "logistic regression": lambda: linear_model.LogisticRegression(max_iter=1000),
    "ridge": linear_model.RidgeClassifier,
    "sgd": lambda: linear_model.SGDClassifier(random_state=0),
    "lasso": linear_model.Lasso,
    "svm": lambda: svm.SVC(probability=False),
    "linear svm": svm.LinearSVC,
    "tree": tree.DecisionTreeClassifier,
    "forest": lambda: ensemble.RandomForestClassifier(5, random_state=0),
    "gradient boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=5),
    "histogram boosting": lambda: ensemble.HistGradientBoostingClassifier(max_iter=3),
    "ada boost": lambda: ensemble.AdaBoostClassifier(n_estimators=3),
    "bagging": lambda: ensemble.BaggingClassifier(n_estimators=3),
    "isolation forest": lambda: ensemble.IsolationForest(n_estimators=3),
    "voting": lambda: ensemble.VotingClassifier(
        [("a", naive_bayes.GaussianNB()), ("b", tree.DecisionTreeClassifier())]
    ),
    "neighbours": neighbors.KNeighborsClassifier,
    "ball tree": lambda: neighbors.KNeighborsClassifier(algorithm="ball_tree"),
    "naive bayes": naive_bayes.GaussianNB,
    "perceptron": lambda: neural_network.MLPClassifier((4,), max_iter=5),
    "gaussian process": lambda: gaussian_process.GaussianProcessClassifier(KERNEL, optimizer=None),
    "calibrated": lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2),
    "pipeline": lambda: pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(2), svm.SVC()),
    "columns": lambda: pipeline.make_pipeline(
        compose.ColumnTransformer([("a", preprocessing.MinMaxScaler(), [0, 1])]), linear_model.LogisticRegression()
    ),
    "grid search": lambda: model_selection.GridSearchCV(tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2),
    "k-means": lambda: cluster.KMeans(2, n_init=1),
}


def fitted(make: Callable[[], Any]) -> Any:
    return make().fit(X, Y)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
def test_scikit_learn_is_clean_in_pickle_and_in_joblib(tmp_path: Path, make: Callable[[], Any]) -> None:
    model = fitted(make)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    joblib.dump(model, tmp_path / "m.joblib", compress=3)
    assert [scan(tmp_path / name).findings for name in ("m.pkl", "m.joblib")] == [(), ()]


@pytest.mark.parametrize("compress", [0, 1, ("zlib", 9), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)], ids=str)
def test_every_compression_of_joblib_is_read(tmp_path: Path, compress: Any) -> None:
    text = feature_extraction.text.TfidfVectorizer().fit(["a bird in the hand", "two in the bush"])
    value = {"text": text, "forest": fitted(ESTIMATORS["forest"]), "table": np.array(["ä", "b"], dtype="U9"),
             "objects": np.array([{"a": np.zeros(3)}, None, "x"], dtype=object), "empty": np.zeros((0, 3)),
             "flags": np.array(True), "record": np.zeros(3, dtype=[("a", "<i4"), ("b", "<f8")])}  # fmt: skip
    joblib.dump(value, tmp_path / "m.joblib", compress=compress)
    result = scan(tmp_path / "m.joblib")
    assert result.findings == ()
    assert result.format == "joblib"


def torch_pickle() -> bytes:
    """A state dict as torch.save pickles it, written with pickle's own pieces: no torch is here."""
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
        b"X\x03\x00\x00\x00cpuK\x04tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtR"
    )
    return b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00w" + tensor + b"s."


def torch_legacy() -> bytes:
    parts = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    return (
        b"".join(pickle.dumps(part, protocol=2) for part in parts)
        + torch_pickle()
        + pickle.dumps(["0"], 2)
        + bytes(range(200)) * 9
    )


def torchscript() -> bytes:
    members = {"m/data.pkl": b"\x80\x02c__torch__\nNet\n)\x81}b.", "m/code/__torch__.py": b"class Net(Module):\n",
               "m/constants.pkl": b"\x80\x02).", "m/data/0": bytes(64), "m/version": b"3\n"}  # fmt: skip
    return zipped(members)


def npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(9), b=np.array(["x"]), c=np.zeros((2, 3), dtype="<c16"))
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def safetensors(length: int = 0) -> bytes:
    header = {"__metadata__": {"format": "pt"}, "w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
              "e": {"dtype": "F32", "shape": [0], "data_offsets": [8, 8]}}  # fmt: skip
    text = json.dumps(header).encode().ljust(length)
    return struct.pack("<Q", len(text)) + text + bytes(8)


def keras() -> bytes:
    dense = {"module": "keras.layers", "class_name": "Dense", "registered_name": None, "config": {"units": 3}}
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [dense]}}
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((4, 3))
    return zipped(
        {"metadata.json": b"{}", "config.json": json.dumps(config).encode(), "model.weights.h5": weights.getvalue()}
    )


def keras_h5() -> bytes:
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [{"class_name": "Dense"}]})
        file["model_weights/dense/kernel"] = np.zeros((4, 3))
        file["soft"] = h5py.SoftLink("/model_weights")
    return weights.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "torch": (torch_zip(torch_pickle()), "torch"),
    "torch before 1.6": (torch_legacy(), "torch"),
    "TorchScript": (torchscript(), "torchscript"),
    "npy": (npy(np.eye(3)), "npy"),
    "npy of times": (npy(np.array(["2026-01-01"], dtype="M8[D]")), "npy"),
    "npy of objects": (npy(np.array([{"a": 1}, None], dtype=object)), "npy"),
    "npz": (npz(), "npz"),
    "safetensors": (safetensors(), "safetensors"),
    "safetensors that begins as a pickle does": (safetensors(0x280), "safetensors"),
    "keras": (keras(), "keras"),
    "keras 2": (keras_h5(), "hdf5"),
    "dict": (pickle.dumps({"a": [1, 2.5, None, True, "ä", b"x" * 9000, 1 << 200], "t": (1,), "s": {1, 2}}), "pickle"),
    "dict of protocol 0": (pickle.dumps({"a": [1, 2.5, None, True, "ä"], "big": 1 << 99}, protocol=0), "pickle"),
    "ordered": (pickle.dumps(collections.OrderedDict(a=collections.Counter("aab"))), "pickle"),
    "dates": (pickle.dumps(datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)), "pickle"),
    "sparse": (pickle.dumps(scipy.sparse.eye(5, format="csr")), "pickle"),
    "random state": (pickle.dumps(np.random.RandomState(1)), "pickle"),
    "generator": (pickle.dumps(np.random.default_rng(1)), "pickle"),
    "scalar": (pickle.dumps(np.float32(1.5)), "pickle"),
    "masked": (pickle.dumps(np.ma.masked_array([1, 2], [False, True])), "pickle"),
    "isotonic": (pickle.dumps(isotonic.IsotonicRegression().fit([1, 2, 3], [1, 3, 2])), "pickle"),
    "gzip of a pickle": (gzip.compress(pickle.dumps([1])), "gzip"),
    "bzip2 of a pickle": (bz2.compress(pickle.dumps([1])), "bzip2"),
    "model.tar.gz": (tarred({"m.pt": torch_zip(torch_pickle()), "a.txt": b"a\nb\n", "m.npz": npz()}, "w:gz"), "gzip"),
    "skops": (skops.io.dumps(fitted(ESTIMATORS["logistic regression"])), "skops"),
    "skops of a forest": (skops.io.dumps(fitted(ESTIMATORS["forest"])), "skops"),
    "skops of a pipeline": (skops.io.dumps(fitted(ESTIMATORS["pipeline"])), "skops"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "kind"), FILES.values(), ids=FILES)
def test_an_honest_file_is_clean(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "model").write_bytes(content)
    result = scan(tmp_path / "model")
    assert (result.findings, result.format) == ((), kind)


def test_texts_beside_a_model_are_clean_and_code_is_not(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    (tmp_path / "labels.txt").write_bytes(b"cat\ndog\nbird\n")
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    assert scan_paths([tmp_path]).verdict == "clean"
    assert scan(tmp_path / "labels.txt").verdict == "unknown"  # by itself it is no model
    (tmp_path / "modeling.py").write_text("import os\n")
    assert scan_paths([tmp_path]).verdict == "unknown"


def test_a_large_file_needs_little_memory(tmp_path: Path) -> None:
    size = 700 << 20
    with (tmp_path / "m.pkl").open("wb") as file:
        file.write(b"\x80\x04]\x8e" + struct.pack("<Q", size))
        file.seek(size, 1)
        file.write(b"a.")
    code = (
        "import sys; from pathlib import Path; from cloudmodel.formats.scan import scan;"
        "assert scan(Path(sys.argv[1])).verdict == 'clean';"
        # getrusage would tell of the process that this one was forked from
        "print(Path('/proc/self/status').read_text())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.pkl")], capture_output=True, check=True)
    (peak,) = re.findall(rb"VmHWM:\s+(\d+) kB", done.stdout)
    assert int(peak) < 300 << 10
