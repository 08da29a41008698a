"""Bad input on both engines: one block with what, where and the next command, its exit code, and nothing lost."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cloud import Cloud
from cloudmodel.bundle import archive, signing
from cloudmodel.bundle.manifest import Finding, Scan
from cloudmodel.bundle.store import FolderStore, open_store
from cloudmodel.core.errors import CloudmodelError, OperationFailed
from cloudmodel.deploy.engines import Options
from cloudmodel.deploy.landed import Proof
from cloudmodel.deploy.official import failures
from cloudmodel.engine.lock import StackLock
from cloudmodel.engine.secrets import Passphrase, Secrets
from cloudmodel.engine.state import Resource, State
from cloudmodel.engine.step import Event
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import ACCOUNT
from cloudmodel.settings.load import load_project, load_stack

BUILD = """
from pathlib import Path

from cloudmodel.program.build import build

build(Path(__file__).parent)
"""
NOWHERE = "sha256:" + "0" * 64
Spoil = Callable[[Any, pytest.MonkeyPatch], Any]


def unheard(_: Event) -> None: ...


@contextmanager
def another_passphrase(_: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another")
    yield


@contextmanager
def another_run(place: Any, _: pytest.MonkeyPatch) -> Iterator[None]:
    holder = StackLock(place.folder / ".cloudmodel/stacks/local", "local")
    holder.acquire("destroy")
    yield
    holder.release()


@contextmanager
def a_bundle_that_is_nowhere(place: Any, _: pytest.MonkeyPatch) -> Iterator[None]:
    place.write("__main__.py", BUILD)
    place.write("Pulumi.local.yaml", f"config: {{'cloudmodel:target': local, 'cloudmodel:bundle': '{NOWHERE}'}}\n")
    yield


@contextmanager
def a_bundle_that_was_changed(place: Any, _: pytest.MonkeyPatch) -> Iterator[None]:
    place.write("__main__.py", BUILD)
    digest = place.bundle(b"weights")
    file = place.folder / f".cloudmodel/bundles/sha256/{digest.removeprefix('sha256:')}.tar.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"!")
    place.write("Pulumi.local.yaml", f"config: {{'cloudmodel:target': local, 'cloudmodel:bundle': '{digest}'}}\n")
    yield
    file.write_bytes(whole)


def _pins(place: Any, digest: str) -> None:
    place.write("__main__.py", BUILD)
    place.write("Pulumi.local.yaml", f"config: {{'cloudmodel:target': local, 'cloudmodel:bundle': '{digest}'}}\n")


@contextmanager
def a_bundle_that_was_found_unsafe(place: Any, _: pytest.MonkeyPatch) -> Iterator[None]:
    finding = Finding(rule="pickle-global", location="model.pkl", detail="os.system")
    _pins(place, place.bundle(b"weights", scan=Scan(verdict="unsafe", findings=(finding,))))
    yield


@contextmanager
def a_bundle_whose_gate_was_not_met(place: Any, _: pytest.MonkeyPatch) -> Iterator[None]:
    _pins(place, place.bundle(b"weights", metadata={"optimization": {"gate": {"verdict": "undecidable"}}}))
    yield


def _demands(place: Any, digest: str) -> None:
    """A stack whose bundles must be signed by a key of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (place.folder / "release.pub").write_bytes(pem)
    place.write("__main__.py", BUILD)
    place.write(
        "Pulumi.local.yaml",
        f"config:\n  cloudmodel:target: local\n  cloudmodel:signed: release.pub\n  cloudmodel:bundle: {digest}\n",
    )


@contextmanager
def a_bundle_that_is_not_signed(place: Any, _: pytest.MonkeyPatch) -> Iterator[None]:
    _demands(place, place.bundle(b"unsigned"))
    yield


@contextmanager
def a_bundle_that_another_signed(place: Any, _: pytest.MonkeyPatch) -> Iterator[None]:
    digest = place.bundle(b"signed")
    store = open_store(".cloudmodel/bundles", base=place.folder)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place.folder / "other.pem").write_bytes(pem)
    store.attach(digest, signing.sign(archive.read_manifest(store.get(digest)), place.folder / "other.pem"))
    _demands(place, digest)
    yield


ROWS: list[tuple[str, Spoil, int, list[str]]] = [
    ("a wrong passphrase", another_passphrase, 3, ["passphrase", "PULUMI_CONFIG_PASSPHRASE"]),
    ("a stack that is locked", another_run, 16, ["destroy by", socket.gethostname(), "for ", "state unlock", "--id"]),
    ("a bundle that the store lacks", a_bundle_that_is_nowhere, 2, [NOWHERE, "package --push"]),
    ("a bundle that was found unsafe", a_bundle_that_was_found_unsafe, 14, ["unsafe", "pickle-global", "sha256:"]),
    ("a bundle whose gate was not met", a_bundle_whose_gate_was_not_met, 15, ["undecidable", "cloudmodel optimize"]),
    ("a bundle that is not signed", a_bundle_that_is_not_signed, 14, ["not signed", "package --sign"]),
    ("a bundle that another signed", a_bundle_that_another_signed, 14, ["signed with another key", "sha256:"]),
    ("a bundle that was changed", a_bundle_that_was_changed, 14, ["has the bytes of", "package"]),
]


@pytest.fixture(scope="module", params=["embedded", pytest.param("official", marks=pytest.mark.official_engine)])
def stood(request: pytest.FixtureRequest, place: Callable[[], Any]) -> Any:
    """A stack that stands."""
    project = place()
    project.engine(request.param).up(Options(), unheard)
    return project, request.param, place


def resources(project: Any, name: str) -> Any:
    """What stands in the cloud. (Pulumi empties a stack's outputs when its program fails; the next `up` puts them
    back. A verb plans first, and never gets that far.)"""
    found = project.engine(name).export_state(show_secrets=True)["deployment"]["resources"]
    return {each["urn"]: (each["id"], each.get("outputs")) for each in found if each["custom"]}


@pytest.mark.parametrize(("what", "spoil", "code", "fragments"), ROWS, ids=[row[0] for row in ROWS])
def test_it_is_said_and_nothing_is_lost(
    stood: Any, monkeypatch: pytest.MonkeyPatch, what: str, spoil: Spoil, code: int, fragments: list[str]
) -> None:
    project, name, fresh = stood
    before = resources(project, name)
    with spoil(project, monkeypatch), pytest.raises(CloudmodelError) as raised:
        project.engine(name).up(Options(), unheard)
    told = json.dumps(raised.value.as_json())
    assert raised.value.code == code, told
    assert raised.value.hint and raised.value.where
    for fragment in fragments:
        assert fragment in told
    monkeypatch.undo()
    fresh()
    assert resources(project, name) == before


@pytest.fixture(scope="module")
def lost(place: Callable[[], Any]) -> Cloud:
    """The local AWS, in which the endpoint of the stack `other` stands (it has failed), which no state knows."""
    cloud = Cloud(server.start(place().folder / ".cloudmodel/local", region="us-east-1").endpoint_url, "us-east-1")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = cloud.client("iam").create_role(RoleName="lost", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    sagemaker, container = cloud.client("sagemaker"), {"Image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/lost:1"}
    variant = {"VariantName": "main", "InitialInstanceCount": 1, "InstanceType": "ml.c7i.large", "ModelName": "lost"}
    sagemaker.create_model(ModelName="lost", ExecutionRoleArn=role, PrimaryContainer=container)
    sagemaker.create_endpoint_config(EndpointConfigName="lost", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="digits-other", EndpointConfigName="lost")
    return cloud


def test_an_endpoint_that_stands_is_not_begun_anew_with_an_empty_state(stood: Any, lost: Cloud) -> None:
    project, name, _ = stood
    topics = len(lost.client("sns").list_topics()["Topics"])
    for run in ("preview", "up"):
        with pytest.raises(OperationFailed, match="digits-other stands") as raised:
            getattr(project.engine(name, "other"), run)(Options(), unheard)
        assert raised.value.code == 4 and "state rebuild --stack other" in str(raised.value.hint)
        assert raised.value.runbook == "lost-state" and str(raised.value.where).endswith("endpoint/digits-other")
    assert len(lost.client("sns").list_topics()["Topics"]) == topics
    assert not project.engine(name, "other").export_state()["deployment"].get("resources")


def test_an_endpoint_whose_state_the_other_engine_has_is_said_to_be_its(stood: Any, lost: Cloud) -> None:
    project, name, _ = stood
    other, home = ({"embedded", "official"} - {name}).pop(), project.folder / ".cloudmodel"
    places = {"embedded": "stacks/other/checkpoint.json", "official": "official/.pulumi/stacks/digits/other.json"}
    state = home / places[other]
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps({"version": 3, "checkpoint": {"latest": {"resources": [{"urn": "urn"}]}}}))
    try:
        with pytest.raises(OperationFailed, match=f"its state is the {other} engine's") as raised:
            project.engine(name, "other").preview(Options(), unheard)
    finally:
        state.unlink()
    assert f"--engine {other}" in str(raised.value.hint) and raised.value.runbook is None


def test_an_endpoint_that_does_not_serve_its_configuration_yet_is_told_by_its_status(stood: Any, lost: Cloud) -> None:
    project, _, _ = stood
    stack = load_stack(load_project(project.folder), "other")
    urn = "urn:pulumi:other::digits::aws:sagemaker/endpoint:Endpoint::endpoint"
    entry = Resource(urn, urn.split("::")[2], id="digits-other", outputs={"endpointConfigName": "lost"})
    running = server.status(project.folder / ".cloudmodel/local")
    state = State("digits", "other", resources=(entry,))
    (found,), unseen = Proof(load_project(project.folder), stack, running).serving(state)
    assert found.what.startswith("is Failed: ") and (found.property, found.state, found.live) == (
        "status",
        "InService",
        "Failed",
    )
    assert not unseen


TOLD = [
    ("Duplicate resource URN 'urn:a'; try giving it a unique name", 1, "Duplicate resource URN", "mend the program"),
    (
        "error: aws:ec2:Instance r  error: Exception calling application: the local AWS does not do aws:ec2/i:I",
        2,
        "the local AWS does not",
        "target is aws",
    ),
    (
        "error: 'b' still has resources; removal rejected. Possible actions:",
        2,
        "the stack b still has resources",
        "destroy",
    ),
    (
        "error: no resource plugin 'pulumi-resource-random' found in the workspace",
        2,
        "no resource plugin",
        "PULUMI_HOME",
    ),
]


@pytest.mark.parametrize(("text", "code", "message", "hint"), TOLD)
def test_what_pulumi_says_ends_as_it_does_on_the_embedded_engine(text: str, code: int, message: str, hint: str) -> None:
    told = failures.known(f"preview failed\n{text}\n", "b")
    assert told is not None and (told.code, told.message.startswith(message)) == (code, True)
    assert hint in str(told.hint)


def test_what_needs_no_bundle_goes_on_where_the_pinned_one_was_changed(
    stood: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, name, fresh = stood
    with a_bundle_that_was_changed(project, monkeypatch):
        monkeypatch.setattr(FolderStore, "get", fetched)
        refreshed = project.engine(name).refresh(Options(), unheard)
        doomed = project.engine(name).preview_destroy(Options(), unheard)
        drifted = project.engine(name).drift(Options(), unheard)
        monkeypatch.undo()
    fresh()
    assert not refreshed.changes and doomed.summary["delete"] >= 3 and not drifted.outcome.changes


def fetched(_: FolderStore, digest: str) -> Path:
    raise AssertionError(f"{digest} was fetched")


@pytest.mark.official_engine
def test_a_new_stack_whose_secrets_are_sealed_with_another_passphrase_is_not_begun(
    place: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = place()
    theirs = Secrets(lambda _: Passphrase("theirs", "the test"))
    sealed = theirs.encrypt("hunter2hunter2")
    project.write(
        "Pulumi.sealed.yaml",
        f"encryptionsalt: {theirs.salt}\n"
        f"config: {{'cloudmodel:target': local, 'aws:accessKey': any, 'aws:secretKey': {{secure: '{sealed}'}}}}\n",
    )
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another")
    with pytest.raises(CloudmodelError) as raised:
        project.engine("official", "sealed").up(Options(), unheard)
    assert raised.value.code == 3 and "PULUMI_CONFIG_PASSPHRASE" in str(raised.value.hint)
    assert not list(project.folder.rglob("sealed.json"))


def test_a_clouds_key_is_refused_by_name_on_the_embedded_engine(place: Callable[[], Any]) -> None:
    project = place()
    project.write("Pulumi.local.yaml", "secretsprovider: awskms://alias/a\nconfig: {'cloudmodel:target': local}\n")
    with pytest.raises(CloudmodelError) as raised:
        project.engine("embedded").preview(Options(), unheard)
    assert raised.value.code == 2 and "awskms" in raised.value.message and "--engine official" in str(raised.value.hint)
    exported = project.engine("embedded").export_state()
    exported["deployment"]["secrets_providers"] = {"type": "cloud", "state": {"url": "awskms://alias/a"}}
    with pytest.raises(CloudmodelError, match="sealed by 'cloud'") as raised:
        project.engine("embedded").import_state(exported)
    assert raised.value.code == 2 and "--engine official" in str(raised.value.hint)
