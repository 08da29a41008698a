"""Moto's faults that a subclass cannot reach, mended in place; each line says what AWS does."""

from __future__ import annotations

from typing import Any


def mend(sagemaker: type, autoscaling: type) -> None:
    """Mend moto in this process, and let it answer with these two response classes. Call it once, before serving."""
    import moto.applicationautoscaling.models
    import moto.applicationautoscaling.urls
    import moto.sagemaker.models
    import moto.sagemaker.urls
    from moto.iam.access_control import IAMPolicyStatement, PermissionResult

    moto.sagemaker.urls.url_paths["{0}/$"] = sagemaker.dispatch  # type: ignore[attr-defined]
    moto.applicationautoscaling.urls.url_paths["{0}/$"] = autoscaling.dispatch  # type: ignore[attr-defined]

    # A statement whose condition is not met does not apply. Moto takes it for a denial, and so refuses every
    # PutObject under a TLS-only bucket policy.
    judge = IAMPolicyStatement.is_action_permitted

    def is_action_permitted(
        self: Any,
        action: str,
        resource: str = "*",
        principal: str | None = None,
        incoming_condition_values: dict[str, str] | None = None,
    ) -> Any:
        if not self._check_conditions(incoming_condition_values):
            return PermissionResult.NEUTRAL
        return judge(self, action, resource, principal, incoming_condition_values)

    IAMPolicyStatement.is_action_permitted = is_action_permitted  # type: ignore[method-assign]

    # Instance types are checked against botocore's present enum; moto's is a list of 2021. So are the dimensions.
    moto.sagemaker.models.FakeEndpointConfig.validate_instance_type = lambda self, instance_type: None  # type: ignore[method-assign]
    moto.applicationautoscaling.models._target_params_are_valid = lambda namespace, r_id, dimension: True
