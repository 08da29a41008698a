"""Every fragment of the changelog is one that the next release will print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_fragment_is_printed() -> None:
    draft = subprocess.run(
        [Path(sys.executable).parent / "towncrier", "build", "--draft", "--version", "next"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = " ".join(draft.stdout.split())
    for fragment in (ROOT / "changelog.d").glob("*.md"):
        assert " ".join(fragment.read_text().split()) in printed, fragment.name
