"""`cloudmodel optimize` as a whole, on the digits project, with real models, children and clocks."""

from __future__ import annotations

import json
import re
import shutil
import signal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import psutil
import pytest

from cloudmodel.bundle import archive
from optimized_project import Optimized, cloudmodel, start, wait_for

FINAL = 798


def bundle_of(project: Optimized) -> Path:
    digest = str(project.document["bundle"]).removeprefix("sha256:")
    return project.folder / f".cloudmodel/bundles/sha256/{digest}.tar.gz"


def test_document_says_what_was_tried_and_what_was_chosen(optimized: Optimized) -> None:
    found = optimized.document
    assert found["schema"] == "cloudmodel.optimize/1"
    assert found["sets"] == {
        "train": 699, "calibration": 200, "selection": 100, "final": FINAL,
        "calibrated_from": "200 of the 899 rows of train.npz",
    }  # fmt: skip
    assert found["baseline"]["size_bytes"] == (optimized.folder / "models/digits.onnx").stat().st_size
    assert found["noise_floor"]["low"] <= found["noise_floor"]["high"]
    trials = {trial["id"]: trial for trial in found["trials"]}
    chosen = trials[found["chosen"]]
    assert found["chosen"] in found["front"]
    assert chosen["accepted"]
    assert chosen["data"] == "final"
    assert chosen["size_bytes"] < 0.4 * found["baseline"]["size_bytes"]
    assert chosen["metric_delta"]["low"] > -0.01
    assert chosen["fidelity"] >= 0.98
    assert chosen["recipe"][0]["technique"] == "static-int8"
    assert all(trial["reason"] for trial in trials.values())


def test_reported_number_is_the_bundles_own(optimized: Optimized, tmp_path: Path) -> None:
    """Computed here with plain onnxruntime: on all held-out rows, and so on the 798 among them."""
    manifest = archive.extract(bundle_of(optimized), tmp_path / "bundle")
    session = onnxruntime.InferenceSession(tmp_path / "bundle/model.onnx", providers=["CPUExecutionProvider"])
    original = onnxruntime.InferenceSession(optimized.folder / "models/digits.onnx", providers=["CPUExecutionProvider"])
    with np.load(optimized.folder / "data/heldout.npz") as data:
        images, labels = data["inputs"], data["labels"]
    right, was = ((each.run(None, {"image": images})[0].argmax(1) == labels) for each in (session, original))
    gate = manifest.metadata["optimization"]["gate"]
    assert gate["rows"] == FINAL
    # The rows that the search chose by are 100 of the 898: no more than these can make a difference.
    for wrong, reported in ((int((~right).sum()), gate["value"]), (int((~was).sum()), gate["original"])):
        misses = round((1 - reported) * FINAL)
        assert misses <= wrong <= misses + 100
    assert gate["verdict"] == "met"


def test_manifest_holds_the_provenance(optimized: Optimized) -> None:
    manifest = archive.read_manifest(bundle_of(optimized))
    provenance = manifest.metadata["optimization"]
    chosen = next(each for each in optimized.document["trials"] if each["id"] == optimized.document["chosen"])
    assert provenance["recipe"] == chosen["recipe"]
    assert provenance["model_sha256"] == manifest.provenance.source_sha256 == chosen["sha256"]
    assert {"onnx", "onnxruntime", "numpy"} <= provenance["versions"].keys()
    assert {"calibration", "selection", "final"} <= provenance["data"].keys()
    assert manifest.parity.passed


def test_replay_makes_the_same_bytes_without_the_cache(optimized: Optimized) -> None:
    shutil.rmtree(optimized.folder / ".cloudmodel/caches/optimize/artifacts")
    ran = cloudmodel("optimize", "replay", optimized.document["bundle"], "--json", folder=optimized.folder)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["digest"] == optimized.document["bundle"]


def weights(project: Path) -> None:
    """Another model: one weight differs in its last bit."""
    path = project / "models/digits.onnx"
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] = np.nextafter(values.flat[0], np.float32(9))
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)


def calibration(project: Path) -> None:
    """Other calibration rows."""
    with np.load(project / "data/train.npz") as data:
        arrays = dict(data)
    np.savez(project / "data/train.npz", inputs=arrays["inputs"][1:], labels=arrays["labels"][1:])


@pytest.mark.parametrize(
    ("change", "said"), [(weights, "the source model was"), (calibration, "the calibration rows was sha256:")]
)
def test_replay_names_what_differs(optimized: Optimized, tmp_path: Path, change: Any, said: str) -> None:
    shutil.copytree(optimized.folder, tmp_path / "again", symlinks=True)
    change(tmp_path / "again")
    ran = cloudmodel("optimize", "replay", optimized.document["bundle"], "--json", folder=tmp_path / "again")
    assert ran.returncode == 14
    assert said in json.loads(ran.stdout)["message"]


def test_replay_of_a_plain_bundle_says_what_to_do(optimized: Optimized, tmp_path: Path) -> None:
    shutil.copytree(optimized.folder, tmp_path / "plain", ignore=shutil.ignore_patterns(".cloudmodel"))
    packaged = json.loads(cloudmodel("package", "--json", folder=tmp_path / "plain").stdout)
    ran = cloudmodel("optimize", "replay", packaged["digest"], "--json", folder=tmp_path / "plain")
    assert ran.returncode == 2
    assert "not made by `optimize`" in json.loads(ran.stdout)["message"]


def test_resumed_search_takes_over_trials_and_measurements(optimized: Optimized, tmp_path: Path) -> None:
    shutil.copytree(optimized.folder, tmp_path / "again", symlinks=True)
    killed = tmp_path / "again/.cloudmodel/caches/optimize/.searching-killed"
    killed.mkdir()
    ran = cloudmodel("optimize", "--resume", "--json", folder=tmp_path / "again")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    timed = {trial["id"]: trial["latency_ratio"] for trial in optimized.document["trials"]}
    assert {trial["id"]: trial["latency_ratio"] for trial in found["trials"]} == timed
    assert not list(killed.parent.glob(".searching-*"))  # what a killed search left is swept
    assert found["bundle"] == optimized.document["bundle"]


def test_ctrl_c_keeps_the_trials_that_are_whole_and_leaves_no_process(optimized: Optimized, tmp_path: Path) -> None:
    folder = project_with(optimized, tmp_path / "stopped")
    with start("optimize", "--json", folder=folder) as running:
        wait_for(lambda: list((folder / ".cloudmodel").glob("caches/optimize/artifacts/*/trial.json")), running)
        children = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=300)
    assert running.returncode == 8, err
    error = json.loads(out)
    assert "trials are kept" in error["message"]
    assert "--resume" in error["hint"]
    assert psutil.wait_procs(children, timeout=60)[1] == []


class Outside(HTMLParser):
    """Every address that a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += tag not in ("meta", "link", "img", "br", "rect", "line", "path", "circle")
        self.found += [text for name, text in attrs if name in ("src", "href") and text]
        assert tag not in ("script", "link", "iframe", "img")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag not in ("rect", "line", "path", "circle")


def test_report_is_one_file_that_fetches_nothing(optimized: Optimized) -> None:
    page = Path(optimized.document["report"]).read_text()
    parser = Outside()
    parser.feed(page)
    assert parser.found == []
    assert parser.depth == 0
    assert not re.search(r"url\(|@import|https?:", page)
    for trial in optimized.document["trials"]:
        assert f'<td class="n">{trial["id"]}</td>' in page
    assert "noise floor" in page


def project_with(optimized: Optimized, folder: Path, **lines: str) -> Path:
    """A copy of the project without what it found; `lines` replace keys of its optimize part."""
    shutil.copytree(optimized.folder, folder, ignore=shutil.ignore_patterns(".cloudmodel"))
    path = folder / "cloudmodel.yaml"
    text = path.read_text()
    for key, value in lines.items():
        text, count = re.subn(rf"(?m)^  {key}: .*$", f"  {key}: {value}", text)
        assert count == 1
    path.write_text(text)
    return folder


def test_too_few_rows_are_undecidable_and_say_how_many_would_do(optimized: Optimized, tmp_path: Path) -> None:
    folder = project_with(optimized, tmp_path / "few", max_drop="0.001")
    recipes = tmp_path / "recipes.yaml"
    recipes.write_text("version: 1\nrecipes:\n- [{technique: static-int8}]\n")
    ran = cloudmodel("optimize", "--recipe", str(recipes), "--json", folder=folder)
    error = json.loads(ran.stdout)
    assert (ran.returncode, error["code"], error["error"]) == (15, 15, "Undecidable")
    assert "about" in error["hint"]
    assert error["details"]["result"]["chosen"] is None
    assert error["details"]["result"]["needed_rows"] > FINAL
    assert not (folder / ".cloudmodel/bundles").exists()


@pytest.mark.parametrize(
    ("lines", "recipes", "said"),
    [
        ({"train": "data/heldout.npz"}, "", "rows are in both files"),
        ({"train": "data/none.npz"}, "", "no such data file"),
        ({}, "version: 1\nrecipes: [[{technique: prune}]]", "prune: not applicable, needs the PyTorch model"),
        ({"metric": "rmse"}, "", "rmse: an output"),
    ],
)
def test_what_is_wrong_is_said_before_work_starts(
    optimized: Optimized, tmp_path: Path, lines: dict[str, str], recipes: str, said: str
) -> None:
    folder = project_with(optimized, tmp_path / "wrong", **lines)
    words = []
    if recipes:
        (tmp_path / "recipes.yaml").write_text(recipes)
        words = ["--recipe", str(tmp_path / "recipes.yaml")]
    ran = cloudmodel("optimize", *words, "--json", folder=folder)
    assert ran.returncode == 2
    assert said in json.loads(ran.stdout)["message"]
    assert not (folder / ".cloudmodel/caches").exists()


def test_without_evaluation_data_it_says_what_it_needs(optimized: Optimized, tmp_path: Path) -> None:
    folder = project_with(optimized, tmp_path / "bare")
    path = folder / "cloudmodel.yaml"
    path.write_text(re.sub(r"(?ms)^evaluate:.*?(?=^optimize:)", "", path.read_text()))
    ran = cloudmodel("optimize", "--json", folder=folder)
    assert ran.returncode == 2
    assert "evaluate:" in json.loads(ran.stdout)["hint"]


def test_layout_that_serves_no_onnx_is_refused_before_the_search(optimized: Optimized, tmp_path: Path) -> None:
    folder = project_with(optimized, tmp_path / "layout")
    with (folder / "cloudmodel.yaml").open("a") as settings:
        settings.write("serve: {layout: sklearn}\n")
    ran = cloudmodel("optimize", "--json", folder=folder)
    assert ran.returncode == 2
    assert "cannot be served with layout 'sklearn'" in json.loads(ran.stdout)["message"]
    assert not (folder / ".cloudmodel/caches").exists()
