"""Secrets that a cloud's key seals (`secretsprovider: awskms://…`). Pulumi opens those of its own state; of its history
and of what a rollback writes down, we do, by AWS's key."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cloudmodel.core.errors import CredentialsMissing, StateCorrupt, Unsupported
from cloudmodel.core.resource import SECRET, SIGNATURE
from cloudmodel.deploy.official.workspace import document
from cloudmodel.engine.values import is_secret, rewritten
from cloudmodel.settings.model import StackSettings

MADE = "encryptedkey"
PROVIDERS = "secrets_providers"
AWS = "awskms"
CONTEXT = "context_"
NOTHING = {SIGNATURE: SECRET, "plaintext": "null"}


def key_to_keep(settings: StackSettings, folder: Path) -> str:
    """What to tell a user whose settings file lacks the sealed data key that Pulumi wrote into its copy in `folder`;
    empty where there is nothing to tell.

    The state has the key too; without it in the settings file every fresh checkout makes another one.
    """
    name = settings.path.name
    made = document(folder / name).get(MADE)
    if "://" not in (settings.secrets_provider or "") or not made or document(settings.path).get(MADE):
        return ""
    return f"write this into {name} and commit it, so that every machine seals with the same key: {MADE}: {made}"


def without_sealed(exported: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state to look at the shape of: where a cloud's key sealed its secrets, a copy in which each is null instead.

    Raises Unsupported for a checkpoint of that kind, which Pulumi does not import.
    """
    latest = exported.get("deployment") or (exported.get("checkpoint") or {}).get("latest") or {}
    sealed_by = latest.get(PROVIDERS) if isinstance(latest, Mapping) else None
    if not isinstance(sealed_by, Mapping) or sealed_by.get("type") in (None, "", "passphrase"):
        return exported
    if "deployment" not in exported:
        raise Unsupported(
            f"a checkpoint whose secrets are sealed by {sealed_by['type']!r} cannot be imported",
            hint="import what `cloudmodel state export` wrote",
        )
    others = {name: value for name, value in latest.items() if name != PROVIDERS}
    return {**exported, "deployment": rewritten(others, lambda node: dict(NOTHING) if is_secret(node) else node)}


def data_key(state: str) -> bytes:
    """The key that seals a stack's secrets, out of the JSON of its provider's state.

    The URL is read as Pulumi reads it (gocloud.dev/secrets/awskms). Raises Unsupported for another cloud's key,
    CredentialsMissing where AWS does not open it, StateCorrupt.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        told = json.loads(state)
        parts, sealed = urlsplit(str(told["url"])), base64.b64decode(told["encryptedkey"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise StateCorrupt(f"the state's secrets provider is not one of a cloud: {error!r}") from None
    if parts.scheme != AWS:
        raise Unsupported(
            f"the stack's secrets are sealed with a key of {parts.scheme}, which only Pulumi opens",
            hint="pin the earlier bundle in the stack's settings file, then: cloudmodel up",
        )
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    context = {name.removeprefix(CONTEXT): value for name, value in query.items() if name.startswith(CONTEXT)}
    try:
        session = boto3.session.Session(profile_name=query.get("profile"), region_name=query.get("region"))
        opened = session.client("kms", endpoint_url=query.get("endpoint")).decrypt(
            CiphertextBlob=sealed, EncryptionContext=context
        )
    except (ClientError, BotoCoreError) as error:
        raise CredentialsMissing(
            f"the key of this stack's secrets cannot be used: {error}",
            where=f"{parts.scheme}://{parts.netloc}{parts.path}",
            hint="see that these credentials may kms:Decrypt with it: `aws sts get-caller-identity`",
        ) from None
    key: bytes = opened["Plaintext"]
    return key
