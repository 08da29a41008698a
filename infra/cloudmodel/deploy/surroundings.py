"""What both engines need around a run: the program, the binding, the local AWS that a state speaks of, the outputs."""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cloudmodel.bundle.store import AGAIN, MADE, open_store
from cloudmodel.core.errors import CloudmodelError, ProjectInvalid, UnexpectedChanges, UsageError
from cloudmodel.core.files import write_text
from cloudmodel.deploy.binding import Binding, program_digest, settings_digest, tool_version
from cloudmodel.deploy.engines import Options
from cloudmodel.deploy.outcome import Outcome
from cloudmodel.engine.normal import fingerprint
from cloudmodel.engine.state import State
from cloudmodel.engine.step import Diagnostic
from cloudmodel.engine.values import is_secret, plain, rewritten
from cloudmodel.program.aws.local import LOCAL_URL
from cloudmodel.program.commit import commit_of
from cloudmodel.program.variant import variants
from cloudmodel.settings.model import Project, StackSettings

ANOTHER_CLOUD = "the local AWS was started anew since the last update, and what stood in it is gone: it is made again"
ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN")
"""Where pipelines say who started them."""
GITHUB_RUN = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
IMPORTED = "the state was imported: what it names is looked for in the local AWS first"


def binding(
    project: Project,
    settings: StackSettings,
    stack: str,
    engine: str,
    state: State,
    *,
    cloud: str = "",
    account: str = "",
) -> Binding:
    """What a plan on `state` is made from; `cloud` is the local AWS's instance, empty for a real account."""
    bundle = image = ""
    try:
        served = variants(project, settings)
        bundle = " ".join(each.bundle.digest for each in served)
        image = " ".join(each.image.uri for each in served)
    except CloudmodelError:
        pass  # the program says so itself; destroy and refresh need none
    return Binding(
        project=project.pulumi_name, stack=stack, target=settings.target, engine=engine, region=settings.region,
        cloud=cloud, version=tool_version(), program=program_digest(project.folder), settings=settings_digest(settings),
        bundle=bundle, image=image, account=account, state=fingerprint(state),
    )  # fmt: skip


def require_kept(project: Project, settings: StackSettings) -> None:
    """Raise UsageError where a pinned bundle is on this machine and not in the store that others deploy from: going
    back to it later would need this machine."""
    made, shared = open_store(str(MADE), base=project.folder), open_store(project.bundles, base=project.folder)
    for digest in {each.bundle for each in settings.served if each.bundle}:
        if made.has(digest) and not shared.has(digest):
            raise UsageError(
                f"the bundle {digest} is on this machine only", where=project.bundles, hint=f"{AGAIN} {digest}"
            )


def begun(state: State) -> tuple[str, ...]:
    """The pending operations of a state, in words."""
    return tuple(f"{operation.kind} {operation.resource.urn}" for operation in state.pending)


class RememberedCloud:
    """Which local AWS a stack's state speaks of: a line in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "cloud"

    def doubt(self, instance_id: str, state: State) -> Diagnostic | None:
        """Why what `state` names must be looked for first; None where it was last seen in this very local AWS."""
        known = self._remembered()
        if known == instance_id or not (state.resources or state.pending):
            return None
        return Diagnostic("warning", ANOTHER_CLOUD) if known else Diagnostic("info", IMPORTED)

    def forget(self) -> None:
        """Nobody knows which one the state speaks of: it comes from elsewhere."""
        self._file.unlink(missing_ok=True)

    def remember(self, instance_id: str) -> None:
        """From now on the state speaks of this one."""
        if self._remembered() != instance_id:
            write_text(self._file, instance_id + "\n", mode=0o600)

    def _remembered(self) -> str:
        with contextlib.suppress(OSError):
            return self._file.read_text().strip()
        return ""


def shown(outputs: Mapping[str, Any], *, show_secrets: bool) -> dict[str, Any]:
    """A stack's outputs for eyes: secrets are `[secret]` unless they were asked for."""
    values: dict[str, Any] = dict(outputs)
    if not show_secrets:
        values = rewritten(values, lambda node: "[secret]" if is_secret(node) else node)
    return dict(plain(values))


def script(folder: Path) -> Callable[[], object]:
    """The project's program: its `__main__.py`, run as Pulumi's language host runs it."""
    program = folder / "__main__.py"

    def script() -> object:
        if not program.is_file():
            raise ProjectInvalid("the project has no program", where=str(program), hint="cloudmodel init shows one")
        return runpy.run_path(str(program), run_name="__main__")

    return script


@contextlib.contextmanager
def cloud_at(url: str) -> Iterator[None]:
    """What the program itself asks AWS goes to `url`, the local AWS; to AWS where it is empty."""
    before = os.environ.pop(LOCAL_URL, None)
    if url:
        os.environ[LOCAL_URL] = url
    try:
        yield
    finally:
        os.environ.pop(LOCAL_URL, None)
        if before is not None:
            os.environ[LOCAL_URL] = before


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """The project's own modules come first, as under Pulumi's language host; also for what the program calls later."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def expected(outcome: Outcome, options: Options) -> Outcome:
    """`outcome`; raises UnexpectedChanges where it has changes and `--expect-no-changes` was given."""
    if options.expect_no_changes and outcome.changes:
        raise UnexpectedChanges(
            "no changes were expected, and there are some",
            where=f"stack {outcome.stack}",
            hint=f"cloudmodel preview --diff --stack {outcome.stack}",
        )
    return outcome


def pipeline_address() -> str:
    """The address of the pipeline's run, as GitLab and GitHub tell it; empty outside one."""
    told = {name: os.environ.get(name, "") for name in GITHUB_RUN}
    return os.environ.get("CI_JOB_URL", "") or (
        "{}/{}/actions/runs/{}".format(*told.values()) if all(told.values()) else ""
    )


def environment(folder: Path) -> dict[str, str]:
    """Who and what made an update, for the history."""
    known = {
        "cloudmodel": tool_version(),
        "user": os.environ.get("USER", ""),
        "actor": next((os.environ[name] for name in ACTORS if os.environ.get(name)), ""),
        "ci": pipeline_address(),
        "git.commit": commit_of(folder),
    }
    return {key: value for key, value in known.items() if value}
