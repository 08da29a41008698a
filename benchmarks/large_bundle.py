"""`package` of a model of many shards and `scan` of a state dict, against `sha256sum` and `tar` of the same bytes.

    python benchmarks/large_bundle.py [GIB]

Makes an ONNX model of GIB (5) gibibytes, without a download: a table a GiB, each in a file of its own, filled with a
random block of 16 MiB over and over; a request sums a row of each. The whole verb runs: copy, scan, load and ask in a
confined child, prove the bundle's own answers in another, name, keep. Each measurement is a process of its own: its
peak of memory (VmHWM, and the largest child's), the bytes that it and its children read (rchar: all reads but the
pages that onnxruntime maps), its time and its CPU. Bounds: 500 MiB of memory and two reads of each byte for packaging;
300 MiB and 200 MB/s for scanning.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import onnx_models

BLOCK = 16 << 20
ROW = 64 * 4
MEASURED = """
import json, resource, sys, time
from pathlib import Path
began = time.perf_counter()
{work}
took = time.perf_counter() - began
own, children = (resource.getrusage(each) for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
read = int(Path("/proc/self/io").read_text().split()[1])
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) << 10
cpu = sum(each.ru_utime + each.ru_stime for each in (own, children))
print(json.dumps([took, cpu, read, max(peak, children.ru_maxrss << 10)]))
"""
PACKAGE = """
from cloudmodel.bundle.store import FolderStore
from cloudmodel.serving.package import ModelSource, package
package(ModelSource("large", Path(sys.argv[1])), FolderStore(Path(sys.argv[2])))
"""
SCAN = """
from cloudmodel.formats.scan import scan
assert scan(Path(sys.argv[1])).verdict == "clean"
"""


def table(path: Path, size: int) -> None:
    """A file of `size` bytes of small random numbers, all of them finite."""
    block = np.random.default_rng().standard_normal(BLOCK // 4, dtype=np.float32).tobytes()
    with path.open("wb") as file:
        for at in range(0, size, BLOCK):
            file.write(block[: min(BLOCK, size - at)])


def measured(work: str, *arguments: Path) -> tuple[float, float, int, int]:
    """Wall s, CPU s, bytes read and bytes of memory at most."""
    command = [sys.executable, "-c", MEASURED.format(work=work), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    wall, cpu, read, peak = json.loads(done.stdout)
    return wall, cpu, read, peak


def timed(*command: object) -> tuple[float, float]:
    """Wall s and CPU s of a command."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu


def state_dicts(folder: Path, size: int) -> dict[str, Path]:
    """The same weights in the forms that hold a pickle, written piece by piece."""
    block = os.urandom(BLOCK)
    raw = folder / "weights.pkl"
    with raw.open("wb") as file:
        file.write(b"\x80\x04]\x8e" + struct.pack("<Q", size))
        for _ in range(size // BLOCK):
            file.write(block)
        file.write(b"a.")
    with zipfile.ZipFile(folder / "weights.pt", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        with archive.open("archive/data/0", "w", force_zip64=True) as member:
            for _ in range(size // BLOCK):
                member.write(block)
    with tarfile.open(folder / "model.tar", "w") as tar:
        tar.add(raw, "weights.pkl")
    return {"pickle": raw, "torch zip": folder / "weights.pt", "pickle in a tar": folder / "model.tar"}


def main() -> None:
    size = int(float(sys.argv[1]) * (1 << 30)) if len(sys.argv) > 1 else 5 << 30
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="cloudmodel-bench-") as name:
        work = Path(name)
        folder = work / "model"
        tables = max(1, size >> 30)
        onnx_models.tables(folder, tables=tables, rows=size // tables // ROW, write=table)
        hashed = timed("sha256sum", *sorted(folder.iterdir()))
        tarred = timed("tar", "-cf", work / "plain.tar", "-C", folder, ".")
        (work / "plain.tar").unlink()
        floor = hashed[0] + tarred[0], hashed[1] + tarred[1]
        print(f"sha256sum + tar        {floor[0]:7.1f} s  {floor[1]:6.1f} s CPU")
        wall, cpu, read, peak = measured(PACKAGE, folder, work / "bundles")
        print(f"package                {wall:7.1f} s  {cpu:6.1f} s CPU  {read / size:.2f} reads  {peak >> 20} MiB"
              f"  ratio {wall / floor[0]:.2f} (CPU {cpu / floor[1]:.2f})")  # fmt: skip
        assert read <= 2.05 * size and peak < 500 << 20
        table(next(folder.glob("table-00000-*")), size // tables // ROW * ROW)
        wall, cpu, read, peak = measured(PACKAGE, folder, work / "bundles")
        print(f"again, one shard new   {wall:7.1f} s  {cpu:6.1f} s CPU  {read / size:.2f} reads  {peak >> 20} MiB")
        kept = sum(path.stat().st_size for path in (work / "bundles" / "files").iterdir())
        print(f"both bundles take {kept / size:.2f} times the model")
        for path in work.glob("bundles/**/*"):
            if path.is_file():
                path.unlink()
        large = min(size, 2 << 30) // BLOCK * BLOCK
        for form, path in state_dicts(work, large).items():
            wall, cpu, _, peak = measured(SCAN, path)
            print(f"scan {form:18}{wall:7.1f} s  {cpu:6.1f} s CPU  {large / wall / 1e6:6.0f} MB/s"
                  f" ({large / cpu / 1e6:.0f} a CPU s)  {peak >> 20} MiB")  # fmt: skip
            assert peak < 300 << 20
            path.unlink()


if __name__ == "__main__":
    main()
