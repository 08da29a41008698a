"""A pipeline's checkout has no cache: the pin in the stack's file and the bundle store are enough."""

from __future__ import annotations

import numpy as np

from cloud import Cloud
from repository import STORE, git
from shell import Shell


def test_a_clone_deploys_the_pinned_bundle_from_the_store(shell: Shell, store: Cloud) -> None:
    kept = shell.environment | {
        "AWS_ENDPOINT_URL_S3": store.endpoint_url,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }
    assert shell.run("init", "digits", "--template", "digits").returncode == 0
    origin = Shell(shell.folder / "digits", kept)
    description, stack = origin.folder / "cloudmodel.yaml", origin.folder / "Pulumi.local.yaml"
    description.write_text(description.read_text() + f"bundles: {STORE}\n")
    digest = origin.json("package")["digest"]
    stack.write_text(stack.read_text() + f"  cloudmodel:bundle: {digest}\n")
    unpushed = origin.json("up", "--stack", "local", "--yes", code=2)
    assert "on this machine only" in unpushed["message"]
    assert unpushed["hint"] == f"cloudmodel package --push {digest}"
    assert origin.json("package", "--push", digest)["pushed"] == STORE
    git(origin.folder, "init")
    git(origin.folder, "add", "--all")
    git(origin.folder, "commit", "-m", "pin")
    git(shell.folder, "clone", "digits", "clone")

    clone = Shell(shell.folder / "clone", kept)
    assert not (clone.folder / ".cloudmodel").exists()
    made = clone.json("up", "--stack", "local", "--yes")
    assert made["outputs"]["bundle_digest"] == digest
    np.save(clone.folder / "image.npy", np.zeros((1, 1, 8, 8), np.float32))
    answer = clone.json("invoke", "--stack", "local", "--input", "image.npy")
    assert answer["status"] == 200
    clone.json("up", "--stack", "local", "--yes", "--expect-no-changes")

    fresh = Shell(shell.folder / "another", kept)
    git(shell.folder, "clone", "digits", "another")
    key = f"bundles/sha256/{digest.removeprefix('sha256:')}.tar.gz"
    s3 = store.client("s3")
    whole = s3.get_object(Bucket="store", Key=key)["Body"].read()
    s3.put_object(Bucket="store", Key=key, Body=whole[:-1] + b"!")
    changed = fresh.json("up", "--stack", "local", "--yes", code=14)
    assert changed["error"] == "BundleChanged" and digest in changed["message"] and "--push" in changed["hint"]
    s3.delete_object(Bucket="store", Key=key)
    absent = fresh.json("up", "--stack", "local", "--yes", code=2)
    assert digest in absent["message"] and STORE in absent["where"] and "--push" in absent["hint"]
    assert not list((fresh.folder / ".cloudmodel").glob("caches/**/*.gz")), "nothing is kept of what was refused"
    assert fresh.json("history", "--stack", "local")["updates"] == []
