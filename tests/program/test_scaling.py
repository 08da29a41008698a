"""How many instances: what is tracked, steps, schedules, and the count that autoscaling decided."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.output import Unknown

from cloudmodel.program.standing import Standing

COUNT = "productionVariants[*].initialInstanceCount"
COMMIT = "tags.commit"
BOUNDS = {"min": 2, "max": 6}
NIGHT = {"name": "night", "when": "cron(0 20 ? * * *)", "timezone": "Europe/Berlin", "min": 1, "max": 9}


def configuration(plan: Any) -> tuple[Any, tuple[str, ...]]:
    """The count that a configuration begins with, and what of it is left as it is."""
    planned = plan.one("EndpointConfiguration")
    return planned.inputs["productionVariants"][0].get("initialInstanceCount"), planned.ignores


def standing(count: int, configuration: str = "digits-local-other", *, settled: bool = True) -> Standing:
    return Standing(configuration, settled, {"main": count})


@pytest.mark.parametrize(
    ("live", "scaling", "begins_with"),
    [
        (5, BOUNDS, 5),
        (2, BOUNDS, 2),
        (9, BOUNDS, 6),  # somebody's hand, beyond what is allowed
        (1, BOUNDS, 2),
        (9, BOUNDS | {"schedule": [NIGHT]}, 9),  # the night's bounds allow it
        (1, BOUNDS | {"schedule": [NIGHT]}, 1),
        (10, BOUNDS | {"schedule": [NIGHT]}, 9),
    ],
    ids=str,
)
def test_another_revision_begins_with_the_count_that_runs(
    evaluate: Any, live: int, scaling: dict[str, Any], begins_with: int
) -> None:
    count, _ = configuration(evaluate(standing=standing(live), scaling=scaling))
    assert count == begins_with


def test_where_nothing_stands_it_begins_with_the_least(evaluate: Any) -> None:
    assert configuration(evaluate(scaling=BOUNDS))[0] == 2


def test_a_revision_that_serves_keeps_the_count_that_it_was_made_with(evaluate: Any) -> None:
    name = evaluate(scaling=BOUNDS).one("EndpointConfiguration").inputs["name"]
    serving = standing(5, name)
    _, ignored = configuration(evaluate(standing=serving, scaling=BOUNDS))
    assert ignored == (COMMIT, COUNT)
    names = [
        evaluate(standing=each, scaling=BOUNDS).one("EndpointConfiguration").inputs["name"]
        for each in (serving, standing(3), standing(4, name, settled=False))
    ]
    assert names == [name] * 3, "the count is no part of the name"


@pytest.mark.parametrize(("settled", "left"), [(True, (COMMIT,)), (False, (COMMIT, COUNT))])
def test_what_a_failed_update_left_behind_gets_the_count_of_now_unless_it_may_be_in_use(
    evaluate: Any, settled: bool, left: tuple[str, ...]
) -> None:
    _, ignored = configuration(evaluate(standing=standing(5, settled=settled), scaling=BOUNDS))
    assert ignored == left


def test_a_plan_is_not_bound_to_the_count_of_the_moment(evaluate: Any) -> None:
    moving = evaluate(standing=standing(5), scaling=BOUNDS, preview=True)
    assert isinstance(configuration(moving)[0], Unknown)
    name = moving.one("EndpointConfiguration").inputs["name"]
    assert configuration(evaluate(standing=standing(5, name), scaling=BOUNDS, preview=True))[0] == 5


def test_a_fixed_fleet_has_the_count_of_its_settings(evaluate: Any) -> None:
    fixed = {"min": 3, "max": 3}
    assert configuration(evaluate(scaling=fixed)) == (3, (COMMIT,))
    names = {evaluate(scaling=each).one("EndpointConfiguration").inputs["name"] for each in (fixed, BOUNDS)}
    assert len(names) == 2


def test_what_is_registered_is_made_of_the_machines(evaluate: Any) -> None:
    plan = evaluate(scaling=BOUNDS | {"schedule": [NIGHT], "steps": [{"above": 2000, "add": 1}]})
    assert {"machines", "endpoint"} <= plan.one("Target").dependencies
    assert "machines" in plan.one("Endpoint").dependencies
    for each in (*plan.of("Policy"), plan.one("ScheduledAction")):
        assert "scaling-target" in each.dependencies


def machines(plan: Any) -> Any:
    (stash,) = [each for each in plan.resources if each.type == "pulumi:index:Stash"]
    return stash.inputs["input"]


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({"instance": "ml.c7i.xlarge"}, True),
        ({"scaling": BOUNDS | {"max": 9}}, False),
        ({"scaling": BOUNDS | {"target": 9}}, False),
        ({"environment": {"A": "1"}}, False),
        ({"scaling": {"min": 2, "max": 2}}, False),
    ],
    ids=str,
)
def test_registration_is_taken_down_for_another_type_only(evaluate: Any, settings: Any, changes: bool) -> None:
    before, after = evaluate(scaling=BOUNDS), evaluate(**({"scaling": BOUNDS} | settings))
    assert (machines(before) != machines(after)) == changes


def test_bounds_that_a_schedule_moves_are_left_alone_until_the_settings_change(evaluate: Any) -> None:
    scheduled = evaluate(scaling=BOUNDS | {"schedule": [NIGHT]})
    assert scheduled.one("Target").ignores == ("minCapacity", "maxCapacity")
    assert evaluate(scaling=BOUNDS).one("Target").ignores == ()
    assert machines(scheduled) != machines(evaluate(scaling={"min": 3, "max": 6, "schedule": [NIGHT]}))


def test_a_schedule_becomes_scheduled_actions(evaluate: Any) -> None:
    morning = {"name": "morning", "when": "cron(0 7 ? * MON-FRI *)", "min": 4, "max": 8}
    plan = evaluate(scaling={"min": 2, "max": 2, "schedule": [NIGHT, morning]})
    actions = {each.name: each.inputs for each in plan.of("ScheduledAction")}
    assert actions.keys() == {"schedule-night", "schedule-morning"}
    assert actions["schedule-night"]["name"] == "digits-local-night"
    assert actions["schedule-night"]["schedule"] == "cron(0 20 ? * * *)"
    assert actions["schedule-night"]["timezone"] == "Europe/Berlin"
    assert actions["schedule-night"]["scalableTargetAction"] == {"minCapacity": 1, "maxCapacity": 9}
    assert actions["schedule-morning"]["timezone"] == "UTC"
    assert plan.one("Target").inputs["minCapacity"] == 2


@pytest.mark.parametrize(
    ("metric", "counted"),
    [("invocations", ("InvocationsPerInstance", "Sum")), ("concurrency", ("ConcurrentRequestsPerModel", "Average"))],
)
def test_steps_add_at_once_what_a_sudden_load_needs(evaluate: Any, metric: str, counted: tuple[str, str]) -> None:
    steps = [{"above": 20, "add": 1}, {"above": 40, "add": 3}, {"above": 80.5, "add": 5}]
    plan = evaluate(scaling=BOUNDS | {"metric": metric, "target": 10, "steps": steps, "scale_out_cooldown": 30})
    policy = {each.name: each.inputs for each in plan.of("Policy")}["step-policy"]
    assert (policy["policyType"], policy["resourceId"]) == ("StepScaling", "endpoint/digits-local/variant/main")
    rule = policy["stepScalingPolicyConfiguration"]
    assert (rule["adjustmentType"], rule["cooldown"]) == ("ChangeInCapacity", 30)
    assert rule["stepAdjustments"] == [
        {"scalingAdjustment": 1, "metricIntervalLowerBound": "0", "metricIntervalUpperBound": "20"},
        {"scalingAdjustment": 3, "metricIntervalLowerBound": "20", "metricIntervalUpperBound": "60.5"},
        {"scalingAdjustment": 5, "metricIntervalLowerBound": "60.5"},
    ]
    alarm = {each.name: each.inputs for each in plan.of("MetricAlarm")}["alarm-steps"]
    assert (alarm["metricName"], alarm["statistic"]) == counted
    assert (alarm["threshold"], alarm["comparisonOperator"]) == (20, "GreaterThanThreshold")
    assert alarm["alarmActions"] == ["arn:aws:made:us-east-1:111122223333:step-policy"]
