"""States to test with: a small one by hand, and all kinds of sound ones by hypothesis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from cloudmodel.core.resource import ASSET, SECRET, SIGNATURE
from cloudmodel.engine.secrets import Passphrase, Secrets
from cloudmodel.engine.state import Mutation, PendingKind, PendingOperation, Resource, State

PROJECT, STACK = "digits", "dev"
CANARY = "canary-7f3a91-plaintext"
PROVIDER_ID = "6d6b3b1e-0000-4000-8000-000000000001"


def urn(name: str, type_token: str = "aws:s3/bucket:Bucket") -> str:
    """The URN of a resource of the test stack."""
    return f"urn:pulumi:{STACK}::{PROJECT}::{type_token}::{name}"


PROVIDER = urn("default_7_51_1", "pulumi:providers:aws")
ROOT = urn(f"{PROJECT}-{STACK}", "pulumi:pulumi:Stack")


def secret(value: Any = CANARY) -> dict[str, Any]:
    """A secret as a state in memory holds it."""
    return {SIGNATURE: SECRET, "value": value}


def bucket(name: str, **fields: Any) -> Resource:
    """A bucket under the stack and the default provider."""
    defaults: dict[str, Any] = {
        "id": f"{name}-1a2b",
        "inputs": {"bucket": f"{name}-1a2b"},
        "outputs": {"bucket": f"{name}-1a2b", "arn": f"arn:aws:s3:::{name}-1a2b"},
        "parent": ROOT,
        "provider": f"{PROVIDER}::{PROVIDER_ID}",
        "created": "2026-11-24T10:00:00Z",
        "modified": "2026-11-24T10:00:00Z",
    }
    return Resource(urn(name), "aws:s3/bucket:Bucket", **{**defaults, **fields})


BASE = (
    Resource(ROOT, "pulumi:pulumi:Stack", custom=False, outputs={"endpoint_name": "digits"}),
    Resource(
        PROVIDER,
        "pulumi:providers:aws",
        id=PROVIDER_ID,
        inputs={"version": "7.51.1", "region": "eu-west-1"},
        outputs={"version": "7.51.1", "region": "eu-west-1"},
    ),
)


def state(*resources: Resource, pending: tuple[PendingOperation, ...] = ()) -> State:
    """The stack, its default provider and these resources."""
    return State(PROJECT, STACK, (*BASE, *resources), pending)


def creating(resource: Resource) -> PendingOperation:
    """The creation of `resource`, which has no id yet."""
    return PendingOperation(replace(resource, id="", outputs={}), PendingKind.CREATING)


def put(*resources: Resource) -> Mutation:
    """The mutation that puts these."""
    return Mutation(put=resources)


def passphrase(text: str = "correct horse") -> Secrets:
    """Secrets under a passphrase that is simply there."""
    return Secrets(lambda _create: Passphrase(text, "the test"))


_text = st.text(max_size=12)
_names = st.text("abcdefgh", min_size=1, max_size=6)
_assets = st.builds(lambda path: {SIGNATURE: ASSET, "hash": "ab" * 32, "path": path}, st.text(min_size=1, max_size=8))
_numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | _numbers | _text | _assets,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3) | inner.map(secret),
    max_leaves=8,
)
properties = st.dictionaries(_text, values, max_size=4)


def _is_set(value: Any) -> bool:
    return value is not None  # Pulumi reads a field that is null as one that is not there


@st.composite
def resources(draw: st.DrawFn, name: str, before: list[str]) -> Resource:
    """A resource that refers to nothing but what is there already."""
    some = st.lists(st.sampled_from(before), unique=True, max_size=3).map(tuple) if before else st.just(())
    return bucket(
        name,
        id=draw(st.text(min_size=1, max_size=8)),
        inputs=draw(properties),
        outputs=draw(properties),
        dependencies=draw(some),
        property_dependencies=draw(st.dictionaries(_names, some, max_size=2)),
        deleted_with=draw(st.sampled_from(["", *before])),
        protect=draw(st.booleans()),
        external=draw(st.booleans()),
        retain_on_delete=draw(st.booleans()),
        pending_replacement=draw(st.booleans()),
        import_id=draw(_text),
        init_errors=draw(st.lists(_text, max_size=2).map(tuple)),
        additional_secret_outputs=draw(st.lists(_names, max_size=2).map(tuple)),
        ignore_changes=draw(st.lists(_names, max_size=2).map(tuple)),
        replace_on_changes=draw(st.lists(_names, max_size=2).map(tuple)),
        custom_timeouts=draw(st.dictionaries(st.sampled_from(["create", "delete"]), st.floats(1, 9999), max_size=2)),
        created=draw(st.sampled_from(["", "2026-11-24T10:00:00Z"])),
        extra=draw(
            st.dictionaries(
                st.sampled_from(["hideDiff", "taint", "sourcePosition"]), values.filter(_is_set), max_size=2
            )
        ),
    )


@st.composite
def states(draw: st.DrawFn) -> State:
    """A sound state: 0 to 6 resources, some with an old half that waits for its deletion, some operations pending."""
    found: list[Resource] = []
    before: list[str] = []
    for name in draw(st.lists(_names, unique=True, max_size=6)):
        entry = draw(resources(name, before))
        if draw(st.booleans()):
            found.append(replace(entry, id=f"{entry.id}-old", delete=True))
        found.append(entry)
        before.append(entry.urn)
    pending = [
        PendingOperation(draw(resources(name, before)), draw(st.sampled_from(PendingKind)))
        for name in draw(st.lists(_names, unique=True, max_size=2))
    ]
    return state(*found, pending=tuple(pending))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """What a run may record: ("write", mutation), ("step", operation, mutation), ("begin", operation)."""
    made: list[tuple[str, Any]] = []
    before: list[str] = []
    for name in draw(st.lists(_names, unique=True, min_size=1, max_size=5)):
        entry = draw(resources(name, before))
        before.append(entry.urn)
        kind = draw(st.sampled_from(["write", "step", "begin", "gone"]))
        if kind == "write":
            made.append(("write", put(entry)))
        elif kind == "begin":
            made.append(("begin", creating(entry)))
            before.pop()
        else:
            made.append(("step", (creating(entry), put(entry))))
            if kind == "gone":
                made.append(("write", Mutation(drop=(entry.key,))))
                before.pop()
    return made
