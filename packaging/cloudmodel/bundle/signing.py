"""A bundle's signature by a key, made and checked without a network.

The form is OpenSSF model-signing's own (a sigstore bundle 0.3 around a DSSE in-toto statement, predicate
`https://model_signing/signature/v1.0`): sha256 of `manifest.json` and of every file that it lists, so that
`model_signing verify key` says the same of the unpacked bundle. Nothing is hashed again here: the digests are the
manifest's, and whoever verifies has held the files against them (`archive.verify`).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudmodel.bundle import archive
from cloudmodel.bundle.manifest import MANIFEST_NAME, Manifest
from cloudmodel.core.errors import BundleChanged, UnsafeModel, Unsupported, UsageError
from cloudmodel.core.progress import Report, silent

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

SUFFIX = ".sig"
MAX_SIGNATURE = 64 << 20
MAX_KEY = 1 << 16
CURVES = ("secp256r1", "secp384r1", "secp521r1")
PEM = "-----BEGIN"
MAKE_KEY = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
MAKE_PUBLIC = "openssl ec -in key.pem -pubout -out key.pub"


def beside(bundle: Path) -> Path:
    """Where the signature of an archive, or of an unpacked bundle's folder, lies."""
    return bundle.with_name(bundle.name + SUFFIX)


def sign(manifest: Manifest, key: Path) -> bytes:
    """The signature of a bundle that was just held against `manifest`, by the private key in the PEM file `key`.

    Raises UsageError for a key that is none, is encrypted, or is on another curve than P-256, P-384 or P-521;
    Unsupported without the extra.
    """
    require_private_key(key)
    from model_signing import signing

    with tempfile.TemporaryDirectory(prefix="cloudmodel-sign-") as work:
        target = Path(work) / "signature"
        config = signing.Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_signer(private_key=key).set_hashing_config(_digests(manifest))
        config.sign(manifest.name, target)
        return target.read_bytes()


def require_private_key(path: Path) -> None:
    """Say what is wrong with a key to sign with, before a library does and before any work; raises as `sign`."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem, where = read_key(path), str(path)
    if b"PUBLIC KEY" in pem:
        raise UsageError("This is a public key; signing needs the private one", where=where, hint=MAKE_KEY)
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise UsageError(
            "The key is encrypted, and a pipeline has nobody to ask for its password",
            where=where,
            hint="openssl ec -in KEY -out PLAIN, on a disk of this machine only",
        ) from None
    except Exception as error:  # as in public_key
        raise UsageError(f"Not a private key in PEM form: {error}", where=where, hint=MAKE_KEY) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise UsageError(_other_kind(key), where=where, hint=MAKE_KEY)
    _require_extra()


def verify(manifest: Manifest, signature: bytes, key: bytes, where: str) -> None:
    """Hold a bundle's manifest against its signature by the public `key` (PEM).

    Raises BundleChanged naming the files that are not as they were signed, UnsafeModel for a signature that is broken
    or another key's, UsageError for a key that is none, Unsupported without the extra.
    """
    public_key(key, where="--key")
    _require_extra()
    from model_signing import verifying

    with tempfile.TemporaryDirectory(prefix="cloudmodel-verify-") as work:
        paths = Path(work) / "key.pub", Path(work) / "signature"
        for path, content in zip(paths, (key, signature), strict=True):
            path.write_bytes(content)
        config = verifying.Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_verifier(public_key=paths[0])
        try:
            # What it has to say of old signatures it prints: that is no result of ours.
            with contextlib.redirect_stdout(sys.stderr):
                config.set_hashing_config(_digests(manifest)).verify(manifest.name, paths[1])
        except Exception as error:  # a signature is a stranger's file, and its reader raises whatever it meets
            raise _refused(error, manifest, signature, where) from error


def public_key(pem: bytes, *, where: str) -> ec.EllipticCurvePublicKey:
    """The key in a PEM text. Raises UsageError for anything but the public part of a key that can verify."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY" in pem:
        raise UsageError("This is a private key; a check needs its public part", where=where, hint=MAKE_PUBLIC)
    try:
        key = load_pem_public_key(pem)
    except Exception as error:  # cryptography documents several types, and its own by version
        raise UsageError(f"Not a public key in PEM form: {error}", where=where, hint=MAKE_PUBLIC) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise UsageError(_other_kind(key), where=where, hint=MAKE_KEY)
    return key


def read_key(path: Path) -> bytes:
    """The bytes of a key's file. Raises UsageError where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY)
    except OSError as error:
        raise UsageError(f"The key cannot be read: {error.strerror}", where=str(path), hint=MAKE_KEY) from None


def verified(
    bundle: Path,
    signature: bytes | None,
    key: bytes,
    *,
    digest: str | None = None,
    where: str | None = None,
    report: Report = silent,
) -> Manifest:
    """Hold every file of a bundle against its manifest, and the manifest against its signature; returns it. `where`
    names the bundle in an error.

    Raises UnsafeModel for a bundle that is not signed, and what `archive.verify` and `verify` raise.
    """
    where = where or digest or str(bundle)
    if signature is None:
        raise UnsafeModel("The bundle is not signed", where=where, hint="cloudmodel package --sign KEY --push")
    manifest = archive.verify(bundle, digest=digest, report=report)
    verify(manifest, signature, key, where)
    return manifest


def _digests(manifest: Manifest) -> Any:
    """What model-signing would find if it hashed the unpacked bundle."""
    from model_signing import hashing
    from model_signing import manifest as signed
    from model_signing._hashing.hashing import Digest

    own = hashlib.sha256(archive.encode_manifest(manifest)).hexdigest()
    form = signed.SerializationType.from_args({"method": "files", "hash_type": "sha256", "allow_symlinks": False})
    items = [
        form.new_item(name, Digest("sha256", bytes.fromhex(digest)))
        for name, digest in [(MANIFEST_NAME, own), *((entry.path, entry.sha256) for entry in manifest.files)]
    ]

    class Known(hashing.Config):
        """Nothing is left out here, whatever a signature says may be ignored."""

        def hash(self, model_path: Any, *, files_to_hash: Any = None) -> signed.Manifest:
            return signed.Manifest(manifest.name, items, form)

    return Known()  # type: ignore[no-untyped-call]


def _refused(error: Exception, manifest: Manifest, signature: bytes, where: str) -> UnsafeModel:
    from cryptography.exceptions import InvalidSignature

    hint = "find out who changed it; sign what you trust with: cloudmodel package --sign KEY --push"
    if isinstance(error, InvalidSignature):
        return UnsafeModel("The signature was not made by this key", where=where, hint=hint)
    if "Key mismatch" in str(error):
        return UnsafeModel("The bundle was signed with another key", where=where, hint=hint)
    if "Signature mismatch" not in str(error):
        said = str(error) or type(error).__name__
        return UnsafeModel(f"The signature cannot be read: {said[:200]}", where=where, hint=hint)
    changed = _changed(manifest, signature)
    # The manifest names the others by their digest, so it differs whenever they do.
    named = [name for name in changed if name != MANIFEST_NAME] or changed
    return BundleChanged(f"Not as it was signed: {', '.join(named[:5])}", where=where, hint=hint)


def _changed(manifest: Manifest, signature: bytes) -> list[str]:
    """The files that a signature, which its key has proved, knows otherwise."""
    import base64

    payload = json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))
    signed = {each["name"]: each["digest"] for each in payload["predicate"]["resources"]}
    found = {entry.path: entry.sha256 for entry in manifest.files}
    found[MANIFEST_NAME] = hashlib.sha256(archive.encode_manifest(manifest)).hexdigest()
    return sorted(name for name in signed.keys() | found.keys() if signed.get(name) != found.get(name))


def _other_kind(key: object) -> str:
    curve = getattr(getattr(key, "curve", None), "name", None)
    what = f"a key on the curve {curve}" if curve else f"a key of another kind ({type(key).__name__})"
    return f"This is {what}; signatures are made with an elliptic-curve key on P-256, P-384 or P-521"


def _require_extra() -> None:
    absent = [name for name in ("model_signing", "OpenSSL") if importlib.util.find_spec(name) is None]
    if absent:
        raise Unsupported(
            f"Signatures need {' and '.join(absent)}, which are not here", hint="pip install 'cloudmodel[signing]'"
        )
