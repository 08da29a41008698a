"""The verbs on models and bundles, on the real digits model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COMMAND = Path(sys.executable).parent / "cloudmodel"
PATIENCE = 60


@pytest.fixture
def bundle(cli: Any, project: Path) -> dict[str, Any]:
    """The document of a `package` run in the project."""
    document: dict[str, Any] = cli("package", "-j").json
    return document


def test_package_answers_in_the_contracts_words(bundle: dict[str, Any], project: Path) -> None:
    assert bundle["schema"] == "cloudmodel.package/1"
    assert bundle["digest"].startswith("sha256:")
    assert bundle["size_bytes"] == Path(bundle["bundle"]).stat().st_size
    assert (bundle["format"], bundle["layout"]) == ("onnx", "onnxruntime")
    assert bundle["signature"]["inputs"] == [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 8, 8]}]
    assert bundle["scan"] == {"verdict": "clean", "findings": []}
    assert set(bundle["parity"]) == {"samples", "max_abs_error", "max_rel_error", "agreement", "passed"}
    assert bundle["parity"]["passed"]


def test_package_for_a_reader(cli: Any, project: Path) -> None:
    ran = cli("package")
    assert ran.code == 0
    assert "\nscan    clean\n" in ran.out
    assert "parity: done" in ran.err


def test_the_same_model_is_packaged_to_the_same_digest(cli: Any, bundle: dict[str, Any]) -> None:
    assert cli("package", "-j").json == bundle


def test_push_puts_the_bundle_where_the_project_says(cli: Any, project: Path, tmp_path: Path) -> None:
    with (project / "cloudmodel.yaml").open("a") as file:
        file.write(f"bundles: {tmp_path / 'shared'}\n")
    assert not (tmp_path / "shared").exists()
    digest = cli("package", "--push", "-j").json["digest"]
    assert (tmp_path / "shared" / "sha256" / f"{digest.removeprefix('sha256:')}.tar.gz").is_file()
    shutil.rmtree(project / ".cloudmodel/bundles")
    assert cli("inspect", digest, "-j").json["digest"] == digest
    assert cli("verify").code == 0


def make_key(path: Path) -> None:
    make: list[str | Path] = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path]
    subprocess.run(make, check=True, capture_output=True)
    publish: list[str | Path] = ["openssl", "ec", "-in", path, "-pubout", "-out", path.with_suffix(".pub")]
    subprocess.run(publish, check=True, capture_output=True)


def test_a_signature_travels_with_the_bundle(cli: Any, project: Path, tmp_path: Path) -> None:
    for name in ("own", "other"):
        make_key(tmp_path / f"{name}.pem")
    with (project / "cloudmodel.yaml").open("a") as file:
        file.write(f"bundles: {tmp_path / 'shared'}\n")
    assert cli("package", "--sign", str(tmp_path / "nowhere.pem")).code == 2
    document = cli("package", "--sign", str(tmp_path / "own.pem"), "--push", "-j").json
    assert document["signed"] is True
    shutil.rmtree(project / ".cloudmodel/bundles")
    kept = str(tmp_path / f"shared/sha256/{document['digest'][7:]}.tar.gz")
    for words in ([], [document["digest"]], [kept]):
        ran = cli("verify", *words, "--key", str(tmp_path / "own.pub"), "-j")
        assert ran.json["signed"] == {"present": True, "verified": True}
    assert cli("verify", kept, "-j").json["signed"] == {"present": True, "verified": False}
    assert cli("verify", kept, "--key", str(tmp_path / "other.pub")).code == 14
    assert cli("verify", kept, "--key", str(tmp_path / "own.pem")).code == 2
    Path(f"{kept}.sig").unlink()
    assert cli("verify", kept, "--key", str(tmp_path / "own.pub")).code == 14


@pytest.mark.parametrize("which", ["path", "digest", "newest"])
def test_a_bundle_is_named_by_path_by_digest_or_not_at_all(cli: Any, bundle: dict[str, Any], which: str) -> None:
    words = {"path": [bundle["bundle"]], "digest": [bundle["digest"]], "newest": []}[which]
    for verb in ("inspect", "verify"):
        document = cli(verb, *words, "-j").json
        assert document["schema"] == f"cloudmodel.{verb}/1"
        assert document["digest"] == bundle["digest"]
    assert "code/inference.py" in cli("inspect", *words).out


def test_inspect_reads_a_model_file_too(cli: Any, project: Path) -> None:
    assert "image float32 [batch, 1, 8, 8]" in cli("inspect", "models/digits.onnx").out
    assert cli("inspect", "models/digits.onnx", "-j").json["kind"] == "model"


@pytest.mark.parametrize("verb", ["inspect", "verify", "serve"])
@pytest.mark.parametrize("reference", [None, "nowhere.tar.gz", "sha256:" + "0" * 64])
def test_a_bundle_that_is_not_there_is_told(cli: Any, project: Path, verb: str, reference: str | None) -> None:
    ran = cli(verb, *([reference] if reference else []))
    assert ran.code == 2
    assert "next:  cloudmodel package" in ran.err


def test_a_changed_bundle_does_not_verify(cli: Any, bundle: dict[str, Any], tmp_path: Path) -> None:
    changed = tmp_path / "changed.tar.gz"
    changed.write_bytes(Path(bundle["bundle"]).read_bytes()[:-20_000])
    ran = cli("verify", str(changed), "-j")
    assert ran.code == 14
    assert ran.json["schema"] == "cloudmodel.error/1"


CLEAN = "models/digits.onnx"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.onnx", b""),
        ("text.onnx", b"this is no model\n"),
        ("cut.onnx", None),
        ("pickle.pkl", b"\x80\x04cos\nsystem\n."),
    ],
)
def test_what_is_no_clean_model_ends_with_14(cli: Any, project: Path, name: str, content: bytes | None) -> None:
    whole = (project / CLEAN).read_bytes()
    (project / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    ran = cli("scan", CLEAN, name, "-j")
    assert ran.code == 14
    files = {Path(each["path"]).name: each for each in ran.json["files"]}
    assert files["digits.onnx"]["verdict"] == "clean"
    assert files[name]["verdict"] in ("unsafe", "unknown")
    assert {"rule", "location", "detail"} == set(files[name]["findings"][0])
    assert ran.json["verdict"] != "clean"
    assert name in cli("scan", name).out


def test_a_clean_model_ends_with_0(cli: Any, project: Path) -> None:
    ran = cli("scan", CLEAN, "-j")
    assert ran.code == 0
    assert ran.json["verdict"] == "clean"


@pytest.mark.parametrize("content", [b"", b"no model\n", None])
def test_a_bad_model_is_not_packaged_and_leaves_nothing(cli: Any, project: Path, content: bytes | None) -> None:
    model = project / CLEAN
    model.write_bytes(model.read_bytes()[:4000] if content is None else content)
    ran = cli("package")
    assert ran.code == 14
    assert "digits.onnx" in ran.err
    assert "next:" in ran.err
    assert not (project / ".cloudmodel/bundles").exists()


def test_a_missing_model_is_told(cli: Any, project: Path) -> None:
    (project / CLEAN).unlink()
    ran = cli("package")
    assert ran.code in (2, 14)
    assert "digits.onnx" in ran.err


def test_a_format_that_is_not_taken_is_refused(cli: Any, project: Path) -> None:
    text = (project / "cloudmodel.yaml").read_text()
    (project / "cloudmodel.yaml").write_text(text.replace("  task:", "  format: keras\n  task:"))
    ran = cli("package")
    assert ran.code == 2
    assert "keras" in ran.err


def test_serve_answers_as_a_container_until_it_is_interrupted(bundle: dict[str, Any], project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([COMMAND, "serve", "--port", str(port)], stderr=subprocess.PIPE, env=dict(os.environ))
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
        with np.load(project / "data/heldout.npz") as data:
            rows, labels = data["inputs"][:8], data["labels"][:8]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": {"image": rows.tolist()}}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            scores = np.array(json.load(answer)["outputs"]["logits"])
        assert (scores.argmax(axis=1) == labels).all()
        taken = subprocess.run([COMMAND, "serve", "--port", str(port)], capture_output=True, check=False)
        assert taken.returncode == 2
        assert str(port).encode() in taken.stderr
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert b"Traceback" not in err


def answers(port: int) -> bool:
    """Whether the container says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=PATIENCE) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def test_diff_of_a_bundle_with_itself_and_with_its_path(cli: Any, bundle: dict[str, Any]) -> None:
    document = cli("diff", bundle["digest"], bundle["bundle"], "-j").json
    assert document["schema"] == "cloudmodel.diff/1"
    assert document["before"] == document["after"]
    assert document["before"]["digest"] == bundle["digest"]
    assert (document["signature"], document["breaking"], document["facts"]) == ([], False, {})
    assert "callers    compatible" in cli("diff", bundle["digest"], bundle["bundle"]).out
