"""What each stack of a project has and lacks before a command may touch it: its settings, and for a real account where
the state is kept, what seals its secrets, and whether its bundles are there. Nobody is asked: files and variables only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloudmodel.settings.model import Project, StackSettings

TESTED = ("s3://", "file://")
PASSPHRASES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


@dataclass(frozen=True)
class Check:
    """One thing looked at. `state`: ok, missing (needed), optional (absent, needed only for what `found` says)."""

    name: str
    state: str
    found: str
    mend: str = ""


def stacks(project: Project) -> Iterator[Check]:
    """The checks of every stack that has a settings file."""
    from cloudmodel.core.errors import SettingsInvalid
    from cloudmodel.settings import load

    for name in load.stacks(project):
        try:
            settings = load.load_stack(project, name)
        except SettingsInvalid as invalid:
            yield Check(f"stack {name}", "missing", invalid.message.replace("\n  ", "; "), invalid.hint or "")
            continue
        place = f"target {settings.target}, region {settings.region}"
        if settings.target == "local":
            yield Check(f"stack {name}", "ok", place)
            continue
        yield Check(f"stack {name}", "ok", f"{place}, only in account {', '.join(settings.allowed_account_ids)}")
        yield _state(project, settings)
        yield _secrets(settings)
        yield from _bundles(project, settings)


def _state(project: Project, settings: StackSettings) -> Check:
    from cloudmodel.deploy.official.workspace import backend

    name, url = f"state of {settings.stack}", backend(project, settings)
    if url.startswith(TESTED):
        return Check(name, "ok", url)
    mend = f"cloudmodel bootstrap -s {settings.stack} makes a bucket for it, and prints the backend's line"
    where = url or "wherever `pulumi login` says, by default Pulumi's service"
    return Check(name, "optional", f"{where}: passed through, untested; s3:// and file:// are tested", mend)


def _secrets(settings: StackSettings) -> Check:
    name, provider = f"secrets of {settings.stack}", settings.secrets_provider or ""
    if "://" in provider:
        tested = "" if provider.startswith("awskms://") else " (passed through, untested)"
        return Check(name, "ok", f"{provider}{tested}")
    if keyed := [each for each in PASSPHRASES if each in os.environ]:
        return Check(name, "ok", f"a passphrase, from {keyed[0]}")
    mend = f"cloudmodel bootstrap -s {settings.stack} makes a key, and prints the secretsprovider's line"
    return Check(name, "optional", "no key (secretsprovider) and no PULUMI_CONFIG_PASSPHRASE", mend)


def _bundles(project: Project, settings: StackSettings) -> Iterator[Check]:
    from cloudmodel.bundle.store import open_store

    pinned = sorted({each.bundle for each in settings.served if each.bundle})
    for digest in pinned:
        name, short = f"bundle of {settings.stack}", digest[: len("sha256:") + 12]
        if "://" in project.bundles:
            yield Check(name, "ok", f"{short} in {project.bundles} (not asked)")
        elif open_store(project.bundles, base=Path(project.folder)).has(digest):
            yield Check(name, "ok", f"{short} in {project.bundles}")
        else:
            mend = f"cloudmodel package, and pin what it prints in {settings.path.name}"
            yield Check(name, "optional", f"{short} is not in {project.bundles}", mend)
