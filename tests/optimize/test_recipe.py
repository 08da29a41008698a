"""Recipes as data: nothing that is misspelt is ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudmodel.core.errors import UsageError
from cloudmodel.optimize import recipe, techniques


def test_step_holds_all_parameters_and_its_title_those_that_differ() -> None:
    step = recipe.step("static-int8", method="percentile", exclude=["a", "b"])
    assert step.parameters["per_channel"] is True
    title = recipe.Recipe(steps=(step, recipe.step("slim"))).title
    assert title == "static-int8 method=percentile exclude=2 nodes + slim"


def test_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    wanted = (
        recipe.Recipe(steps=(recipe.step("dynamic-int8"),)),
        recipe.Recipe(steps=(recipe.step("slim"), recipe.step("static-int8", percentile=99.5))),
    )
    recipe.write(tmp_path / "recipes.yaml", wanted)
    assert recipe.read(tmp_path / "recipes.yaml") == wanted
    assert len({each.digest for each in wanted}) == 2


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("version: 1\nrecipes: [[{technique: static-int9}]]", "static-int9", "static-int8"),
        ("version: 1\nrecipes: [[{technique: static-int8, per_chanel: true}]]", "per_chanel", "per_channel"),
        ("version: 1\nrecipes: [[{technique: static-int8, method: min}]]", "method", "its parameters"),
        ("version: 1\nrecipes: [[{technique: static-int8, per_channel: 'yes'}]]", "per_channel", "its parameters"),
        ("version: 1\nrecipes: [[{technique: static-int8, operators: [Covn]}]]", "operators", "its parameters"),
        ("version: 1\nrecipes: [[{technique: weight-only, block: 512}]]", "block", "its parameters"),
        ("version: 1\nrecipes: [[{technique: opset, version: 99}]]", "version", "its parameters"),
        ("version: 1\nrecipes: [[static-int8]]", "mapping", "technique"),
        ("version: 1\nrecipes: [[]]", "1 to 16 steps", ""),
        ("version: 1\nrecipes: []", "list of recipes", ""),
        ("version: 2\nrecipes: [[{technique: slim}]]", "version: 1", ""),
        ("version: 1\nrecipe: []", "recipes", ""),
        ("recipes: [", "cannot be read", ""),
        ("!!python/object/apply:os.getcwd []", "cannot be read", ""),
    ],
)
def test_what_a_file_says_wrongly_is_named(tmp_path: Path, text: str, said: str, hint: str) -> None:
    path = tmp_path / "recipes.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        recipe.read(path)
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")
    assert str(path) in (caught.value.where or "")


@pytest.mark.parametrize("name", techniques.TECHNIQUES)
def test_every_technique_of_the_table_is_one(name: str) -> None:
    found = techniques.find(name)
    assert found.name == name
    assert found.family in ("graph", "quantize", "prune", "distill")
    assert recipe.step(name).values() == found.parameters()


def test_steps_that_train_are_read_without_the_libraries_that_they_need() -> None:
    steps = recipe.parse([{"technique": "prune", "ratio": 0.25}, {"technique": "static-int8"}]).steps
    assert steps[0].values().model_dump()["ratio"] == 0.25
    with pytest.raises(UsageError, match=r"ratio: Input should be less than 0\.95"):
        recipe.step("prune", ratio=1.0)
