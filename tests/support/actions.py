"""GitHub, as much of it as a workflow meets: a runner of `run:` steps and an HTTP server with comments and artifacts.

Steps run as GitHub's own runner does it (bash -eo pipefail, files for outputs and environment, `if:` with the job's
status). Actions (`uses:`) are stood in for: a checkout is git's own, credentials are keys that the local AWS takes.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import stat
import subprocess
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

TOKENS = re.compile(r"'[^']*'|[A-Za-z_][\w-]*(?:\.[\w-]+)*(?:\(\))?|&&|\|\||!=|==|!")
STATUS = re.compile(r"\b(always|cancelled|failure|success)\(\)")
WORDS = {"&&": " and ", "||": " or ", "!": " not ", "!=": "!=", "==": "=="}
KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}


@dataclass
class GitHub:
    """One repository: its comments, its artifacts (by name, with their files), and who asked for which role. `left` are
    artifacts newer than those, as zips: name, number of the repository whose run left it (this one's is 1), content."""

    repository: str
    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    roles: list[str] = field(default_factory=list)
    left: list[tuple[str, int, bytes]] = field(default_factory=list)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Any:
        """The REST API: JSON, or the bytes of a zip."""
        assert headers["Authorization"] == "Bearer a-token"
        said = json.loads(body or b"{}")
        path, _, query = target.partition("?")
        asked = urllib.parse.parse_qs(query)
        match path.removeprefix(f"/repos/{self.repository}/").split("/"):
            case ["issues", _, "comments"] if method == "GET":
                return self.comments if asked["page"] == ["1"] else []
            case ["issues", _, "comments"]:
                url = f"{self.url}/repos/{self.repository}/issues/comments/{len(self.comments)}"
                self.comments.append({"url": url, "user": {"type": "Bot"}, "body": said["body"]})
            case ["issues", "comments", number] if method == "PATCH":
                self.comments[int(number)]["body"] = said["body"]
            case ["actions", "artifacts"]:
                (name,) = asked["name"]
                found = [(str(number), head) for number, (each, head, _) in enumerate(self.left) if each == name]
                found += [(name, 1)] if name in self.artifacts else []
                return {
                    "artifacts": [
                        {
                            "archive_download_url": f"{self.url}{path}/{each}/zip", "expired": False,
                            "workflow_run": {"repository_id": 1, "head_repository_id": head},
                        }
                        for each, head in found
                    ][: int(asked["per_page"][0])]
                }  # fmt: skip
            case ["actions", "artifacts", name, "zip"] if name.isdigit():
                return self.left[int(name)][2]
            case ["actions", "artifacts", name, "zip"]:
                return zipped(self.artifacts[name])
            case _:
                raise AssertionError(f"nobody was expected to ask {method} {target}")
        return {}


def zipped(files: Mapping[str, bytes], links: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """A zip of files and of symbolic links."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name, target in links.items():
            link = zipfile.ZipInfo(name)
            link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
    return packed.getvalue()


@dataclass
class Job:
    """How one job ended: `log` is what its steps printed, by their names or actions."""

    ok: bool = True
    log: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""


@dataclass
class Runner:
    """Runs a workflow's jobs for one event in the checkout `workspace`, whose `commit` it takes from `origin`."""

    workflow: Mapping[str, Any]
    github: GitHub
    origin: Path
    workspace: Path
    scratch: Path
    environment: Mapping[str, str]

    def run(
        self, commit: str, event: Mapping[str, Any], *, only: str | None = None, needs: Mapping[str, Job] | None = None
    ) -> dict[str, Job]:
        """Every job that the event asks for, in order; `only` runs one again, with what the others of `needs` said."""
        contexts: dict[str, Any] = {
            "github": {"repository": self.github.repository, "token": "a-token", **event},
            "runner": {"temp": str(self.scratch / "temp")},
        }
        done: dict[str, Job] = dict(needs or {})
        for name, job in self.workflow["jobs"].items():
            before = [done.get(each) for each in [job["needs"]] if each] if "needs" in job else []
            contexts["needs"] = {each: {"outputs": found.outputs} for each, found in done.items()}
            skipped = any(each is None or not each.ok for each in before) or (only and name != only)
            if not skipped and _truth(job.get("if", ""), contexts, ok=True):
                done[name] = self._job(job, commit, dict(contexts))
        return done

    def _job(self, job: Mapping[str, Any], commit: str, contexts: dict[str, Any]) -> Job:
        ended = Job()
        shutil.rmtree(self.scratch, ignore_errors=True)
        (self.scratch / "temp").mkdir(parents=True)
        summary = self.scratch / "summary"
        added: dict[str, str] = {}
        contexts |= {"steps": {}}
        env = {**self.workflow.get("env", {}), **job.get("env", {})}
        contexts["env"] = {key: _filled(value, contexts) for key, value in env.items()}
        for number, step in enumerate(job["steps"]):
            contexts["env"] |= added
            if not _truth(step.get("if", ""), contexts, ok=ended.ok):
                continue
            if "uses" in step:
                inputs = {key: _filled(value, contexts) for key, value in step.get("with", {}).items()}
                added |= self._uses(step["uses"].partition("@")[0], inputs, commit)
                continue
            files = {name: self.scratch / f"{name}-{number}" for name in ("GITHUB_OUTPUT", "GITHUB_ENV")}
            for file in files.values():
                file.touch()
            own = {key: _filled(value, contexts) for key, value in step.get("env", {}).items()}
            script = self.scratch / f"step-{number}.sh"
            script.write_text(_filled(step["run"], contexts))
            ran = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
                cwd=self.workspace / self.workflow["defaults"]["run"]["working-directory"],
                env={
                    **self.environment, **contexts["env"], **own, **{key: str(file) for key, file in files.items()},
                    "GITHUB_STEP_SUMMARY": str(summary), "RUNNER_TEMP": contexts["runner"]["temp"],
                    "GITHUB_API_URL": self.github.url, "GITHUB_REPOSITORY": self.github.repository,
                },
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                check=False,
            )  # fmt: skip
            ended.log[step["name"]] = ran.stdout
            ended.ok &= ran.returncode == 0
            added |= _pairs(files["GITHUB_ENV"])
            if "id" in step:
                contexts["steps"][step["id"]] = {"outputs": _pairs(files["GITHUB_OUTPUT"])}
        ended.outputs = {key: _filled(value, contexts) for key, value in job.get("outputs", {}).items()}
        ended.summary = summary.read_text() if summary.exists() else ""
        return ended

    def _uses(self, action: str, inputs: Mapping[str, str], commit: str) -> dict[str, str]:
        match action:
            case "actions/checkout":
                subprocess.run(["git", "fetch", "-q", self.origin, commit], cwd=self.workspace, check=True)
                subprocess.run(["git", "checkout", "-q", "--force", "--detach", commit], cwd=self.workspace, check=True)
                for kept in self.workspace.rglob(
                    ".cloudmodel"
                ):  # a new machine has none; the state stands for a backend
                    for each in ("bundles", "caches", "optimize"):
                        shutil.rmtree(kept / each, ignore_errors=True)
            case "actions/setup-python":
                pass
            case "aws-actions/configure-aws-credentials":
                self.github.roles.append(inputs["role-to-assume"])
                return KEYS
            case "actions/upload-artifact":
                places = [self.workspace / each.strip() for each in inputs["path"].splitlines()]
                found = sorted(each for place in places for each in place.parent.glob(place.name))
                self.github.artifacts[inputs["name"]] = {each.name: each.read_bytes() for each in found}
            case "actions/download-artifact":
                for name, content in self.github.artifacts[inputs["name"]].items():
                    target = Path(inputs["path"]) / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
            case _:
                raise AssertionError(f"no stand-in for {action}")
        return {}


def load(path: Path) -> dict[str, Any]:
    """A workflow's file. `on` is a truth to YAML 1.1."""
    return {"on" if key is True else str(key): value for key, value in yaml.safe_load(path.read_text()).items()}


def scripts(workflow: Mapping[str, Any]) -> Iterator[str]:
    """The text of every `run:` step."""
    return (step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step)


def _pairs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def _truth(condition: str, contexts: Mapping[str, Any], *, ok: bool) -> bool:
    bare = str(condition).strip().removeprefix("${{").removesuffix("}}").strip()
    if not STATUS.search(bare) and not ok:
        return False
    return bool(_value(bare, contexts, ok=ok)) if bare else ok


def _filled(text: Any, contexts: Mapping[str, Any]) -> str:
    def word(found: re.Match[str]) -> str:
        value = _value(found[1], contexts, ok=True)
        return str(value).lower() if isinstance(value, bool) else str(value)

    return re.sub(r"\$\{\{ (.*?) \}\}", word, str(text))


def _value(expression: str, contexts: Mapping[str, Any], *, ok: bool) -> Any:
    """GitHub's expressions as Python's: the same operators, and names that are looked up in the contexts."""
    functions: dict[str, Callable[[], bool]] = {
        "always()": lambda: True, "cancelled()": lambda: False, "failure()": lambda: not ok, "success()": lambda: ok,
    }  # fmt: skip

    def token(found: re.Match[str]) -> str:
        text = found[0]
        if text in WORDS:
            return WORDS[text]
        if text in functions:
            return repr(functions[text]())
        if text.startswith("'"):
            return repr(text[1:-1])
        node: Any = contexts
        for part in text.split("."):
            node = node.get(part, "") if isinstance(node, Mapping) else ""
        return repr(node)

    return eval(TOKENS.sub(token, expression), {"__builtins__": {}})
