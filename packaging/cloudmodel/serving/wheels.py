"""What a container lacks and may not fetch, put into the bundle: AWS's PyTorch image has no ONNX Runtime, no tokenizers
and not always Pillow, and network isolation forbids pip.

    code/wheels/cp312-x86_64/…  code/wheels/cp312-aarch64/…

One folder for each Python and processor that AWS has an image for, so that one bundle serves any stack. Only what the
bundle's own code imports is brought. The wheels are those of the version with which parity was proven here; pip fetches
them from the index that it is set up for, and the manifest has their digests.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from cloudmodel.catalog.images import interpreters
from cloudmodel.core import files
from cloudmodel.core.errors import CloudmodelError, UnsafeModel, Unsupported
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.formats.model import Frozen

FOLDER = Path("code") / "wheels"
WHEELS = "wheels"
"""Where a manifest's metadata say what was brought."""
RUNTIME = Path("code") / "cloudmodel_runtime"
NEEDED_BY = RUNTIME / "session.py"
PACKAGES = {NEEDED_BY: "onnxruntime", RUNTIME / "text.py": "tokenizers", RUNTIME / "image.py": "pillow"}
"""What each module of a bundle's code imports besides numpy, which every image has."""
PROCESSORS = {"x86_64": "x86_64", "arm64": "aarch64"}
"""By the catalog's word for an architecture, the wheels' and Python's own."""
GLIBC = ("2_28", "2_27", "2_17")
"""What AWS's images are at least: Ubuntu 22.04 has 2.35."""
SECONDS = 600.0


class Wheel(Frozen):
    """One that is in the bundle: its file's name, and the digest under which the index has it."""

    file: str
    sha256: str


def bring(folder: Path, layout: str, report: Report = silent) -> tuple[Wheel, ...]:
    """Fetch and unpack the wheels for every image of `layout` into a bundle's folder.

    Raises Unsupported for a layout whose code does not load ONNX models, CloudmodelError where pip fetches nothing.
    """
    if not (folder / NEEDED_BY).is_file():
        raise Unsupported(
            f"A bundle of the layout {layout} has no code that needs wheels",
            where="cloudmodel.yaml: serve.wheels",
            hint="leave it out",
        )
    brought = []
    for architecture, python in interpreters(layout):
        processor = PROCESSORS[architecture]
        for package in (each for module, each in PACKAGES.items() if (folder / module).is_file()):
            report(Progress("wheels", note=f"{package} for Python {python} on {processor}"))
            with tempfile.TemporaryDirectory(prefix="cloudmodel-wheels-") as work:
                wheel = _fetch(package, python, processor, Path(work))
                brought.append(Wheel(file=wheel.name, sha256=files.sha256(wheel)))
                _unpack(wheel, folder / place(architecture, python))
    return tuple(brought)


def place(architecture: str, python: str) -> Path:
    """Where in a bundle the packages for an image lie; `cloudmodel_runtime.wheels` looks there."""
    return FOLDER / f"cp{python.replace('.', '')}-{PROCESSORS[architecture]}"


def _fetch(package: str, python: str, processor: str, work: Path) -> Path:
    pinned = f"{package}=={version(package)}"
    platforms = [f"--platform=manylinux_{glibc}_{processor}" for glibc in GLIBC]
    interpreter = [f"--python-version={python}", "--implementation=cp", f"--abi=cp{python.replace('.', '')}"]
    command: Sequence[str] = (
        sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps",
        "--only-binary=:all:", *platforms, *interpreter, "--dest", str(work), pinned,
    )  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    except subprocess.TimeoutExpired:
        said = [f"no answer in {SECONDS:g} s"]
    found = sorted(work.glob("*.whl"))
    if len(found) != 1:
        raise CloudmodelError(
            f"pip found no wheel of {pinned} for Python {python} on {processor}: {said[-1]}",
            where="cloudmodel.yaml: serve.wheels",
            hint="check pip's index (python -m pip config list), or name an image that has it: cloudmodel:existing",
        )
    return found[0]


def _unpack(wheel: Path, target: Path) -> None:
    """The plain files of a wheel. Raises UnsafeModel for a name that leaves the folder."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename)
            if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
                raise UnsafeModel(f"The wheel has a file named {member.filename!r}", where=wheel.name)
            if member.is_dir():
                continue
            unpacked = target / name
            unpacked.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, unpacked.open("wb") as copy:
                shutil.copyfileobj(source, copy)
