"""Application Auto Scaling for endpoints in moto's plugin shape: what moto accepts, forgets or lacks."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from moto.applicationautoscaling.exceptions import AWSValidationException
from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.exceptions import JsonRESTError

from cloudmodel.localaws.constraints import violations
from cloudmodel.localaws.endpoints import Key
from cloudmodel.localaws.modes import least_instances
from cloudmodel.localaws.scaler import Scaler

SERVICE = "application-autoscaling"


class NotFound(JsonRESTError):
    """ObjectNotFoundException, as the service answers for a target or policy that is not there."""

    def __init__(self, message: str) -> None:
        super().__init__("ObjectNotFoundException", message)


class LocalAutoScaling(ApplicationAutoScalingResponse):
    """Actions by their snake_case names, as moto finds them. `scaler` is set where the parts meet."""

    scaler: ClassVar[Scaler]

    def _validate_params(self) -> None:
        """Moto's own checks know an old list of dimensions; `call_action` has checked everything."""

    def call_action(self) -> Any:
        """Check the request against the service model first, as AWS does."""
        problem = violations(SERVICE, self._get_action(), json.loads(self.body or "{}"))
        if problem is not None:
            return (
                400,
                {**self.response_headers, "Content-Type": "application/x-amz-json-1.1"},
                json.dumps({"__type": "ValidationException", "message": problem}),
            )
        return super().call_action()

    def register_scalable_target(self) -> str:
        request = self._request
        backend = self.applicationautoscaling_backend
        if request["ServiceNamespace"] == "sagemaker":
            self._check_variant(request["ResourceId"])
        known = backend.targets.get(request["ScalableDimension"], {}).get(request["ResourceId"])
        least = request.get("MinCapacity", known.min_capacity if known else None)
        most = request.get("MaxCapacity", known.max_capacity if known else None)
        if least is None or most is None:
            raise AWSValidationException("Minimum and maximum capacity are required to register a scalable target.")
        if most < least:
            raise AWSValidationException("Maximum capacity cannot be less than minimum capacity")
        answer: str = super().register_scalable_target()
        target: Any = backend.targets[request["ScalableDimension"]][request["ResourceId"]]
        target.tags = {**getattr(target, "tags", {}), **request.get("Tags", {})}
        return answer

    def deregister_scalable_target(self) -> str:
        self._target()
        request = self._request
        answer: str = super().deregister_scalable_target()
        forget_policies(self.applicationautoscaling_backend, request["ResourceId"], request["ScalableDimension"])
        return answer

    def put_scaling_policy(self) -> str:
        self._target()
        answer: str = super().put_scaling_policy()
        return answer

    def describe_scaling_policies(self) -> str:
        """Moto does not look at PolicyNames: it answers with all policies of the target."""
        names = self._request.get("PolicyNames")
        answer = json.loads(super().describe_scaling_policies())
        answer["ScalingPolicies"] = [
            each for each in answer["ScalingPolicies"] if not names or each["PolicyName"] in names
        ]
        return json.dumps(answer)

    def put_scheduled_action(self) -> str:
        self._target()
        answer: str = super().put_scheduled_action()
        return answer

    def delete_scaling_policy(self) -> str:
        try:
            answer: str = super().delete_scaling_policy()
        except AWSValidationException as error:
            raise NotFound(error.message) from error
        return answer

    def describe_scaling_activities(self) -> str:
        found = self.scaler.activities(self.current_account, self.region, self._request.get("ResourceId"))
        return json.dumps({"ScalingActivities": found})

    def tag_resource(self) -> str:
        target = self._tagged()
        target.tags = {**getattr(target, "tags", {}), **self._request["Tags"]}
        return "{}"

    def untag_resource(self) -> str:
        target, gone = self._tagged(), self._request["TagKeys"]
        target.tags = {key: value for key, value in getattr(target, "tags", {}).items() if key not in gone}
        return "{}"

    def list_tags_for_resource(self) -> str:
        return json.dumps({"Tags": getattr(self._tagged(), "tags", {})})

    @property
    def _request(self) -> dict[str, Any]:
        request: dict[str, Any] = json.loads(self.body)
        return request

    def _target(self) -> Any:
        request = self._request
        namespace, resource, dimension = (
            request["ServiceNamespace"], request["ResourceId"], request["ScalableDimension"],
        )  # fmt: skip
        target = self.applicationautoscaling_backend.targets.get(dimension, {}).get(resource)
        if target is None:
            raise NotFound(
                f"No scalable target registered for service namespace: {namespace}, resource ID: {resource}, "
                f"scalable dimension: {dimension}"
            )
        return target

    def _tagged(self) -> Any:
        arn = self._request["ResourceARN"]
        for targets in self.applicationautoscaling_backend.targets.values():
            for target in targets.values():
                if target.arn == arn:
                    return target
        raise NotFound(f"No scalable target found for ARN: {arn}")

    def _check_variant(self, resource: str) -> None:
        from moto.sagemaker.models import sagemaker_backends

        backend = sagemaker_backends[self.current_account][self.region]
        kind, _, rest = resource.partition("/")
        name, _, variant = rest.partition("/variant/")
        endpoint: Any = backend.endpoints.get(name)
        variants = endpoint.production_variants if endpoint is not None and kind == "endpoint" else []
        if all(summary["VariantName"] != variant for summary in variants):
            raise AWSValidationException(f"Could not find an endpoint and variant for resource ID: {resource}")
        config = backend.endpoint_configs.get(endpoint.endpoint_config_name)
        for settings in config.production_variants if config else []:
            if settings["VariantName"] == variant and settings.get("InstanceType", "").startswith("ml.t"):
                raise AWSValidationException(f"Automatic scaling does not support {settings['InstanceType']}.")
            if settings["VariantName"] == variant:
                self._check_dimension(config, settings)

    def _check_dimension(self, config: Any, settings: dict[str, Any]) -> None:
        """A dimension is for variants that have it; only an asynchronous endpoint scales to nothing."""
        request, serverless = self._request, settings.get("ServerlessConfig") or {}
        provisioned = request["ScalableDimension"].endswith(":DesiredProvisionedConcurrency")
        if provisioned != bool(serverless.get("ProvisionedConcurrency")):
            raise AWSValidationException(
                f"The variant {settings['VariantName']} has no {request['ScalableDimension'].rpartition(':Desired')[2]}"
            )
        least = 1 if provisioned else least_instances(config)
        if request.get("MinCapacity", least) < least:
            raise AWSValidationException(f"Minimum capacity must be at least {least} for {request['ResourceId']}")


def forget_endpoint(key: Key) -> None:
    """What Application Auto Scaling does when an endpoint is deleted: its targets and policies go, silently."""
    account, region, name = key
    backend = applicationautoscaling_backends[account][region]
    for dimension, targets in backend.targets.items():
        for resource in [resource for resource in targets if resource.startswith(f"endpoint/{name}/variant/")]:
            del targets[resource]
            forget_policies(backend, resource, dimension)


def forget_policies(backend: Any, resource: str, dimension: str) -> None:
    """Drop the policies and scheduled actions of a target that is gone."""
    for policy_key, policy in list(backend.policies.items()):
        if policy.resource_id == resource and policy.scalable_dimension == dimension:
            policy.delete_alarms(backend.account_id, backend.region_name)
            del backend.policies[policy_key]
    backend.scheduled_actions = [
        action
        for action in backend.scheduled_actions
        if (action.resource_id, action.scalable_dimension) != (resource, dimension)
    ]
