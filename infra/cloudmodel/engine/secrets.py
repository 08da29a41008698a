"""Pulumi's passphrase secrets, byte for byte.

    key    = PBKDF2-HMAC-SHA256(passphrase, 8-byte salt, 1,000,000 rounds, 32 bytes)
    sealed = v1:<base64 of the 12-byte nonce>:<base64 of AES-256-GCM ciphertext and tag>
    salt   = v1:<base64 of the salt>:<sealed "pulumi">

Source: pulumi `sdk/go/common/resource/config/crypt.go`, `pkg/secrets/passphrase/manager.go`. In a state the sealed text
is the JSON of the value; in `Pulumi.<stack>.yaml` it is the value itself.

Where a cloud's key is the stack's (`pkg/secrets/cloud/manager.go`), `key` is 32 bytes that this key sealed, and what
takes the place of the salt is the JSON of the provider's state: {"url": …, "encryptedkey": base64}.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
import secrets as random
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import CredentialsMissing, StateCorrupt
from cloudmodel.core.files import private_folder, sync_folder

ROUNDS = 1_000_000
TEXT = "PULUMI_CONFIG_PASSPHRASE"
FILE = "PULUMI_CONFIG_PASSPHRASE_FILE"
PROOF = "pulumi"


@dataclass(frozen=True, repr=False)
class Passphrase:
    """The passphrase and where it was found; its text never shows in a representation."""

    text: str
    source: str


Source = Callable[[bool], Passphrase]
"""Finds the passphrase; given true it may make a new one, because nothing has been sealed yet."""


def passphrase_source(key_file: Path | None, environ: Mapping[str, str] = os.environ) -> Source:
    """The environment's passphrase as Pulumi finds it, else `key_file`, which is made (0600) when one is needed.

    `key_file` is None for stacks that must not live on a generated key. Raises CredentialsMissing when called.
    """

    def find(create: bool) -> Passphrase:
        if TEXT in environ:
            return Passphrase(environ[TEXT], TEXT)
        if environ.get(FILE):
            return Passphrase(_content(Path(environ[FILE])), f"{FILE}={environ[FILE]}")
        if key_file is None:
            raise CredentialsMissing(
                "the stack holds secrets and no passphrase is set",
                hint=f"set {TEXT}, or {FILE} to a file that holds it",
            )
        if create and not key_file.exists():
            _generate(key_file)
        return Passphrase(_content(key_file), str(key_file))

    return find


DataKey = Callable[[str], bytes]
"""Opens the key in a cloud provider's state, which is given as JSON."""


class Secrets:
    """Seals and opens the secrets of one stack. Safe for several threads.

    Nothing is asked of `source` and no key is derived (0.3 s of CPU) before the first secret. `salt` is Pulumi's
    `encryptionsalt`; without one a new salt is made with the first secret. What was opened or sealed once is sealed
    the same way again, so that a state that did not change keeps its bytes.
    """

    def __init__(self, source: Source, salt: str = "", data_key: DataKey | None = None) -> None:
        self._source = source
        self._data_key = data_key
        self._salt = salt
        self._keys: dict[str, bytes] = {}
        self._known: dict[tuple[str, str, str, str], str] = {}
        self._lock = threading.RLock()

    @property
    def salt(self) -> str:
        """The salt that new secrets are sealed with; empty before there is one."""
        return self._salt

    @property
    def opens_clouds(self) -> bool:
        """Whether what a cloud's key sealed can be opened."""
        return self._data_key is not None

    def use(self, salt: str) -> None:
        """Seal with a state's own salt from now on; an empty one changes nothing."""
        self._salt = salt or self._salt

    def encrypt(self, text: str) -> str:
        """Seal `text`. Raises CredentialsMissing."""
        with self._lock:
            if not self._salt:
                shaker = random.token_bytes(8)
                key = _derive(self._source(True), shaker)
                self._salt = f"v1:{_encoded(shaker)}:{_seal(key, PROOF)}"
                self._keys[self._salt] = key
            return _seal(self._key(self._salt), text)

    def decrypt(self, sealed: str, salt: str = "") -> str:
        """Open `sealed`, which was made under `salt` (default: the stack's own).

        Raises CredentialsMissing where no passphrase is found or it does not fit, StateCorrupt where the sealed text
        is damaged.
        """
        salt = salt or self._salt
        if not salt:
            raise StateCorrupt("there is a sealed secret, and no salt to open it with")
        try:
            return _open(self._key(salt), sealed)
        except ValueError as error:
            raise StateCorrupt(f"a sealed secret is damaged: {error}") from None

    def seal(self, urn: str, path: str, text: str) -> str:
        """`text` sealed as it was sealed before at this place, else anew."""
        with self._lock:
            known = self._known.get((self._salt, urn, path, text))
            if known is None:
                known = self.encrypt(text)
                self._known[(self._salt, urn, path, text)] = known
            return known

    def unseal(self, urn: str, path: str, sealed: str, salt: str) -> str:
        """Open `sealed` and remember its form for this place."""
        text = self.decrypt(sealed, salt)
        with self._lock:
            self._known[(salt, urn, path, text)] = sealed
        return text

    def config(self, value: Any, salt: str = "") -> Any:
        """A value of `Pulumi.<stack>.yaml` with every `{secure: sealed}` in it opened."""
        if isinstance(value, Mapping):
            if set(value) == {"secure"} and isinstance(value["secure"], str):
                return self.decrypt(value["secure"], salt)
            return {key: self.config(item, salt) for key, item in value.items()}
        if isinstance(value, list):
            return [self.config(item, salt) for item in value]
        return value

    def _key(self, salt: str) -> bytes:
        with self._lock:
            if salt.startswith("{") and self._data_key and salt not in self._keys:
                self._keys[salt] = self._data_key(salt)
            if salt not in self._keys:
                shaker, proof = _split(salt)
                passphrase = self._source(False)
                key = _derive(passphrase, shaker)
                with contextlib.suppress(ValueError):
                    if _open(key, proof) == PROOF:
                        self._keys[salt] = key
                        return key
                raise CredentialsMissing(
                    "the passphrase is not the one that sealed this stack's secrets",
                    where=passphrase.source,
                    hint=f"set {TEXT} (or {FILE}) to the passphrase that was used before",
                    runbook="lost-passphrase",
                )
            return self._keys[salt]


def dump(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _split(salt: str) -> tuple[bytes, str]:
    version, _, rest = salt.partition(":")
    shaker, _, proof = rest.partition(":")
    with contextlib.suppress(binascii.Error):
        if version == "v1" and proof:
            return base64.b64decode(shaker, validate=True), proof
    raise StateCorrupt("the encryption salt is not of the form v1:<salt>:<sealed>", where="encryptionsalt")


def _derive(passphrase: Passphrase, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", passphrase.text.encode(), salt, ROUNDS, 32)


def _seal(key: bytes, text: str) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = random.token_bytes(12)
    return f"v1:{_encoded(nonce)}:{_encoded(AESGCM(key).encrypt(nonce, text.encode(), None))}"


def _open(key: bytes, sealed: str) -> str:
    """Raises ValueError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    match sealed.split(":"):
        case ["v1", nonce, data]:
            try:
                raw = base64.b64decode(nonce, validate=True), base64.b64decode(data, validate=True)
                return AESGCM(key).decrypt(*raw, None).decode()
            except InvalidTag:
                raise ValueError("it was changed, or sealed with another key") from None
        case _:
            raise ValueError("it is not of the form v1:<nonce>:<data>")


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _content(path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CredentialsMissing(
            f"the passphrase file cannot be read: {reason}",
            where=str(path),
            hint=f"put the file back, or set {TEXT} to the passphrase that was in it",
        ) from None
    if not text:
        raise CredentialsMissing(
            "the passphrase file is empty", where=str(path), hint=f"put the file back, or set {TEXT}"
        )
    return text


def _generate(path: Path) -> None:
    """Make a key file that is there in full or not at all; the first of several processes wins."""
    private_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(random.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    sync_folder(path.parent)
