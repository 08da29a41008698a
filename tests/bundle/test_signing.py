"""A bundle is signed and verified by a key, offline, in the form that OpenSSF's own tool reads."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bundle_parts
from cloudmodel.bundle import archive, signing
from cloudmodel.bundle.manifest import Manifest
from cloudmodel.core.errors import BundleChanged, CloudmodelError, UnsafeModel, UsageError


def openssl(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)


def make_key(path: Path, curve: str = "prime256v1") -> Path:
    """A private key with its public part at `path`.pub, as the guide says to make them."""
    assert openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", path).returncode == 0
    assert openssl("ec", "-in", path, "-pubout", "-out", path.with_suffix(".pub")).returncode == 0
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder / "own.pem")
    make_key(folder / "other.pem")
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    return bundle_parts.pack(folder / "in", folder / "a.tar.gz")


@pytest.fixture(scope="module")
def signature(packed: Path, keys: Path) -> bytes:
    return signing.sign(archive.read_manifest(packed), keys / "own.pem")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a signature needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def public(keys: Path, name: str = "own") -> bytes:
    return (keys / f"{name}.pub").read_bytes()


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_what_was_signed_is_verified_as_an_archive_and_as_a_folder(tmp_path: Path, packed: Path, curve: str) -> None:
    make_key(tmp_path / "key.pem", curve)
    manifest = archive.extract(packed, tmp_path / "out")
    signature = signing.sign(manifest, tmp_path / "key.pem")
    for bundle in (packed, tmp_path / "out"):
        assert signing.verified(bundle, signature, (tmp_path / "key.pub").read_bytes()) == manifest


def judge(folder: Path, signature: Path, key: Path) -> subprocess.CompletedProcess[bytes]:
    """OpenSSF's own command line."""
    return model_signing("verify", "key", folder, "--signature", signature, "--public_key", key)


def model_signing(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False)


def test_openssf_itself_says_the_same(tmp_path: Path, packed: Path, keys: Path, signature: bytes) -> None:
    archive.extract(packed, tmp_path / "out")
    (tmp_path / "sig").write_bytes(signature)
    done = judge(tmp_path / "out", tmp_path / "sig", keys / "own.pub")
    assert done.returncode == 0, done.stderr
    (tmp_path / "out/labels.txt").write_bytes(b"one\nzero\n")
    done = judge(tmp_path / "out", tmp_path / "sig", keys / "own.pub")
    assert done.returncode != 0 and b"labels.txt" in done.stdout + done.stderr


def test_openssl_proves_the_signature_and_refuses_changed_bytes(tmp_path: Path, keys: Path, signature: bytes) -> None:
    envelope = json.loads(signature)["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    for content, expected in ((payload, 0), (payload.replace(b"labels", b"lables"), 1)):
        # DSSE's pre-authentication encoding: https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md
        (tmp_path / "text").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(content)} ".encode() + content)
        done = openssl(
            "dgst", "-sha256", "-verify", keys / "own.pub", "-signature", tmp_path / "sig", tmp_path / "text"
        )
        assert done.returncode == expected, done.stdout + done.stderr


def test_a_signature_of_openssf_is_taken(tmp_path: Path, packed: Path, keys: Path) -> None:
    archive.extract(packed, tmp_path / "out")
    output = "--signature", tmp_path / "sig", "--private_key", keys / "own.pem"
    assert model_signing("sign", "key", tmp_path / "out", *output).returncode == 0
    assert signing.verified(packed, (tmp_path / "sig").read_bytes(), public(keys))


def rebuilt(folder: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A bundle that holds, made of other files: its manifest says what they are."""
    content = dict(bundle_parts.CONTENT)
    change(content)
    bundle_parts.fill(folder / "in", content)
    archive.write(folder / "in", bundle_parts.manifest(folder / "in"), folder / "b.tar.gz")
    return folder / "b.tar.gz"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda files: files.update({"labels.txt": b"one\nzero\n"}), "labels.txt"),
        (lambda files: files.update({"code/extra.py": b"import os"}), "code/extra.py"),
        (lambda files: files.pop("code/inner/part.py"), "code/inner/part.py"),
    ],
    ids=["changed", "added", "missing"],
)
def test_the_file_that_changed_is_named_though_the_manifest_was_made_anew(
    tmp_path: Path, keys: Path, signature: bytes, change: Callable[[dict[str, bytes]], None], named: str
) -> None:
    with pytest.raises(BundleChanged, match=f"Not as it was signed: {named}$") as caught:
        signing.verified(rebuilt(tmp_path, change), signature, public(keys))
    assert caught.value.code == 14 and caught.value.hint


def test_a_word_of_the_manifest_alone_is_noticed(packed: Path, keys: Path, signature: bytes) -> None:
    said = archive.read_manifest(packed).model_copy(update={"task": "other"})
    with pytest.raises(BundleChanged, match=r"manifest\.json"):
        signing.verify(said, signature, public(keys), "a")


def spoilt(signature: bytes, **changes: Any) -> bytes:
    document = json.loads(signature)
    document["dsseEnvelope"].update(changes)
    return json.dumps(document).encode()


def test_what_is_no_signature_of_this_key_is_refused(packed: Path, keys: Path, signature: bytes) -> None:
    manifest = archive.read_manifest(packed)
    wrong = base64.b64encode(b"0" * 70).decode()
    rows: list[tuple[bytes, str, str]] = [
        (signature, "other", "another key"),
        (spoilt(signature, signatures=[{"sig": wrong}]), "own", "not made by this key"),
        (spoilt(signature, payload=base64.b64encode(b"{}").decode()), "own", "not made by this key"),
        (spoilt(signature, signatures=[]), "own", "cannot be read"),
        (signature[:-9], "own", "cannot be read"),
        (b"", "own", "cannot be read"),
        (b"\xff\x00", "own", "cannot be read"),
        (b"[" * 100_000, "own", "cannot be read"),
        (b"{}", "own", "cannot be read"),
    ]
    for content, key, told in rows:
        with pytest.raises(UnsafeModel, match=told):
            signing.verify(manifest, content, public(keys, key), "a")
    with pytest.raises(UnsafeModel, match="is not signed") as caught:
        signing.verified(packed, None, public(keys))
    assert caught.value.code == 14


@pytest.fixture(scope="module")
def odd(keys: Path) -> Path:
    openssl("genrsa", "-out", keys / "rsa.pem", 2048)
    openssl("rsa", "-in", keys / "rsa.pem", "-pubout", "-out", keys / "rsa.pub")
    make_key(keys / "k1.pem", "secp256k1")
    openssl("ec", "-in", keys / "own.pem", "-aes256", "-passout", "pass:x", "-out", keys / "locked.pem")
    (keys / "text.pem").write_text("key")
    return keys


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rsa.pem", "elliptic-curve key on P-256"),
        ("k1.pem", "the curve secp256k1"),
        ("locked.pem", "encrypted"),
        ("own.pub", "a public key"),
        ("text.pem", "Not a private key"),
        ("absent.pem", "cannot be read"),
    ],
)
def test_a_key_that_cannot_sign_is_told_before_the_work(odd: Path, packed: Path, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        signing.require_private_key(odd / name)
    assert caught.value.where == str(odd / name) and caught.value.hint


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rsa.pub", "elliptic-curve key on P-256"),
        ("k1.pub", "the curve secp256k1"),
        ("own.pem", "a private key"),
        ("text.pem", "Not a public key"),
    ],
)
def test_a_key_that_cannot_verify_is_told(odd: Path, packed: Path, signature: bytes, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        signing.verified(packed, signature, (odd / name).read_bytes())


def test_without_the_extra_the_way_to_it_is_told(
    packed: Path, keys: Path, signature: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    manifest: Manifest = archive.read_manifest(packed)
    acts: list[Callable[[], object]] = [
        lambda: signing.sign(manifest, keys / "own.pem"),
        lambda: signing.verify(manifest, signature, public(keys), "a"),
    ]
    for act in acts:
        with pytest.raises(CloudmodelError, match="model_signing and OpenSSL") as caught:
            act()
        assert caught.value.code == 2 and caught.value.hint == "pip install 'cloudmodel[signing]'"
