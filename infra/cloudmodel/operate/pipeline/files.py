"""The files of a pipeline: where they go, what they hold, and whether somebody has changed them by hand.

The first line of each names the stack that it was written for and holds the digest of the rest. What was written here
is written again without a word; what was changed since, or is another stack's, is somebody's work.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from cloudmodel.core.errors import UsageError
from cloudmodel.deploy.binding import tool_version
from cloudmodel.operate.pipeline.facts import Facts

if TYPE_CHECKING:
    from jinja2 import Environment

HOSTS = ("github", "gitlab")
PYTHON = "3.11"
"""The newest that every optional library runs on: TF-MOT imports distutils, which 3.12 no longer has."""
ACTIONS: Mapping[str, str] = {
    "checkout": "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
    "python": "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97 # v7.0.0",
    "upload": "actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0",
    "download": "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c # v8.0.1",
    "credentials": "aws-actions/configure-aws-credentials@e6de054238d6b7531b4efff3b6587d9aade6a06c # v6.2.3",
}
"""By commit, as their repositories' tags named them in 2026-11."""
HEAD = re.compile(
    rb"# Written by cloudmodel ci init for (.+); changed by hand where the rest is not sha256:([0-9a-f]{64})\n"
)
INSTALLED = """# What the pipelines of this project install, from the index that pip is given: let that be one that
# you trust (--index-url), or write the wheel itself and its hash.
{}=={}
"""
INCLUDED = ".gitlab/cloudmodel/*.yml"
DAYS = {"bundle_days": 90, "plan_days": 30}
"""How long artifacts are kept: a bundle until a pull request pins it, a plan longer than it may be applied."""


@dataclass(frozen=True)
class File:
    """A file of the repository. `stack` is the settings file that it is written for; None for one that is written only
    where there is none."""

    path: Path
    content: bytes
    stack: str | None = None

    @property
    def kept(self) -> bool:
        """Whether nothing has to be written."""
        if self.stack is None:
            return self.path.exists()
        return self.path.is_file() and self.path.read_bytes() == self.content

    @property
    def theirs(self) -> str:
        """Why what stands there is somebody else's; empty where it is not, or nothing stands there."""
        if self.stack is None or not self.path.exists():
            return ""
        found = self.path.read_bytes()
        head = HEAD.match(found)
        if head is None or _sha256(found[head.end() :]).encode() != head[2]:
            return "was changed by hand since it was written"
        stack = head[1].decode(errors="replace")
        return f"was written for {stack}" if stack != self.stack else ""


def repository(folder: Path) -> Path:
    """The root of the git repository that `folder` lies in. Raises UsageError."""
    for each in (folder, *folder.parents):
        if (each / ".git").exists():
            return each
    raise UsageError("the project is in no git repository", where=str(folder), hint="git init")


def pipeline_files(host: str, facts: Facts, root: Path) -> list[File]:
    """The files for one stack on one host; the last is what its jobs install."""
    stack = f"{facts.prefix}{facts.settings}"
    rendered = _rendered(f"{host}.yml.j2", facts)
    digest = _sha256(rendered)
    head = f"# Written by cloudmodel ci init for {stack}; changed by hand where the rest is not sha256:{digest}\n"
    content = head.encode() + rendered
    requirements = File(
        root / facts.folder / "requirements.txt", INSTALLED.format(needed(facts), tool_version()).encode()
    )
    if host == "github":
        return [File(root / ".github" / "workflows" / f"cloudmodel-{facts.file}.yml", content, stack), requirements]
    include = f"include:\n  - local: {INCLUDED}\n".encode()
    return [
        File(root / ".gitlab" / "cloudmodel" / f"{facts.file}.yml", content, stack),
        File(root / ".gitlab-ci.yml", include),
        requirements,
    ]


def needed(facts: Facts) -> str:
    """This package with what the jobs need of its extras, as pip is asked for it."""
    return f"cloudmodel[{','.join(facts.extras)}]" if facts.extras else "cloudmodel"


def installs(requirements: Path, facts: Facts) -> bool:
    """Whether a file of requirements names this package, and the extras that the jobs need."""
    text = requirements.read_text(errors="replace")
    return all(name in text for name in ("cloudmodel", *facts.extras))


def _rendered(template: str, facts: Facts) -> bytes:
    named = {
        name: getattr(facts, name) for name in (*Facts.__dataclass_fields__, "group", "file", "prefix", "apply_seconds")
    }
    return _environment().get_template(template).render(**named, **DAYS, actions=ACTIONS, python=PYTHON).encode()


@cache
def _environment() -> Environment:
    """Marks of our own: `{{` and `{%` are the hosts'. A missing name is an error; what is filled in was checked."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("cloudmodel.operate.pipeline") / "templates"
    made = Environment(  # noqa: S701  (no HTML)
        loader=FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["yaml"] = lambda value: json.dumps(list(value) if isinstance(value, tuple) else value)
    made.filters["quote"] = shlex.quote
    return made


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
