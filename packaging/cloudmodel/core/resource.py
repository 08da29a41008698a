"""The words that an engine and a provider exchange.

Property values are plain JSON. What JSON cannot say is an object with Pulumi's signature key, in the very form
that Pulumi uses on its wire (source: pulumi `sdk/go/common/resource/properties.go`,
`sdk/python/lib/pulumi/runtime/rpc.py`):

    {SIGNATURE: SECRET, "value": V}                     a secret (a state file has "ciphertext" instead of "value")
    {SIGNATURE: ASSET, "hash": H, "path": P}            a file (or "text", or "uri")
    {SIGNATURE: ARCHIVE, "hash": H, "path": P}          an archive
    UNKNOWN                                             a value that a preview cannot know yet
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Properties = dict[str, Any]

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  (a public constant of the protocol)
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
RESOURCE_REFERENCE = "5cf8f73096256a8f31e491e813e4eb8e"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class DiffKind(StrEnum):
    """How one property changes, in Pulumi's words."""

    ADD = "add"
    ADD_REPLACE = "add-replace"
    DELETE = "delete"
    DELETE_REPLACE = "delete-replace"
    UPDATE = "update"
    UPDATE_REPLACE = "update-replace"


@dataclass(frozen=True)
class CheckFailure:
    """A property value that the provider refuses; `property` is a wire path such as `tags.owner`."""

    property: str
    reason: str


@dataclass(frozen=True)
class Checked:
    """Inputs with defaults and the automatic name filled in, and what is wrong with them."""

    inputs: Properties
    failures: tuple[CheckFailure, ...] = ()


@dataclass(frozen=True)
class Difference:
    """What a provider says of old state against new inputs.

    `changes` maps a wire path to its kind; a kind that ends in `-replace` forces a replacement.
    """

    changes: Mapping[str, DiffKind] = field(default_factory=dict)
    delete_before_replace: bool = False

    @property
    def replaces(self) -> tuple[str, ...]:
        """The paths that force a replacement, sorted."""
        return tuple(sorted(path for path, kind in self.changes.items() if kind.value.endswith("-replace")))


@dataclass(frozen=True)
class Live:
    """What the cloud holds: the identity, all outputs, and the inputs that would produce them.

    `secrets` names top-level outputs that must be kept encrypted.
    """

    id: str
    outputs: Properties
    inputs: Properties = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


class ResourceFailure(Exception):
    """A provider operation failed and changed nothing that a later run would not find by itself.

    `request` names the cloud call and its request id where there was one. `uncertain` is true when the outcome
    is not known (a lost reply, a timeout): the engine then keeps the operation pending and looks on the next run.
    """

    def __init__(
        self, message: str, *, request: str | None = None, hint: str | None = None, uncertain: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.request = request
        self.hint = hint
        self.uncertain = uncertain


class ResourceNotReady(ResourceFailure):
    """The resource exists now (it has an id) but did not become what was asked for; the engine records it."""

    def __init__(self, message: str, live: Live, *, request: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, request=request, hint=hint)
        self.live = live


class Provider(Protocol):
    """One configured provider of one package. Every method may be called from several threads at once.

    `type` is a Pulumi type token such as `aws:s3/bucket:Bucket`; `timeout` is in seconds, None where the program
    set none.
    With `preview` true nothing is called that changes the cloud and unknown outputs are UNKNOWN. Values never
    hold secrets:
    the engine takes them off before a call and puts them back on the outputs. Methods raise ResourceFailure.
    """

    def check_config(self, inputs: Properties) -> Checked:
        """Validate the provider's own configuration."""

    def configure(self, inputs: Properties) -> None:
        """Take the configuration; called once, before any other method but `check_config`."""

    def check(self, urn: str, type: str, olds: Properties | None, news: Properties, seed: bytes) -> Checked:
        """Validate inputs, fill in defaults and the automatic name (kept from `olds` where there is one)."""

    def diff(
        self, urn: str, type: str, id: str, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Difference:
        """Compare; `news` are checked inputs in which ignored properties already have their old value."""

    def create(self, urn: str, type: str, inputs: Properties, timeout: float | None, preview: bool) -> Live:
        """Make the resource and wait until it is usable. In a preview the id is empty."""

    def read(self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties) -> Live | None:
        """What the cloud holds now; None only when the cloud confirmed that it does not exist."""

    def update(
        self,
        urn: str,
        type: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout: float | None,
        preview: bool,
    ) -> Live:
        """Change the resource in place."""

    def delete(
        self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties, timeout: float | None
    ) -> None:
        """Delete the resource and wait until it is gone; one that is gone already is no failure."""

    def find(self, urn: str, type: str, inputs: Properties) -> str | None:
        """The id of a resource that a create with these checked inputs left behind, or None."""

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """A function of the package such as `aws:index/getCallerIdentity:getCallerIdentity`."""


ProviderFactory = Callable[[str], Provider]
"""Makes an unconfigured provider of a package name (`aws`); raises core.errors.Unsupported for one it does not have."""
