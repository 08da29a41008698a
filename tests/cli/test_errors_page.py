"""The page about exit codes and errors says exactly what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from cloudmodel.cli import main
from cloudmodel.cli.exit_codes import MEANINGS, legend
from cloudmodel.core import errors

PAGE = Path(__file__).parents[2] / "docs/errors.md"
CLASSES = {
    name: each.code
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, errors.CloudmodelError)
}


def sections() -> dict[str, dict[str, str]]:
    """By each heading of the second level, the text under each of the third."""
    found: dict[str, dict[str, str]] = {}
    for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        named = re.split(r"^### (\w+)\n", text, flags=re.MULTILINE)
        found[title] = dict(zip(named[1::2], named[2::2], strict=True))
    return found


def test_each_exit_code_has_its_section_and_each_error_its_place_in_it() -> None:
    assert [*sections()] == [f"{code}: {meaning}" for code, meaning in MEANINGS.items()]
    placed = {name: int(title.partition(":")[0]) for title, named in sections().items() for name in named}
    assert placed == CLASSES


def test_each_error_says_what_to_do_and_its_links_lead_somewhere() -> None:
    for named in sections().values():
        for name, text in named.items():
            assert "*Do*" in text, name
    for link in re.findall(r"\]\(([^)]+)\)", PAGE.read_text()):
        assert (PAGE.parent / link).is_file(), link


@pytest.mark.parametrize("verb", main.SUMMARIES)
def test_help_names_codes_that_exist(verb: str) -> None:
    context = click.Context(main.cli)
    command = main.cli.get_command(context, verb)
    leaves = command.commands.values() if isinstance(command, click.Group) else [command]
    for leaf in leaves:
        assert leaf is not None
        told = str(leaf.epilog).rpartition("\n")[2]
        assert told == legend(int(code) for code in re.findall(r"(?:: | · )(\d+) ", told))
