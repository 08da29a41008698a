"""Runbooks whose way is another on the official engine, walked there: one stack, which every trouble leaves whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from official_troubles import SCENES
from terminal import Terminal
from troubles import Shop, walk

PAGES = Path(__file__).parents[2] / "docs/runbooks"


class Official(Terminal):
    """Where only a variable chooses the engine, hints name it; a stack of target aws, which the pages are of, needs no
    such word."""

    def run(self, line: str) -> tuple[int, str]:
        code, printed = super().run(line)
        return code, printed.replace(" --engine official", "")


@pytest.mark.official_engine
def test_runbooks_lead_out_of_their_troubles_on_the_official_engine_too(tmp_path: Path) -> None:
    terminal = Official(tmp_path, {"CLOUDMODEL_ENGINE": "official"})
    for line in ("init shop --name shop", "-C shop stack init prod --target local", "-C shop package"):
        assert terminal.run(f"cloudmodel {line}")[0] == 0
    terminal.folder /= "shop"
    try:
        assert terminal.run("cloudmodel up --stack prod --yes")[0] == 0
        shop = Shop(terminal, pytest.MonkeyPatch())
        for name, (scene, otherwise) in SCENES.items():
            walk(shop, PAGES / f"{name}.md", scene, otherwise)
    finally:
        terminal.run("cloudmodel local stop")
