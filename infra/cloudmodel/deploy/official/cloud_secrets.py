"""Secrets that a cloud's key seals (`secretsprovider: awskms://…`): Pulumi opens them, we only look around them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import Unsupported
from cloudmodel.core.resource import SECRET, SIGNATURE
from cloudmodel.deploy.official.workspace import document
from cloudmodel.engine.values import is_secret, rewritten
from cloudmodel.settings.model import StackSettings

MADE = "encryptedkey"
PROVIDERS = "secrets_providers"
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
