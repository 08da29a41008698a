"""When a scheduled action fires: AWS's `at(…)`, `rate(…)` and `cron(…)` of six fields, read and evaluated.

Source of the grammar: Application Auto Scaling's PutScheduledAction. The cron signs L, W and # are not read: a list of
days says the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
RATE = re.compile(r"rate\(([1-9]\d{0,4}) (minute|hour|day)(s?)\)")
CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIELDS = (
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 1, 7, DAYS),
    ("year", 1970, 2199, ()),
)
"""Name, least, most and words of each cron field, in order; a word stands for its place, the first being 1."""


@dataclass(frozen=True)
class Cron:
    """The values of each field; None for every one (`*`), or for one that the other day decides (`?`)."""

    fields: tuple[frozenset[int] | None, ...]

    def fires(self, minute: datetime) -> bool:
        """Whether it fires in this minute of its own time zone."""
        weekday = minute.isoweekday() % 7 + 1
        values = (minute.minute, minute.hour, minute.day, minute.month, weekday, minute.year)
        return all(wanted is None or value in wanted for wanted, value in zip(self.fields, values, strict=True))


@dataclass(frozen=True)
class Rate:
    """Again and again after this time, from when the action was put."""

    every: timedelta


@dataclass(frozen=True)
class At:
    """Once."""

    when: datetime


Schedule = Cron | Rate | At


def parse(text: str) -> Schedule:
    """Read a schedule expression. Raises ValueError with what is wrong with it."""
    if match := AT.fullmatch(text):
        return At(datetime.fromisoformat(match[1]))
    if match := RATE.fullmatch(text):
        number, unit, plural = int(match[1]), match[2], match[3]
        if (number == 1) == bool(plural):
            raise ValueError(f"write rate({number} {unit}{'' if number == 1 else 's'})")
        return Rate(timedelta(**{f"{unit}s": number}))
    if match := CRON.fullmatch(text):
        fields = tuple(_field(each, *rule) for each, rule in zip(match.groups(), FIELDS, strict=True))
        if [match[3], match[5]].count("?") != 1:
            raise ValueError("exactly one of the day of the month and the day of the week is ?")
        return Cron(fields)
    raise ValueError("is no at(yyyy-mm-ddThh:mm:ss), rate(5 minutes) or cron(minutes hours day month weekday year)")


def _field(text: str, name: str, least: int, most: int, words: tuple[str, ...]) -> frozenset[int] | None:
    if text == "*":
        return None
    if text == "?":
        if not name.startswith("day"):
            raise ValueError(f"? is for days only, not for the {name}")
        return None
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        low = least if first == "*" and not dash else _number(first, name, least, most, words)
        high = _number(last, name, least, most, words) if dash else (most if slash or first == "*" else low)
        if slash and (not step.isascii() or not step.isdigit() or not 1 <= int(step) <= most):
            raise ValueError(f"{step!r} is no step of the {name}")
        if low > high:
            raise ValueError(f"the {name} {span} runs backwards")
        found.update(range(low, high + 1, int(step) if slash else 1))
    return frozenset(found)


def _number(text: str, name: str, least: int, most: int, words: tuple[str, ...]) -> int:
    if text.upper() in words:
        return words.index(text.upper()) + 1
    if not re.fullmatch(r"[0-9]{1,4}", text) or not least <= int(text) <= most:
        raise ValueError(f"{text!r} is no {name} ({least} to {most}{', or a name' if words else ''})")
    return int(text)
