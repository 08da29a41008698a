"""From dev to prod by a commit of one line; a bundle that is not proved is refused before the plan."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from cloud import Cloud
from cloudmodel.bundle import archive
from cloudmodel.bundle.manifest import Finding, Scan
from cloudmodel.bundle.store import open_store
from shell import Shell

PIN = re.compile(r"^  cloudmodel:bundle: .*\n", re.MULTILINE)


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def pinned(shell: Shell, stack: str, digest: str) -> str:
    """Write a stack's pin and commit it; returns the commit."""
    file = shell.folder / f"Pulumi.{stack}.yaml"
    text = file.read_text() if file.exists() else (shell.folder / "Pulumi.local.yaml").read_text()
    file.write_text(PIN.sub("", text) + f"  cloudmodel:bundle: {digest}\n")
    git(shell.folder, "add", "--all")
    git(shell.folder, "commit", "-m", f"{stack} serves {digest[:14]}")
    return git(shell.folder, "rev-parse", "HEAD")


def unproved(shell: Shell, digest: str, **said: Any) -> str:
    """The digest of a bundle that is the same but for what its manifest says."""
    store = open_store(".cloudmodel/bundles", base=shell.folder)
    folder = shell.folder / ".cloudmodel" / "scratch" / "-".join(said)
    manifest = archive.extract(store.get(digest), folder)
    archive.write(folder, manifest.model_copy(update=said), folder.with_suffix(".tar.gz"))
    return store.put(folder.with_suffix(".tar.gz"))


def test_a_line_goes_from_one_stack_to_the_next(digits: Shell) -> None:
    git(digits.folder, "init")
    (packaged,) = (digits.folder / ".cloudmodel/bundles/sha256").glob("*.tar.gz")
    digest = f"sha256:{packaged.name.removesuffix('.tar.gz')}"
    pinned(digits, "dev", digest)
    tried = digits.json("preview", "--stack", "dev")
    assert tried["outputs"]["bundle_digest"] == digest

    # Promotion: the very line of one file in the other, and nothing else.
    (line,) = PIN.findall((digits.folder / "Pulumi.dev.yaml").read_text())
    commit = pinned(digits, "prod", line.split()[-1])
    assert git(digits.folder, "show", "--name-only", "--format=", "HEAD") == "Pulumi.prod.yaml"
    served = digits.json("up", "--stack", "prod", "--yes")
    assert served["outputs"]["bundle_digest"] == digest
    assert digits.json("history", "--stack", "prod")["updates"][0]["environment"]["git.commit"] == commit
    status = digits.json("local", "status")
    cloud = Cloud(status["endpoint_url"], status["region"])
    bucket, _, key = served["outputs"]["bundle_uri"].removeprefix("s3://").partition("/")
    stands = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert stands == packaged.read_bytes(), "the very bytes that were pinned first"

    unsafe = Scan(verdict="unsafe", findings=(Finding(rule="pickle-global", location="m.pkl", detail="os.system"),))
    for said, code, error in (
        ({"metadata": {"optimization": {"gate": {"verdict": "missed"}}}}, 15, "GateNotMet"),
        ({"scan": unsafe}, 14, "UnsafeModel"),
    ):
        bad = unproved(digits, digest, **said)
        pinned(digits, "prod", bad)
        refused = digits.json("up", "--stack", "prod", "--yes", code=code)
        assert refused["error"] == error and bad in refused["where"] and refused["hint"]
    assert digits.json("outputs", "--stack", "prod")["outputs"] == served["outputs"]
    assert len(digits.json("history", "--stack", "prod")["updates"]) == 1, "nothing was begun"
