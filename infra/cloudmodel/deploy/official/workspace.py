"""The folder that Pulumi's command line works in: the project's own files, as one stack of one run needs them.

    .cloudmodel/official/            (0700) the file backend of local stacks is `.pulumi` in it
        work/<stack>/Pulumi.yaml     the project's, with the project's folder as the place of its program
        work/<stack>/Pulumi.<stack>.yaml
        plugin/                      our provider, for local stacks

The project's own files are never written.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import yaml

from cloudmodel.core.errors import UsageError
from cloudmodel.core.files import PRIVATE, private_folder, write_text
from cloudmodel.deploy.official import bucket, plugin
from cloudmodel.engine.secrets import TEXT, passphrase_source
from cloudmodel.program.aws.local import LOCAL_URL
from cloudmodel.settings.model import Project, StackSettings

BACKEND = "PULUMI_BACKEND_URL"
FILES = "file://"
BACKENDS = ("azblob://", "file://", "gs://", "http://", "https://", "postgres://", "s3://")
"""What the command line's own `login` takes. Its other commands take any other address for that of Pulumi's service."""
WHOLE = "?metadata=skip"
"""Without it each file has a second one beside it, `….attrs`, which is not written whole or not at all: Pulumi, killed
while it writes that one, can never read the state again (gocloud.dev/blob/fileblob, setAttrs)."""
QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true"}


def prepare(project: Project, settings: StackSettings, stack: str) -> Path:
    """Write the folder for `stack` and return it."""
    home = project.folder / PRIVATE / "official"
    folder = home / "work" / stack
    for each in (home.parent, home, folder.parent, folder):
        private_folder(each)
    description = document(project.folder / "Pulumi.yaml")
    description |= {"runtime": "python", "main": str(project.folder)}
    if settings.target == "local":
        place = plugin.write_launcher(home / "plugin")
        description["plugins"] = {"providers": [{"name": "aws", "path": str(place)}]}
        description.pop("backend", None)
    _write(folder / "Pulumi.yaml", description)
    file = folder / f"Pulumi.{stack}.yaml"
    # What the command line added to its own copy (the salt that it made) stays.
    _write(file, document(file) | _with_region(document(settings.path), settings.region))
    return folder


def environment(project: Project, settings: StackSettings, cloud_url: str) -> dict[str, str]:
    """The variables of one run. Raises CredentialsMissing for a passphrase file that cannot be read.

    A local stack has its backend, Pulumi home, passphrase and plugin in the project's private folder; any other stack
    uses what the user has set, as Pulumi does.
    """
    home = project.folder / PRIVATE
    if settings.target != "local":
        return dict(QUIET)
    return {
        **QUIET,
        BACKEND: backend(project, settings),
        "PULUMI_HOME": str(home / "official" / "home"),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        TEXT: passphrase_source(home / "passphrase")(True).text,
        LOCAL_URL: cloud_url,
    }


def backend(project: Project, settings: StackSettings) -> str:
    """The URL of the state's backend; empty for the one that Pulumi is logged in to. Raises UsageError for others."""
    own = document(project.folder / "Pulumi.yaml").get("backend") if settings.target != "local" else None
    url = own.get("url") if isinstance(own, dict) else None
    default = f"{FILES}{project.folder / PRIVATE / 'official'}{WHOLE}" if settings.target == "local" else ""
    named = os.environ.get(BACKEND) or str(url or default)
    if named and not named.startswith(BACKENDS):
        raise UsageError(
            f"Pulumi keeps no state at {named!r}",
            where=BACKEND if os.environ.get(BACKEND) else str(project.folder / "Pulumi.yaml"),
            hint=f"an address begins with one of {', '.join(BACKENDS)}",
        )
    return named


def pulumis_holder(url: str, project: str, stack: str) -> bucket.PulumisHolder | None:
    """Who holds Pulumi's own lock of a stack; None for nobody, a fixed text where that cannot be seen from here."""
    if url.startswith(bucket.SCHEME):
        return bucket.pulumis_holder(bucket.BackendBucket(url), project, stack)
    if not url.startswith(FILES):
        return bucket.PulumisHolder("whoever held it")
    folder = folder_of(url) / ".pulumi" / "locks" / "organization" / project / stack
    for file in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError):
            return bucket.named(file.read_bytes())
    return None


def folder_of(url: str) -> Path:
    """The folder of a file backend."""
    return Path(url.removeprefix(FILES).partition("?")[0])


def document(path: Path) -> dict[str, Any]:
    """A YAML file's mapping; empty where there is none."""
    with contextlib.suppress(FileNotFoundError):
        return dict(yaml.safe_load(path.read_text()) or {})
    return {}


def forget_salt(path: Path) -> None:
    """Drop the salt that the command line made in its own copy of a settings file: the passphrase that it goes with is
    lost. One that the project's own file has is copied again."""
    there = document(path)
    if there.pop("encryptionsalt", None):
        _write(path, there)


def _with_region(document: dict[str, Any], region: str) -> dict[str, Any]:
    config = dict(document.get("config") or {})
    if not {"aws:region", "aws:config:region"} & set(config):
        config["aws:region"] = region
    return document | {"config": config}


def _write(path: Path, document: dict[str, Any]) -> None:
    write_text(path, yaml.safe_dump(document, sort_keys=False), mode=0o600)
