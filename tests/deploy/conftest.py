"""Small projects on real engines, in this process: one local AWS a module, one project a case."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloudmodel.bundle import archive
from cloudmodel.bundle.manifest import Manifest, Parity, Provenance, Scan, Signature, Tensor
from cloudmodel.bundle.store import open_store
from cloudmodel.deploy.engines import Engine
from cloudmodel.deploy.select import open_engine
from cloudmodel.localaws import server
from cloudmodel.settings.load import load_project, load_stack

PROGRAM = """
import os

import pulumi
import pulumi_aws as aws

aws.sns.Topic("topic", display_name=os.environ.get("TOPIC", "digits"), tags={"round": pulumi.Config().get("round")})
aws.sns.Topic("automatic", display_name=pulumi.Output.secret("hunter2hunter2"))
if os.environ.get("MORE"):
    aws.sns.Topic("more")
pulumi.export("region", pulumi.Config("aws").get("region"))
"""


@dataclass(frozen=True)
class Place:
    """A project whose program declares a few topics, and the engines of its stacks."""

    folder: Path

    def engine(self, name: str, stack: str = "local") -> Engine:
        """A fresh engine, as each command has one."""
        project = load_project(self.folder)
        return open_engine(project, load_stack(project, stack), stack, engine=name)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def settings(self, stack: str = "local", **config: object) -> None:
        """Write a stack's settings: these keys of the project's own, and the target."""
        lines = [
            "config:",
            "  cloudmodel:target: local",
            *(f"  digits:{key}: {value}" for key, value in config.items()),
        ]
        self.write(f"Pulumi.{stack}.yaml", "\n".join(lines) + "\n")

    def bundle(self, content: bytes, **said: object) -> str:
        """Put a bundle of this content into the project's store; `said` is what else its manifest says. Returns its
        digest."""
        scratch = self.folder / ".scratch"
        scratch.mkdir(exist_ok=True)
        (scratch / "model.onnx").write_bytes(content)
        image = Tensor(name="image", dtype="float32", shape=("batch", 64))
        manifest = Manifest(
            name="digits",
            format="onnx",
            layout="onnxruntime",
            signature=Signature(inputs=(image,), outputs=(image,)),
            scan=Scan(verdict="clean"),
            parity=Parity(samples=3, max_abs_error=0.0, max_rel_error=0.0, agreement=1.0, passed=True),
            files=archive.entries(scratch, ["model.onnx"]),
            provenance=Provenance(source="digits.onnx", source_sha256="0" * 64),
            versions={},
        ).model_copy(update=said)
        packed = self.folder / ".scratch.tar.gz"
        archive.write(scratch, manifest, packed)
        return open_store(".cloudmodel/bundles", base=self.folder).put(packed)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Place]]:
    """Gives the module's one project, as it was made but for its states."""
    made = Place(tmp_path_factory.mktemp("project") / "digits")
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("AWS_", "PULUMI_"))}
    made.folder.mkdir()

    def fresh() -> Place:
        made.write("cloudmodel.yaml", "version: 1\nname: digits\nmodel: {source: digits.onnx}\n")
        made.write("Pulumi.yaml", "name: digits\nruntime: python\n")
        made.write("__main__.py", PROGRAM)
        made.settings()
        made.settings("other")
        made.bundle(b"weights")
        return made

    yield fresh
    server.stop(made.folder / ".cloudmodel/local")
    os.environ.update(kept)
    shutil.rmtree(made.folder, ignore_errors=True)
