"""PyTorch in each of its forms becomes ONNX, and the manifest says how; what remembers or is no model is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import torch_nets
from cloudmodel.bundle.archive import extract
from cloudmodel.bundle.store import open_store
from cloudmodel.core import confined
from cloudmodel.core.errors import (
    CloudmodelError,
    ModelUnreadable,
    ProjectInvalid,
    StepFailed,
    UnsafeModel,
    Unsupported,
)
from cloudmodel.formats import choose, onnx_files, opening
from cloudmodel.formats.factory import Source
from cloudmodel.formats.model import Signature, Tensor
from cloudmodel.formats.pytorch import export
from cloudmodel.formats.pytorch import source as pytorch_source
from cloudmodel.formats.scan import scan_paths
from cloudmodel.serving.package import ModelSource, Packaged, package

FACTORIES = Path(torch_nets.__file__).parent
VECTOR = [{"name": "x", "dtype": "float32", "shape": ["rows", 4]}]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is opened in this process, which has PyTorch already: that a child is shut in has tests of its own."""
    in_a_child = confined.run

    def run(function: str, job: Any, *, folder: Path, **more: Any) -> Any:
        if function != opening.FUNCTION:
            return in_a_child(function, job, folder=folder, **more)
        with contextlib.chdir(folder):
            return json.loads(json.dumps(opening.run(json.loads(json.dumps(job)), more["report"])))

    monkeypatch.setattr(confined, "run", run)


def packed(folder: Path, source: Path | Source, **more: Any) -> Packaged:
    return package(ModelSource("net", source, **{"inputs": VECTOR, **more}), open_store("store", base=folder))


def script(module: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module.eval(), torch.zeros(2, 4), check_trace=False), path)
    return path


class Counting(torch.nn.Module):  # type: ignore[misc]
    """It adds how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("asked", torch.zeros(1))

    def forward(self, x: Any) -> Any:
        self.asked += 1
        return x + self.asked


def in_shards(state: dict[str, Any], folder: Path) -> Path:
    """A state dict as two files of safetensors and their index, as the Hub's libraries write them."""
    folder.mkdir()
    places = {name: f"net-{place % 2}.safetensors" for place, name in enumerate(state)}
    for file in set(places.values()):
        save_file({name: state[name] for name in state if places[name] == file}, folder / file)
    index = folder / "net.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_weights_and_their_factory(tmp_path: Path) -> None:
    state = torch_nets.branching().state_dict()
    index = in_shards(state, tmp_path / "shards")
    save_file(state, tmp_path / "net.safetensors")
    assert choose.find(Source(FACTORIES, "torch_nets:branching", tmp_path / "net.safetensors")).format == "safetensors"
    one, several = (pytorch_source.read_weights(each) for each in (tmp_path / "net.safetensors", index.parent))
    assert one.keys() == several.keys() == state.keys()
    assert all(torch.equal(several[name], tensor) for name, tensor in one.items())
    manifest = packed(tmp_path, Source(FACTORIES, "torch_nets:branching", index.parent)).manifest
    assert (manifest.format, manifest.layout, manifest.scan.verdict) == ("safetensors", "onnxruntime", "clean")
    assert manifest.provenance.source == "torch_nets:branching"
    export = manifest.metadata["export"]
    # torch.export refuses its control flow, the trace takes it; which is told.
    assert export["exporter"] == "torchscript"
    assert export["reason"].startswith("dynamo: ")
    assert manifest.metadata["original"]["class"] == "Branching"
    assert [tensor.shape for tensor in manifest.signature.outputs] == [("rows", 2)]


def test_shards_that_do_not_fit_their_index_are_refused(tmp_path: Path) -> None:
    state = torch_nets.branching().state_dict()
    index = in_shards(state, tmp_path / "shards")
    kept, shard = index.read_text(), index.parent / "net-1.safetensors"
    second, first = shard.read_bytes(), (index.parent / "net-0.safetensors").read_bytes()
    (tmp_path / "elsewhere.safetensors").write_bytes(second)

    def refused(error: type[CloudmodelError], words: str) -> None:
        with pytest.raises(error, match=words) as caught:
            packed(tmp_path, Source(FACTORIES, "torch_nets:branching", index))
        assert caught.value.hint
        assert "cloudmodel-package-" not in f"{caught.value} {caught.value.where}"
        if index.exists() and shard.read_bytes() == second:  # of a Hugging Face folder, too
            with pytest.raises(error, match=words):
                choose.judge(choose.Found("huggingface", index.parent))
        assert not list((tmp_path / "store").rglob("*.tar.gz"))

    for broken, error, words in [
        ("{", ModelUnreadable, "index of the shards cannot be read"),
        ('{"weight_map": {}}', ModelUnreadable, "does not say in which file"),
        ("{}", ModelUnreadable, "no weight_map"),
        (kept.replace("net-1", "../elsewhere"), UnsafeModel, "no file in its own folder"),
        (kept.replace("net-1", "net-2"), ModelUnreadable, "net-2.safetensors', which is not there"),
        (kept.replace('"metadata": {}', '"weight_map": {}'), ModelUnreadable, "stands in it twice"),
    ]:
        index.write_text(broken)
        refused(error, words)
    index.write_text(kept)
    shard.write_bytes(first)
    refused(ModelUnreadable, "net-1.safetensors lacks|has the tensor")
    shard.write_bytes(second[:-4])
    refused(ModelUnreadable, "cannot be read")
    shard.unlink()
    shard.symlink_to(tmp_path / "elsewhere.safetensors")
    refused(UnsafeModel, "no file in its own folder")
    (index.parent / "other.safetensors.index.json").write_text(kept)
    with pytest.raises(ProjectInvalid, match="several indexes"):
        packed(tmp_path, Source(FACTORIES, "torch_nets:branching", index.parent))


def test_a_large_checkpoint_in_shards_is_mapped_and_its_export_lies_beside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytorch_source, "MAPPED", 0)
    monkeypatch.setattr(onnx_files, "MOST_INLINE", 0)
    state = torch_nets.perceptron().state_dict()
    own = Source(FACTORIES, "torch_nets:perceptron", in_shards(state, tmp_path / "shards"))
    module = pytorch_source.load(own)
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    spans = [[int(end, 16) for end in line[0].split("-")] for line in maps]
    assert all(any(start <= each.data_ptr() < stop for start, stop in spans) for each in module.parameters())

    inputs = [{"name": "x", "dtype": "float32", "shape": ["rows", 64]}]
    manifest = packed(tmp_path, own, inputs=inputs).manifest
    assert manifest.metadata["export"]["exporter"] == "dynamo"
    assert {"model.onnx", "model.onnx.data"} <= {entry.path for entry in manifest.files}


def test_what_does_not_fit_one_file_is_no_work_for_the_older_exporter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LARGEST", 0)
    arrays = {"x": np.zeros((8, 4), np.float32)}
    vector = Signature(inputs=(Tensor(name="x", dtype="float32", shape=("rows", 4)),), outputs=())
    with pytest.raises(StepFailed, match=r"dynamo: .*torchscript: it writes one file of at most 2 GiB"):
        export.export(torch_nets.branching(), arrays, vector, tmp_path)


def test_a_program_of_torch_export_says_itself_what_it_takes(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    shapes = ({0: torch.export.Dim("rows")},)
    torch.export.save(torch.export.export(net, (torch.zeros(2, 4),), dynamic_shapes=shapes), tmp_path / "net.pt2")
    packaged = packed(tmp_path, tmp_path / "net.pt2", inputs=())
    (tensor,) = packaged.manifest.signature.inputs
    assert (tensor.dtype, tensor.shape) == ("float32", ("batch", 4))
    assert packaged.manifest.metadata["export"]["exporter"] == "dynamo"
    extract(packaged.archive, tmp_path / "bundle")
    with (
        np.load(tmp_path / "bundle/golden/request.npz") as request,
        np.load(tmp_path / "bundle/golden/answer.npz") as answer,
    ):
        expected = net(torch.from_numpy(request[tensor.name])).detach().numpy()
        np.testing.assert_allclose(answer["output"], expected, rtol=1e-5, atol=1e-6)


def test_torchscript_needs_no_python_and_is_asked_on_real_rows(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(-1))
    np.savez(tmp_path / "rows.npz", x=np.arange(40, dtype=np.float32).reshape(10, 4))
    packaged = packed(tmp_path, script(net, tmp_path / "net.pt"), samples=tmp_path / "rows.npz")
    assert packaged.manifest.format == "torchscript"
    assert packaged.manifest.metadata["export"]["exporter"] == "torchscript"
    extract(packaged.archive, tmp_path / "bundle")
    with np.load(tmp_path / "bundle/golden/request.npz") as request:
        assert request["x"].tolist() == [[0, 1, 2, 3]]


def test_what_is_no_whole_model_or_cannot_be_served_says_what_to_do(tmp_path: Path) -> None:
    torch.save(torch_nets.branching().state_dict(), tmp_path / "state.pt")
    torch.save({"code": torch.nn.Linear}, tmp_path / "class.pt")
    counting = script(Counting(), tmp_path / "counting.pt")
    cases: list[tuple[Path | Source, dict[str, Any], type[CloudmodelError], str]] = [
        (tmp_path / "state.pt", {}, ProjectInvalid, "weights, and not the model"),
        (counting, {"inputs": ()}, ProjectInvalid, "does not say what its model takes"),
        (counting, {}, Unsupported, "answers the same request otherwise"),
        (tmp_path / "state.pt", {"format": "keras"}, ProjectInvalid, "not keras"),
        (Source(FACTORIES, "torch_nets:one_size"), {"layout": "pytorch"}, Unsupported, "torch.export cannot follow it"),
        (
            Source(FACTORIES, "torch_nets:branching", tmp_path / "class.pt"),
            {},
            UnsafeModel,
            "more than tensors|torch.nn",
        ),
    ]
    for given, more, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            packed(tmp_path, given, **more)
        assert caught.value.hint or error is Unsupported
        assert "cloudmodel-package-" not in f"{caught.value} {caught.value.where}"


def test_a_checkpoint_with_code_of_its_own_is_loaded_by_its_digest_alone(tmp_path: Path) -> None:
    weights = tmp_path / "checkpoint.pt"
    torch.save({"state_dict": torch_nets.branching().state_dict(), "cleaner": np.lib.scimath.log}, weights)
    digest = "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()
    source = Source(FACTORIES, "torch_nets:branching", weights)
    for trust in ((), ("sha256:" + "0" * 64,)):
        with pytest.raises(UnsafeModel) as refused:
            packed(tmp_path, source, trust=trust)
        assert digest in (refused.value.hint or "")
    packaged = packed(tmp_path, source, trust=(digest,))
    manifest = packaged.manifest
    assert (manifest.scan.verdict, manifest.metadata["trusted"]) == ("unknown", [digest])
    assert (manifest.layout, manifest.parity.passed) == ("onnxruntime", True)
    extract(packaged.archive, tmp_path / "bundle")
    assert scan_paths([tmp_path / "bundle/model.onnx"]).verdict == "clean"  # what is shipped has none of it
