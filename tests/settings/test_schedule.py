"""When a scheduled action fires: AWS's own examples, and what is no schedule."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudmodel.core.errors import SettingsInvalid
from cloudmodel.settings.schedule import At, Cron, Rate, parse


def firings(text: str, start: str, hours: int) -> list[str]:
    """The minutes from `start` on at which it fires."""
    cron = parse(text)
    assert isinstance(cron, Cron)
    begin = datetime.fromisoformat(start)
    minutes = (begin + timedelta(minutes=each) for each in range(hours * 60))
    return [f"{minute:%a %d %H:%M}" for minute in minutes if cron.fires(minute)]


@pytest.mark.parametrize(
    ("text", "start", "hours", "fires"),
    [
        ("cron(0 10 * * ? *)", "2027-03-01", 48, ["Mon 01 10:00", "Tue 02 10:00"]),
        ("cron(15 12 * * ? *)", "2027-03-01", 24, ["Mon 01 12:15"]),
        ("cron(0 18 ? * MON-FRI *)", "2027-03-05", 96, ["Fri 05 18:00", "Mon 08 18:00"]),
        ("cron(0 8 1 * ? *)", "2027-02-27", 72, ["Mon 01 08:00"]),
        ("cron(0/15 8 ? * 2 *)", "2027-03-01", 24, [f"Mon 01 08:{each:02}" for each in (0, 15, 30, 45)]),
        ("cron(5,55 8-9 ? * SUN,7 *)", "2027-03-06", 24, [f"Sat 06 0{h}:{m}" for h in (8, 9) for m in ("05", "55")]),
        ("cron(0 0/12 ? mar,APR * 2027)", "2027-03-01", 24, ["Mon 01 00:00", "Mon 01 12:00"]),
        ("cron(0 0 29 2 ? 2027)", "2027-02-01", 24 * 60, []),
        ("cron(0 */8 ? * 1-2/1 *)", "2027-02-28", 24, ["Sun 28 00:00", "Sun 28 08:00", "Sun 28 16:00"]),
    ],
)
def test_a_cron_expression_fires(text: str, start: str, hours: int, fires: list[str]) -> None:
    assert firings(text, start, hours) == fires


def test_the_other_two_forms() -> None:
    assert parse("rate(1 hour)") == Rate(timedelta(hours=1))
    assert parse("rate(20 minutes)") == Rate(timedelta(minutes=20))
    assert parse("at(2027-03-01T08:30:00)") == At(datetime(2027, 3, 1, 8, 30))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("7 o'clock", "is no at("),
        ("cron(0 7 * * *)", "is no at("),
        ("cron(0 7 * * * *)", "exactly one"),
        ("cron(0 7 ? * ? *)", "exactly one"),
        ("cron(60 7 ? * * *)", "'60' is no minutes (0 to 59)"),
        ("cron(0 7 ? * MUN *)", "'MUN' is no day of the week (1 to 7, or a name)"),
        ("cron(0 7 L * ? *)", "'L' is no day of the month"),
        ("cron(0 7 ? * 5#2 *)", "'5#2' is no day of the week"),
        ("cron(? 7 * * ? *)", "? is for days only"),
        ("cron(0 9-7 ? * * *)", "the hours 9-7 runs backwards"),
        ("cron(0/0 7 ? * * *)", "'0' is no step"),
        ("cron(0/x 7 ? * * *)", "'x' is no step"),
        ("cron(0 7 ? * FRI-MON *)", "runs backwards"),
        ("cron(0, 7 ? * * *)", "'' is no minutes"),
        ("rate(1 minutes)", "write rate(1 minute)"),
        ("rate(2 hour)", "write rate(2 hours)"),
        ("rate(0 hours)", "is no at("),
        ("at(2027-02-30T08:00:00)", "day is out of range"),
    ],
)
def test_what_is_no_schedule_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert told in str(caught.value)


@given(st.text("crontae(0123456789,-/*?LW# MONFRI)", max_size=40) | st.from_regex(r"cron\([0-9*?/,LA-Z -]{0,20}\)"))
def test_any_text_is_a_schedule_or_a_value_error(text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        assert str(error)


ENTRY = "name: night, when: rate(1 hour), min: 1, max: 2"


@pytest.mark.parametrize(
    ("scaling", "told"),
    [
        ("{schedule: [{name: Night, when: rate(1 hour), min: 1, max: 2}]}", "schedule[0].name: must be a small letter"),
        ("{schedule: [{name: night, when: noon, min: 1, max: 2}]}", "schedule[0].when: is no at("),
        (f"{{schedule: [{{{ENTRY}, timezone: Mars/Base}}]}}", "schedule[0].timezone: must be a time zone's name"),
        ("{schedule: [{name: night, when: rate(1 hour), min: 3, max: 2}]}", "min 3 is larger than max 2"),
        ("{schedule: [{name: night, when: rate(1 hour), min: 0, max: 2}]}", "schedule[0].min: must be at least 1"),
        ("{schedule: [{name: night, when: rate(1 hour), max: 2}]}", "schedule[0].min: is required"),
        (f"{{schedule: [{{{ENTRY}}}, {{{ENTRY}}}]}}", "schedule names an entry twice"),
        ("{steps: [{above: 5, add: 1}, {above: 5, add: 2}]}", "must be above more, and add more"),
        ("{steps: [{above: 5, add: 2}, {above: 6, add: 2}]}", "must be above more, and add more"),
        ("{target: 10, steps: [{above: 10, add: 2}]}", "the first of the steps must be above the target, 10"),
        ("{steps: [{above: 5, add: 0}]}", "steps[0].add: must be greater than or equal to 1"),
    ],
)
def test_impossible_scaling_is_told_by_key(local_stack: object, scaling: str, told: str) -> None:
    assert callable(local_stack)
    with pytest.raises(SettingsInvalid) as caught:
        local_stack(f"cloudmodel:scaling: {scaling}")
    assert told in caught.value.message


def test_burstable_machines_take_no_schedule_that_scales(local_stack: object) -> None:
    assert callable(local_stack)
    fixed = "min: 1, max: 1"
    with pytest.raises(SettingsInvalid, match="burstable"):
        local_stack(f"cloudmodel:instance: ml.t2.medium\ncloudmodel:scaling: {{{fixed}, schedule: [{{{ENTRY}}}]}}")
