"""Terraform with its AWS provider, once a session: the judge that the tests of this folder ask."""

from __future__ import annotations

import pytest

from program_plans import bundle, evaluate, project
from terraform import Terraform, mirror

__all__ = ["bundle", "evaluate", "project"]


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    found = mirror()
    assert found, "the root conftest leaves these tests out where there is no mirror"
    return Terraform(tmp_path_factory.mktemp("terraform"), found)
