"""The command `cloudmodel`: a table of verbs, each imported when it is called, and the one place that shows errors.

`--help` imports click and this module only; a verb's own libraries come with its first use.
"""

from __future__ import annotations

import errno
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module

import click

from cloudmodel.cli.context import Context
from cloudmodel.cli.exit_codes import BUG, FAILED, MEANINGS
from cloudmodel.cli.options import SETTINGS, common
from cloudmodel.core.errors import Cancelled, CloudmodelError, UsageError

VERBS: Mapping[str, Mapping[str, str]] = {
    "Start": {
        "init": "Make a project that works at once.",
        "doctor": "What this machine has and lacks, and what mends it.",
        "completion": "What bash, zsh or fish need to complete verbs, flags and stacks.",
    },
    "Model": {
        "scan": "The verdict on model files, without loading them.",
        "package": "Turn the project's model into a bundle.",
        "optimize": "Search for a faster model that still passes, and prove it.",
        "inspect": "What is in a bundle or a model file.",
        "verify": "Does a bundle still hold what its manifest says?",
        "diff": "What changed between two bundles.",
        "serve": "Serve a bundle on this machine as a container would.",
    },
    "Deploy": {
        "bootstrap": "What an account needs before the first `up`.",
        "preview": "What `up` would do.",
        "up": "Create or change what the stack describes.",
        "refresh": "Read the cloud into the stack's state.",
        "destroy": "Delete everything the stack holds.",
        "outputs": "The stack's outputs.",
        "history": "The stack's updates, newest first.",
        "cancel": "End another run's hold on the stack.",
        "stack": "List, make, select and remove stacks.",
        "state": "Export, import, rebuild, verify and unlock a stack's state.",
    },
    "Operate": {
        "status": "Revision, variants, instances, alarms and events on one screen.",
        "rollback": "Make the stack what an earlier run left.",
        "drift": "Does the cloud still hold what the state says?",
        "invoke": "Ask the endpoint for one prediction.",
        "local": "The local AWS: start, stop, status, reset.",
        "engine": "The deployment engines: status, install.",
        "ci": "Pipelines for GitHub and GitLab, and their comment.",
    },
}
SUMMARIES = {name: summary for verbs in VERBS.values() for name, summary in verbs.items()}

# What the machine refuses is no bug, and the user can mend it.
MENDABLE = {
    errno.ENOSPC: "free some disk space and run it again",
    errno.EDQUOT: "free some of your disk quota and run it again",
    errno.EROFS: "use a folder that can be written",
    errno.EACCES: "allow access to it and run it again",
    errno.EPERM: "allow access to it and run it again",
    errno.ENOTDIR: "name another path",
    errno.EISDIR: "name another path",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ELOOP: "name another path",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and run it again",
}
COMMAND_ON_A_STACK = re.compile(r"cloudmodel [a-z]+[^;,`]*? --stack [\w.-]++(?! --engine)")
BUNDLED_JSON_FLAG = re.compile(r"-[yr]*j[yr]*")


class LazyGroup(click.Group):
    """The verbs of the table; a verb's module is imported when the verb is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUMMARIES:
            return None
        command = import_module(f"cloudmodel.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = str(args[0])
        if name not in SUMMARIES and not name.startswith("-"):
            from difflib import get_close_matches

            near = " or ".join(get_close_matches(name, SUMMARIES))
            ctx.fail(f"no such command {name!r}" + (f"; did you mean {near}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, verbs in VERBS.items():
            with formatter.section(section):
                formatter.write_dl(list(verbs.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in MEANINGS.items()])


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"cloudmodel {version('cloudmodel')}")
        context.exit()


@click.group(cls=LazyGroup, context_settings=SETTINGS)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, allow_from_autoenv=False,
    help="Show the version.",
)  # fmt: skip
@common
def cli() -> None:
    """Package a trained model, prove it, and deploy it to a production endpoint.

    Every flag is also an environment variable: CLOUDMODEL_STACK for --stack, CLOUDMODEL_JSON for --json.
    """


def run() -> None:
    """The console script: runs the command line and ends the process with its exit code."""
    # A verb is over soon: looking for garbage among the classes of pulumi and boto3 costs a fifth of a preview's
    # CPU and finds next to nothing. `serve`, which stays, turns it on again.
    gc.disable()
    code = answer(sys.argv[1:])
    # What follows only cleans up: who presses Ctrl-C once more leaves now, with this code and without a traceback.
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    sys.exit(code)


def answer(arguments: Sequence[str]) -> int:
    """Run one command line; every failure becomes one block on stderr and its exit code."""
    context = Context()
    code = _guarded(lambda: _invoke(arguments, context), arguments, context)
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except OSError:
        _abandon_output()
        code = code or FAILED
    return code


def _invoke(arguments: Sequence[str], context: Context) -> int:
    color = False if os.environ.get("NO_COLOR") else None
    code = cli.main(list(arguments), prog_name="cloudmodel", standalone_mode=False, obj=context, color=color)
    return code if isinstance(code, int) else 0


def _guarded(work: Callable[[], int], arguments: Sequence[str], context: Context) -> int:
    try:
        return work()
    except SystemExit as ending:
        # click leaves so when the reader of a pipe has gone.
        return ending.code if isinstance(ending.code, int) else FAILED
    except click.exceptions.NoArgsIsHelpError as help_wanted:
        help_wanted.show()
        return help_wanted.exit_code
    except BaseException as raised:
        from cloudmodel.cli.interrupts import undisturbed

        with undisturbed():
            return _told(raised, arguments, context)


def _told(raised: BaseException, arguments: Sequence[str], context: Context) -> int:
    """The exit code of what was raised, once it is shown."""
    from cloudmodel.cli.output import show_error

    error = explain(raised)
    if context.engine and error.hint:  # what it says to type is for the same engine
        error.hint = COMMAND_ON_A_STACK.sub(rf"\g<0> --engine {context.engine}", error.hint)
    if context.debug:
        import traceback

        traceback.print_exception(raised)
    elif type(error) is Bug:
        error.where = _report(raised, arguments) or error.where
    with suppress(BrokenPipeError):
        show_error(error, as_json=context.json or asked_for_json(arguments))
    return error.code


class Bug(CloudmodelError):
    """An exception that nobody foresaw: a fault of this program."""

    code = BUG


def explain(raised: BaseException) -> CloudmodelError:
    """The error that a user is shown for what was raised."""
    match raised:
        case CloudmodelError():
            return raised
        case click.exceptions.Abort() | KeyboardInterrupt() | EOFError():
            return Cancelled("cancelled")
        case click.ClickException():
            context = getattr(raised, "ctx", None)
            path = context.command_path if context else "cloudmodel"
            return UsageError(raised.format_message(), where=path, hint=f"{path} --help")
        case OSError() if raised.errno in MENDABLE:
            where = str(raised.filename) if raised.filename is not None else None
            return CloudmodelError(raised.strerror or str(raised), where=where, hint=MENDABLE[raised.errno])
        case _:
            return Bug(
                f"a bug in cloudmodel: {type(raised).__name__}: {raised}",
                where=_place(raised),
                hint="run it again with --debug to see the traceback, and report it",
                details={"exception": type(raised).__name__},
            )


def _place(raised: BaseException) -> str | None:
    """The innermost line of ours that the exception came through."""
    trace, place = raised.__traceback__, None
    while trace is not None:
        code = trace.tb_frame.f_code
        if "cloudmodel" in code.co_filename:
            place = f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return place


def _report(raised: BaseException, arguments: Sequence[str]) -> str | None:
    """Keep the traceback in a file of the user's own (the arguments' values stay out of it); returns its path."""
    import tempfile
    import traceback

    verb = next((argument for argument in arguments if argument in SUMMARIES), "")
    try:
        descriptor, path = tempfile.mkstemp(prefix="cloudmodel-", suffix=".traceback")
        with os.fdopen(descriptor, "w", errors="backslashreplace") as file:
            file.write(f"cloudmodel {verb}, Python {sys.version}\n\n")
            file.writelines(traceback.format_exception(raised))
    except OSError:
        return None
    return path


def asked_for_json(arguments: Sequence[str]) -> bool:
    """Whether `--json` was asked for, also where the command line could not be understood."""
    flags = list(arguments)[: arguments.index("--")] if "--" in arguments else arguments
    asked = any(flag == "--json" or BUNDLED_JSON_FLAG.fullmatch(flag) for flag in flags)
    return asked or os.environ.get("CLOUDMODEL_JSON", "").lower() in ("1", "true", "t", "yes", "y", "on")


def _abandon_output() -> None:
    """Nobody reads any more: let the interpreter's last flush write into nothing, without a complaint."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        with suppress(OSError):
            os.dup2(nothing, stream)
