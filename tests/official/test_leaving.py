"""The page about leaving: a stack's state, moved by the commands that it shows, is one of Pulumi's own command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pages import typed
from terminal import Terminal

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/leaving.md"
GOLDEN = ROOT / "tests/golden/local/state.json"
pytestmark = pytest.mark.official_engine


def test_a_state_leaves_by_the_commands_of_the_page(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    assert terminal.run("cloudmodel init shop --name shop")[0] == 0
    terminal.folder /= "shop"
    assert terminal.run("cloudmodel stack init prod --target local")[0] == 0
    state = GOLDEN.read_text().replace("urn:pulumi:local::digits::", "urn:pulumi:prod::shop::")
    (terminal.folder / "golden.json").write_text(state)
    assert terminal.run("cloudmodel state import --stack prod --yes --file golden.json")[0] == 0

    (tmp_path / "backend").mkdir()
    terminal.variables |= {
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/backend", "PULUMI_HOME": f"{tmp_path}/home",
        "PULUMI_CONFIG_PASSPHRASE": "correct horse", "PULUMI_SKIP_UPDATE_CHECK": "true",
    }  # fmt: skip
    for each in typed(PAGE):
        code, printed = terminal.run(each.line)
        assert code == each.code, f"$ {each.line}\n{printed}"
        assert each.fits(printed), f"$ {each.line}\n{printed}"

    code, printed = terminal.run("pulumi stack export --stack prod")
    assert code == 0, printed
    arrived = {entry["urn"]: entry for entry in json.loads(printed)["deployment"]["resources"]}
    left = {entry["urn"]: entry for entry in json.loads(state)["deployment"]["resources"]}
    assert arrived.keys() == left.keys()
    for urn, entry in left.items():
        assert [arrived[urn].get(key) for key in ("id", "inputs", "outputs", "parent", "provider")] == [
            entry.get(key) for key in ("id", "inputs", "outputs", "parent", "provider")
        ], urn
