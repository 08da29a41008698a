"""Amazon CloudWatch: alarms and dashboards."""

from __future__ import annotations

from typing import Any

from cloudmodel.core.resource import Live, Properties
from cloudmodel.provider import tags
from cloudmodel.provider.cloud import Cloud
from cloudmodel.provider.managed import Managed
from cloudmodel.provider.rules.form import from_aws, to_aws


class MetricAlarm(Managed):
    type = "aws:cloudwatch/metricAlarm:MetricAlarm"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        self._put(cloud, inputs, tags.CLOUDWATCH.parameter(inputs.get("tags")))
        return self.made(cloud, inputs["name"], inputs, arn=cloud.arn("cloudwatch", f"alarm:{inputs['name']}"))

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.call("cloudwatch", "describe_alarms", AlarmNames=[id], AlarmTypes=["MetricAlarm"])
        if not answer["MetricAlarms"]:
            return None
        alarm = answer["MetricAlarms"][0]
        found = from_aws(self.rule.fields, alarm)
        if alarm.get("Metrics"):
            found["metricQueries"] = [query_from_aws(each) for each in alarm["Metrics"]]
        found["tags"] = tags.CLOUDWATCH.of(cloud, alarm["AlarmArn"])
        return self.seen(cloud, id, found, old, arn=alarm["AlarmArn"])

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        self._put(cloud, inputs, {})
        arn = old.get("arn") or cloud.arn("cloudwatch", f"alarm:{id}")
        tags.CLOUDWATCH.change(cloud, arn, old.get("tags") or {}, inputs.get("tags") or {})
        return self.made(cloud, id, inputs, arn=arn)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        cloud.find("cloudwatch", "delete_alarms", "ResourceNotFound", AlarmNames=[id])

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["name"])

    def _put(self, cloud: Cloud, inputs: Properties, more: Properties) -> None:
        own = ("region", "tags", "metricQueries")
        fields = {name: each for name, each in self.rule.fields.items() if name not in own}
        queries = inputs.get("metricQueries")
        metrics = {"Metrics": [query_to_aws(each) for each in queries]} if queries else {}
        cloud.call("cloudwatch", "put_metric_alarm", **to_aws(fields, inputs), **metrics, **more)


def query_to_aws(query: Properties) -> Properties:
    """A metric of a query is two objects in the API and one in pulumi_aws."""
    simple = {"id": "Id", "accountId": "AccountId", "expression": "Expression", "label": "Label", "period": "Period"}
    found: Properties = {api: query[name] for name, api in simple.items() if query.get(name) is not None}
    found["ReturnData"] = query.get("returnData", False)
    if metric := query.get("metric"):
        named = {"Namespace": metric.get("namespace"), "MetricName": metric["metricName"]}
        dimensions = [{"Name": name, "Value": value} for name, value in sorted(metric.get("dimensions", {}).items())]
        found["MetricStat"] = {
            "Metric": {
                **{key: value for key, value in named.items() if value},
                **({"Dimensions": dimensions} if dimensions else {}),
            },
            "Period": metric["period"],
            "Stat": metric["stat"],
            **({"Unit": metric["unit"]} if metric.get("unit") else {}),
        }
    return found


def query_from_aws(query: Any) -> Properties:
    """The inverse of `query_to_aws`."""
    simple = {"id": "Id", "accountId": "AccountId", "expression": "Expression", "label": "Label", "period": "Period"}
    found: Properties = {name: query[api] for name, api in simple.items() if query.get(api)}
    found["returnData"] = bool(query.get("ReturnData"))
    if stat := query.get("MetricStat"):
        metric = stat["Metric"]
        values = {
            "dimensions": {each["Name"]: each["Value"] for each in metric.get("Dimensions") or ()},
            "metricName": metric["MetricName"],
            "namespace": metric.get("Namespace"),
            "period": int(stat["Period"]),
            "stat": stat["Stat"],
            "unit": stat.get("Unit"),
        }
        found["metric"] = {name: value for name, value in values.items() if value}
    return found


class Dashboard(Managed):
    type = "aws:cloudwatch/dashboard:Dashboard"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        name = inputs["dashboardName"]
        cloud.call("cloudwatch", "put_dashboard", DashboardName=name, DashboardBody=inputs["dashboardBody"])
        arn = cloud.arn("cloudwatch", f"dashboard/{name}", region=False)
        return self.made(cloud, name, inputs, dashboardArn=arn)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find(
            "cloudwatch", "get_dashboard", "ResourceNotFound", "DashboardNotFoundError", DashboardName=id
        )
        if answer is None:
            return None
        found = {"dashboardName": id, "dashboardBody": answer["DashboardBody"]}
        return self.seen(cloud, id, found, old, dashboardArn=answer["DashboardArn"])

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        return self.create(cloud, inputs, timeout)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        absent = ("ResourceNotFound", "DashboardNotFoundError")
        cloud.find("cloudwatch", "delete_dashboards", *absent, DashboardNames=[id])

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["dashboardName"])


TYPES = (MetricAlarm(), Dashboard())
