"""A git repository with one project of perhaps many, and what people do in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cloudmodel.localaws.identity import ACCOUNT

AWS = f"""config:
  cloudmodel:target: aws
  aws:region: us-east-1
  aws:allowedAccountIds: ["{ACCOUNT}"]
"""
STORE = "s3://store/bundles"


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


class Repository:
    """The origin. Its stack `prod` is of an account until its pipeline is written, and local once it is pinned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "models" / "digits"
        self.settings = self.project / "Pulumi.prod.yaml"
        self.labels = self.project / "models" / "labels.txt"

    def commit(self, message: str) -> str:
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "-m", message)
        return git(self.folder, "rev-parse", "HEAD")

    def branch(self, name: str) -> None:
        git(self.folder, "checkout", "-q", "-B", name, "main")

    def merge(self, branch: str) -> str:
        """The merge commit that GitHub makes of a pull request; main stays where it is."""
        git(self.folder, "checkout", "-q", "--detach", "main")
        git(self.folder, "merge", "-q", "--no-ff", "-m", "merge", branch)
        merged = git(self.folder, "rev-parse", "HEAD")
        git(self.folder, "checkout", "-q", branch)
        return merged

    def squash(self, branch: str) -> str:
        """Another commit with the same content, on main."""
        git(self.folder, "checkout", "-q", "main")
        git(self.folder, "merge", "-q", "--squash", branch)
        return self.commit("squashed")

    def pin(self, digest: str, more: str = "") -> None:
        text = AWS.replace("target: aws", "target: local") + f"  cloudmodel:bundle: {digest}\n{more}"
        self.settings.write_text(text)

    def name_the_zero(self) -> None:
        """Make it another model."""
        self.labels.write_text(self.labels.read_text().replace("0", "zero"))
