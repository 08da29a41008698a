"""What the runs of a stack that succeeded left, one checkpoint a version of the history, for a rollback."""

from __future__ import annotations

import re
from pathlib import Path

from cloudmodel.core.errors import StateCorrupt, UsageError
from cloudmodel.core.files import private_folder, write_bytes
from cloudmodel.engine import checkpoint, integrity
from cloudmodel.engine.secrets import Secrets
from cloudmodel.engine.state import State

KEPT = 20
NAME = re.compile(r"revision-(\d{6,})\.json")


class Revisions:
    """The newest twenty, in `folder`; secrets in them are sealed as in the checkpoint."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self._folder = folder
        self._secrets = secrets

    def versions(self) -> tuple[int, ...]:
        """The versions that are kept, oldest first."""
        found = self._folder.iterdir() if self._folder.is_dir() else ()
        return tuple(sorted(int(match[1]) for path in found if (match := NAME.fullmatch(path.name))))

    def keep(self, version: int, state: State) -> None:
        """Keep `state` as what `version` left. Raises OSError."""
        private_folder(self._folder)
        write_bytes(self._path(version), checkpoint.write(state, self._secrets), mode=0o600)
        for old in self.versions()[:-KEPT]:
            self._path(old).unlink()

    def read(self, version: int, project: str, stack: str) -> State:
        """The state that `version` left. Raises UsageError where it is not kept, StateCorrupt."""
        path = self._path(version)
        if not path.is_file():
            kept = ", ".join(map(str, self.versions()))
            raise UsageError(
                f"nothing is kept of revision {version}; kept are {kept or 'none'}",
                where=f"stack {stack}",
                hint=f"cloudmodel history --stack {stack}",
            )
        document = checkpoint.parse(path.read_bytes(), str(path))
        state = checkpoint.read(document, project, stack, self._secrets, str(path)).state
        if violations := integrity.check(state):
            raise StateCorrupt(f"the revision is not sound: {violations[0]}", where=str(path))
        return state

    def _path(self, version: int) -> Path:
        return self._folder / f"revision-{version:06}.json"
