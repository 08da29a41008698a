"""Moto's faults that a subclass cannot reach, mended in place; each comment says what AWS does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

# What policies may ask of a request here. The local AWS stands for AWS's TLS addresses.
CONTEXT = {"aws:securetransport": "true"}
_OPERATORS: Mapping[str, Callable[[str, list[str]], bool]] = {
    "Bool": lambda actual, expected: actual.lower() in [value.lower() for value in expected],
    "StringEquals": lambda actual, expected: actual in expected,
    "StringNotEquals": lambda actual, expected: actual not in expected,
    "StringLike": lambda actual, expected: any(fnmatchcase(actual, value) for value in expected),
}


def applies(conditions: Mapping[str, Mapping[str, Any]], incoming: Mapping[str, str]) -> bool:
    """Whether a statement with these conditions applies to a request that brings `incoming`.

    A key or an operator that is not known here does not apply: a policy that nobody can judge refuses nothing.
    """
    context = {**CONTEXT, **{key.lower(): value for key, value in incoming.items()}}
    for operator, keys in conditions.items():
        for key, value in keys.items():
            expected = [str(entry) for entry in (value if isinstance(value, list) else [value])]
            actual = context.get(key.lower())
            test = _OPERATORS.get(operator)
            if actual is None or test is None or not test(actual, expected):
                return False
    return True


def mend(sagemaker: type, autoscaling: type, cloudwatch: type) -> None:
    """Mend moto in this process, and let it answer with these response classes. Call it once, before serving."""
    import moto.applicationautoscaling.models
    import moto.applicationautoscaling.urls
    import moto.cloudwatch.urls
    import moto.s3.models
    import moto.sagemaker.models
    import moto.sagemaker.urls
    from moto.iam.access_control import IAMPolicyStatement, PermissionResult
    from moto.logs.exceptions import ResourceNotFoundException
    from moto.logs.responses import LogsResponse

    from cloudmodel.localaws.outbox import mend_topics

    moto.sagemaker.urls.url_paths["{0}/$"] = sagemaker.dispatch  # type: ignore[attr-defined]
    moto.applicationautoscaling.urls.url_paths["{0}/$"] = autoscaling.dispatch  # type: ignore[attr-defined]
    moto.cloudwatch.urls.url_paths["{0}/$"] = cloudwatch.dispatch  # type: ignore[attr-defined]

    # A statement whose condition is not met does not apply. Moto takes operators that it does not know, Bool among
    # them, for met, and unmet ones for a denial: under a TLS-only bucket policy it refuses every PutObject.
    judge = IAMPolicyStatement.is_action_permitted

    def is_action_permitted(
        self: Any,
        action: str,
        resource: str = "*",
        principal: str | None = None,
        incoming_condition_values: dict[str, str] | None = None,
    ) -> Any:
        if not applies(self._statement.get("Condition") or {}, incoming_condition_values or {}):
            return PermissionResult.NEUTRAL
        return judge(self, action, resource, principal, incoming_condition_values)

    IAMPolicyStatement.is_action_permitted = is_action_permitted  # type: ignore[method-assign]

    mend_identity_providers()
    mend_topics()
    mend_statistics()

    # A log group gets another key, or none. Moto takes a key with a new group only.
    def associate(key: str | None) -> Callable[[Any], str]:
        def action(self: Any) -> str:
            group = self.logs_backend.groups.get(self._get_param("logGroupName"))
            if group is None:
                raise ResourceNotFoundException()
            group.kms_key_id = self._get_param(key) if key else None
            return ""

        return action

    LogsResponse.associate_kms_key = associate("kmsKeyId")  # type: ignore[attr-defined]
    LogsResponse.disassociate_kms_key = associate(None)  # type: ignore[attr-defined]

    # Instance types are checked against botocore's present enum; moto's is a list of 2021. So are the dimensions.
    moto.sagemaker.models.FakeEndpointConfig.validate_instance_type = lambda self, instance_type: None  # type: ignore[method-assign]
    moto.applicationautoscaling.models._target_params_are_valid = lambda namespace, r_id, dimension: True

    # The last deletion of a version also frees the delete markers of its key, which moto's markers do not expect.
    moto.s3.models.FakeDeleteMarker.dispose = lambda self: None  # type: ignore[attr-defined]


def mend_identity_providers() -> None:
    """Let moto add and remove an identity provider's client ids, which it has no calls for."""
    from moto.core.responses import EmptyResult
    from moto.iam.responses import IamResponse

    def provider(self: Any) -> Any:
        return self.backend.get_open_id_connect_provider(self._get_param("OpenIDConnectProviderArn"))

    def add(self: Any) -> Any:
        found, client = provider(self), self._get_param("ClientID")
        if client not in found.client_id_list:
            found.client_id_list.append(client)
        return EmptyResult()

    def remove(self: Any) -> Any:
        found, client = provider(self), self._get_param("ClientID")
        found.client_id_list[:] = [each for each in found.client_id_list if each != client]
        return EmptyResult()

    for name, call in (("add_client_id_to", add), ("remove_client_id_from", remove)):
        setattr(IamResponse, f"{name}_open_id_connect_provider", call)


def mend_statistics() -> None:
    """GetMetricStatistics asks for a metric of exactly these dimensions. Moto takes those that have more of them in,
    too: an endpoint's counts twice, since they are told for its configuration as well."""
    from moto.cloudwatch.models import MetricDatumBase

    fits = MetricDatumBase.filter

    def exactly(self: Any, namespace: Any, name: Any, dimensions: Any, already_present_metrics: Any = None) -> bool:
        listed = already_present_metrics is not None  # by ListMetrics, where more are welcome
        if not listed and len(self.dimensions) != len(dimensions):
            return False
        return fits(self, namespace, name, dimensions, already_present_metrics)

    MetricDatumBase.filter = exactly  # type: ignore[method-assign]
