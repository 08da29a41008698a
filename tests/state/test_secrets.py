"""The passphrase scheme is Pulumi's own. The vectors are Pulumi's."""

from __future__ import annotations

import base64
import hashlib
import multiprocessing
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import states
from cloudmodel.core.errors import CredentialsMissing, StateCorrupt
from cloudmodel.engine import secrets
from cloudmodel.engine.secrets import FILE, TEXT, Passphrase, Secrets, passphrase_source

# pulumi/pulumi pkg/secrets/passphrase/manager_test.go: this salt opens with "password" and not with "password123".
PULUMIS_SALT = "v1:fozI5u6B030=:v1:F+6ZduKKd8G0/V7L:PGMFeIzwobWRKmEAzUdaQHqC5mMRIQ=="
PULUMIS_BROKEN_SALT = "fozI5u6B030=:v1:F+6ZduL:PGMFeIzwobWRKmEAzUdaQHqC5mMRIQ=="
# Written by `pulumi config set --secret` of the official CLI 3.274.1, which also read back what `Secrets` sealed.
OFFICIAL_SALT = "v1:+Rv63Nj02eI=:v1:I7ayF/TKm0PVRc0G:CFgW0fGR+wSKkzB+nrZJZWv/Q2UjZQ=="
OFFICIAL_SECRET = "v1:RZDpxAAZ7gWLr7OK:RoueQPYXdn6WHl5RKB4+lbCchvgy7sf+dphMCQ=="


@pytest.fixture(autouse=True, scope="module")
def all_rounds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "ROUNDS", 1_000_000)
        yield


def by_the_published_format(salt: str, sealed: str, passphrase: str) -> str:
    """Open `sealed` with nothing of ours."""
    key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), base64.b64decode(salt.split(":")[1]), 1_000_000, 32)
    version, nonce, data = sealed.split(":")
    assert version == "v1"
    assert len(base64.b64decode(nonce)) == 12
    return AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(data), None).decode()


def test_a_salt_that_pulumi_made_opens_with_its_passphrase() -> None:
    ours = Secrets(lambda _: Passphrase("password", "the test"), PULUMIS_SALT)
    assert ours.decrypt(PULUMIS_SALT.split(":", 2)[2]) == "pulumi"
    assert by_the_published_format(PULUMIS_SALT, ours.encrypt("geheim"), "password") == "geheim"


def test_a_secret_that_the_official_cli_sealed_opens() -> None:
    ours = Secrets(lambda _: Passphrase("correct horse", "the test"), OFFICIAL_SALT)
    assert ours.config({"token": {"secure": OFFICIAL_SECRET}}) == {"token": "tok-é-12345"}


def test_a_salt_that_pulumi_made_refuses_another_passphrase() -> None:
    with pytest.raises(CredentialsMissing) as caught:
        Secrets(lambda _: Passphrase("password123", "the test"), PULUMIS_SALT).encrypt("x")
    assert caught.value.where == "the test"
    assert TEXT in str(caught.value.hint)
    assert "password123" not in str(caught.value.as_json())


@pytest.mark.parametrize("salt", [PULUMIS_BROKEN_SALT, "v2:AAAA:v1:AA:AA", "v1:AAAA", "v1:!!:v1:AA:AA"])
def test_a_salt_of_another_form_is_refused(salt: str) -> None:
    with pytest.raises(StateCorrupt, match="salt"):
        Secrets(lambda _: Passphrase("password", "the test"), salt).encrypt("x")


def test_what_we_seal_opens_by_the_published_format() -> None:
    ours = states.passphrase("pässword")
    sealed = ours.encrypt('{"a":1}')
    assert by_the_published_format(ours.salt, sealed, "pässword") == '{"a":1}'
    head, shaker, proof = ours.salt.split(":", 2)
    assert (head, len(base64.b64decode(shaker))) == ("v1", 8)
    assert by_the_published_format(ours.salt, proof, "pässword") == "pulumi"


def test_nothing_is_asked_before_the_first_secret() -> None:
    asked: list[bool] = []

    def source(create: bool) -> Passphrase:
        asked.append(create)
        return Passphrase("x", "the test")

    ours = Secrets(source)
    assert ours.config({"region": "eu-west-1", "list": [1, {"a": None}]}) == {
        "region": "eu-west-1",
        "list": [1, {"a": None}],
    }
    assert (asked, ours.salt) == ([], "")
    ours.encrypt("one")
    ours.encrypt("two")
    assert asked == [True]


@pytest.mark.parametrize("damaged", ["", "v1:AA", "v2:AAAA:AAAA", "v1:????:AAAA", "v1:AAAA:AAAA", "clear text"])
def test_damaged_ciphertext_is_no_wrong_passphrase(damaged: str) -> None:
    ours = Secrets(lambda _: Passphrase("password", "the test"), PULUMIS_SALT)
    with pytest.raises(StateCorrupt, match="damaged"):
        ours.decrypt(damaged)


def test_the_same_place_and_text_keep_their_bytes() -> None:
    ours = states.passphrase()
    first = ours.seal("urn", "inputs.a", "text")
    assert ours.seal("urn", "inputs.a", "text") == first
    assert ours.seal("urn", "inputs.b", "text") != first
    again = states.passphrase()
    again.use(ours.salt)
    assert again.unseal("urn", "inputs.a", first, ours.salt) == "text"
    assert again.seal("urn", "inputs.a", "text") == first


def test_secure_values_of_the_configuration_are_opened_wherever_they_stand() -> None:
    ours = states.passphrase()
    sealed = ours.encrypt("hunter2")
    value = {"db": {"user": "me", "password": {"secure": sealed}}, "list": [{"secure": sealed}]}
    assert ours.config(value, ours.salt) == {"db": {"user": "me", "password": "hunter2"}, "list": ["hunter2"]}


def test_a_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    key_file = tmp_path / ".cloudmodel" / "passphrase"
    source = passphrase_source(key_file, {})
    first = source(True)
    assert source(True).text == source(False).text == first.text
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert [path.name for path in key_file.parent.iterdir()] == ["passphrase"]
    assert first.text not in repr(first)


def _ask(folder: Path, start: object, answers: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    answers.put(passphrase_source(folder / "passphrase", {})(True).text)  # type: ignore[attr-defined]


def test_processes_that_make_the_key_file_together_get_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for round_number in range(5):
        start, answers = context.Barrier(4), context.Queue()
        folder = tmp_path / str(round_number)
        workers = [context.Process(target=_ask, args=(folder, start, answers)) for _ in range(4)]
        for worker in workers:
            worker.start()
        found = {answers.get(timeout=30) for _ in workers}
        for worker in workers:
            worker.join(timeout=30)
        assert len(found) == 1


def test_a_lost_key_file_is_not_made_again_for_a_state_that_needs_the_old_one(tmp_path: Path) -> None:
    key_file = tmp_path / "passphrase"
    with pytest.raises(CredentialsMissing, match="cannot be read") as caught:
        Secrets(passphrase_source(key_file, {}), PULUMIS_SALT).encrypt("x")
    assert caught.value.where == str(key_file)
    assert not key_file.exists()


def test_where_the_passphrase_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "phrase"
    file.write_text("  from the file \n")
    key_file = tmp_path / "passphrase"
    key_file.write_text("from the key file\n")
    assert passphrase_source(key_file, {TEXT: "", FILE: str(file)})(False).text == ""
    assert passphrase_source(key_file, {FILE: str(file)})(False).text == "from the file"
    assert passphrase_source(key_file, {FILE: ""})(False).text == "from the key file"


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_passphrase_file_without_a_passphrase_is_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "phrase"
    file.write_bytes(content)
    with pytest.raises(CredentialsMissing) as caught:
        passphrase_source(None, {FILE: str(file)})(True)
    assert str(file) in str(caught.value.where)


def test_no_passphrase_at_all_is_an_error_with_the_next_step() -> None:
    with pytest.raises(CredentialsMissing, match="no passphrase") as caught:
        passphrase_source(None, {})(True)
    assert TEXT in str(caught.value.hint)
