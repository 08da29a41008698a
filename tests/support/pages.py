"""Pages of the documentation that show a terminal: which commands they give, and what they promise of each.

A fenced block without a language that begins with `$ ` is a terminal. A line `$ COMMAND` is typed; the lines below it
are what it prints, and `[exit code 4]` is how it ends where that is not 0. Of what is printed, `…` in a line stands for
any text, and a line that is `…` for any lines; where nothing is shown, nothing is promised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENDS = re.compile(r"\[exit code (\d+)\]")


@dataclass(frozen=True)
class Typed:
    """One command of a page, under its heading, with what it prints and its exit code."""

    heading: str
    line: str
    prints: str
    code: int

    def fits(self, printed: str) -> bool:
        """Whether `printed` is what the page shows."""
        if not self.prints:
            return True
        parts = []
        for line in self.prints.splitlines():
            text = r"[^\n]*".join(re.escape(part) for part in line.split("…"))
            parts.append(r"(?:[^\n]*\n)*" if line.strip() == "…" else rf"{text}[ ]*\n")
        return re.fullmatch("".join(parts), printed.strip("\n") + "\n") is not None


def typed(page: Path) -> Iterator[Typed]:
    """The commands of a page, in its order."""
    text = page.read_text()
    for block in FENCED.finditer(text):
        if block[1] or not block[2].startswith("$ "):
            continue
        headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text[: block.start()]), re.MULTILINE)
        for each in re.split(r"^\$ ", block[2], flags=re.MULTILINE)[1:]:
            line, _, prints = each.partition("\n")
            ends = ENDS.search(prints)
            shown = ENDS.sub("", prints).strip("\n")
            yield Typed(headings[-1] if headings else "", line, shown, int(ends[1]) if ends else 0)
