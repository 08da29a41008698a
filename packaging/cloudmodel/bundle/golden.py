"""One request and the original model's answer to it, kept in the bundle: what an endpoint must answer, too.

They are the first of parity's samples, so with `evaluate.data` a row of it, else made from a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudmodel.bundle import archive
from cloudmodel.bundle.manifest import Golden
from cloudmodel.formats import samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

REQUEST, ANSWER = "golden/request.npz", "golden/answer.npz"
CONTENT_TYPE = "application/x-npz"
MOST = 1 << 20
"""Bytes of each; a larger sample is not kept."""


def keep(folder: Path, request: Arrays, answer: Arrays, *, absolute: float, relative: float) -> Golden | None:
    """Write the two into a bundle's folder; None, and nothing is written, where one of them is too large."""
    files = {folder / REQUEST: request, folder / ANSWER: answer}
    if any(sum(array.nbytes for array in arrays.values()) > MOST for arrays in files.values()):
        return None
    (folder / REQUEST).parent.mkdir(exist_ok=True)
    for path, arrays in files.items():
        samples.write_npz(path, samples.plain(arrays))
    return Golden(request=REQUEST, answer=ANSWER, content_type=CONTENT_TYPE, absolute=absolute, relative=relative)


def read(bundle: Path) -> tuple[Golden, bytes, bytes] | None:
    """The golden sample of a bundle's archive: how, the request's body, the expected answer's; None without one.

    Raises UnsafeModel, UsageError, BundleChanged.
    """
    golden = archive.read_manifest(bundle).golden
    if golden is None:
        return None
    found = archive.read_files(bundle, (golden.request, golden.answer))
    return golden, found[golden.request], found[golden.answer]


def arrays(body: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an npz. Raises ValueError for bytes that are none; nothing in them is unpickled."""
    import io
    import zipfile

    import numpy as np

    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, zipfile.BadZipFile, AttributeError, EOFError) as error:
        raise ValueError(f"not an npz: {error}") from error
