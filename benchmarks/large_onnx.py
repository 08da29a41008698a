"""An ONNX model that no protobuf can hold: weights of more than 2 GiB beside the file.

    python benchmarks/large_onnx.py [GIB]

Makes a model of GIB (2.2) gibibytes in one table, at operator set 11, and packages, signs, verifies and asks it, as its
users do; then brings it to operator set 20. numpy reads the same table by itself and says what is right. Each part is a
process of its own: its time, CPU and peak of memory (VmHWM) with its children's largest (the kernel's ru_maxrss).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

WIDTH, CLASSES, ROWS = 1024, 16, 4
PIECE = 16 << 20
MEASURED = """
import json, resource, sys, time
from pathlib import Path
began = time.perf_counter()
folder = Path(sys.argv[1])
{work}
took = time.perf_counter() - began
own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) << 10
print(json.dumps([took, cpu, peak, children.ru_maxrss << 10, said]))
"""
PACKAGE = """
from cloudmodel.bundle.store import open_store
from cloudmodel.serving.package import ModelSource, package
source = ModelSource("large", folder / "large.onnx", samples=folder / "rows.npz")
made = package(source, open_store("store", base=folder))
said = [made.digest, str(made.archive), made.manifest.scan.verdict, made.manifest.parity.max_abs_error]
"""
SIGN = """
from cloudmodel.bundle import archive, signing
from cloudmodel.bundle.store import open_store
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
key = ec.generate_private_key(ec.SECP256R1())
(folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
bundle = Path(sys.argv[2])
store = open_store("store", base=folder)
store.attach(sys.argv[3], signing.sign(archive.read_manifest(bundle), folder / "key"))
said = signing.verified(store.get(sys.argv[3]), store.signature(sys.argv[3]), public) is not None
"""
ASK = """
import numpy as np
sys.path.insert(0, sys.argv[2] + "/code")
import inference
body = json.dumps({"inputs": {"ids": np.load(folder / "rows.npz")["ids"].tolist()}}).encode()
model = inference.model_fn(sys.argv[2])
answer = inference.output_fn(inference.predict_fn(inference.input_fn(body, "application/json"), model), None)[0]
said = json.loads(answer)["outputs"]["scores"]
"""
RAISE = """
from cloudmodel.formats import onnx_files
from cloudmodel.formats.model import Signature
from cloudmodel.formats.onnx import read_header, signature
from cloudmodel.optimize.graph.opset import Opset, To
from cloudmodel.optimize.technique import Artifact, Material
import numpy as np
target = folder / "raised"
target.mkdir()
before, described = Artifact(folder / "large.onnx"), signature(folder / "large.onnx")
after = Opset().apply(before, Material(described), To(version=20), target)
onnx_files.declare(after.model, described, 10)  # the open dimensions, IR 10, and onnx's checker
header = read_header(after.model)
from cloudmodel.formats.session import open_session
session = open_session(after.model)
said = [header.opsets[""], header.ir_version,
        [session.run(None, {"ids": np.load(folder / "rows.npz")["ids"][:rows]})[0].tolist() for rows in (1, 2, 4)]]
"""


def make(folder: Path, size: int) -> tuple[Any, Any]:
    """ids int64 [batch, words] → scores float32 [batch, 16]: the mean of the words' rows, times a matrix. Returns rows
    and what numpy says of them."""
    entries = size // (4 * WIDTH)
    random = np.random.default_rng(0)
    with (folder / "large.bin").open("wb") as file:
        for at in range(0, entries, PIECE // (4 * WIDTH)):
            count = min(PIECE // (4 * WIDTH), entries - at)
            file.write(random.standard_normal((count, WIDTH), np.float32).tobytes())
        matrix = random.standard_normal((WIDTH, CLASSES), np.float32)
        file.write(matrix.tobytes())
    weights = []
    for name, shape, offset in (("table", (entries, WIDTH), 0), ("matrix", (WIDTH, CLASSES), entries * WIDTH * 4)):
        tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": "large.bin", "offset": offset, "length": 4 * shape[0] * shape[1]}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        weights.append(tensor)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("ReduceMean", ["words"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes, "large", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "words"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", CLASSES])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    (folder / "large.onnx").write_bytes(model.SerializeToString())
    ids = random.integers(0, entries, (ROWS, 5))
    np.savez(folder / "rows.npz", ids=ids)
    table = np.memmap(folder / "large.bin", np.float32, "r", shape=(entries, WIDTH))
    return ids, table[ids].mean(1) @ matrix


def measured(what: str, work: str, *arguments: object) -> Any:
    """Run a part, print what it took, and return what it said."""
    command = [sys.executable, "-c", MEASURED.replace("{work}", work), *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    wall, cpu, peak, children, said = json.loads(done.stdout.splitlines()[-1])
    print(f"{what:28}{wall:7.1f} s {cpu:7.1f} s CPU   {peak >> 20:6} MiB, its largest child {children >> 20:6} MiB")
    return said


def main() -> None:
    size = int(float(sys.argv[1]) * (1 << 30)) if len(sys.argv) > 1 else int(2.2 * (1 << 30))
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="cloudmodel-bench-") as name:
        folder = Path(name)
        began = time.perf_counter()
        _, expected = make(folder, size)
        held = (folder / "large.bin").stat().st_size
        print(f"made {held / 2**30:.2f} GiB of weights in {time.perf_counter() - began:.1f} s")
        digest, bundle, verdict, worst = measured("package", PACKAGE, folder)
        assert verdict == "clean" and worst == 0, (verdict, worst)
        assert measured("sign and verify", SIGN, folder, bundle, digest)
        scores = measured("load and predict", ASK, folder, bundle)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
        opset, ir_version, answers = measured("operator set 11 to 20", RAISE, folder)
        assert (opset, ir_version) == (20, 10), (opset, ir_version)
        for rows, answer in zip((1, 2, 4), answers, strict=True):
            np.testing.assert_allclose(answer, expected[:rows], rtol=1e-4, atol=1e-5)
        print("all answers are numpy's")


if __name__ == "__main__":
    main()
