"""Text of strangers in Markdown, as GitHub and GitLab read it: shown letter by letter, and never obeyed.

In a code span or a fenced block nothing is markup: no link, image, mention, HTML, or quick action of GitLab's. Such
text stands nowhere else, and no line outside a block begins with it. A fence is longer than any run of backticks in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

BACKTICKS = re.compile("`+")
PART = 8_000
"""Bytes of each part of a comment but the resources, which take what is left."""
WIDEST = 400
"""Characters of one line of a stranger's."""


def code(text: object, widest: int = WIDEST) -> str:
    """A code span of one line; not for a table, whose cells a pipe ends even here."""
    line = _middle(_plain(str(text)), widest)
    if not line.strip():
        return "(empty)"
    fence = "`" * (_longest(line) + 1)
    pad = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def block(lines: Iterable[str], most: int, language: str = "") -> str:
    """A fenced block of at most `most` bytes, and its fences."""
    told = cut([_middle(_plain(line), WIDEST) for line in lines], most)
    fence = "`" * max([3, *(_longest(line) + 1 for line in told)])
    return "\n".join([f"{fence}{language}", *told, fence])


def folded(summary: str, body: str) -> str:
    """A block that opens when it is asked to; `summary` is our own words."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def cut(lines: Sequence[str], most: int) -> list[str]:
    """`lines` within `most` bytes: where they are more, some are left out of the middle and counted."""
    if _bytes(lines) <= most:
        return list(lines)
    head: list[str] = []
    tail: list[str] = []
    room = most - 60
    ahead, behind = 0, len(lines) - 1
    while ahead <= behind:
        at_head = _bytes(head) <= _bytes(tail)
        line = lines[ahead if at_head else behind]
        if _bytes((*head, *tail, line)) > room:
            break
        if at_head:
            head.append(line)
            ahead += 1
        else:
            tail.insert(0, line)
            behind -= 1
    return [*head, f"… {behind - ahead + 1} lines are left out here …", *tail]


def _bytes(lines: Iterable[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


def _plain(text: str) -> str:
    """One line, without characters that steer a reader's eye (line ends, directions, controls)."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _middle(text: str, widest: int) -> str:
    half = widest // 2
    return text if len(text) <= widest else f"{text[:half]} … {text[-half:]}"


def _longest(text: str) -> int:
    return max((len(run) for run in BACKTICKS.findall(text)), default=0)
