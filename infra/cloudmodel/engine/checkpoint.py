"""State as Pulumi writes it: checkpoint version 3 (`{version, checkpoint: {stack, latest}}`, the file of a stack) and
its export form (`{version, deployment}`). Both hold the same deployment.

Source: pulumi `sdk/go/common/apitype/core.go` (ResourceV3, OperationV2, DeploymentV3) and `pkg/resource/stack`.
A secret is `{SIGNATURE: SECRET, "ciphertext": sealed JSON}`; secrets inside it are only marked, as Pulumi does it.
Fields of a resource that are not known here stay in `Resource.extra`; any other unknown field or version is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cloudmodel.core.errors import StateCorrupt, Unsupported
from cloudmodel.core.resource import SECRET, SIGNATURE
from cloudmodel.engine.secrets import Secrets, dump
from cloudmodel.engine.state import PendingKind, PendingOperation, Resource, State

VERSION = 3
CLOUD = "cloud"
"""The type of a provider of secrets that is a cloud's key."""
EXACT = 2**53  # below it every whole number is a float
ENGINE = "v3.231.0"  # the oldest Pulumi whose form this is; its hash is the manifest's magic

FLAGS = {
    "custom": "custom",
    "delete": "delete",
    "protect": "protect",
    "external": "external",
    "pendingReplacement": "pending_replacement",
    "retainOnDelete": "retain_on_delete",
}
TEXTS = {
    "urn": "urn",
    "type": "type",
    "id": "id",
    "parent": "parent",
    "provider": "provider",
    "importID": "import_id",
    "deletedWith": "deleted_with",
    "created": "created",
    "modified": "modified",
}
LISTS = {
    "dependencies": "dependencies",
    "initErrors": "init_errors",
    "additionalSecretOutputs": "additional_secret_outputs",
    "ignoreChanges": "ignore_changes",
    "replaceOnChanges": "replace_on_changes",
}
VALUES = ("inputs", "outputs")
MAPS = ("propertyDependencies", "customTimeouts")
ALWAYS = ("urn", "custom", "type")
KNOWN = {*FLAGS, *TEXTS, *LISTS, *VALUES, *MAPS}

Seal = Callable[[str, str, Any], dict[str, Any]]
"""Turns the secret at (urn, path) into what stands in the document."""
Unseal = Callable[[str, str, Mapping[str, Any]], Any]
"""Turns what stands in the document at (urn, path) back into the secret's value."""


@dataclass(frozen=True)
class Loaded:
    """A state and the salt that its secrets are sealed with (empty where it names none)."""

    state: State
    salt: str = ""


def write(state: State, secrets: Secrets) -> bytes:
    """The checkpoint file: one line a resource, so that two of them compare well."""
    document = _deployment(state, sealing(secrets), secrets)
    lines = {
        name: [json.dumps(item, sort_keys=True) for item in document.pop(name)]
        for name in ("resources", "pending_operations")
        if name in document
    }
    head = [f"{json.dumps(name)}: {json.dumps(value, sort_keys=True)}" for name, value in document.items()]
    body = [f"{json.dumps(name)}: [\n" + ",\n".join(items) + "\n]" for name, items in lines.items()]
    stack = json.dumps(f"organization/{state.project}/{state.stack}")
    latest = ",\n".join([*head, *body])
    return f'{{"version": {VERSION}, "checkpoint": {{"stack": {stack}, "latest": {{\n{latest}\n}}}}}}\n'.encode()


def export(state: State, secrets: Secrets, *, show_secrets: bool = False) -> dict[str, Any]:
    """The document of `pulumi stack export`; with `show_secrets` the values stand in it in clear."""
    seal = _shown if show_secrets else sealing(secrets)
    return {"version": VERSION, "deployment": _deployment(state, seal, secrets)}


def parse(content: bytes, where: str) -> dict[str, Any]:
    """The JSON object in `content`. Raises StateCorrupt for anything else."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StateCorrupt(f"the state is {_damage(content)}: {error}", where=where) from None
    if document is None:
        raise StateCorrupt("the state is null", where=where)
    return _object(document, "the document", where)


def read(document: Mapping[str, Any], project: str, stack: str, secrets: Secrets, where: str) -> Loaded:
    """Either form as a state; its order is kept, its integrity is not judged.

    Raises StateCorrupt for anything that is not wholly understood, Unsupported for another kind of secrets, and what
    `Secrets` raises.
    """
    document = _object(document, "the document", where)
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise StateCorrupt(
            f"the state has version {json.dumps(version)}; this program reads version {VERSION}",
            where=where,
            hint="use the program that wrote it; it was left as it is",
        )
    if document.get("checkpoint") is not None:
        _only(document, ("version", "checkpoint"), where)
        outer = _object(document["checkpoint"], "checkpoint", where)
        _only(outer, ("stack", "config", "latest"), where)
        _same_stack(str(outer.get("stack")), project, stack, where)
        latest = outer.get("latest")
    else:
        _only(document, ("version", "deployment"), where)
        if document.get("deployment") is None:
            raise StateCorrupt("the state holds neither a checkpoint nor a deployment", where=where)
        latest = _object(document["deployment"], "deployment", where)
    deployment = _object(latest, "latest", where)
    _only(deployment, ("manifest", "secrets_providers", "resources", "pending_operations", "metadata"), where)
    _check_manifest(_object(deployment.get("manifest"), "manifest", where), where)
    salt = _salt(_object(deployment.get("secrets_providers"), "secrets_providers", where), secrets, where)
    unseal = unsealing(secrets, salt, where)
    return Loaded(
        State(
            project,
            stack,
            tuple(read_resource(item, unseal, where) for item in _array(deployment, "resources", where)),
            tuple(read_pending(item, unseal, where) for item in _array(deployment, "pending_operations", where)),
            _object(deployment.get("metadata"), "metadata", where),
        ),
        salt,
    )


def write_resource(resource: Resource, seal: Seal) -> dict[str, Any]:
    """One resource as JSON; fields at their default are left out, as Pulumi does it."""
    fields: dict[str, Any] = {name: getattr(resource, attribute) for name, attribute in (FLAGS | TEXTS).items()}
    fields |= {name: list(getattr(resource, attribute)) for name, attribute in LISTS.items()}
    fields["propertyDependencies"] = {name: list(urns) for name, urns in resource.property_dependencies.items()}
    fields["customTimeouts"] = encode(dict(resource.custom_timeouts), resource.urn, "customTimeouts", seal)
    for name in VALUES:
        fields[name] = encode(getattr(resource, name), resource.urn, name, seal)
    extra: dict[str, Any] = encode(dict(resource.extra), resource.urn, "extra", seal)
    return extra | {name: value for name, value in fields.items() if value or name in ALWAYS}


def read_resource(document: Any, unseal: Unseal, where: str) -> Resource:
    """The resource in `document`. Raises StateCorrupt where a field is missing or of the wrong type."""
    item = {name: value for name, value in _object(document, "a resource", where).items() if value is not None}
    urn = item.get("urn")
    if not isinstance(urn, str) or not urn:
        raise StateCorrupt("a resource of the state has no URN", where=where)
    for names, kind in ((FLAGS, bool), (TEXTS, str), (LISTS, list), (VALUES, dict), (MAPS, dict)):
        for name in names:
            if not isinstance(item.get(name, kind()), kind):
                raise StateCorrupt(f"{name} of {urn} is not a {kind.__name__}", where=where)
    if not item.get("type"):
        raise StateCorrupt(f"{urn} has no type", where=where)
    fields: dict[str, Any] = {attribute: item.get(name, False) for name, attribute in FLAGS.items()}
    fields |= {attribute: item.get(name, "") for name, attribute in TEXTS.items()}
    fields |= {attribute: _texts(item.get(name, []), f"{name} of {urn}", where) for name, attribute in LISTS.items()}
    edges = item.get("propertyDependencies", {})
    timeouts = item.get("customTimeouts", {})
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in timeouts.values()):
        raise StateCorrupt(f"customTimeouts of {urn} are not seconds", where=where)
    return Resource(
        **fields,
        inputs=_decode(item.get("inputs", {}), urn, "inputs", unseal),
        outputs=_decode(item.get("outputs", {}), urn, "outputs", unseal),
        property_dependencies={
            name: _texts(urns or [], f"propertyDependencies of {urn}", where) for name, urns in edges.items()
        },
        custom_timeouts=timeouts,
        extra=_decode({name: value for name, value in item.items() if name not in KNOWN}, urn, "extra", unseal),
    )


def write_pending(operation: PendingOperation, seal: Seal) -> dict[str, Any]:
    """One pending operation as JSON."""
    return {"resource": write_resource(operation.resource, seal), "type": operation.kind.value}


def read_pending(document: Any, unseal: Unseal, where: str) -> PendingOperation:
    """The pending operation in `document`. Raises StateCorrupt."""
    item = _object(document, "a pending operation", where)
    try:
        kind = PendingKind(str(item.get("type")))
    except ValueError:
        raise StateCorrupt(f"a pending operation is of the unknown kind {item.get('type')!r}", where=where) from None
    return PendingOperation(read_resource(item.get("resource"), unseal, where), kind)


def sealing(secrets: Secrets) -> Seal:
    """Secrets as ciphertext."""

    def seal(urn: str, path: str, value: Any) -> dict[str, Any]:
        return _secret(ciphertext=secrets.seal(urn, path, dump(encode(value, urn, path, _marked))))

    return seal


def unsealing(secrets: Secrets, salt: str, where: str) -> Unseal:
    """Ciphertext (made under `salt`) or shown plaintext back to values."""

    def unseal(urn: str, path: str, document: Mapping[str, Any]) -> Any:
        sealed, plain = document.get("ciphertext"), document.get("plaintext")
        if isinstance(sealed, str) and not salt:
            raise StateCorrupt(f"{path} of {urn} is sealed, and the state names no secrets provider", where=where)
        if not isinstance(sealed, str) and not isinstance(plain, str):
            raise StateCorrupt(f"{path} of {urn} is a secret without a value", where=where)
        try:
            text = secrets.unseal(urn, path, sealed, salt) if isinstance(sealed, str) else plain
            return _decode(json.loads(str(text)), urn, path, _unmarked)
        except StateCorrupt as error:
            raise StateCorrupt(f"{path} of {urn}: {error.message}", where=where, hint=error.hint) from None
        except ValueError:
            raise StateCorrupt(f"{path} of {urn} is a secret whose content is not JSON", where=where) from None

    return unseal


def _shown(urn: str, path: str, value: Any) -> dict[str, Any]:
    return _secret(plaintext=dump(encode(value, urn, path, _marked)))


def _marked(urn: str, path: str, value: Any) -> dict[str, Any]:
    """A secret inside a secret: it is sealed with the whole, so it is only marked."""
    return _secret(ciphertext=dump(encode(value, urn, path, _marked)))


def _unmarked(urn: str, path: str, document: Mapping[str, Any]) -> Any:
    return _decode(json.loads(document.get("ciphertext") or document.get("plaintext") or "null"), urn, path, _unmarked)


def _secret(**content: str) -> dict[str, Any]:
    return {SIGNATURE: SECRET, **content}


def encode(value: Any, urn: str, path: str, seal: Seal) -> Any:
    """A property value as it stands in a document."""
    if isinstance(value, Mapping):
        if value.get(SIGNATURE) == SECRET:
            return seal(urn, path, value.get("value"))
        return {name: encode(item, urn, f"{path}.{name}", seal) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item, urn, f"{path}[{index}]", seal) for index, item in enumerate(value)]
    return _number(value)


def _decode(value: Any, urn: str, path: str, unseal: Unseal) -> Any:
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return {SIGNATURE: SECRET, "value": unseal(urn, path, value)}
        return {name: _decode(item, urn, f"{path}.{name}", unseal) for name, item in value.items()}
    if isinstance(value, list):
        return [_decode(item, urn, f"{path}[{index}]", unseal) for index, item in enumerate(value)]
    return _number(value)


def _number(value: Any) -> Any:
    """A number as Pulumi has it: a 64-bit float, written as 30 and not 30.0. Anything else is left alone."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, int) and abs(value) >= EXACT:
        with contextlib.suppress(OverflowError):
            return float(value)
    return value


def _deployment(state: State, seal: Seal, secrets: Secrets) -> dict[str, Any]:
    resources = [write_resource(resource, seal) for resource in state.resources]
    pending = [write_pending(operation, seal) for operation in state.pending]
    return {
        "manifest": {"time": datetime.now(UTC).isoformat(), "magic": _magic(ENGINE), "version": ENGINE},
        **({"secrets_providers": _provider(secrets.salt)} if secrets.salt else {}),
        "resources": resources,
        **({"pending_operations": pending} if pending else {}),
        "metadata": dict(state.metadata),
    }


def _provider(salt: str) -> dict[str, Any]:
    if salt.startswith("{"):
        return {"type": CLOUD, "state": json.loads(salt)}
    return {"type": "passphrase", "state": {"salt": salt}}


def _magic(version: str) -> str:
    return hashlib.sha256(version.encode()).hexdigest() if version else ""


def _check_manifest(manifest: Mapping[str, Any], where: str) -> None:
    _only(manifest, ("time", "magic", "version", "plugins"), where)
    if str(manifest.get("magic") or "") != _magic(str(manifest.get("version") or "")):
        raise StateCorrupt("the state's manifest does not fit its version", where=where)


def _salt(provider: Mapping[str, Any], secrets: Secrets, where: str) -> str:
    _only(provider, ("type", "state"), where)
    kind = provider.get("type") or ""
    if kind == CLOUD and secrets.opens_clouds:
        return dump(_object(provider.get("state"), "the secrets provider's state", where))
    if kind not in ("", "passphrase"):
        raise Unsupported(
            f"the state's secrets are sealed by {kind!r}, which the embedded engine does not do",
            where=where,
            hint="use --engine official for this stack",
        )
    salt = _object(provider.get("state"), "the secrets provider's state", where).get("salt", "")
    if not isinstance(salt, str) or (kind and not salt):
        raise StateCorrupt("the state's secrets provider has no salt", where=where)
    return salt


def _same_stack(name: str, project: str, stack: str, where: str) -> None:
    *before, last = name.split("/")
    if last != stack or (len(before) == 2 and before[1] != project):
        raise StateCorrupt(f"the state is of {name}, not of {project}/{stack}", where=where)


def _object(value: Any, what: str, where: str) -> dict[str, Any]:
    """`value`, or an empty object for null, which is how Go writes that there is none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise StateCorrupt(f"{what} of the state is not an object", where=where)
    return dict(value)


def _array(document: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = document.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise StateCorrupt(f"{name} of the state is not a list", where=where)
    return value


def _texts(value: Any, what: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise StateCorrupt(f"{what} is not a list of texts", where=where)
    return tuple(value)


def _only(document: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := sorted(set(document) - set(known)):
        raise StateCorrupt(
            f"the state has a field that this program does not know: {', '.join(unknown)}",
            where=where,
            hint="use the program that wrote it; it was left as it is",
        )


def _damage(content: bytes) -> str:
    if not content.strip(b"\0 \n"):
        return "empty"
    return "cut short" if content.lstrip().startswith(b"{") and not content.rstrip().endswith(b"}") else "not JSON"
