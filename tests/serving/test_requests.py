"""What a client may send, and what it is told when it may not."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto as T
from onnx import helper

import onnx_models
from cloudmodel.serving.runtime.answers import Prediction, encode
from cloudmodel.serving.runtime.errors import RequestRefused
from cloudmodel.serving.runtime.requests import CSV, JSON, NPY, NPZ, arrays, parse, read_npy
from cloudmodel.serving.runtime.session import Model
from cloudmodel.serving.runtime.tensors import Spec, to_array

IMAGE = (Spec("image", "float32", ("batch", 2, 2)),)
TABLE = (Spec("age", "int64", ("n", 1)), Spec("member", "bool", ("n", 1)), Spec("city", "str", ("n", 1)))


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**named: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **named)
    return file.getvalue()


def take(body: Any, kind: str | None, specs: Any) -> dict[str, Any]:
    return arrays(parse(body if isinstance(body, bytes | str) else json.dumps(body), kind), specs)


ONE = [[1.0, 2.0], [3.0, 4.0]]
PERSON = {"age": [[30], [40]], "member": [[True], [False]], "city": [["Ulm"], ["Köln"]]}


@pytest.mark.parametrize(
    ("body", "kind", "specs", "expected"),
    [
        ({"inputs": {"image": [ONE]}}, JSON, IMAGE, {"image": [ONE]}),
        ({"instances": [ONE, ONE]}, JSON, IMAGE, {"image": [ONE, ONE]}),
        ({"instances": [{"image": ONE}]}, JSON, IMAGE, {"image": [ONE]}),
        ({"instances": [[[1, 2], [3, 4]]]}, "application/json; charset=utf-8", IMAGE, {"image": [ONE]}),
        ({"instances": [ONE]}, None, IMAGE, {"image": [ONE]}),
        (npy(np.array([ONE])), NPY, IMAGE, {"image": [ONE]}),
        (npy(np.array([ONE], np.int8)), NPY, IMAGE, {"image": [ONE]}),
        (npy(np.array([ONE], ">f8")), NPY, IMAGE, {"image": [ONE]}),
        (npy(np.asfortranarray([ONE])), NPY, IMAGE, {"image": [ONE]}),
        (
            b"\x93NUMPY\x02\x00\x40\0\0\0" + b"{'shape':(1,2,2),'fortran_order':False,'descr':'<i2'}".ljust(64)
            + np.array(ONE, "<i2").tobytes(), NPY, IMAGE, {"image": [ONE]},
        ),
        (npz(image=np.array([ONE])), NPZ, IMAGE, {"image": [ONE]}),
        ("1,2,3,4\n1.0,2e0,3,4\n", CSV, IMAGE, {"image": [ONE, ONE]}),
        (b"1, 2, 3, 4", CSV, IMAGE, {"image": [ONE]}),
        (b"\xef\xbb\xbf1,2,3,4\r\n", CSV, IMAGE, {"image": [ONE]}),
        ({"inputs": PERSON}, JSON, TABLE, PERSON),
        (
            {"instances": [{"age": [30], "member": [True], "city": ["Ulm"]},
                           {"age": [40], "member": [False], "city": ["Köln"]}]}, JSON, TABLE, PERSON,
        ),
        (npz(age=[[30], [40]], member=[[True], [False]], city=[["Ulm"], ["Köln"]]), NPZ, TABLE, PERSON),
        ("30,true,Ulm\n40,0,Köln\n", CSV, TABLE, PERSON),
        ('30,1,"Ulm, ""Donau"""', CSV, TABLE, {"age": [[30]], "member": [[True]], "city": [['Ulm, "Donau"']]}),
        ("1\n2\n", CSV, (Spec("x", "float32", ("n",)),), {"x": [1.0, 2.0]}),
        ("1,2,3\n", CSV, (Spec("x", "int64", ("n", "tokens")),), {"x": [[1, 2, 3]]}),
        ({"inputs": {"x": 5}}, JSON, (Spec("x", "int64", ()),), {"x": 5}),
        ({"inputs": {"x": [2.0]}}, JSON, (Spec("x", "int64", ("n",)),), {"x": [2]}),
        ({"inputs": {"x": []}}, JSON, (Spec("x", "int64", ("n",)),), {"x": []}),
    ],
)  # fmt: skip
def test_values_arrive_in_the_models_form(body: Any, kind: str, specs: Any, expected: Any) -> None:
    taken = take(body, kind, specs)
    assert {name: array.tolist() for name, array in taken.items()} == expected
    assert {name: array.dtype for name, array in taken.items()} == {
        spec.name: np.dtype(object if spec.dtype == "str" else spec.dtype) for spec in specs
    }


INT = (Spec("x", "int8", ("n",)),)
FLOAT = (Spec("x", "float32", ("n",)),)
TEXT = (Spec("x", "str", ("n",)),)
BOOL = (Spec("x", "bool", ("n",)),)


@pytest.mark.parametrize(
    ("body", "kind", "specs", "words"),
    [
        ("{", JSON, IMAGE, "not JSON"),
        (b"\xff\xfe{}", JSON, IMAGE, "not JSON"),
        ("[" * 100_000, JSON, IMAGE, "not JSON"),
        ({}, JSON, IMAGE, "expected"),
        ([1], JSON, IMAGE, "expected"),
        ({"inputs": [1]}, JSON, IMAGE, "expected"),
        ({"instances": 5}, JSON, IMAGE, "expected"),
        ({"instances": [], "inputs": {}}, JSON, IMAGE, "expected"),
        ({"instances": []}, JSON, IMAGE, r"shape \[0\]; the model takes image: float32\[batch, 2, 2\]"),
        ({"instances": [[1, 2]]}, JSON, IMAGE, r"shape \[1, 2\]"),
        ({"instances": [ONE, [[1]]]}, JSON, IMAGE, "different lengths"),
        ({"inputs": {"picture": [ONE]}}, JSON, IMAGE, "missing 'image', unknown 'picture'"),
        ({"inputs": {"image": [ONE], "more": 1}}, JSON, IMAGE, "unknown 'more'"),
        ({"instances": [{"image": ONE}, {"pic": ONE}]}, JSON, IMAGE, "missing 'image'"),
        ({"instances": [{"image": ONE}, ONE]}, JSON, IMAGE, "the model takes"),
        ({"instances": [[1], [2]]}, JSON, TABLE, "must be an object"),
        ({"inputs": {"x": ["a"]}}, JSON, FLOAT, "holds strings"),
        ({"inputs": {"x": [None]}}, JSON, FLOAT, "holds null"),
        ({"inputs": {"x": [True]}}, JSON, FLOAT, "holds booleans"),
        ({"inputs": {"x": [1e39]}}, JSON, FLOAT, "too large for float32"),
        ({"inputs": {"x": [10**400]}}, JSON, FLOAT, "holds null or mixed|too large|different"),
        ({"inputs": {"x": [1.5]}}, JSON, INT, "not whole"),
        ({"inputs": {"x": [float("nan")]}}, JSON, INT, "not whole"),
        ({"inputs": {"x": [128]}}, JSON, INT, "outside int8"),
        ({"inputs": {"x": [-129]}}, JSON, INT, "outside int8"),
        ({"inputs": {"x": [2**70]}}, JSON, INT, "outside int8"),
        ({"inputs": {"x": [2**70, None]}}, JSON, INT, "holds null or mixed values"),
        ({"inputs": {"x": [None, 1]}}, JSON, INT, "holds null or mixed values"),
        ({"inputs": {"x": [1]}}, JSON, TEXT, "must hold strings"),
        ({"inputs": {"x": ["a", ["b"]]}}, JSON, TEXT, "strings|lengths"),
        ({"inputs": {"x": [1]}}, JSON, BOOL, "the model takes x: bool"),
        ({"inputs": {"x": ["\ud800"]}}, JSON, TEXT, "not Unicode"),
        ({"inputs": {"x": [float(2**53)]}}, JSON, (Spec("x", "int64", ("n",)),), "no exact integer"),
        ("1,2,3\n", CSV, IMAGE, "3 cells, 4 were expected"),
        ("1,2,3,4\n1,2\n", CSV, IMAGE, "row 2 has 2 cells"),
        ("a,b,c,d\n", CSV, IMAGE, "could not convert"),
        ("", CSV, IMAGE, "no rows"),
        (b"\xff", CSV, IMAGE, "not CSV"),
        ('"open', CSV, IMAGE, "not CSV"),
        ("30,maybe,Ulm\n", CSV, TABLE, "'maybe' is not a boolean"),
        ("1.5,true,Ulm\n", CSV, TABLE, "invalid literal"),
        ("1,2\n", CSV, (Spec("x", "float32", ("n", "t", 3)),), "fixed size"),
        (b"no array", NPY, IMAGE, "not an npy array"),
        (b"", NPY, IMAGE, "not an npy array"),
        (npy(np.array([{"a": 1}], dtype=object), allow_pickle=True), NPY, IMAGE, "of this dtype"),
        (npy(np.zeros(2, "datetime64[s]")), NPY, IMAGE, "of this dtype"),
        (npy(np.zeros(2, [("a", "f4")])), NPY, IMAGE, "of this dtype"),
        (npy(np.zeros((1, 2, 2)))[:-1], NPY, IMAGE, "promises 32 bytes"),
        (npy(np.zeros((1, 2, 2))).replace(b"(1, 2, 2)", b"(9**9, 2)"), NPY, IMAGE, "not read here"),
        (b"\x93NUMPY\x01\x00\xff\xff" + bytes(70000), NPY, IMAGE, "header is longer"),
        (b"\x93NUMPY\x09\x00", NPY, IMAGE, "another mark"),
        (npy(np.zeros((1, 2, 2))), NPY, TABLE, "the model has 3 inputs"),
        (npy(np.zeros((1, 2, 2))).replace(b"(1, 2, 2)", b"(" + b"1" * 8), NPY, IMAGE, "of this dtype"),
        (b"PK", NPZ, IMAGE, "not an npz"),
        (npz(other=np.zeros(1)), NPZ, IMAGE, "missing 'image'"),
    ],
)
def test_the_clients_mistake_is_400_with_what_was_expected(body: Any, kind: str, specs: Any, words: str) -> None:
    with pytest.raises(RequestRefused, match=words) as caught:
        take(body, kind, specs)
    assert caught.value.status_code == 400
    assert "\n" not in str(caught.value)


def test_sizes_that_contradict_each_other_explain_a_failure_and_forbid_nothing(tmp_path: Path) -> None:
    """Exporters give one name to sizes that may differ: what the model runs on is answered."""
    two = [onnx_models.value(name, T.FLOAT, ["n", 2]) for name in ("a", "b", "y")]
    onnx_models.save(tmp_path / "model.onnx", [helper.make_node("Add", ["a", "b"], ["y"])], two[:2], two[2:])
    model = Model(str(tmp_path))
    assert model.run({"a": np.ones((1, 2), np.float32), "b": np.ones((3, 2), np.float32)})["y"].shape == (3, 2)
    with pytest.raises(RequestRefused, match="n is 2 in input 'a' and 3 in 'b'") as caught:
        model.run({"a": np.ones((2, 2), np.float32), "b": np.ones((3, 2), np.float32)})
    assert caught.value.status_code == 400


def test_other_types_are_415() -> None:
    for kind in ("image/webp", "application/octet-stream", "text/plain"):
        with pytest.raises(RequestRefused, match="send one of") as caught:
            parse(b"x", kind)
        assert caught.value.status_code == 415


def test_a_header_that_lies_allocates_nothing() -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999999, 99), }\n"
    with pytest.raises(RequestRefused, match="promises"):
        read_npy(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


def test_an_npz_that_unpacks_to_more_than_it_may_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        for _ in range(300):
            member.write(bytes(1 << 20))
    with pytest.raises(RequestRefused, match="256 MiB"):
        parse(file.getvalue(), NPZ)


OUTPUTS = {"y": np.array([[1.5, -2.0]], np.float32), "words": np.array([["a", 'b "c"']], dtype=object)}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", JSON), (None, JSON), ("*/*", JSON), (JSON, JSON), ("text/html, application/x-npz;q=0.8, */*;q=0.1", NPZ),
        (NPY, NPY), (NPZ, NPZ), (CSV, CSV), (f"{NPY};q=0.1, {JSON};q=0.9", JSON), (f"{JSON};q=0, {NPZ};q=bad", NPZ),
        ("text/html, text/*", CSV), ("application/json, */*", JSON),
    ],
)  # fmt: skip
def test_the_answer_has_the_form_that_the_client_accepts(accept: str, kind: str) -> None:
    body, found = encode(Prediction(OUTPUTS), accept)
    assert found == kind
    if kind == JSON:
        assert json.loads(body) == {"outputs": {"y": [[1.5, -2.0]], "words": [["a", 'b "c"']]}}
    elif kind == NPY:
        assert isinstance(body, bytes)
        assert np.load(io.BytesIO(body)).tolist() == [[1.5, -2.0]]
    elif kind == NPZ:
        assert isinstance(body, bytes)
        with np.load(io.BytesIO(body), allow_pickle=False) as data:
            assert {name: data[name].tolist() for name in data} == {"y": [[1.5, -2.0]], "words": [["a", 'b "c"']]}
    else:
        assert body == '1.5,-2.0,a,"b ""c"""\n'


def test_an_output_may_have_any_name() -> None:
    outputs = {name: np.array([1]) for name in ("file", "allow_pickle", "a/b", "größe")}
    body, _ = encode(Prediction(outputs), NPZ)
    assert isinstance(body, bytes)
    assert list(np.load(io.BytesIO(body))) == list(outputs)


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0"])
def test_what_is_not_written_here_is_406(accept: str) -> None:
    with pytest.raises(RequestRefused, match="accept one of") as caught:
        encode(Prediction(OUTPUTS), accept)
    assert caught.value.status_code == 406


def test_instances_get_predictions_row_by_row() -> None:
    outputs = {"a": np.array([[1], [2]]), "b": np.array(["x", "y"], dtype=object)}
    body, _ = encode(Prediction(outputs, 2), JSON)
    assert json.loads(body) == {"predictions": [{"a": [1], "b": "x"}, {"a": [2], "b": "y"}]}
    body, _ = encode(Prediction({"a": outputs["a"]}, 2), JSON)
    assert json.loads(body) == {"predictions": [[1], [2]]}
    with pytest.raises(RequestRefused, match="not one row for each"):
        encode(Prediction({"a": np.array(3.0)}, 2), JSON)


def test_floats_that_are_no_numbers_are_written_as_tensorflow_serving_writes_them() -> None:
    body, _ = encode(Prediction({"y": np.array([np.nan, np.inf, -np.inf], np.float32)}), JSON)
    assert body == '{"outputs":{"y":[NaN,Infinity,-Infinity]}}'


DTYPES = st.sampled_from(["float32", "float64", "float16", "int8", "int64", "uint64", "uint8", "bool"])


@given(DTYPES.flatmap(lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))))
def test_every_array_survives_json_and_npy(array: Any) -> None:
    spec = Spec("x", array.dtype.name, tuple(f"d{place}" for place in range(array.ndim)))
    body, _ = encode(Prediction({"x": array}), JSON)
    document = json.loads(body)["outputs"]
    through_npy = arrays(parse(encode(Prediction({"x": array}), NPY)[0], NPY), [spec])["x"]
    assert through_npy.dtype == array.dtype
    assert np.array_equal(through_npy, array, equal_nan=array.dtype.kind == "f")
    if array.size:  # JSON has no shape for an empty array
        again = to_array(document["x"], spec)
        assert again.dtype == array.dtype
        assert np.array_equal(again, array, equal_nan=array.dtype.kind == "f")


@given(st.binary(max_size=400), st.sampled_from([JSON, CSV, NPY, NPZ]))
def test_any_bytes_are_read_or_refused(data: bytes, kind: str) -> None:
    try:
        arrays(parse(data, kind), IMAGE)
    except RequestRefused as refused:
        assert refused.status_code == 400


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([IMAGE, TABLE, INT, FLOAT, TEXT, BOOL]), st.sampled_from(["instances", "inputs"]))
def test_any_json_is_read_or_refused(value: Any, specs: Any, form: str) -> None:
    body = {form: value if form == "instances" else {spec.name: value for spec in specs}}
    try:
        result = arrays(parse(json.dumps(body), JSON), specs)
    except RequestRefused as refused:
        assert refused.status_code == 400
        return
    for spec in specs:
        assert result[spec.name].ndim == len(spec.shape)


@given(st.data())
def test_any_change_of_an_npy_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(npy(np.arange(8.0).reshape(2, 2, 2)))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        arrays(parse(bytes(content), NPY), IMAGE)
    except RequestRefused as refused:
        assert refused.status_code == 400


def test_an_image_is_415_where_the_model_takes_none() -> None:
    with pytest.raises(RequestRefused, match="takes no images") as caught:
        arrays(parse(b"\x89PNG", "image/png"), [])
    assert caught.value.status_code == 415
