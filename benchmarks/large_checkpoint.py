"""`package` of a checkpoint in shards, against `sha256sum` and `tar` of the same bytes.

    python benchmarks/large_checkpoint.py [GIB] [torch]

Makes a Llama of GIB (5) gibibytes in shards of 1 GiB with made-up weights, without a download, and packages it: copy,
scan, open, answer three texts by the bundle's own code, keep the shards as they are. With `torch` it is a PyTorch model
of dense layers with its factory: copy, scan, open, ask, export to ONNX, ask that and the bundle. Measured are time,
CPU, the bytes that the verb and its children read (rchar; what is mapped is read besides, once by the one answer of a
Llama, several times of a model that is exported), and memory: the most of its own that any process had (RssAnon,
sampled every 20 ms), which is what must fit, and with the pages of files that it has mapped (VmHWM), which the kernel
may take back. What PyTorch and transformers take before they open anything stands beside them. Bounds: two reads of
each byte, 500 MiB of memory of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import transformers

import checkpoints
from large_bundle import timed

WATCHED = """
import json, os, re, resource, sys, threading, time
from pathlib import Path
import psutil
most = {"RssAnon": 0, "VmHWM": 0}

def look():
    me = psutil.Process()
    while True:
        for each in [me, *me.children(recursive=True)]:
            try:
                status = Path(f"/proc/{each.pid}/status").read_text()
            except OSError:
                continue
            for key in most:
                if found := re.search(key + r":\\\\s+(\\\\d+)", status):
                    most[key] = max(most[key], int(found[1]) << 10)
        time.sleep(0.02)

threading.Thread(target=look, daemon=True).start()
began = time.perf_counter()
WORK
took = time.perf_counter() - began
cpu = sum(each.ru_utime + each.ru_stime for each in map(resource.getrusage, (0, -1)))
read = int(Path("/proc/self/io").read_text().split()[1])
print(json.dumps([took, cpu, read, most["RssAnon"], most["VmHWM"]]))
""".replace("\\\\", "\\")
PACKAGE = """
from cloudmodel.bundle.store import FolderStore
from cloudmodel.serving.package import ModelSource, package
package(ModelSource("large", Path(sys.argv[1])), FolderStore(Path(sys.argv[2])))
"""
EXPORT = """
from cloudmodel.bundle.store import FolderStore
from cloudmodel.formats.factory import Source
from cloudmodel.serving.package import ModelSource, package
source = Source(Path(sys.argv[1]).parent, "net:build", Path(sys.argv[1]))
inputs = [{"name": "x", "dtype": "float32", "shape": ["batch", 4096]}]
package(ModelSource("large", source, inputs=inputs), FolderStore(Path(sys.argv[2])))
"""
FACTORY = """
import torch

def build():
    layers = [torch.nn.Linear(4096, 4096) for _ in range(LAYERS)]
    return torch.nn.Sequential(*(each for layer in layers for each in (layer, torch.nn.GELU())))
"""
LIBRARIES = """
import subprocess
code = "import torch, time; from transformers import LlamaForCausalLM; time.sleep(0.2)"
subprocess.run([sys.executable, "-c", code], check=True)
"""


def watched(work: str, *arguments: Path) -> tuple[float, float, int, int, int]:
    """Wall s, CPU s, bytes read, bytes of memory of its own at most, the same with mapped files."""
    command = [sys.executable, "-c", WATCHED.replace("WORK", work), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    wall, cpu, read, own, resident = json.loads(done.stdout)
    return wall, cpu, read, own, resident


def llama(folder: Path, size: int) -> int:
    """A Llama of about `size` bytes; returns them."""
    layer, words = 4 * (4 * 2048**2 + 3 * 2048 * 8192), 4 * 2 * 32_000 * 2048
    config = transformers.LlamaConfig(
        vocab_size=32_000, hidden_size=2048, intermediate_size=8192, num_hidden_layers=max(1, (size - words) // layer),
        num_attention_heads=16, max_position_embeddings=256, pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    return checkpoints.sharded(folder, config, "LlamaForCausalLM", 1 << 30)


def dense(folder: Path, size: int) -> int:
    """A factory beside a folder of shards of about `size` bytes; returns them."""
    layers = max(1, size // (4 * 4096 * 4097))
    (folder.parent / "net.py").write_text(FACTORY.replace("LAYERS", str(layers)))
    kinds = {"weight": (4096, 4096), "bias": (4096,)}
    every = {f"{2 * place}.{kind}": shape for place in range(layers) for kind, shape in kinds.items()}
    folder.mkdir()
    return checkpoints.write_shards(folder, every, 1 << 30)


def main() -> None:
    size = int(float(sys.argv[1]) * (1 << 30)) if len(sys.argv) > 1 else 5 << 30
    make, work_of = (dense, EXPORT) if "torch" in sys.argv[2:] else (llama, PACKAGE)
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="cloudmodel-bench-") as name:
        work = Path(name)
        folder = work / "model"
        size = make(folder, size)
        print(f"{size / (1 << 30):.2f} GiB in {len(list(folder.glob('*.safetensors')))} shards")
        hashed = timed("sha256sum", *sorted(folder.iterdir()))
        tarred = timed("tar", "-cf", work / "plain.tar", "-C", folder, ".")
        (work / "plain.tar").unlink()
        floor = hashed[0] + tarred[0], hashed[1] + tarred[1]
        print(f"sha256sum + tar        {floor[0]:7.1f} s  {floor[1]:6.1f} s CPU")
        _, _, _, own, resident = watched(LIBRARIES)
        print(f"PyTorch, transformers  {own >> 20} MiB, {resident >> 20} with files")
        wall, cpu, read, own, resident = watched(work_of, folder, work / "bundles")
        print(f"package                {wall:7.1f} s  {cpu:6.1f} s CPU  {read / size:.2f} reads  {own >> 20} MiB, "
              f"{resident >> 20} with files  ratio {wall / floor[0]:.2f} (CPU {cpu / floor[1]:.2f})")  # fmt: skip
        assert read <= 2.1 * size and own < 500 << 20
        checkpoints.refill(next(folder.glob("model-00002-*")))
        wall, cpu, read, own, resident = watched(work_of, folder, work / "bundles")
        print(f"again, one shard new   {wall:7.1f} s  {cpu:6.1f} s CPU  {read / size:.2f} reads  {own >> 20} MiB, "
              f"{resident >> 20} with files")  # fmt: skip
        kept = sum(path.stat().st_size for path in (work / "bundles" / "files").iterdir())
        print(f"both bundles take {kept / size:.2f} times the model")


if __name__ == "__main__":
    main()
