"""The program under the real pulumi SDK: its monitor records what is registered and answers as a cloud would."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import settings as pulumi_settings

from cloudmodel.bundle import archive
from cloudmodel.bundle.manifest import Manifest, Parity, Provenance, Scan, Signature, Tensor
from cloudmodel.bundle.store import open_store
from cloudmodel.program.build import build
from cloudmodel.program.standing import Standing

ACCOUNT = "111122223333"


@dataclass(frozen=True)
class Planned:
    """One registration: Pulumi's type token, logical name, inputs under their wire names, and options."""

    type: str
    name: str
    inputs: dict[str, Any]
    protect: bool
    parent: str
    dependencies: frozenset[str]
    ignores: tuple[str, ...] = ()


@dataclass
class Plan:
    resources: list[Planned] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, noun: str) -> list[Planned]:
        """AWS's resources by the last part of their type (`Bucket`)."""
        return [each for each in self.resources if each.type.startswith("aws:") and each.type.endswith(f":{noun}")]

    def one(self, noun: str) -> Planned:
        (found,) = self.of(noun)
        return found

    def normal(self) -> list[tuple[Any, ...]]:
        """Everything that was registered, in an order that no scheduling decides."""
        return sorted(
            (each.type, each.name, repr(_sorted(each.inputs)), each.protect, each.parent, sorted(each.dependencies))
            for each in self.resources
        )


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((key, _sorted(item)) for key, item in value.items())
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    if isinstance(value, pulumi.FileAsset):
        return str(value.path)
    return value


class Cloud(pulumi_mocks.Mocks):
    """Answers with the inputs, an id, and the outputs that the program reads."""

    def new_resource(self, args: pulumi_mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        arn = f"arn:aws:made:us-east-1:{ACCOUNT}:{args.name}"
        if args.typ == "aws:iam/role:Role":
            arn = f"arn:aws:iam::{ACCOUNT}:role/{args.inputs['name']}"
        known = {"arn": arn, "keyId": "1234abcd"}
        stashed = {"output": args.inputs["input"]} if args.typ == "pulumi:index:Stash" else {}
        return f"{args.name}-id", known | stashed | args.inputs

    def call(self, args: pulumi_mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        if args.token == "aws:ec2/getManagedPrefixList:getManagedPrefixList":
            return {"id": "pl-63a5400a", "name": args.args["name"]}, []
        assert args.token == "aws:index/getCallerIdentity:getCallerIdentity"
        return {"accountId": ACCOUNT, "arn": "arn", "id": ACCOUNT, "userId": "user"}, []


class Monitor(pulumi_mocks.MockMonitor):
    def __init__(self, plan: Plan, cloud: pulumi_mocks.Mocks) -> None:
        super().__init__(cloud)
        self.plan = plan

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            inputs = pulumi.runtime.rpc.deserialize_properties(request.object)
            self.plan.resources.append(
                Planned(
                    request.type,
                    request.name,
                    inputs,
                    request.protect,
                    request.parent,
                    frozenset(each.rsplit("::", 1)[1] for each in request.dependencies),
                    tuple(request.ignoreChanges),
                )
            )
        return answer


Evaluate = Callable[..., Plan]


def evaluate_program(
    folder: Path,
    stack: str,
    standing: Standing | None = None,
    *,
    preview: bool = False,
    cloud: pulumi_mocks.Mocks | None = None,
) -> Plan:
    """The plan of a stack; `standing` is what stands of its endpoint, and `cloud` answers what the program asks."""
    plan = Plan()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi_settings.reset_options()
    cloud = cloud or Cloud()
    pulumi_mocks.set_mocks(cloud, project="digits", stack=stack, preview=preview, monitor=Monitor(plan, cloud))

    def program() -> pulumi.Output[None]:
        build(folder, standing=lambda _: standing)
        root: Any = pulumi.runtime.get_root_resource()
        return pulumi.Output.all(**root.outputs).apply(plan.outputs.update)

    with warnings.catch_warnings():  # pulumi_aws warns of its own old classes while it is imported
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="pulumi_aws")
        try:
            pulumi_mocks.test(program)()  # type: ignore[no-untyped-call]
        finally:
            loop.close()  # three descriptors each
    return plan


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one bundle and no stack."""
    (tmp_path / "cloudmodel.yaml").write_text("version: 1\nname: digits\nmodel: {source: digits.onnx}\n")
    (tmp_path / "Pulumi.yaml").write_text("name: digits\nruntime: python\n")
    return tmp_path


@pytest.fixture
def bundle(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Puts a bundle into the project's store and returns its digest; `files` are its members, `layout` its layout;
    `said` is what else its manifest says."""

    def put(files: dict[str, bytes] | None = None, layout: str = "onnxruntime", **said: Any) -> str:
        folder = tmp_path_factory.mktemp("bundle")
        for name, content in (files or {"model.onnx": b"weights"}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        names = sorted(files or {"model.onnx": b""})
        image = Tensor(name="image", dtype="float32", shape=("batch", 64))
        manifest = Manifest(
            name="digits",
            format="onnx",
            layout=layout,
            signature=Signature(inputs=(image,), outputs=(image,)),
            scan=Scan(verdict="clean"),
            parity=Parity(samples=3, max_abs_error=0.0, max_rel_error=0.0, agreement=1.0, passed=True),
            files=archive.entries(folder, names),
            provenance=Provenance(source="digits.onnx", source_sha256="0" * 64),
            versions={},
        ).model_copy(update=said)
        return open_store(".cloudmodel/bundles", base=project).keep(folder, manifest)[0]

    return put


@pytest.fixture
def evaluate(project: Path, bundle: Callable[..., str]) -> Evaluate:
    """Evaluates the program of a stack with these `cloudmodel:` settings (target local unless said otherwise); keys
    with a colon are written as they are. Makes a bundle where the store has none."""

    def run(stack: str = "local", standing: Standing | None = None, preview: bool = False, **settings: Any) -> Plan:
        if not (project / ".cloudmodel").exists():
            bundle()
        config = {
            (name if ":" in name else f"cloudmodel:{name}"): value
            for name, value in ({"target": "local"} | settings).items()
        }
        (project / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}))
        return evaluate_program(project, stack, standing, preview=preview)

    return run
