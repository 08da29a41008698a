"""The project's data: read from every kind of file, split into sets that share no row, refused by name where wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.core.errors import ProjectInvalid
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.optimize import data, sets

FLAT = Signature(
    inputs=(Tensor(name="x", dtype="float32", shape=("batch", 2)),),
    outputs=(Tensor(name="y", dtype="float32", shape=("batch", 3)),),
)
IMAGE = FLAT.model_copy(update={"inputs": (Tensor(name="image", dtype="float32", shape=("batch", 1, 2, 2)),)})
PAIR = FLAT.model_copy(
    update={
        "inputs": (
            Tensor(name="user", dtype="int64", shape=("batch",)),
            Tensor(name="word", dtype="str", shape=("batch",)),
        )
    }
)
X = np.arange(12, dtype=np.float32).reshape(6, 2)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def npz(folder: Path, name: str = "data.npz", **arrays: Any) -> str:
    np.savez(folder / name, **arrays)
    return name


def write(name: str, text: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_text(text)
        return name

    return make


def function(folder: Path, module: str, body: str) -> str:
    (folder / f"{module}.py").write_text(f"def rows():\n    {body}\n")
    return f"{module}:rows"


CSV = "a,b,label\n" + "".join(f"{a},{b},{label}\n" for (a, b), label in zip(X, LABELS, strict=True))
JSONL = "".join(
    json.dumps({"inputs": {"x": row.tolist()}, "label": int(label)}) + "\n"
    for row, label in zip(X, LABELS, strict=True)
)
TABLE = "".join(
    json.dumps({"a": float(a), "label": int(label), "b": float(b)}) + "\n"
    for (a, b), label in zip(X, LABELS, strict=True)
)
FUNCTION = "import numpy as np\ndef rows():\n    return {'x': np.arange(12.0).reshape(6, 2), 'y': [0, 1, 2, 0, 1, 2]}\n"


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: npz(folder, x=X, labels=LABELS),
        lambda folder: npz(folder, inputs=X, target=LABELS),
        write("data.csv", CSV),
        write("data.jsonl", JSONL),
        write("table.jsonl", TABLE),
        lambda folder: write("rows_of_test.py", FUNCTION)(folder) and "rows_of_test:rows",
    ],
    ids=["npz", "npz-common-names", "csv", "jsonl", "jsonl-table", "function"],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, make: Callable[[Path], str]) -> None:
    found = data.load(make(tmp_path), tmp_path, FLAT)
    np.testing.assert_array_equal(found.inputs["x"], X)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.inputs["x"].dtype == np.float32
    again = data.read_npz(found.write(tmp_path / "again.npz"), FLAT)
    assert again.digest == found.digest


def test_columns_of_several_inputs_are_found_by_name(tmp_path: Path) -> None:
    name = write("data.csv", "user,word,label\n3,a,0\n4,größer,1\n")(tmp_path)
    found = data.load(name, tmp_path, PAIR)
    assert found.inputs["user"].tolist() == [3, 4]
    assert found.inputs["word"].tolist() == ["a", "größer"]
    assert data.read_npz(found.write(tmp_path / "again.npz"), PAIR).digest == found.digest


def test_flat_rows_fit_an_image_of_as_many_numbers(tmp_path: Path) -> None:
    found = data.load(npz(tmp_path, image=np.arange(8.0).reshape(2, 4), labels=[0, 1]), tmp_path, IMAGE)
    assert found.inputs["image"].shape == (2, 1, 2, 2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: "none.npz", "no such data file"),
        (write("data.npz", "not a zip"), "it is no npz file"),
        (lambda folder: npz(folder, x=np.array([{}]), labels=LABELS), "array 'x' holds Python objects"),
        (write("data.txt", "x"), "not read from .txt"),
        (write("data.csv", "a,b,label\n1,2\n"), "another number of columns"),
        (write("data.csv", "a,b,label\n1,two,0\n"), "column 'b' has 'two' in row 1, which is no number"),
        (write("data.csv", "label\n0\n"), "no column but label"),
        (
            write("data.jsonl", '{"x": [1, 2], "label": 0}\n{"x": [1, 2]}\n'),
            "line 2 and the first do not both have label",
        ),
        (
            write("data.jsonl", '{"x": [1, 2], "label": 0}\n{"x": [1], "label": 1}\n'),
            "rows of 'x' differ in their shape",
        ),
        (write("data.jsonl", "{\n"), "cannot be read"),
        (lambda folder: npz(folder, x=X[:0], labels=LABELS[:0]), "no rows"),
        (write("data.csv", "a,b,label\n"), "no rows"),
        (lambda folder: npz(folder, z=X, labels=LABELS), "no array 'x'; they have labels, z"),
        (lambda folder: npz(folder, x=np.zeros((6, 3)), labels=LABELS), r"\[6, 3\] for input 'x' \['batch', 2\]"),
        (lambda folder: npz(folder, x=np.full((6, 2), "a"), labels=LABELS), "which takes float32"),
        (
            lambda folder: npz(folder, x=np.where(X == 5, np.nan, X), labels=LABELS),
            r"'x' holds NaN or infinity \(row 2\)",
        ),
        (lambda folder: npz(folder, x=np.where(X == 8, np.inf, X), labels=LABELS), r"\(row 4\)"),
        (lambda folder: npz(folder, x=X, labels=LABELS[:5]), "'labels' has 5 entries for 6 rows"),
        (lambda folder: npz(folder, x=X, labels=3), "'labels' has no entries for 6 rows"),
        (lambda folder: npz(folder, x=X, labels=np.array([0, 1, np.nan, 1, 1, 1])), "label of row 2"),
        (lambda folder: "no_such_module_here:rows", "cannot be imported"),
        (
            lambda folder: write("odd_of_test.py", "def rows():\n    return 3\n")(folder) and "odd_of_test:rows",
            "returned int",
        ),
        (
            lambda folder: write("bad_of_test.py", "def rows():\n    1 / 0\n")(folder) and "bad_of_test:rows",
            "ZeroDivision",
        ),
        (lambda folder: write("cut_of_test.py", "def rows(:\n")(folder) and "cut_of_test:rows", "SyntaxError"),
    ],
)
def test_what_is_wrong_with_data_is_named(tmp_path: Path, make: Callable[[Path], str], said: str) -> None:
    with pytest.raises(ProjectInvalid, match=said) as caught:
        data.load(make(tmp_path), tmp_path, FLAT)
    assert caught.value.where
    assert caught.value.hint


def rows(count: int, seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {"x": random.normal(size=(count, 2)).astype(np.float32), "labels": random.integers(0, 3, count)}


@pytest.mark.parametrize(
    ("train", "calibrate", "sizes"),
    [
        ("train.npz", None, (300, 100, 100, 798)),
        ("train.npz", "train.npz", (300, 100, 100, 798)),
        ("train.npz", "evaluate.npz", (400, 200, 100, 598)),
        (None, None, (None, 200, 100, 598)),
        (None, "other.npz", (None, 50, 100, 798)),
        ("train.npz", "other.npz", (400, 50, 100, 798)),
    ],
)
def test_sets_share_no_row(tmp_path: Path, train: str | None, calibrate: str | None, sizes: tuple[Any, ...]) -> None:
    npz(tmp_path, "evaluate.npz", **rows(898))
    npz(tmp_path, "train.npz", **rows(400, 1))
    npz(tmp_path, "other.npz", **rows(50, 2))
    found = sets.divide("evaluate.npz", tmp_path, FLAT, train=train, calibrate=calibrate, seed=3)
    parts = [found.train, found.calibration, found.selection, found.final]
    assert tuple(None if each is None else len(each) for each in parts) == sizes
    hashes = [set(each.hashes) for each in parts if each is not None]
    assert len(set().union(*hashes)) == sum(len(each) for each in hashes)
    again = sets.divide("evaluate.npz", tmp_path, FLAT, train=train, calibrate=calibrate, seed=3)
    assert [each and each.digest for each in (again.train, again.calibration, again.selection, again.final)] == [
        each and each.digest for each in parts
    ]


@given(st.lists(st.integers(0, 30), min_size=8, max_size=60), st.integers(0, 5))
def test_equal_rows_stay_on_one_side(values: list[int], seed: int) -> None:
    whole = data.Dataset({"x": np.array(values, np.float32)[:, None]}, np.arange(len(values)), None, "data.npz")
    left, right = sets._slice(whole, len(values) // 3, seed)
    assert not set(left.hashes) & set(right.hashes)
    assert sorted([*left.labels, *right.labels]) == list(range(len(values)))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("left", "arguments"),
    [("train", {"train": "train.npz"}), ("calibrate", {"calibrate": "train.npz"})],
)
def test_row_in_two_files_is_refused_with_its_number(tmp_path: Path, left: str, arguments: dict[str, str]) -> None:
    held_out, training = rows(300), rows(200, 1)
    training["x"][17] = held_out["x"][250]
    npz(tmp_path, "evaluate.npz", **held_out)
    npz(tmp_path, "train.npz", **training)
    with pytest.raises(ProjectInvalid, match="row 17 of one is row 250 of the other") as caught:
        sets.divide("evaluate.npz", tmp_path, FLAT, **{"train": None, "calibrate": None, **arguments}, seed=1)
    assert caught.value.details == {"shared_rows": 1}


@pytest.mark.parametrize(
    ("evaluate", "said"),
    [
        ({"x": X}, "no labels"),
        ({"x": X[:1], "labels": LABELS[:1]}, "too few"),
        ({"x": np.zeros((6, 2)), "labels": LABELS}, "'x' is zero in all"),
    ],
)
def test_unusable_evaluation_data_are_refused(tmp_path: Path, evaluate: dict[str, Any], said: str) -> None:
    npz(tmp_path, "evaluate.npz", **evaluate)
    with pytest.raises(ProjectInvalid, match=said):
        sets.divide("evaluate.npz", tmp_path, FLAT, train=None, calibrate=None, seed=1)


@pytest.mark.parametrize(("rows_given", "wanted"), [(898, 100), (5000, 500), (40, 20), (100_000, 2000)])
def test_selection_is_a_tenth_and_at_least_a_hundred(rows_given: int, wanted: int) -> None:
    assert sets.selection_rows(rows_given) == wanted


@pytest.mark.parametrize("calibrate", [None, "other.npz"])
def test_rows_of_one_query_stay_together(tmp_path: Path, calibrate: str | None) -> None:
    """A tenth of a query's rows would be another question: ten of fifteen have a recall of 1 at 10."""
    queries = np.random.default_rng(1).permutation(np.repeat(np.arange(60), 15))
    npz(tmp_path, "evaluate.npz", **rows(900), groups=queries)
    npz(tmp_path, "other.npz", **rows(50, 2))
    found = sets.divide("evaluate.npz", tmp_path, FLAT, train=None, calibrate=calibrate, seed=3)
    for part in (found.selection, found.final):
        assert part.groups is not None
        assert set(np.unique(part.groups, return_counts=True)[1]) == {15}
    assert len(found.selection) == 105
