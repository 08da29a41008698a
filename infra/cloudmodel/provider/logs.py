"""Amazon CloudWatch Logs: log groups."""

from __future__ import annotations

from cloudmodel.core.resource import Live, Properties
from cloudmodel.provider import tags
from cloudmodel.provider.cloud import Cloud
from cloudmodel.provider.managed import Managed

ABSENT = ("ResourceNotFoundException",)


class LogGroup(Managed):
    type = "aws:cloudwatch/logGroup:LogGroup"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        name = inputs["name"]
        optional = {"kmsKeyId": inputs.get("kmsKeyId"), "logGroupClass": inputs.get("logGroupClass")}
        cloud.settle(
            "logs",
            "create_log_group",
            logGroupName=name,
            **{key: value for key, value in optional.items() if value},
            **tags.LOGS.parameter(inputs.get("tags")),
        )
        made = self.made(cloud, name, inputs, arn=self._arn(cloud, name))
        if days := inputs["retentionInDays"]:
            with self.finishing(made, retentionInDays=0):
                cloud.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
        return made

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        groups = cloud.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=id)
        group = next((each for each in groups if each["logGroupName"] == id), None)
        if group is None:
            return None
        arn = group.get("arn", self._arn(cloud, id)).removesuffix(":*")
        found = {
            "kmsKeyId": group.get("kmsKeyId"),
            "logGroupClass": group.get("logGroupClass"),
            "name": id,
            "retentionInDays": group.get("retentionInDays", 0),
            "tags": tags.LOGS.of(cloud, arn),
        }
        return self.seen(cloud, id, {key: value for key, value in found.items() if value is not None}, old, arn=arn)

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        days = inputs["retentionInDays"]
        if days != old.get("retentionInDays", 0):
            if days:
                cloud.call("logs", "put_retention_policy", logGroupName=id, retentionInDays=days)
            else:
                cloud.call("logs", "delete_retention_policy", logGroupName=id)
        key = inputs.get("kmsKeyId") or ""
        if key != (old.get("kmsKeyId") or ""):
            if key:
                cloud.settle("logs", "associate_kms_key", logGroupName=id, kmsKeyId=key)
            else:
                cloud.call("logs", "disassociate_kms_key", logGroupName=id)
        tags.LOGS.change(cloud, old["arn"], old.get("tags") or {}, inputs.get("tags") or {})
        return self.made(cloud, id, inputs, arn=old["arn"])

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        if not old.get("skipDestroy"):
            cloud.find("logs", "delete_log_group", *ABSENT, logGroupName=id)

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["name"])

    def _arn(self, cloud: Cloud, name: str) -> str:
        return cloud.arn("logs", f"log-group:{name}")


TYPES = (LogGroup(),)
