"""A stack that an earlier version made stands: this version plans nothing on its state, and names everything as it did.

`make golden` writes the data again, where a change is meant to reach stacks that stand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudmodel.bundle.store import open_store
from cloudmodel.cli.main import answer
from cloudmodel.deploy.engines import Options
from cloudmodel.deploy.select import open_engine
from cloudmodel.deploy.surroundings import RememberedCloud
from cloudmodel.engine.step import Event
from cloudmodel.localaws import server
from cloudmodel.settings.load import load_project, load_stack

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_aws")  # of its own old classes
HERE = Path(__file__).parent
STATE = json.loads((HERE / "state.json").read_text())
URNS = (HERE / "urns.txt").read_text().split()


def unheard(_: Event) -> None: ...


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in list(os.environ):
        if name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "digits"
    assert answer(["init", str(folder), "--template", "digits"]) == 0
    digest = open_store(".cloudmodel/bundles", base=folder).put(HERE / "bundle.tar.gz")
    settings = folder / "Pulumi.local.yaml"
    settings.write_text(settings.read_text() + f"  cloudmodel:bundle: {digest}\n")
    yield folder
    server.stop(folder / ".cloudmodel/local")


def test_a_state_of_an_earlier_version_is_no_change(project: Path) -> None:
    loaded = load_project(project)
    engine = open_engine(loaded, load_stack(loaded, "local"), "local", engine="embedded")
    running = server.start(project / ".cloudmodel/local", region="us-east-1")
    engine.import_state(STATE)
    # The golden stack's own local AWS is long gone. A preview that does not look at the cloud asks the state alone.
    RememberedCloud(project / ".cloudmodel/stacks/local").remember(running.instance_id)
    outcome = engine.preview(Options(), unheard)
    assert {step.urn: dict(step.diff) for step in outcome.steps if step.op != "same"} == {}
    assert [urn for urn in URNS if "pulumi:providers" not in urn] == sorted(
        step.urn for step in outcome.steps if "pulumi:providers" not in step.urn
    )


def assets(value: Any) -> Iterator[dict[str, Any]]:
    """Every file that a value names."""
    if isinstance(value, dict) and {"path", "hash"} <= value.keys():
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from assets(item)


def test_the_data_name_no_machine() -> None:
    assert sorted(entry["urn"] for entry in STATE["deployment"]["resources"]) == URNS
    found = [*assets(STATE)]
    assert found and not [each for each in found if "/" in each["path"]]
