"""One request and the original model's answer to it, kept in the bundle: what an endpoint must answer, too.

They are the first of parity's samples, so with `evaluate.data` a row of it, else made from a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudmodel.bundle import archive, foreign
from cloudmodel.bundle.foreign import Foreign
from cloudmodel.bundle.manifest import Golden
from cloudmodel.core import files
from cloudmodel.formats import samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

REQUEST, ANSWER = "golden/request.npz", "golden/answer.npz"
FOREIGN_REQUEST = "golden/request.json"
CONTENT_TYPE = "application/x-npz"
MOST = 1 << 20
"""Bytes of each; a larger sample is not kept."""


def keep(
    folder: Path, request: Arrays, answer: Arrays, *, absolute: float, relative: float, asked: Foreign | None = None
) -> Golden | None:
    """Write the two into a bundle's folder, the request in the form of its container; None, and nothing is written,
    where one of them is too large."""
    if any(sum(array.nbytes for array in arrays.values()) > MOST for arrays in (request, answer)):
        return None
    (folder / ANSWER).parent.mkdir(exist_ok=True)
    samples.write_npz(folder / ANSWER, samples.plain(answer))
    if asked is None:
        samples.write_npz(folder / REQUEST, samples.plain(request))
        return Golden(request=REQUEST, answer=ANSWER, content_type=CONTENT_TYPE, absolute=absolute, relative=relative)
    files.write_bytes(folder / FOREIGN_REQUEST, asked.body(request))
    return Golden(
        request=FOREIGN_REQUEST, answer=ANSWER, content_type=foreign.CONTENT_TYPE, absolute=absolute, relative=relative
    )


def read(bundle: Path) -> tuple[Golden, bytes, bytes] | None:
    """The golden sample of a bundle's archive: how, the request's body, the expected answer's; None without one.

    Raises UnsafeModel, UsageError, BundleChanged.
    """
    golden = archive.read_manifest(bundle).golden
    if golden is None:
        return None
    found = archive.read_files(bundle, (golden.request, golden.answer))
    return golden, found[golden.request], found[golden.answer]


def answered(golden: Golden, body: bytes, expected: Arrays) -> dict[str, NDArray[Any]]:
    """The arrays of an endpoint's answer. Raises ValueError for bytes that hold none."""
    return foreign.read(body, expected) if golden.content_type == foreign.CONTENT_TYPE else arrays(body)


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
