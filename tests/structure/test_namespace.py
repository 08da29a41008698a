"""The three source roots stay portions of one namespace package."""

from __future__ import annotations

from pathlib import Path

import packaging
import pytest

import cloudmodel

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("root", ["cli", "infra", "packaging"])
def test_no_init_file_hides_the_other_roots(root: str) -> None:
    assert not (ROOT / root / "__init__.py").exists()
    assert not (ROOT / root / "cloudmodel/__init__.py").exists()
    assert str(ROOT / root / "cloudmodel") in list(cloudmodel.__path__)


def test_packaging_is_still_the_library_of_that_name() -> None:
    assert packaging.__file__ is not None
    assert "site-packages" in packaging.__file__
