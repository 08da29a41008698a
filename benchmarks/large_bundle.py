"""Keeping a sharded checkpoint and scanning a state dict, against `sha256sum` and `tar` of the same bytes.

    python benchmarks/large_bundle.py [GIB]

Makes a checkpoint of GIB (5) gibibytes in safetensors shards of 1 GiB, without a download: a random block of 16 MiB a
shard, over and over. Each measurement is a process of its own: its peak of memory (VmHWM), the bytes that it read
(rchar), its time and its CPU. Bounds: 500 MiB of memory and two reads of each byte for keeping; 300 MiB and 200 MB/s
for scanning.
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

BLOCK = 16 << 20
MEASURED = """
import json, resource, sys, time
from pathlib import Path
began = time.perf_counter()
{work}
took = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_SELF)
read = int(Path("/proc/self/io").read_text().split()[1])
peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) << 10
print(json.dumps([took, used.ru_utime + used.ru_stime, read, peak]))
"""
KEEP = """
from cloudmodel.formats.scan import scan_paths
from cloudmodel.bundle.store import FolderStore
import bundle_parts
folder = Path(sys.argv[1])
assert scan_paths([folder]).verdict == "clean"
FolderStore(Path(sys.argv[2])).keep(folder, bundle_parts.manifest(folder))
"""
SCAN = """
from cloudmodel.formats.scan import scan
assert scan(Path(sys.argv[1])).verdict == "clean"
"""


def shard(path: Path, size: int) -> None:
    """A safetensors file of one tensor of `size` bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    block = os.urandom(BLOCK)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for at in range(0, size, BLOCK):
            file.write(block[: min(BLOCK, size - at)])


def measured(work: str, *arguments: Path) -> tuple[float, float, int, int]:
    """Wall s, CPU s, bytes read and bytes of memory at most."""
    support = str(Path(__file__).parents[1] / "tests" / "support")
    command = [sys.executable, "-c", MEASURED.format(work=work), *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": support}, capture_output=True, check=True, text=True)
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
        folder = work / "checkpoint"
        folder.mkdir()
        parts = [min(1 << 30, size - at) for at in range(0, size, 1 << 30)]
        for number, part in enumerate(parts):
            shard(folder / f"model-{number:05}-of-{len(parts):05}.safetensors", part)
        hashed = timed("sha256sum", *sorted(folder.iterdir()))
        tarred = timed("tar", "-cf", work / "plain.tar", "-C", folder, ".")
        (work / "plain.tar").unlink()
        floor = hashed[0] + tarred[0], hashed[1] + tarred[1]
        print(f"sha256sum + tar        {floor[0]:7.1f} s  {floor[1]:6.1f} s CPU")
        wall, cpu, read, peak = measured(KEEP, folder, work / "bundles")
        print(f"scan, hash and keep    {wall:7.1f} s  {cpu:6.1f} s CPU  {read / size:.2f} reads  {peak >> 20} MiB"
              f"  ratio {wall / floor[0]:.2f} (CPU {cpu / floor[1]:.2f})")  # fmt: skip
        assert read <= 2.01 * size and peak < 500 << 20
        shard(folder / f"model-00000-of-{len(parts):05}.safetensors", parts[0])
        wall, cpu, read, peak = measured(KEEP, folder, work / "bundles")
        print(f"again, one shard new   {wall:7.1f} s  {cpu:6.1f} s CPU  {read / size:.2f} reads  {peak >> 20} MiB")
        kept = sum(path.stat().st_size for path in (work / "bundles" / "files").iterdir())
        print(f"both bundles take {kept / size:.2f} times the checkpoint")
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
