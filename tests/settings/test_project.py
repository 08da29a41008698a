"""cloudmodel.yaml and Pulumi.yaml: found, read, and every problem told at its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.settings import load
from cloudmodel.settings.model import ProjectFile

EXAMPLE = Path(load.__file__).with_name("example.yaml")
STACKS = Path(__file__).parents[2] / "stacks"


def test_the_example_holds_every_key(project_of: Any) -> None:
    project = project_of(EXAMPLE.read_text())

    def keys(model: Any) -> None:
        assert model.model_fields_set >= set(type(model).model_fields) - {"folder", "pulumi_name"}
        for name in type(model).model_fields:
            value = getattr(model, name)
            for each in value if isinstance(value, tuple) else (value,):
                if hasattr(type(each), "model_fields"):
                    keys(each)

    keys(project)


def test_three_keys_are_enough(project_of: Any, folder: Path) -> None:
    project = project_of("version: 1\nname: a\nmodel: {source: m.onnx}")
    assert project.bundles == ".cloudmodel/bundles"
    assert project.evaluate is None
    assert project.optimize.budget == "5m"
    assert (project.folder, project.pulumi_name) == (folder, "digits")


def test_the_reference_project_loads() -> None:
    project = load.load_project(STACKS)
    assert load.stacks(project) == ("dev", "local", "prod")
    targets = {name: load.load_stack(project, name).target for name in load.stacks(project)}
    assert targets == {"dev": "aws", "local": "local", "prod": "aws"}
    assert load.load_stack(project, "prod").protect


BASE = {"version": "1", "name": "digits", "model": "{source: m.onnx}"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "2"}, "cloudmodel.yaml:1:1: version: must be 1"),
        ({"version": '"1"'}, "cloudmodel.yaml:1:1: version: must be 1"),
        ({"name": "5"}, "name: must be text, and is a number"),
        ({"name": "Digits"}, "name: must be a small letter"),
        ({"name": "digits-"}, "name must not end with a hyphen"),
        ({"name": "d" * 32}, "name: must be a small letter"),
        ({"nmae": "x"}, "cloudmodel.yaml:4:1: nmae: unknown key; did you mean name?"),
        ({"zzz": "x"}, "zzz: unknown key; known are version, name, model, evaluate, optimize, serve, bundles"),
        ({"model": "{}"}, "cloudmodel.yaml:3:1: model.source: is required"),
        ({"model": "[]"}, "model: must be a mapping"),
        ({"model": "{source: ''}"}, "model.source: "),
        ({"model": "{source: m.onnx, weights: w.pt}"}, "weights are given with a factory"),
        ({"model": "{source: m.onnx, format: xgboost}"}, "model.format: must be 'auto', 'onnx'"),
        ({"model": "{source: m, inputs: [{name: a, dtype: f4, shape: [1]}]}"}, "model.inputs[0].dtype: must be 'bool'"),
        (
            {"model": "{source: m, inputs: [{name: a, dtype: bool, shape: [1]}, {name: a, dtype: bool, shape: [2]}]}"},
            "names an input twice",
        ),
        ({"model": "{source: m, inputs: [{name: a, dtype: bool, shape: [-1]}]}"}, "model.inputs[0].shape[0]: must be"),
        ({"model": "{source: m, inputs: [{name: a, dtype: bool, shpae: [1]}]}"}, "did you mean shape?"),
        ({"evaluate": "{metric: acc, data: d}"}, "evaluate.metric: must be one of accuracy"),
        ({"evaluate": "{metric: accuracy}"}, "evaluate.data: is required"),
        ({"optimize": "{budget: 5 minutes}"}, "optimize.budget: must be a duration"),
        ({"optimize": "{confidence: 1.0}"}, "optimize.confidence: must be less than 1"),
        ({"optimize": "{techniques: [graph, magic]}"}, "optimize.techniques[1]: must be 'graph'"),
        ({"optimize": "{max_drop: '0.1'}"}, "optimize.max_drop: must be a number, and is text"),
        ({"serve": "{layout: lmi}"}, "serve.layout: must be 'auto'"),
    ],
    ids=str,
)
def test_each_impossible_value_is_told_by_key(project_of: Any, change: dict[str, str], told: str) -> None:
    text = "".join(f"{key}: {value}\n" for key, value in (BASE | change).items())
    with pytest.raises(ProjectInvalid) as caught:
        project_of(text)
    assert told in caught.value.message
    assert caught.value.code == 2
    assert str(caught.value.where).split(":")[0].endswith("cloudmodel.yaml")


def test_all_problems_of_a_file_are_told_at_once_in_its_order(project_of: Any) -> None:
    with pytest.raises(ProjectInvalid) as caught:
        project_of("version: 2\nname: X\nname: y\nmodel: {source: 1}\nbundels: x\n")
    assert [problem["line"] for problem in caught.value.details["problems"]] == [1, 2, 3, 4, 5]
    assert caught.value.message.count("\n") == 5


@pytest.mark.parametrize("text", ["", "- a\n", "text", "5"])
def test_a_file_that_is_no_mapping(project_of: Any, text: str) -> None:
    with pytest.raises(ProjectInvalid, match="mapping"):
        project_of(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("runtime: python", "name: must be"),
        ("name: a b\nruntime: python", "name: must be"),
        ("name: a", "runtime: must be python"),
        ("name: a\nruntime: nodejs", "runtime: must be python"),
        ("name: a\nruntime: {name: python, options: {virtualenv: .venv}}\nmain: src", "main: is not used"),
        ("name: a\nruntime: python\nconfig: {x: 1}", "config: is not used"),
    ],
)
def test_a_pulumi_file_that_would_be_read_differently_elsewhere(folder: Path, text: str, told: str) -> None:
    (folder / "Pulumi.yaml").write_text(text)
    with pytest.raises(ProjectInvalid) as caught:
        load.load_project(folder)
    assert told in caught.value.message


@pytest.mark.parametrize("name", ["cloudmodel.yaml", "Pulumi.yaml"])
def test_a_missing_file_is_told_by_name(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ProjectInvalid, match=name) as caught:
        load.load_project(folder)
    assert "cloudmodel init" in str(caught.value.hint)


def test_the_project_is_found_here_above_and_in_stacks(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    assert load.find_project(folder) == folder
    assert load.find_project(inner) == folder
    outer = tmp_path_factory.mktemp("outer")
    with pytest.raises(ProjectInvalid) as caught:
        load.find_project(outer)
    assert "cloudmodel init" in str(caught.value.hint)
    (outer / "stacks").mkdir()
    (outer / "stacks" / "cloudmodel.yaml").write_text("")
    assert load.find_project(outer) == outer / "stacks"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*ProjectFile.model_fields, "nmae", ""])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_mapping_is_a_project_or_one_error(project_of: Any, content: dict[str, Any]) -> None:
    import json

    try:
        project_of(json.dumps({"version": 1, "name": "a", "model": {"source": "m"}} | content))
    except ProjectInvalid as error:
        assert error.details["problems"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2000), st.binary(max_size=4), st.integers(0, 40))
def test_a_damaged_file_is_a_project_or_one_error(project_of: Any, place: int, put: bytes, cut: int) -> None:
    data = EXAMPLE.read_bytes()
    try:
        project_of(data[:place] + put + data[place + cut :])
    except ProjectInvalid as error:
        assert error.message


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("{kind: image, resize: [8, 8], colour: L}", "unknown key; did you mean color?"),
        ("{kind: ids, mapps: {}}", "unknown key; did you mean maps?"),
        ("{kind: ids, maps: {}}", "at least 1 item"),
        ("{kind: text, tokenizer: t.json}", "is required"),
        ("{kind: sound}", "needs kind: 'text', 'image', 'ids'"),
        ("{resize: 8}", "needs kind"),
        ("{kind: image, resize: 0}", "greater than or equal to 1"),
    ],
)
def test_preprocessing_is_of_one_known_kind(project_of: Any, steps: str, said: str) -> None:
    with pytest.raises(ProjectInvalid, match=re.escape(said)):
        project_of(f"version: 1\nname: a\nmodel: {{source: m.onnx, preprocess: {steps}}}")
