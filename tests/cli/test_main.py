"""The command itself: a help that costs little, and one readable block for every failure."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from cloudmodel.cli import exit_codes, main
from cloudmodel.core import errors

COMMAND = Path(sys.executable).parent / "cloudmodel"
HEAVY = {
    "boto3", "botocore", "cryptography", "flask", "google", "grpc", "moto", "numpy", "onnx", "onnxruntime", "pulumi",
    "pulumi_aws", "pydantic", "rich", "uvicorn", "yaml",
}  # fmt: skip
GROUPS = ("ci", "stack", "state", "local", "engine")


@pytest.mark.parametrize("words", [["--help"], ["up", "--help"], ["stack", "--help"], ["--version"], ["nope"]])
def test_help_and_usage_errors_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom cloudmodel.cli.main import answer\nanswer(sys.argv[1:])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.__stderr__)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    imported = set(json.loads(done.stderr.rstrip().rpartition("\n")[2].replace("'", '"')))
    assert "click" in imported
    assert imported & HEAVY == set()


@pytest.mark.parametrize("verb", main.SUMMARIES)
def test_every_verb_of_the_table_exists_and_explains_itself(cli: Any, verb: str) -> None:
    ran = cli(verb, "--help")
    assert ran.code == 0
    assert f"Usage: cloudmodel {verb}" in ran.out
    if verb not in GROUPS:
        assert "Exit codes: 0 done" in ran.out


def test_the_table_has_every_module_of_the_folder() -> None:
    assert main.__file__ is not None
    modules = {path.stem for path in (Path(main.__file__).parent / "commands").glob("*.py")} - {"__init__"}
    assert modules == set(main.SUMMARIES)


def test_every_verb_has_the_common_flags(cli: Any) -> None:
    root = main.cli
    context = click.Context(root)

    def leaves(command: click.Command) -> list[click.Command]:
        if isinstance(command, click.Group):
            found = [command.get_command(context, name) for name in command.list_commands(context)]
            return [leaf for each in found if each is not None for leaf in leaves(each)]
        return [command]

    assert len(leaves(root)) >= 25
    for leaf in leaves(root):
        flags = {flag for parameter in leaf.params for flag in parameter.opts}
        assert {"-C", "--cwd", "-j", "--json", "--debug", "--non-interactive"} <= flags, leaf.name


def test_every_error_has_a_documented_exit_code() -> None:
    def tree(error: type[errors.CloudmodelError]) -> list[type[errors.CloudmodelError]]:
        return [error, *(leaf for child in error.__subclasses__() for leaf in tree(child))]

    assert {error.code for error in tree(errors.CloudmodelError)} <= set(exit_codes.MEANINGS)


def test_no_arguments_show_the_help_and_end_with_2(cli: Any) -> None:
    ran = cli()
    assert ran.code == 2
    assert ran.out == ""
    assert "Usage: cloudmodel" in ran.err


@pytest.mark.parametrize(
    "words", [["nope"], ["up", "--nope"], ["up", "extra"], ["up", "-p", "0"], ["up", "-C", "/nowhere"], ["-j"]]
)
def test_a_wrong_command_line_ends_with_2_and_the_next_command(cli: Any, words: list[str]) -> None:
    ran = cli(*words)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert "--help" in ran.err


@pytest.mark.parametrize("flag", ["-j", "--json", "-yj", "-jy"])
def test_a_wrong_command_line_is_a_document_where_json_was_asked_for(cli: Any, flag: str) -> None:
    document = cli("up", "--nope", flag).json
    assert (document["schema"], document["code"]) == ("cloudmodel.error/1", 2)


@pytest.mark.parametrize("words", [["up", "--nope"], ["up", "--nope", "-sj"], ["up", "--nope", "--", "-j"]])
def test_no_document_where_json_was_not_asked_for(cli: Any, words: list[str]) -> None:
    assert cli(*words).out == ""


def test_the_engines_error_is_one_block_with_its_code(cli: Any, project: Path, fleet: Any) -> None:
    fleet.scenario = "locked"
    ran = cli("preview")
    assert ran.code == 16
    assert ran.err.endswith(
        "error: held by ci-41\n  where: stack local\n  next:  cloudmodel state unlock --stack local --id 1\n"
    )
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("engine", ["embedded", "official"])
def test_the_next_command_is_for_the_engine_that_was_asked_for(
    cli: Any, project: Path, fleet: Any, engine: str
) -> None:
    fleet.scenario = "locked"
    hint = cli("preview", "--engine", engine, "-j").json["hint"]
    assert hint == f"cloudmodel state unlock --stack local --engine {engine} --id 1"


def test_debug_shows_the_traceback_too(cli: Any, project: Path, fleet: Any) -> None:
    fleet.scenario = "locked"
    ran = cli("preview", "--debug")
    assert ran.code == 16
    assert "Traceback" in ran.err
    assert ran.err.endswith("next:  cloudmodel state unlock --stack local --id 1\n")


def test_a_bug_is_called_one_and_leaves_its_traceback_in_a_file(cli: Any, project: Path, fleet: Any) -> None:
    fleet.scenario = "bug"
    ran = cli("preview", "-j")
    assert ran.code == 255
    assert "Traceback" not in ran.err
    assert ran.json["error"] == "Bug"
    assert ran.json["message"].startswith("a bug in cloudmodel: KeyError")
    report = Path(ran.json["where"])
    assert "nobody foresaw this" in report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", list(main.MENDABLE))
def test_what_the_machine_refuses_is_no_bug(
    cli: Any, project: Path, fleet: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "as the system says it", "/some/file")

    monkeypatch.setattr(sys.modules["fake_engine"].FakeEngine, "preview", refuse)
    ran = cli("preview")
    assert ran.code == 1
    assert ran.err.startswith("error: as the system says it\n  where: /some/file\n  next:  ")


def test_an_unforeseen_system_error_is_a_bug() -> None:
    assert main.explain(OSError(errno.EPROTO, "protocol error")).code == 255


def test_an_interrupt_ends_with_8() -> None:
    assert main.explain(KeyboardInterrupt()).code == 8
    assert main.explain(click.exceptions.Abort()).code == 8


@pytest.mark.parametrize("words", [["--help"], ["nope", "-j"], ["--version"]])
def test_a_reader_that_left_is_no_traceback(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([COMMAND, *words], stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writing)
    assert done.returncode == (2 if words[0] == "nope" else 1)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_full_disk_under_the_output_is_told() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: No space left on device\n")
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_the_version_is_the_packages(cli: Any) -> None:
    from importlib.metadata import version

    assert cli("--version").out == f"cloudmodel {version('cloudmodel')}\n"


def test_a_typing_error_is_answered_with_the_nearest_verb(cli: Any) -> None:
    assert "preview" in cli("previw").err
