"""Pulumi's own engine, once for all programs of a worker, and the embedded engine anew for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from both_engines import Embedded, Official, official
from parity import Life


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Official]:
    with official(tmp_path_factory.mktemp("official") / "stack") as side:
        yield side


@pytest.fixture
def life(theirs: Official) -> Life:
    """Two empty stacks on two empty clouds."""
    theirs.reset()
    return Life(Embedded("embedded", secrets=theirs.secrets), theirs)
