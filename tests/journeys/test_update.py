"""A new model replaces the old one without one failed request; one that cannot load never does."""

from __future__ import annotations

import numpy as np

from cloud import ONE_OF_EACH, Cloud
from shell import Shell
from traffic import Load, revise


def up(shell: Shell, *words: str, code: int = 0) -> dict[str, object]:
    return shell.json("up", "--stack", "local", "--yes", *words, code=code)


def test_an_update_under_load_switches_without_one_failed_request(digits: Shell) -> None:
    up(digits)
    status = digits.json("local", "status")
    cloud = Cloud(status["endpoint_url"], status["region"])
    before = digits.json("outputs", "--stack", "local")["outputs"]

    revise(digits.folder / "models/digits.onnx")
    digits.json("package")
    with Load(cloud, before["endpoint_name"], clients=4) as load:
        outcome = digits.json("up", "--stack", "local", "--yes")
    after = digits.json("outputs", "--stack", "local")["outputs"]

    assert load.failures == []
    assert load.asked > 20
    assert len(load.answers) == 2, "the load saw both revisions"
    assert after["bundle_digest"] != before["bundle_digest"]
    assert after["endpoint_name"] == before["endpoint_name"]
    # The endpoint is updated in place; model and configuration are replaced, the old ones deleted after the switch.
    by_name = {step["name"]: step["op"] for step in outcome["steps"] if step["op"] not in ("same", "delete-replaced")}
    assert by_name["endpoint"] == "update"
    assert cloud.inventory() == ONE_OF_EACH


def test_a_bundle_that_cannot_load_never_takes_over_and_up_says_why(digits: Shell) -> None:
    up(digits)
    before = digits.json("outputs", "--stack", "local")["outputs"]
    settings = digits.folder / "Pulumi.local.yaml"
    good = settings.read_text()
    # The container cannot start with this value: it refuses it, and says so in its own words.
    settings.write_text(good + "  cloudmodel:environment:\n    SAGEMAKER_MODEL_SERVER_WORKERS: nought\n")

    failed = up(digits, code=10)
    assert failed["error"] == "RolledBack"
    assert "nought" in str(failed["message"])

    image = digits.folder / "image.npy"
    np.save(image, np.full((1, 1, 8, 8), 7.0, np.float32))
    assert digits.json("invoke", "--stack", "local", "--input", str(image))["status"] == 200

    settings.write_text(good)
    up(digits)
    assert digits.json("outputs", "--stack", "local")["outputs"] == before
    up(digits, "--expect-no-changes")


def test_a_sealed_plan_is_applied_exactly_and_refused_once_anything_changed(digits: Shell) -> None:
    digits.json("preview", "--stack", "local", "--save-plan", "plan.json")
    up(digits, "--plan", "plan.json")
    stale = up(digits, "--plan", "plan.json", code=17)
    assert stale["error"] == "StalePlan"
    assert "state" in str(stale["message"])
    (digits.folder / "plan.json").write_text("{}")
    assert up(digits, "--plan", "plan.json", code=17)["where"] == "plan.json"


def test_going_back_to_the_revision_before_needs_no_more_than_its_bundle(digits: Shell) -> None:
    up(digits)
    first = digits.json("outputs", "--stack", "local")["outputs"]
    revise(digits.folder / "models/digits.onnx")
    digits.json("package")
    up(digits)
    second = digits.json("outputs", "--stack", "local")["outputs"]
    assert second["revision"] != first["revision"]

    settings = digits.folder / "Pulumi.local.yaml"
    settings.write_text(settings.read_text() + f"  cloudmodel:bundle: {first['bundle_digest']}\n")
    up(digits)
    assert digits.json("outputs", "--stack", "local")["outputs"] == first
    up(digits, "--expect-no-changes", "--refresh")
