"""Application Auto Scaling: targets, policies, scheduled actions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cloudmodel.core.resource import Live, Properties
from cloudmodel.provider import tags
from cloudmodel.provider.cloud import Cloud
from cloudmodel.provider.managed import Managed
from cloudmodel.provider.rules.autoscaling import WHAT
from cloudmodel.provider.rules.form import from_aws, to_aws

SERVICE = "application-autoscaling"
ABSENT = (
    "ObjectNotFoundException",
    "ValidationException: no scalable target found",
    "ValidationException: no scaling policy found",
    "ValidationException: no scheduled action found",
)


def parts(id: str, old: Properties, more: tuple[str, ...] = ()) -> Properties:
    """Namespace, resource, dimension (and `more`), from the state or from an import's slash-separated id."""
    names = ("serviceNamespace", "resourceId", "scalableDimension", *more)
    if all(name in old for name in names):
        return {name: old[name] for name in names}
    # service/resource/id/with/slashes/dimension[/name]
    namespace, *middle = id.split("/")
    last = len(names) - 2
    if len(middle) <= last:
        return {}
    return dict(zip(names, (namespace, "/".join(middle[:-last]), *middle[-last:]), strict=True))


class Target(Managed):
    type = "aws:appautoscaling/target:Target"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        answer = cloud.settle(
            SERVICE,
            "register_scalable_target",
            **self._parameters(inputs),
            **tags.AUTOSCALING.parameter(inputs.get("tags")),
        )
        made = self.made(cloud, inputs["resourceId"], inputs, arn=answer.get("ScalableTargetARN"))
        with self.finishing(made):
            live = self.read(cloud, made.id, made.outputs)
        return Live(made.id, {**made.outputs, **live.outputs}, inputs) if live else made

    def _parameters(self, inputs: Properties) -> Properties:
        return to_aws({name: each for name, each in self.rule.fields.items() if name not in ("region", "tags")}, inputs)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        what = parts(id, old)
        if not what:
            return None
        targets = cloud.pages(
            SERVICE,
            "describe_scalable_targets",
            "ScalableTargets",
            ServiceNamespace=what["serviceNamespace"],
            ResourceIds=[what["resourceId"]],
            ScalableDimension=what["scalableDimension"],
        )
        target = next(targets, None)
        if target is None:
            return None
        found = from_aws(self.rule.fields, target)
        arn = target.get("ScalableTargetARN")
        if old.get("tags") and arn:
            found["tags"] = tags.AUTOSCALING.of(cloud, arn)
        return self.seen(cloud, what["resourceId"], found, old, arn=arn)

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        answer = cloud.settle(SERVICE, "register_scalable_target", **self._parameters(inputs))
        arn = answer.get("ScalableTargetARN") or old.get("arn")
        if arn:
            tags.AUTOSCALING.change(cloud, arn, old.get("tags") or {}, inputs.get("tags") or {})
        return self.made(cloud, id, inputs, arn=arn)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        # Takes the target's policies and scheduled actions with it; their own deletes then find nothing to do.
        cloud.find(SERVICE, "deregister_scalable_target", *ABSENT, **to_aws(WHAT, parts(id, old)))

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["resourceId"])


class Policy(Managed):
    type = "aws:appautoscaling/policy:Policy"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        fields = {name: each for name, each in self.rule.fields.items() if name != "region"}
        answer = cloud.settle(SERVICE, "put_scaling_policy", **to_aws(fields, inputs))
        return self.made(
            cloud, inputs["name"], inputs, arn=answer["PolicyARN"], alarmArns=alarm_arns(answer.get("Alarms"))
        )

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        what = parts(id, old, ("name",))
        if not what:
            return None
        policies = cloud.pages(
            SERVICE,
            "describe_scaling_policies",
            "ScalingPolicies",
            PolicyNames=[what["name"]],
            **to_aws(WHAT, what),
        )
        policy = next(policies, None)
        if policy is None:
            return None
        found = from_aws(self.rule.fields, policy)
        return self.seen(
            cloud, what["name"], found, old, arn=policy["PolicyARN"], alarmArns=alarm_arns(policy.get("Alarms"))
        )

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        return self.create(cloud, inputs, timeout)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        what = parts(id, old, ("name",))
        cloud.find(SERVICE, "delete_scaling_policy", *ABSENT, PolicyName=what["name"], **to_aws(WHAT, what))

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["name"])


class ScheduledAction(Managed):
    type = "aws:appautoscaling/scheduledAction:ScheduledAction"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        fields = {name: each for name, each in self.rule.fields.items() if name != "region"}
        cloud.settle(SERVICE, "put_scheduled_action", **to_aws(fields, inputs))
        action = self._described(cloud, inputs)
        return self.made(cloud, self._id(inputs), inputs, arn=(action or {}).get("ScheduledActionARN"))

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        what = parts(id, old, ("name",))
        action = self._described(cloud, what) if what else None
        if action is None:
            return None
        stamps = {key: _stamp(action[key]) for key in ("StartTime", "EndTime") if action.get(key)}
        found = from_aws(self.rule.fields, {**action, **stamps})
        return self.seen(cloud, self._id(what), found, old, arn=action["ScheduledActionARN"])

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        return self.create(cloud, inputs, timeout)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        what = parts(id, old, ("name",))
        cloud.find(SERVICE, "delete_scheduled_action", *ABSENT, ScheduledActionName=what["name"], **to_aws(WHAT, what))

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return self._id(inputs)

    def _id(self, what: Properties) -> str:
        return f"{what['name']}-{what['serviceNamespace']}-{what['resourceId']}"

    def _described(self, cloud: Cloud, what: Properties) -> Any:
        actions = cloud.pages(
            SERVICE,
            "describe_scheduled_actions",
            "ScheduledActions",
            ScheduledActionNames=[what["name"]],
            **to_aws(WHAT, what),
        )
        return next(actions, None)


def alarm_arns(alarms: Any) -> list[str]:
    """The ARNs of the alarms that AWS made for a policy."""
    return [each["AlarmARN"] for each in alarms or ()]


def _stamp(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


TYPES = (Target(), Policy(), ScheduledAction())
