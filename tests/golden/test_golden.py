"""Stacks that an earlier version made stand: this version plans nothing on their states, and names all as it did.

`make golden` writes the data again, where a change is meant to reach stacks that stand.
"""

from __future__ import annotations

import json
import os
import shutil
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
from golden_stacks import REGION, STACKS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_aws")  # of its own old classes
HERE = Path(__file__).parent


def state(stack: str) -> Any:
    return json.loads((HERE / stack / "state.json").read_text())


def urns(stack: str) -> list[str]:
    return (HERE / stack / "urns.txt").read_text().split()


def unheard(_: Event) -> None: ...


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AWS_", "PULUMI_", "CLOUDMODEL_")):
                patch.delenv(name)
        folder = tmp_path_factory.mktemp("golden") / "digits"
        assert answer(["init", str(folder), "--template", "digits"]) == 0
        open_store(".cloudmodel/bundles", base=folder).put(HERE / "bundle.tar.gz")
        yield folder
    server.stop(folder / ".cloudmodel/local")


@pytest.mark.parametrize("stack", STACKS)
def test_a_state_of_an_earlier_version_is_no_change(project: Path, stack: str) -> None:
    shutil.copyfile(HERE / stack / "settings.yaml", project / f"Pulumi.{stack}.yaml")
    loaded = load_project(project)
    engine = open_engine(loaded, load_stack(loaded, stack), stack, engine="embedded")
    running = server.start(project / ".cloudmodel/local", region=REGION)
    engine.import_state(state(stack))
    # The golden stacks' own local AWS is long gone. A preview that does not look at the cloud asks the state alone.
    RememberedCloud(project / f".cloudmodel/stacks/{stack}").remember(running.instance_id)
    outcome = engine.preview(Options(), unheard)
    assert {step.urn: dict(step.diff) for step in outcome.steps if step.op != "same"} == {}
    assert [urn for urn in urns(stack) if "pulumi:providers" not in urn] == sorted(
        step.urn for step in outcome.steps if "pulumi:providers" not in step.urn
    )


def assets(value: Any) -> Iterator[dict[str, Any]]:
    """Every file that a value names."""
    if isinstance(value, dict) and {"path", "hash"} <= value.keys():
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from assets(item)


@pytest.mark.parametrize("stack", STACKS)
def test_the_data_name_no_machine(stack: str) -> None:
    assert sorted(entry["urn"] for entry in state(stack)["deployment"]["resources"]) == urns(stack)
    found = [*assets(state(stack))]
    assert found and not [each for each in found if "/" in each["path"]]
