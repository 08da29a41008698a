"""Writes tests/golden: the reference project's bundle, and the state and the URNs that this version makes of it.

`make golden`, and only where a change is meant to reach stacks that stand: every later version must plan nothing on it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from shell import Shell

GOLDEN = Path(__file__).parent.parent / "tests/golden"
LEFT_OUT = ("stackTrace", "sourcePosition", "created", "modified")
"""What says where and when, not what."""


def cleared(value: Any) -> Any:
    """`value` without the paths of this machine: an asset's content is what counts."""
    if isinstance(value, dict):
        return {
            key: Path(item).name if key == "path" and "hash" in value else cleared(item)
            for key, item in value.items()
            if key not in LEFT_OUT
        }
    return [cleared(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_"))
    }
    with tempfile.TemporaryDirectory() as folder:
        assert Shell(Path(folder), kept).run("init", "digits", "--template", "digits").returncode == 0
        shell = Shell(Path(folder, "digits"), kept)
        made = shell.json("package")
        try:
            shell.json("up", "--stack", "local", "--yes")
            state = cleared(shell.json("state", "export", "--stack", "local")["state"])
        finally:
            shell.run("local", "stop")
        assert "ciphertext" not in json.dumps(state), "the reference stack has no secrets"
        state["deployment"].pop("secrets_providers", None)
        GOLDEN.mkdir(exist_ok=True)
        shutil.copyfile(made["bundle"], GOLDEN / "bundle.tar.gz")
    (GOLDEN / "state.json").write_text(json.dumps(state, indent=1, sort_keys=True) + "\n")
    urns = sorted(entry["urn"] for entry in state["deployment"]["resources"])
    (GOLDEN / "urns.txt").write_text("\n".join(urns) + "\n")


if __name__ == "__main__":
    main()
