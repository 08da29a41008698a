"""What a plan was made from. A plan is stale as soon as any of it differs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from cloudmodel.core.errors import StalePlan
from cloudmodel.core.files import PRIVATE, sha256
from cloudmodel.settings.load import PROJECT_FILE
from cloudmodel.settings.model import StackSettings

IGNORED_FOLDERS = {PRIVATE, ".git", ".venv", "__pycache__", "node_modules"}


@dataclass(frozen=True)
class Binding:
    """Every input of a plan, as names and sha256 digests. None of them reveals a setting's value.

    `bundle` and `image` are the digest and the serving image, of each variant in its order; `account` is empty where no
    credentials were used. `cloud` tells one local AWS from the next (it forgets everything when it ends); it is empty
    for a real account.
    """

    project: str
    stack: str
    target: str
    engine: str
    region: str
    cloud: str
    version: str
    program: str
    settings: str
    bundle: str
    image: str
    account: str
    state: str

    def require(self, current: Binding, *, where: str) -> None:
        """Raise StalePlan, naming what differs, unless `current` is what this plan was made from."""
        before, now = asdict(self), asdict(current)
        if (self.project, self.stack) != (current.project, current.stack):
            raise StalePlan(
                f"the plan is of another stack: {self.stack} of {self.project}, not {current.stack} of "
                f"{current.project}",
                where=where,
                hint=f"cloudmodel preview --stack {current.stack} --save-plan plan.json",
            )
        differing = [name for name in before if before[name] != now[name]]
        if differing:
            raise StalePlan(
                f"the plan is stale: {', '.join(differing)} changed since it was made",
                where=where,
                hint=f"cloudmodel preview --stack {current.stack} --save-plan {where if '.' in where else 'plan.json'}",
            )


def program_digest(folder: Path) -> str:
    """The sha256 over the project's description and every Python file in it, by name and content."""
    digest = hashlib.sha256()
    for path in sources(folder):
        digest.update(f"{path.relative_to(folder)}\0{sha256(path)}\0".encode())
    return digest.hexdigest()


def sources(folder: Path) -> list[Path]:
    """The project's description and every Python file in it, sorted."""
    found = sorted((*folder.glob(PROJECT_FILE), *folder.rglob("*.py")))
    return [path for path in found if not IGNORED_FOLDERS.intersection(path.relative_to(folder).parts)]


def settings_digest(settings: StackSettings) -> str:
    """The sha256 over the stack's configuration as the engine receives it."""
    return hashlib.sha256(json.dumps(dict(settings.raw), sort_keys=True).encode()).hexdigest()


def tool_version() -> str:
    """The installed version of cloudmodel."""
    return version("cloudmodel")
