"""A file that runs code is packaged only where its very digest is named, and a broken one not even then."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cloudmodel.bundle import archive

SETTINGS = "version: 1\nname: odd\nmodel:\n  source: odd.joblib\n  inputs: [{name: x, dtype: float32, shape: [n, 2]}]\n"


@pytest.fixture
def odd(project: Path) -> str:
    """The project's model has a function beside its numbers, which no scan can know; returns its file's digest."""
    model = LogisticRegression().fit(np.array([[1.0, 2], [3, 4]]), [0, 1])
    model.cleaner = np.lib.scimath.log
    joblib.dump(model, project / "odd.joblib")
    (project / "cloudmodel.yaml").write_text(SETTINGS)
    return "sha256:" + hashlib.sha256((project / "odd.joblib").read_bytes()).hexdigest()


def test_only_the_very_digest_is_trusted_and_the_bundle_says_so(cli: Any, project: Path, odd: str) -> None:
    scanned = cli("scan", str(project / "odd.joblib"))
    assert scanned.code == 14
    assert f"package --trust {odd}" in scanned.out
    refused = cli("package", "-j")
    assert refused.code == 14
    assert odd in refused.json["hint"]
    assert cli("package", "-j", "--trust", "sha256:" + "0" * 64).code == 14
    assert cli("package", "-j", "--trust", odd[:20]).code == 2
    done = cli("package", "-j", "--trust", odd)
    assert done.code == 0, done.out
    assert done.json["scan"]["verdict"] == "unknown"
    manifest = archive.read_manifest(Path(done.json["bundle"]))
    assert manifest.metadata["trusted"] == [odd]
    assert json.loads(manifest.model_dump_json())["scan"]["findings"][0]["rule"] == "unlisted-import"


def test_what_is_broken_cannot_be_trusted(cli: Any, project: Path, odd: str) -> None:
    whole = (project / "odd.joblib").read_bytes()
    (project / "odd.joblib").write_bytes(whole + b"\x80\x04more")
    digest = "sha256:" + hashlib.sha256((project / "odd.joblib").read_bytes()).hexdigest()
    refused = cli("package", "-j", "--trust", digest)
    assert refused.code == 14
    assert "--trust" not in refused.json["hint"]
    assert "--trust" not in cli("scan", str(project / "odd.joblib")).out
