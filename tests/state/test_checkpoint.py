"""State and Pulumi's checkpoint, both ways; what is not wholly understood is refused (I18)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

import states
from cloudmodel.core.errors import StateCorrupt, Unsupported
from cloudmodel.core.resource import ARCHIVE, ASSET, SECRET, SIGNATURE
from cloudmodel.engine import checkpoint, normal
from cloudmodel.engine.state import PendingKind, PendingOperation, Resource, State


def read(document: dict[str, Any], passphrase: str = "correct horse") -> State:
    return checkpoint.read(document, states.PROJECT, states.STACK, states.passphrase(passphrase), "the test").state


@given(states.states())
def test_a_state_comes_back_from_its_checkpoint(state: State) -> None:
    content = checkpoint.write(state, states.passphrase())
    assert read(checkpoint.parse(content, "the test")) == state


@given(states.states())
def test_a_state_comes_back_from_its_export_with_and_without_secrets_shown(state: State) -> None:
    for shown in (False, True):
        document = checkpoint.export(state, states.passphrase(), show_secrets=shown)
        assert read(json.loads(json.dumps(document))) == state


@given(states.states())
def test_writing_what_was_read_keeps_every_ciphertext(state: State) -> None:
    first = json.loads(checkpoint.write(state, states.passphrase()))["checkpoint"]["latest"]
    ours = states.passphrase()
    loaded = checkpoint.read({"version": 3, "deployment": first}, states.PROJECT, states.STACK, ours, "the test")
    ours.use(loaded.salt)
    second = json.loads(checkpoint.write(loaded.state, ours))["checkpoint"]["latest"]
    assert second["resources"] == first["resources"]
    assert second.get("secrets_providers") == first.get("secrets_providers")


def test_the_form_is_the_one_that_pulumi_writes() -> None:
    entry = states.bucket(
        "a",
        inputs={
            "password": states.secret(),
            "count": 30.0,
            "source": {SIGNATURE: ASSET, "hash": "ab", "path": "f.txt"},
        },
        outputs={"code": {SIGNATURE: ARCHIVE, "hash": "cd", "path": "d.zip"}},
        dependencies=(states.ROOT,),
        property_dependencies={"count": (states.ROOT,), "none": ()},
        custom_timeouts={"create": 300.0},
        protect=True,
        import_id="",
        extra={"hideDiff": ["tags"], "sourcePosition": "project:///main.py#1"},
    )
    component = Resource(states.urn("ep", "cm:index:Endpoint"), "cm:index:Endpoint", custom=False, parent=states.ROOT)
    state = states.state(component, entry, pending=(PendingOperation(states.bucket("b", id=""), PendingKind.CREATING),))
    ours = states.passphrase()
    document = json.loads(checkpoint.write(state, ours))
    assert document["version"] == 3
    assert document["checkpoint"]["stack"] == "organization/digits/dev"
    latest = document["checkpoint"]["latest"]
    assert latest["secrets_providers"] == {"type": "passphrase", "state": {"salt": ours.salt}}
    assert latest["metadata"] == {}
    manifest = latest["manifest"]
    assert manifest["magic"] == hashlib.sha256(manifest["version"].encode()).hexdigest()
    assert [operation["type"] for operation in latest["pending_operations"]] == ["creating"]
    assert "id" not in latest["pending_operations"][0]["resource"]
    assert latest["resources"][2] == {
        "urn": component.urn,
        "custom": False,
        "type": "cm:index:Endpoint",
        "parent": states.ROOT,
    }
    assert latest["resources"][3] == {
        "urn": entry.urn,
        "custom": True,
        "id": "a-1a2b",
        "type": "aws:s3/bucket:Bucket",
        "parent": states.ROOT,
        "provider": f"{states.PROVIDER}::{states.PROVIDER_ID}",
        "protect": True,
        "inputs": {
            "password": {
                SIGNATURE: SECRET,
                "ciphertext": ours.seal(entry.urn, "inputs.password", f'"{states.CANARY}"'),
            },
            "count": 30,
            "source": {SIGNATURE: ASSET, "hash": "ab", "path": "f.txt"},
        },
        "outputs": {"code": {SIGNATURE: ARCHIVE, "hash": "cd", "path": "d.zip"}},
        "dependencies": [states.ROOT],
        "propertyDependencies": {"count": [states.ROOT], "none": []},
        "customTimeouts": {"create": 300},
        "created": "2026-11-24T10:00:00Z",
        "modified": "2026-11-24T10:00:00Z",
        "hideDiff": ["tags"],
        "sourcePosition": "project:///main.py#1",
    }
    assert type(latest["resources"][3]["inputs"]["count"]) is int


def official(**changes: Any) -> dict[str, Any]:
    """A deployment as the official engine writes it (its 3.274.1, cut down)."""
    resources = [
        {"urn": states.ROOT, "custom": False, "type": "pulumi:pulumi:Stack", "created": "2026-11-24T10:00:00Z"},
        {
            "urn": states.PROVIDER,
            "custom": True,
            "id": states.PROVIDER_ID,
            "type": "pulumi:providers:aws",
            "inputs": {"__internal": {}, "version": "7.51.1"},
            "outputs": {"version": "7.51.1"},
        },
        {
            "urn": states.urn("a"),
            "custom": True,
            "id": "a-1a2b",
            "type": "aws:s3/bucket:Bucket",
            "inputs": {"bucket": "a-1a2b"},
            "outputs": {"bucket": "a-1a2b"},
            "parent": states.ROOT,
            "provider": f"{states.PROVIDER}::{states.PROVIDER_ID}",
            "dependencies": None,
            "propertyDependencies": {"bucket": None},
            "customTimeouts": {"create": 300},
            "stackTrace": [{"sourcePosition": "project:///__main__.py#3"}],
        },
    ]
    manifest = {"time": "2026-11-24T10:00:00Z", "magic": "", "version": ""}
    return {"version": 3, "deployment": {"manifest": manifest, "resources": resources, "metadata": {}, **changes}}


def test_an_official_export_is_read() -> None:
    state = read(official())
    assert [entry.urn for entry in state.resources] == [states.ROOT, states.PROVIDER, states.urn("a")]
    assert state.resources[2].property_dependencies == {"bucket": ()}
    assert "stackTrace" in state.resources[2].extra


def test_secrets_inside_a_secret_are_marked_and_not_sealed_again() -> None:
    ours = states.passphrase()
    inner = {"user": "me", "password": states.secret("deep")}
    state = states.state(states.bucket("a", inputs={"login": states.secret(inner)}))
    document = checkpoint.export(state, ours)
    sealed = document["deployment"]["resources"][2]["inputs"]["login"]["ciphertext"]
    assert json.loads(ours.decrypt(sealed)) == {
        "user": "me",
        "password": {SIGNATURE: SECRET, "ciphertext": '"deep"'},
    }
    assert read(document) == state


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "version null"),
        ({"version": 4, "checkpoint": {}}, "version 4"),
        ({"version": 2, "deployment": {}}, "version 2"),
        ({"version": True, "deployment": {}}, "version true"),
        ({"version": "3", "deployment": {}}, 'version "3"'),
        ({"version": 3}, "neither"),
        ({"version": 3, "checkpoint": []}, "not an object"),
        ({"version": 3, "deployment": []}, "not an object"),
        ({"version": 3, "checkpoint": {"stack": "organization/digits/prod"}}, "not of digits/dev"),
        ({"version": 3, "checkpoint": {"stack": "organization/other/dev"}}, "not of digits/dev"),
        ({"version": 3, "checkpoint": {}}, "not of digits/dev"),
        ({"version": 3, "checkpoint": {"stack": "organization/digits/dev", "latest": ""}}, "not an object"),
        ({"version": 3, "deployment": None}, "neither"),
        ({"version": 3, "deployment": False}, "not an object"),
        ({"version": 3, "deployment": {}, "features": []}, "features"),
        (official(resources={}), "not a list"),
        (official(resources=["x"]), "not an object"),
        (official(resources=[{"custom": True}]), "no URN"),
        (official(resources=[{"urn": "u"}]), "no type"),
        (official(resources=[{"urn": "u", "type": "t", "custom": "yes"}]), "custom of u"),
        (official(resources=[{"urn": "u", "type": "t", "inputs": []}]), "inputs of u"),
        (official(resources=[{"urn": "u", "type": "t", "dependencies": [1]}]), "dependencies of u"),
        (official(resources=[{"urn": "u", "type": "t", "customTimeouts": {"create": "5m"}}]), "seconds"),
        (official(pending_operations=[{"resource": {}, "type": "dancing"}]), "dancing"),
        (official(manifest={"magic": "00", "version": "v3.1.0"}), "manifest"),
        (official(later={}), "later"),
        (official(secrets_providers={"type": "passphrase"}), "no salt"),
    ],
)
def test_what_is_not_wholly_understood_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(StateCorrupt, match=said) as caught:
        read(document)
    assert caught.value.where == "the test"


@pytest.mark.parametrize(
    ("here", "there"),
    [(30.0, 30), (0.5, 0.5), (2**53, 2.0**53), (29138279542673570, 2.913827954267357e16), (True, True)],
)
def test_a_number_is_what_it_is_to_pulumi(here: float, there: float) -> None:
    document = checkpoint.export(states.state(states.bucket("a", inputs={"n": here})), states.passphrase())
    (written,) = document["deployment"]["resources"][2]["inputs"].values()
    assert (written, type(written)) == (there, type(there))
    assert read(document).resources[2].inputs == {"n": there}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({SIGNATURE: SECRET, "ciphertext": "v1:AAAA:AAAA"}, "no secrets provider"),
        ({SIGNATURE: SECRET}, "without a value"),
        ({SIGNATURE: SECRET, "plaintext": "not json"}, "not JSON"),
    ],
)
def test_a_secret_that_cannot_be_opened_is_refused(value: dict[str, Any], said: str) -> None:
    resources = [{"urn": "u", "type": "t", "inputs": {"a": [value]}}]
    with pytest.raises(StateCorrupt, match=said) as caught:
        read(official(resources=resources))
    assert "inputs.a[0] of u" in caught.value.message


def test_secrets_of_another_provider_are_unsupported_by_name() -> None:
    with pytest.raises(Unsupported, match="awskms") as caught:
        read(official(secrets_providers={"type": "awskms", "state": {}}))
    assert "official" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"\0\0\0", "empty"), (b'{"version": 3, "chec', "cut short"), (b"garbage", "not JSON")],
)
def test_bytes_that_are_no_state_are_named_for_what_they_are(content: bytes, said: str) -> None:
    with pytest.raises(StateCorrupt, match=said):
        checkpoint.parse(content, "the test")


@pytest.mark.parametrize("content", [b"[]", b"null", b"3", b'""', b"[" * 100_000])
def test_json_that_is_no_object_is_no_state(content: bytes) -> None:
    with pytest.raises(StateCorrupt):
        checkpoint.parse(content, "the test")


@given(states.states())
def test_no_secret_stands_in_clear_in_a_checkpoint(state: State) -> None:
    hidden = replace(
        state, resources=(*state.resources, states.bucket("zz", outputs={"x": [{"y": states.secret()}]}, id="i"))
    )
    content = checkpoint.write(hidden, states.passphrase())
    assert states.CANARY.encode() not in content
    assert normal.equal(read(checkpoint.parse(content, "the test")), hidden)
