"""Each runbook is walked: its commands, as they are written, on a stack that is in that trouble."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud import NOTHING, Cloud, order_faults
from pages import typed
from terminal import Terminal
from troubles import SCENES, TO_DO, Shop, walk

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/runbooks"
SECTIONS = ("What you see", "What it means", TO_DO, "It is over when")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The stack `prod` of the project `shop`, which stands; every walk leaves it whole."""
    terminal = Terminal(tmp_path_factory.mktemp("runbooks"))
    for line in ("init shop --name shop", "-C shop stack init prod --target local", "-C shop package"):
        assert terminal.run(f"cloudmodel {line}")[0] == 0
    terminal.folder /= "shop"
    try:
        assert terminal.run("cloudmodel up --stack prod --yes")[0] == 0
        yield Shop(terminal, pytest.MonkeyPatch())
    finally:
        terminal.run("cloudmodel local stop")


@pytest.mark.parametrize("name", SCENES)
def test_a_runbook_leads_out_of_its_trouble(shop: Shop, name: str) -> None:
    walk(shop, PAGES / f"{name}.md", SCENES[name])


def test_every_page_has_a_walk_and_one_shape() -> None:
    pages = {page.stem for page in PAGES.glob("*.md")} - {"README"}
    assert pages == SCENES.keys()
    for name in pages:
        text = (PAGES / f"{name}.md").read_text()
        assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == SECTIONS, name
        assert f"({name}.md)" in (PAGES / "README.md").read_text()


def test_alarms_send_to_a_page_and_say_what_to_type_first(shop: Shop) -> None:
    cloud = Cloud(shop.running.endpoint_url, "us-east-1")
    alarms = cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix="shop-prod-")["MetricAlarms"]
    assert len(alarms) == 3
    for alarm in alarms:
        assert len(alarm["AlarmDescription"]) <= 1024
        commands = re.findall(r"cloudmodel \w+ --stack prod", alarm["AlarmDescription"])
        page = (ROOT / alarm["AlarmDescription"].rpartition(": ")[2]).read_text()
        assert "Project shop" in alarm["AlarmDescription"]
        assert commands and all(f"$ {command}" in page for command in commands)


def test_what_errors_name_is_a_page() -> None:
    named: set[str] = set()
    for folder in ("cli", "infra", "packaging"):
        for path in (ROOT / folder).rglob("*.py"):
            named |= set(re.findall(r'runbook=\(?"([a-z-]+)"', path.read_text()))
    assert named
    assert named <= SCENES.keys()


SERVICES = ("s3", "kms", "iam", "sns", "sagemaker", "application-autoscaling", "cloudwatch", "logs")
CHANGES = ("Create", "Put", "Update", "Delete", "Register", "Add", "Tag", "Set", "Schedule", "Subscribe", "Attach")


def test_a_rebuild_only_reads_and_says_what_is_not_of_this_project(shop: Shop) -> None:
    before = shop.json("state export --stack prod")["state"]
    shop.another_model()  # packaged, and not deployed
    models = [shop.cloud.client(service).meta.service_model for service in SERVICES]
    changes = [name for model in models for name in model.operation_names if name.startswith(CHANGES)]
    order_faults(shop.running, *({"operation": name, "code": "Refused"} for name in changes))
    told = shop.json("state rebuild --stack prod --yes")
    order_faults(shop.running)
    missing = {urn.rpartition("::")[2].partition("-")[0] for urn in told["missing"]}
    assert missing == {"bundle", "model", "configuration"}
    assert f"serves {shop.served()}" in told["warnings"][0]
    assert [shop.json("history --stack prod")["updates"][0][each] for each in ("kind", "result")] == [
        "rebuild", "succeeded",
    ]  # fmt: skip
    (shop.folder / "before.json").write_text(json.dumps(before))
    shop.json("state import --stack prod --yes --file before.json")
    shop.json("up --stack prod --yes")


def test_json_names_the_page_too(shop: Shop) -> None:
    (shop.state / "lock").write_text("{}")
    code, printed = shop.terminal.run("cloudmodel refresh --stack prod --yes --json")
    (shop.state / "lock").unlink()
    assert code == 16
    assert json.loads(printed[printed.index("{") :])["runbook"] == "docs/runbooks/stuck-lock.md"


def test_the_guide_upgrades_and_uninstalls(shop: Shop) -> None:
    """The last: it takes the stack down."""
    cloud = shop.cloud
    for each in typed(ROOT / "docs/upgrade.md"):
        if each.line == "cloudmodel local stop":
            others = {"keys": 0, "configurations": 0}  # a scene made each of these behind the stack's back
            assert cloud.inventory() | others == NOTHING
        code, printed = shop.terminal.run(each.line)
        assert (code, each.fits(printed)) == (each.code, True), f"$ {each.line}\n{printed}"
    assert not shop.settings.exists()
