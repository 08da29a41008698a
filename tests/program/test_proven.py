"""A bundle is planned with only where its manifest proves what the project demands today."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import bundle_parts
import states
from cloudmodel.bundle import archive, signing
from cloudmodel.bundle.manifest import Manifest
from cloudmodel.bundle.store import open_store
from cloudmodel.core.errors import BundleChanged, CloudmodelError, UnsafeModel
from cloudmodel.deploy import rollback
from cloudmodel.engine.state import Resource, State
from cloudmodel.engine.urn import STACK_TYPE
from cloudmodel.optimize.gate import Verdict
from cloudmodel.program import proven
from cloudmodel.settings.load import load_stack
from cloudmodel.settings.model import Evaluate, Model, Optimize, Project

DIGEST = f"sha256:{'1' * 64}"
GATE = {
    "metric": "accuracy",
    "verdict": str(Verdict.MET),
    "max_drop": 0.01,
    "confidence": 0.95,
    "min_fidelity": 0.98,
}


def project(**more: Any) -> Project:
    asked: dict[str, Any] = {"evaluate": Evaluate(data="d.npz", metric="accuracy"), "optimize": Optimize()} | more
    return Project(version=1, name="digits", model=Model(source="m.onnx"), folder=Path(), pulumi_name="digits", **asked)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return bundle_parts.manifest(bundle_parts.fill(tmp_path_factory.mktemp("bundle")))


def said(manifest: Manifest, **changes: Any) -> Manifest:
    """The manifest as the archive would give it back, with other words in it."""
    return Manifest.model_validate(manifest.model_dump(mode="json") | changes)


def optimized(**changes: Any) -> dict[str, Any]:
    return {"metadata": {"optimization": {"gate": GATE | changes}}}


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, {}),
        (optimized(), {}),
        (optimized(max_drop=0), {}),
        (optimized(max_drop=0.5, metric="f1"), {"evaluate": None}),
        (optimized(max_drop=0.02), {"optimize": Optimize(max_drop=0.02)}),
    ],
    ids=["as packaged", "optimized", "a stricter gate", "no demand", "the project allows more"],
)
def test_what_is_proved_is_planned(honest: Manifest, changes: Any, more: Any) -> None:
    proven.require(project(**more), DIGEST, said(honest, **changes))


FAILED = {"samples": 3, "max_abs_error": 0.7, "max_rel_error": 1, "agreement": 0.2, "passed": False}
BAD = {"verdict": "unsafe", "findings": [{"rule": "pickle-global", "location": "m.pkl", "detail": "os.system"}]}
REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("unsafe", {"scan": BAD}, 14, "pickle-global in m.pkl"),
    ("unknown", {"scan": {"verdict": "unknown"}}, 14, "unknown"),
    ("no parity", {"parity": FAILED}, 15, "worst error 0.7"),
    ("gate failed", optimized(verdict=str(Verdict.MISSED)), 15, "its gate says"),
    ("gate undecidable", optimized(verdict=str(Verdict.UNDECIDABLE)), 15, "undecidable"),
    ("no verdict", optimized(verdict=None), 15, "None"),
    ("no gate", {"metadata": {"optimization": {}}}, 15, "no gate"),
    ("not even a mapping", {"metadata": {"optimization": [1]}}, 15, "no gate"),
    ("another metric", optimized(metric="top-5"), 15, "'top-5', not by accuracy"),
    ("a laxer drop", optimized(max_drop=0.5), 15, "its max_drop is 0.5, the project's 0.01"),
    ("a laxer confidence", optimized(confidence=0.5), 15, "confidence is 0.5"),
    ("a laxer fidelity", optimized(min_fidelity=None), 15, "min_fidelity is None"),
    ("a number that is none", optimized(max_drop="0"), 15, "max_drop is '0'"),
    ("a truth that is no number", optimized(max_drop=False), 15, "max_drop is False"),
    ("no number at all", optimized(max_drop=float("nan")), 15, "max_drop is nan"),
]


@pytest.mark.parametrize(("what", "changes", "code", "told"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_not_proved_is_refused(honest: Manifest, what: str, changes: Any, code: int, told: str) -> None:
    with pytest.raises(CloudmodelError) as raised:
        proven.require(project(), DIGEST, said(honest, **changes))
    assert raised.value.code == code
    assert told in raised.value.message
    assert raised.value.where == f"bundle {DIGEST}" and raised.value.hint


def test_the_program_asks_for_the_proof_before_it_declares_anything(
    evaluate: Any, bundle: Any, honest: Manifest
) -> None:
    pinned = bundle(parity=honest.parity.model_copy(update={"passed": False}))
    with pytest.raises(Exception, match="does not answer as the original"):
        evaluate(bundle=pinned)


def test_a_bundle_signed_by_the_stacks_key_is_planned_with_and_a_changed_one_is_not(
    tmp_path: Path, honest: Manifest
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(pem)
    store = open_store("bundles", base=tmp_path)
    digest = store.put(bundle_parts.pack(tmp_path / "in", tmp_path / "a.tar.gz"))
    store.attach(digest, signing.sign(archive.read_manifest(store.get(digest)), tmp_path / "key.pem"))
    placed = project().model_copy(update={"folder": tmp_path})
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {'cloudmodel:target': local}\n")
    for named in ("key.pub", str(tmp_path / "key.pub"), pem.decode(), False):
        settings = load_stack(placed, "dev").model_copy(update={"signed": named})
        proven.require_signed(placed, settings, store, digest)
    # Whoever may write the store and the pin packs other weights under the manifest that was signed.
    signed = archive.read_manifest(store.get(digest))
    signature = store.signature(digest)
    (tmp_path / "in/labels.txt").write_bytes(b"one\nzero\n")
    swapped = tmp_path / "b.tar.gz"
    repack(tmp_path / "in", signed, swapped)
    other = store.put(swapped)
    assert signature is not None
    store.attach(other, signature)
    demanding = load_stack(placed, "dev").model_copy(update={"signed": "key.pub"})
    with pytest.raises(BundleChanged, match=r"labels\.txt has changed"):
        proven.require_signed(placed, demanding, store, other)
    # A rollback evaluates no program.
    store.attach(other, b"{}")
    stack = Resource(states.ROOT, STACK_TYPE, custom=False, outputs={"bundle_digest": other})
    located = placed.model_copy(update={"bundles": "bundles"})
    with pytest.raises(UnsafeModel):
        rollback.prepared(State("digits", "dev", (stack,)), located, demanding, {})


def repack(folder: Path, manifest: Manifest, target: Path) -> None:
    """An archive whose files are not what its manifest says."""
    (folder / "manifest.json").write_bytes(archive.encode_manifest(manifest))
    with tarfile.open(target, "w:gz") as file:
        for name in ("manifest.json", *(entry.path for entry in manifest.files)):
            file.add(folder / name, name)
