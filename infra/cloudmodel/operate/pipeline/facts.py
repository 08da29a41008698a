"""What the files of a pipeline are filled in with: everything follows from a project and a stack, nothing is asked."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloudmodel.core.errors import CloudmodelError, UsageError
from cloudmodel.core.naming import short_hash
from cloudmodel.formats.choose import find
from cloudmodel.formats.extras import EXTRAS
from cloudmodel.formats.factory import Source
from cloudmodel.formats.onnx import FORMAT as ONNX
from cloudmodel.formats.original import FORMATS
from cloudmodel.operate.bootstrap import advice
from cloudmodel.operate.bootstrap.setup import AUDIENCES, Setup, pipeline
from cloudmodel.program.aws.rollout import MARGIN, longest
from cloudmodel.provider.sagemaker import GONE_SECONDS, READY_SECONDS
from cloudmodel.serving.registry import names_a_package
from cloudmodel.settings.fields import MODULE_FACTORY
from cloudmodel.settings.load import PROJECT_FILE
from cloudmodel.settings.model import Project, StackSettings
from cloudmodel.settings.rollout import STARTUP

PATH = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./ -]*|\.")
"""Paths that mean nothing to a shell, to YAML, and to the hosts' patterns of paths."""
AROUND = 1200
"""Seconds of a job for everything but the endpoint: installing, planning, the proof of landing."""
PLANNING = 30
"""Minutes of a job that plans."""
SECONDS = {"s": 1, "m": 60, "h": 3600}
SIGNING = "signing"
"""The extra that proves signatures."""
REPOSITORY = "OWNER/NAME"
"""In the place of the repository, which the files of a pipeline need not know."""


@dataclass(frozen=True)
class Facts:
    """Paths are of the repository, but for `settings` and `model`, which are of the project's folder; `model` is a list
    of arguments for a shell. `extras` are those of this package. `minute` spreads the nightly runs of many stacks over
    an hour."""

    name: str
    project: str
    stack: str
    folder: str
    settings: str
    paths: tuple[str, ...]
    changes: tuple[str, ...]
    model: str
    optimizes: bool
    extras: tuple[str, ...]
    region: str
    audience: str
    plan_role: str
    apply_role: str
    environment: str
    branch: str
    minute: int
    preview_minutes: int
    plan_minutes: int
    apply_minutes: int

    @property
    def group(self) -> str:
        """The stack's name among those of all projects of the repository. Neither part holds a blank, and each may hold
        a hyphen: `digits` and `prod-eu` are not `digits-prod` and `eu`."""
        return f"cloudmodel {self.project} {self.stack}"

    @property
    def file(self) -> str:
        """The same as part of a file's name, which is no other's but for names with hyphens at their ends."""
        return f"{self.project}--{self.stack}"

    @property
    def prefix(self) -> str:
        """The project's folder before a path."""
        return "" if self.folder == "." else f"{self.folder}/"

    @property
    def apply_seconds(self) -> int:
        """How long the credentials of an apply hold: no shorter than the job."""
        return self.apply_minutes * 60


def facts(project: Project, settings: StackSettings, root: Path, host: str, *, environment: str, branch: str) -> Facts:
    """What the files for `settings` in the repository at `root` say. Raises UsageError for what no pipeline can do."""
    if settings.target == "local":
        raise UsageError(
            "a local stack stands on one machine: a pipeline has no use of it",
            where=f"{settings.path.name}: cloudmodel:target",
            hint="cloudmodel stack init prod --target aws",
        )
    if len(settings.allowed_account_ids) != 1:
        raise UsageError(
            f"the roles of a pipeline are of one account, and the stack may touch {len(settings.allowed_account_ids)}",
            where=f"{settings.path.name}: aws:allowedAccountIds",
            hint="name one account",
        )
    job = pipeline(host, REPOSITORY, environment, branch)
    setup = Setup(project.name, settings.allowed_account_ids[0], settings.region, settings.existing, (job,))
    made = advice.outputs(setup)
    folder = _plain(project.folder.resolve().relative_to(root.resolve()).as_posix(), "the project's folder")
    below = "" if folder == "." else f"{folder}/"
    outside = tuple(path for path in _outside(project, root))
    searching = _minutes(project.optimize.budget) if project.evaluate else 0
    return Facts(
        name=project.name,
        project=project.pulumi_name,
        stack=settings.stack,
        folder=folder,
        settings=settings.path.name,
        # What is told of the other stacks is their pipelines' business.
        paths=(f"{below}**", f"!{below}Pulumi.*.yaml", f"{below}{settings.path.name}", *outside),
        changes=(f"{below}**/*", *outside),
        model=" ".join(map(shlex.quote, _model(project))),
        optimizes=project.evaluate is not None,
        extras=tuple(sorted(_extras(project, settings))),
        region=settings.region,
        audience=AUDIENCES[host],
        plan_role=made["plan_role_arn"],
        apply_role=made["apply_role_arn"],
        environment=environment,
        branch=branch,
        minute=int(short_hash(project.pulumi_name, settings.stack), 16) % 60,
        preview_minutes=PLANNING + searching,
        plan_minutes=PLANNING,
        apply_minutes=math.ceil(apply_seconds(settings) / 60),
    )


def apply_seconds(settings: StackSettings) -> int:
    """How long an apply may take: an endpoint that comes up or is updated as slowly as it may, one that goes, and
    everything else. The settings' own limits keep it below what the apply role's credentials hold, APPLY_SECONDS."""
    container = (settings.timeouts.startup or 0) + (settings.timeouts.download or 0) + STARTUP
    endpoint = max(READY_SECONDS, longest(settings.rollout) + MARGIN, container)
    return int(endpoint + GONE_SECONDS) + AROUND


def _minutes(budget: str) -> int:
    return math.ceil(int(budget[:-1]) * SECONDS[budget[-1]] / 60)


def _model(project: Project) -> Iterator[str]:
    """What a change of makes another model, relative to the project's folder."""
    yield PROJECT_FILE
    source = project.model.source
    named = [project.model.weights, project.model.labels, project.optimize.train, project.optimize.calibrate]
    named += [project.evaluate.data] if project.evaluate else []
    if not names_a_package(source):
        named.append(source)
    if any(each and MODULE_FACTORY.fullmatch(each) for each in named):
        yield "*.py"
    yield from dict.fromkeys(each for each in named if each and not MODULE_FACTORY.fullmatch(each))


def _extras(project: Project, settings: StackSettings) -> Iterator[str]:
    """What the model's format, its pre-processing and a signature ask for."""
    if extra := FORMATS[_format(project)].extra:
        yield extra
    if project.model.preprocess and project.model.preprocess.kind in EXTRAS:
        yield project.model.preprocess.kind
    if settings.signed:
        yield SIGNING


def _format(project: Project) -> str:
    """The model's format by its content, where it is here, else the one that is written."""
    source, weights, said = project.model.source, project.model.weights, project.model.format
    with suppress(CloudmodelError):
        if MODULE_FACTORY.fullmatch(source):
            return find(Source(project.folder, source, project.folder / weights if weights else None), said).format
        if not names_a_package(source):
            return find(project.folder / source, said).format
    return said if said in FORMATS else ONNX


def _outside(project: Project, root: Path) -> Iterator[str]:
    """Files of the model that lie in the repository and not in the project's folder, as patterns of its paths."""
    for each in _model(project):
        path = (project.folder / each).resolve()
        if path.is_relative_to(root.resolve()) and not path.is_relative_to(project.folder.resolve()):
            name = _plain(path.relative_to(root.resolve()).as_posix(), f"{PROJECT_FILE} names")
            yield f"{name}/**" if path.is_dir() else name


def _plain(path: str, what: str) -> str:
    if not PATH.fullmatch(path):
        raise UsageError(
            f"{what} {path!r}, and a pipeline's patterns cannot name that",
            where=path,
            hint="use letters, digits, '_', '-', '.' and blanks",
        )
    return path
