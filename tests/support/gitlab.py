"""GitLab, as much of it as a pipeline meets: a runner of its jobs and an HTTP server with notes and generic packages.

Jobs run as GitLab's own runner does it: `before_script` and `script` in one shell that ends at the first failure,
`after_script` in another one whatever came before, in a fresh checkout with the artifacts of the jobs it needs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from host_api import Redirect
from repository import git

BASH = ("bash", "-eo", "pipefail", "-c")
NAME = re.compile(r"\$\{?(\w+)\}?")
OPERAND = re.compile(r'\$\w+|"[^"]*"|&&|==|!=')


@dataclass
class GitLab:
    """One project: its notes and packages, and which role each job asked for with the token of which subject.
    `elsewhere`: packages lie in a store at another address, to which GitLab redirects, and which is given no token."""

    path: str
    url: str = ""
    notes: list[dict[str, Any]] = field(default_factory=list)
    packages: dict[str, bytes] = field(default_factory=dict)
    roles: list[tuple[str, str]] = field(default_factory=list)
    elsewhere: bool = False

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Any:
        """The REST API, version 4: JSON, or the bytes of a file, or where it lies; None for what is not there."""
        match target.partition("?")[0].removeprefix("/api/v4/projects/7/").split("/"):
            case ["packages", "generic", "cloudmodel-bundles", "0.0.0", name] if headers.get("JOB-TOKEN") == "a-job":
                if method == "PUT":
                    self.packages[name] = body
                    return {"message": "201 Created"}
                return Redirect(f"{self.url}/{name}") if self.elsewhere else self.packages.get(name)
            case ["", name] if not headers.keys() & {"JOB-TOKEN", "PRIVATE-TOKEN"}:
                return self.packages.get(name)
            case ["merge_requests", "3", "notes", *number] if headers.get("PRIVATE-TOKEN") == "a-project":
                if method == "GET":
                    return self.notes if "&page=1&" in target else []
                if method == "POST":
                    self.notes.append({"id": len(self.notes), "body": json.loads(body)["body"]})
                else:
                    self.notes[int(number[0])]["body"] = json.loads(body)["body"]
                return {}
            case _:
                raise AssertionError(f"nobody was expected to ask {method} {target}")


class Reference(list[str]):
    """`!reference [JOB, KEY]`"""


class Loader(yaml.SafeLoader):
    """Knows GitLab's `!reference`."""


Loader.add_constructor("!reference", lambda loader, node: Reference(loader.construct_sequence(node)))  # type: ignore[arg-type]


def load(path: Path) -> dict[str, Any]:
    """A file's jobs as they are written."""
    found: dict[str, Any] = yaml.load(path.read_text(), Loader)
    return found


@dataclass
class Job:
    """How one job ended, and what it printed."""

    ok: bool
    log: str
    artifacts: dict[str, bytes]


@dataclass
class Pipeline:
    """Runs the jobs of one file in the checkout `workspace`, whose commits it takes from `origin`."""

    jobs: Mapping[str, Any]
    gitlab: GitLab
    origin: Path
    workspace: Path
    environment: Mapping[str, str]

    def run(self, commit: str, branch: str, given: Mapping[str, str], *, play: Sequence[str] = ()) -> dict[str, Job]:
        """Every job that the pipeline of `branch` has by its rules; of the manual ones those that somebody plays."""
        done: dict[str, Job] = {}
        for name in self.names(given, play):
            job = self.extended(name)
            if all(done[each].ok for each in job.get("needs", ())):
                before = {
                    path: content for each in job.get("needs", ()) for path, content in done[each].artifacts.items()
                }
                done[name] = self._job(job, commit, branch, given, before)
        return done

    def names(self, given: Mapping[str, str], play: Sequence[str] = ()) -> list[str]:
        """The jobs of a pipeline with the `given` variables, and of the manual ones those of `play`."""
        found = []
        for name in self.jobs:
            rules = self.extended(name).get("rules", ())
            rule = next((each for each in rules if _holds(each["if"], given)), None)
            if not name.startswith(".") and rule and (rule.get("when") != "manual" or name in play):
                found.append(name)
        return found

    def extended(self, name: str) -> dict[str, Any]:
        """A job with all that it `extends`."""
        own = self.jobs[name]
        parents = own.get("extends", [])
        found: dict[str, Any] = {}
        for parent in [parents] if isinstance(parents, str) else parents:
            found = _merged(found, self.extended(parent))
        return _merged(found, own)

    def _lines(self, script: Sequence[Any]) -> list[str]:
        return [
            line
            for each in script
            for line in (self._lines(self.extended(each[0])[each[1]]) if isinstance(each, Reference) else [each])
        ]

    def _job(
        self, job: Mapping[str, Any], commit: str, branch: str, given: Mapping[str, str], before: Mapping[str, bytes]
    ) -> Job:
        git(self.workspace, "fetch", "-q", str(self.origin), commit)
        git(self.workspace, "checkout", "-q", "--force", "--detach", commit)
        shutil.rmtree(self.workspace / "cloudmodel-out", ignore_errors=True)
        for kept in self.workspace.rglob(".cloudmodel"):  # a new machine has none; the state stands for a backend
            for each in ("bundles", "caches", "optimize"):
                shutil.rmtree(kept / each, ignore_errors=True)
        for path, content in before.items():
            (self.workspace / path).parent.mkdir(parents=True, exist_ok=True)
            (self.workspace / path).write_bytes(content)
        known = {
            "CI": "true", "GITLAB_CI": "true", "CI_API_V4_URL": f"{self.gitlab.url}/api/v4", "CI_PROJECT_ID": "7",
            "CI_PROJECT_PATH": self.gitlab.path, "CI_PROJECT_DIR": str(self.workspace), "CI_JOB_TOKEN": "a-job",
            "CI_JOB_ID": "11", "CI_COMMIT_SHA": commit, "CLOUDMODEL_COMMENT_TOKEN": "a-project", **given,
        }  # fmt: skip
        if "id_tokens" in job:
            subject = f"project_path:{self.gitlab.path}:ref_type:branch:ref:{branch}"
            known["AWS_TOKEN"] = subject
            self.gitlab.roles.append((job["variables"]["AWS_ROLE_ARN"], subject))
        for name, text in job["variables"].items():
            known[name] = NAME.sub(lambda found: known.get(found[1], ""), text)
        script = "\n".join(self._lines([*job.get("before_script", ()), *job["script"]]))
        ran = self._shell(script, known)
        known["CI_JOB_STATUS"] = "failed" if ran.returncode else "success"
        after = self._shell("\n".join(job.get("after_script", [":"])), known)
        files = [each for path in job.get("artifacts", {}).get("paths", ()) for each in self.workspace.glob(path)]
        artifacts = {str(each.relative_to(self.workspace)): each.read_bytes() for each in files}
        return Job(ran.returncode == 0, ran.stdout + after.stdout, artifacts)

    def _shell(self, script: str, known: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*BASH, script], cwd=self.workspace, env={**self.environment, **known}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """As `extends` does it: mappings are joined, all else is replaced."""
    both = {
        name: _merged(below[name], above[name]) for name in below.keys() & above.keys() if isinstance(above[name], dict)
    }
    return {**below, **above, **both}


def _holds(condition: str, given: Mapping[str, str]) -> bool:
    """GitLab's `rules:if`, of comparisons that all must hold."""
    for comparison in condition.split(" && "):
        left, sign, right = OPERAND.findall(comparison)
        first, second = (given.get(each[1:], "") if each.startswith("$") else each.strip('"') for each in (left, right))
        if (first == second) != (sign == "=="):
            return False
    return True
