"""`cloudmodel doctor`: what this machine has and lacks. Calls nobody: no cloud, no package index."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from cloudmodel.cli import options
from cloudmodel.cli.context import Context
from cloudmodel.cli.readiness import PASSPHRASES, Check, stacks
from cloudmodel.core.files import PRIVATE

PACKAGES = ("boto3", "click", "cryptography", "moto", "numpy", "onnx", "onnxruntime", "pulumi", "pulumi-aws", "rich")
PYTHONS = ((3, 11), (3, 14))
ROOM = 2 << 30
MARKS = {"ok": "ok", "missing": "MISSING", "optional": "-"}


@options.verb("doctor")
def command(context: Context) -> None:
    """Show what this machine has and lacks, each with the command that mends it. Exits 1 where something needed is
    missing."""
    from cloudmodel.cli.output import emit, say, table
    from cloudmodel.core.errors import CloudmodelError

    checks = [check for look in LOOKS for check in look(context)]
    missing = [check for check in checks if check.state == "missing"]
    if context.json and not missing:
        emit("doctor", {"checks": [asdict(check) for check in checks], "missing": []})
    elif not context.json:
        say(
            table(
                ("", "WHAT", "FOUND", "MENDED BY"),
                [(MARKS[check.state], check.name, check.found, check.mend) for check in checks],
            )
        )
    if missing:
        raise CloudmodelError(
            f"missing: {', '.join(check.name for check in missing)}",
            hint=missing[0].mend,
            details={"checks": [asdict(check) for check in checks], "missing": [check.name for check in missing]},
        )


def python(_: Context) -> Iterator[Check]:
    """The interpreter's version."""
    lowest, above = PYTHONS
    fits = lowest <= sys.version_info[:2] < above
    found = f"{sys.version.split()[0]} ({sys.executable})"
    yield Check("Python", "ok" if fits else "missing", found, "" if fits else "make PYTHON=python3.11 demo")


def packages(_: Context) -> Iterator[Check]:
    """The libraries of the core install."""
    from importlib.metadata import PackageNotFoundError, version

    for name in PACKAGES:
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "missing", "not installed", f"{sys.executable} -m pip install {name}")


def processors(_: Context) -> Iterator[Check]:
    """What onnxruntime runs on."""
    with suppress(ImportError):
        import onnxruntime

        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        yield Check("processors", "ok", f"{usable}; onnxruntime: {', '.join(onnxruntime.get_available_providers())}")


def official_engine(_: Context) -> Iterator[Check]:
    """Pulumi's CLI, which stacks on a real cloud need."""
    from cloudmodel.core.errors import UsageError
    from cloudmodel.deploy.official.cli import describe
    from cloudmodel.deploy.official.command import Command

    official = describe()
    if official["available"]:
        try:
            Command(Path(str(official["path"])))
        except UsageError as unfit:
            yield Check(
                "pulumi CLI", "optional", f"{unfit.message}; stacks on aws need it", "cloudmodel engine install"
            )
            return
        yield Check("pulumi CLI", "ok", f"{official['version']} ({official['path']})")
    else:
        yield Check("pulumi CLI", "optional", "not found; stacks on aws need it", "cloudmodel engine install")


def disk(context: Context) -> Iterator[Check]:
    """Room for bundles, state and caches."""
    free = shutil.disk_usage(context.cwd or Path.cwd()).free
    found = f"{free / (1 << 30):.1f} GiB free"
    yield Check("disk", "ok" if free >= ROOM else "missing", found, "" if free >= ROOM else "free 2 GiB")


def credentials(_: Context) -> Iterator[Check]:
    """Whether AWS credentials are configured; they are not tried."""
    aws = Path.home() / ".aws"
    places = {
        "the environment": bool(os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE")),
        "a web identity": bool(os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")),
        "a container role": bool(
            os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
            or os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        ),
        "~/.aws": (aws / "credentials").is_file() or (aws / "config").is_file(),
    }
    found = [place for place, there in places.items() if there]
    if found:
        yield Check("AWS credentials", "ok", f"in {', '.join(found)} (not tried)")
    else:
        yield Check("AWS credentials", "optional", "none; stacks on aws need them", "aws configure")


def project(context: Context) -> Iterator[Check]:
    """The project here, its stacks, its passphrase and its local AWS."""
    from cloudmodel.core.errors import CloudmodelError

    try:
        found = context.project()
    except CloudmodelError as none:
        yield Check("project", "optional", none.message.partition("\n")[0], none.hint or "cloudmodel init demo")
        return
    folder = found.folder
    yield Check("project", "ok", str(folder))
    yield from stacks(found)
    keyed = [name for name in PASSPHRASES if name in os.environ]
    key_file = folder / PRIVATE / "passphrase"
    if keyed:
        yield Check("passphrase", "ok", f"from {keyed[0]}")
    elif key_file.is_file():
        yield Check("passphrase", "ok", str(key_file))
    else:
        yield Check(
            "passphrase",
            "optional",
            "none yet; a local stack makes one for its first secret",
            "export PULUMI_CONFIG_PASSPHRASE_FILE=…",
        )
    from cloudmodel.localaws.server import status

    running = status(folder / PRIVATE / "local")
    if running is None:
        yield Check("local AWS", "optional", "not running; up --stack local starts it", "cloudmodel local start")
    else:
        yield Check("local AWS", "ok", f"{running.endpoint_url} (pid {running.pid})")


LOOKS: tuple[Callable[[Context], Iterator[Check]], ...] = (
    python,
    packages,
    processors,
    official_engine,
    disk,
    credentials,
    project,
)
