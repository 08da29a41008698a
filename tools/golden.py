"""Writes tests/golden: the reference project's bundle, and settings, state and URNs of a stack of each mode.

`make golden`, and only where a change is meant to reach stacks that stand: every later version must plan nothing on it.
`make golden STACKS="async scaled"` writes those only, of the bundle that is there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from cloud import Cloud
from cloudmodel.bundle.store import open_store
from golden_stacks import REGION, STACKS
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


def main(names: list[str]) -> None:
    """Write the named stacks again; all of them and the bundle without names."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_"))
    }
    with tempfile.TemporaryDirectory() as folder:
        assert Shell(Path(folder), kept).run("init", "digits", "--template", "digits").returncode == 0
        shell = Shell(Path(folder, "digits"), kept)
        if not names:
            shutil.copyfile(shell.json("package")["bundle"], GOLDEN / "bundle.tar.gz")
        digest = open_store(".cloudmodel/bundles", base=shell.folder).put(GOLDEN / "bundle.tar.gz")
        try:
            cloud = Cloud(shell.json("local", "start")["endpoint_url"], REGION)
            for name in names or STACKS:
                write(shell, name, STACKS[name](cloud, digest), digest)
        finally:
            shell.run("local", "stop")


def write(shell: Shell, stack: str, settings: dict[str, Any], bundle: str) -> None:
    """Bring a stack up, and keep its settings, its state and its URNs."""
    config = {"aws:region": REGION, "cloudmodel:target": "local", "cloudmodel:bundle": bundle}
    text = yaml.safe_dump({"config": config | {f"cloudmodel:{key}": value for key, value in settings.items()}})
    (shell.folder / f"Pulumi.{stack}.yaml").write_text(text)
    shell.json("up", "--stack", stack, "--yes")
    state = cleared(shell.json("state", "export", "--stack", stack)["state"])
    assert "ciphertext" not in json.dumps(state), "the reference stacks have no secrets"
    state["deployment"].pop("secrets_providers", None)
    place = GOLDEN / stack
    place.mkdir(exist_ok=True)
    (place / "settings.yaml").write_text(text)
    (place / "state.json").write_text(json.dumps(state, indent=1, sort_keys=True) + "\n")
    urns = sorted(entry["urn"] for entry in state["deployment"]["resources"])
    (place / "urns.txt").write_text("\n".join(urns) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
