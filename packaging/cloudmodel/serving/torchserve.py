"""The layout of TorchServe: the folder form, which AWS's PyTorch container serves too, and the same as a `.mar`.

    MAR-INF/MANIFEST.json  handler.py  the model  code/…  NAME.mar

TorchServe takes either: `--models NAME=NAME.mar`, or the bundle's folder itself. A `.mar` is a zip; ours has no times
in it, so the same model gives the same bytes, which torch-model-archiver's does not.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from cloudmodel.core import files
from cloudmodel.serving import inference_code
from cloudmodel.serving.layout import Content
from cloudmodel.serving.placing import place

MANIFEST = Path("MAR-INF") / "MANIFEST.json"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""
HANDLER = '''"""TorchServe calls `handle`; see cloudmodel_runtime.torchserve."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "code"))

from cloudmodel_runtime.torchserve import Handler  # noqa: E402
from inference import model_fn  # noqa: E402

_handler = Handler(model_fn)


def initialize(context):
    _handler.handle(None, context)


def handle(data, context):
    return _handler.handle(data, context)
'''


def write(folder: Path, content: Content) -> None:
    """Put model, handler, serving code, manifest and archive into a bundle's folder."""
    model = place(content, folder)
    inference_code.write(folder, content, more=("torchserve",))
    files.write_text(folder / "handler.py", HANDLER)
    manifest = {
        "createdOn": "01/01/1980 00:00:00",
        "runtime": "python",
        "model": {
            "modelName": content.name,
            "serializedFile": str(model[0]),
            "handler": "handler.py",
            "modelVersion": "1.0",
        },
        "archiverVersion": "0.12.0",
    }
    files.write_text(folder / MANIFEST, f"{json.dumps(manifest, indent=2)}\n")
    code = [path.relative_to(folder) for path in (folder / "code").rglob("*") if path.is_file()]
    archive(folder, [MANIFEST, Path("handler.py"), *model, *code], folder / f"{content.name}.mar")


def archive(folder: Path, members: Sequence[Path], target: Path) -> None:
    """The files of `folder` as a `.mar`, the same bytes for the same files."""
    with files.replacing(target) as writer, zipfile.ZipFile(writer, "w", zipfile.ZIP_DEFLATED) as mar:
        for member in sorted(members):
            entry = zipfile.ZipInfo(member.as_posix(), EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            with (folder / member).open("rb") as reader, mar.open(entry, "w", force_zip64=True) as inside:
                while piece := reader.read(1 << 20):
                    inside.write(piece)
