"""SageMaker's control plane in moto's plugin shape: what moto lacks, and what it answers unlike AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import unquote

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import ResourceNotFound, ValidationError
from moto.sagemaker.responses import SageMakerResponse

from cloudmodel.localaws import model_data, modes, rollout
from cloudmodel.localaws.constraints import violations
from cloudmodel.localaws.endpoints import Endpoints, as_float32

IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_RETAINED = {
    "DesiredInstanceCount": ("DesiredInstanceCount", "CurrentInstanceCount"),
    "DesiredWeight": ("DesiredWeight", "CurrentWeight"),
}


class LocalSageMaker(SageMakerResponse):
    """Actions by their snake_case names, as moto finds them. `endpoints` is set where the parts meet."""

    endpoints: ClassVar[Endpoints]

    def call_action(self) -> Any:
        """Check the request against the service model first, as AWS does."""
        problem = violations("sagemaker", self._get_action(), json.loads(self.body or "{}"))
        if problem is not None:
            status, headers, body = self.serialized(ActionResult(ValidationError(problem)))
            return status, headers, body
        return super().call_action()

    # Models

    def create_model(self) -> ActionResult:
        backend, name = self.sagemaker_backend, self._get_param("ModelName")
        primary, containers = self._get_param("PrimaryContainer"), self._get_param("Containers")
        if name in backend._models:
            raise ValidationError(f'Cannot create already existing model "{backend._models[name].arn}".')
        if bool(primary) == bool(containers):
            raise ValidationError("Exactly one of PrimaryContainer and Containers is required.")
        self._check_role(self._get_param("ExecutionRoleArn"))
        for container in [primary] if primary else containers:
            self._check_container(container)
        super().create_model()
        model: Any = backend._models[name]
        for container in [model.primary_container, *model.containers]:
            if container:
                container.setdefault("Mode", "SingleModel")
        model.vpc_config = self._get_param("VpcConfig")
        model.primary_container = model.primary_container or None
        model.containers = model.containers or None
        model.enable_network_isolation = bool(self._get_param("EnableNetworkIsolation"))
        model.inference_execution_config = self._get_param("InferenceExecutionConfig")
        return ActionResult(model.response_create)

    def _check_container(self, container: Mapping[str, Any]) -> None:
        if not container.get("Image") and not container.get("ModelPackageName"):
            raise ValidationError("A container definition needs an Image or a ModelPackageName.")
        if container.get("Image") and not re.fullmatch(r"[A-Za-z0-9][\w./:@-]*", container["Image"]):
            raise ValidationError(f"Invalid image URI {container['Image']}. Please provide a valid Amazon ECR image.")
        backend = self.sagemaker_backend
        if not model_data.exists(backend.account_id, backend.partition, container):
            place = model_data.location(container)
            raise ValidationError(f"Could not find model data at {place[0] if place else ''}.")

    def _check_role(self, arn: str | None) -> None:
        from moto.iam.models import iam_backends

        backend = self.sagemaker_backend
        if arn is None:
            raise ValidationError("An execution role is required.")
        roles = iam_backends[backend.account_id][backend.partition].roles.values()
        role = next((role for role in roles if role.arn == arn), None)
        if role is None or not _trusts_sagemaker(role.assume_role_policy_document):
            raise ValidationError(
                f"Could not assume role {arn}. Please ensure that the role exists and allows principal "
                "'sagemaker.amazonaws.com' to assume the role."
            )

    # Endpoint configurations

    def create_endpoint_config(self) -> ActionResult:
        backend, name = self.sagemaker_backend, self._get_param("EndpointConfigName")
        if name in backend.endpoint_configs:
            arn = backend.endpoint_configs[name].endpoint_config_arn
            raise ValidationError(f'Cannot create already existing endpoint configuration "{arn}".')
        variants = self._get_param("ProductionVariants")
        shadows = self._get_param("ShadowProductionVariants") or []
        names = [variant["VariantName"] for variant in [*variants, *shadows]]
        if len(set(names)) != len(names):
            raise ValidationError("Variant names within an endpoint configuration must be unique.")
        for variant in [*variants, *shadows]:
            _check_variant(variant)
        if told := modes.refusal(self._get_param, variants, backend._models):
            raise ValidationError(told)
        super().create_endpoint_config()
        config: Any = backend.endpoint_configs[name]
        config.shadow_production_variants = shadows or None
        config.explainer_config = self._get_param("ExplainerConfig")
        config.execution_role_arn = self._get_param("ExecutionRoleArn")
        config.vpc_config = self._get_param("VpcConfig")
        config.enable_network_isolation = bool(self._get_param("EnableNetworkIsolation"))
        config.metrics_config = self._get_param("MetricsConfig")
        config.images = {variant["VariantName"]: _images(backend, variant["ModelName"]) for variant in variants}
        return ActionResult(config.response_create)

    def describe_endpoint_config(self) -> ActionResult:
        shown = dict(self._config(self._get_param("EndpointConfigName")).response_object)
        if not shown["DataCaptureConfig"]:
            del shown["DataCaptureConfig"]
        return ActionResult(shown)

    # Endpoints

    def create_endpoint(self) -> ActionResult:
        backend, name = self.sagemaker_backend, self._get_param("EndpointName")
        if name in backend.endpoints:
            raise ValidationError(f'Cannot create already existing endpoint "{backend.endpoints[name].arn}".')
        self._plan(self._config(self._get_param("EndpointConfigName")), {})
        answer = super().create_endpoint()
        endpoint: Any = backend.endpoints[name]
        endpoint.last_deployment_config = self._get_param("DeploymentConfig")
        self.endpoints.create(backend, endpoint)
        return answer

    def describe_endpoint(self) -> ActionResult:
        return ActionResult(self._endpoint().response_object)

    def update_endpoint(self) -> ActionResult:
        endpoint = self._endpoint()
        config = self._config(self._get_param("EndpointConfigName"))
        if endpoint.endpoint_status in IN_PROGRESS:
            raise ValidationError(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        if endpoint.endpoint_status != "InService":
            raise ValidationError(f'Cannot update endpoint "{endpoint.arn}" that is {endpoint.endpoint_status}.')
        old = self.sagemaker_backend.endpoint_configs.get(endpoint.endpoint_config_name)
        if told := modes.conversion(old, config):
            raise ValidationError(told)
        self._check_scaled_variants(endpoint, config)
        retained = self._retained(endpoint)
        kept = endpoint.last_deployment_config if self._get_param("RetainDeploymentConfig") else None
        deployment = kept or self._get_param("DeploymentConfig")
        if deployment and old and (other := _names(old) ^ _names(config)):
            raise ValidationError(
                f"The variant(s) {sorted(other)} are not in both endpoint configurations; a DeploymentConfig needs the "
                "same variant names."
            )
        plan = self._plan(config, retained, kept)
        endpoint.last_deployment_config = deployment
        self.endpoints.update(self.sagemaker_backend, endpoint, config, retained, plan)
        return ActionResult({"EndpointArn": endpoint.arn})

    def update_endpoint_weights_and_capacities(self) -> ActionResult:
        endpoint = self._endpoint()
        if endpoint.endpoint_status != "InService":
            raise ValidationError(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        known = {summary["VariantName"] for summary in endpoint.production_variants}
        wanted: dict[str, dict[str, Any]] = {}
        for entry in self._get_param("DesiredWeightsAndCapacities"):
            name = entry["VariantName"]
            if name in wanted:
                raise ValidationError(f'The variant name "{name}" was non-unique within the request.')
            if name not in known:
                raise ValidationError(
                    f'The variant name(s) "{name}" is/are not present within endpoint configuration '
                    f'"{endpoint.endpoint_config_name}".'
                )
            wanted[name] = self._capacity(endpoint, entry)
        self.endpoints.scale(self.sagemaker_backend, endpoint, wanted)
        return ActionResult({"EndpointArn": endpoint.arn})

    def _capacity(self, endpoint: Any, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What one entry of DesiredWeightsAndCapacities asks for, by the fields of a variant's summary."""
        summary = next(each for each in endpoint.production_variants if each["VariantName"] == entry["VariantName"])
        wanted: dict[str, Any] = {}
        if entry.get("DesiredWeight") is not None:
            wanted["Weight"] = as_float32(entry["DesiredWeight"])
        if entry.get("DesiredInstanceCount") is not None:
            least = modes.least_instances(self.sagemaker_backend.endpoint_configs.get(endpoint.endpoint_config_name))
            if "CurrentServerlessConfig" in summary or entry["DesiredInstanceCount"] < least:
                raise ValidationError(
                    f"The variant {entry['VariantName']} cannot have {entry['DesiredInstanceCount']} instances."
                )
            wanted["InstanceCount"] = entry["DesiredInstanceCount"]
        if entry.get("ServerlessUpdateConfig"):
            if "CurrentServerlessConfig" not in summary:
                raise ValidationError(f"The variant {entry['VariantName']} is not serverless.")
            wanted["ServerlessConfig"] = {**summary["CurrentServerlessConfig"], **entry["ServerlessUpdateConfig"]}
        return wanted

    def delete_endpoint(self) -> ActionResult:
        endpoint = self._endpoint()
        if endpoint.endpoint_status in ("Creating", "Deleting"):
            raise ValidationError(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        self.endpoints.delete(self.sagemaker_backend, endpoint)
        return EmptyResult()

    def _endpoint(self) -> Any:
        backend, name = self.sagemaker_backend, self._get_param("EndpointName")
        if name not in backend.endpoints:
            raise ValidationError(f'Could not find endpoint "{self._arn("endpoint", name)}".')
        return backend.endpoints[name]

    def _config(self, name: str) -> Any:
        backend = self.sagemaker_backend
        if name not in backend.endpoint_configs:
            raise ValidationError(f'Could not find endpoint configuration "{self._arn("endpoint-config", name)}".')
        return backend.endpoint_configs[name]

    def _arn(self, kind: str, name: str) -> str:
        backend = self.sagemaker_backend
        return f"arn:{backend.partition}:sagemaker:{backend.region_name}:{backend.account_id}:{kind}/{name}"

    def _retained(self, endpoint: Any) -> dict[str, dict[str, Any]]:
        """What variants keep through an update, as RetainAllVariantProperties and its exclusions say."""
        if not self._get_param("RetainAllVariantProperties"):
            return {}
        excluded = {entry["VariantPropertyType"] for entry in self._get_param("ExcludeRetainedVariantProperties") or []}
        kept = [field for kind, fields in _RETAINED.items() if kind not in excluded for field in fields]
        return {
            summary["VariantName"]: {field: summary[field] for field in kept if field in summary}
            for summary in endpoint.production_variants
        }

    def _plan(self, config: Any, retained: Mapping[str, Mapping[str, Any]], kept: Any = None) -> rollout.Plan:
        """How the endpoint is to move to `config`: by the request's DeploymentConfig, or by one that is kept."""
        counts = [
            retained.get(variant["VariantName"], {}).get("DesiredInstanceCount") or variant["InitialInstanceCount"]
            for variant in config.production_variants
            if variant.get("InitialInstanceCount")
        ]
        try:
            plan = rollout.plan(kept or self._get_param("DeploymentConfig"), counts)
        except rollout.Unfit as problem:
            raise ValidationError(str(problem)) from problem
        backend = self.sagemaker_backend
        known = cloudwatch_backends[backend.account_id][backend.region_name].alarms
        if missing := [name for name in plan.alarms if name not in known]:
            raise ValidationError(f"Could not find CloudWatch alarm(s) {missing}.")
        return plan

    def _check_scaled_variants(self, endpoint: Any, config: Any) -> None:
        """A variant under Application Auto Scaling can neither go nor change its instance type."""
        from moto.applicationautoscaling.models import applicationautoscaling_backends

        backend = self.sagemaker_backend
        scaled = applicationautoscaling_backends[backend.account_id][backend.region_name].targets.get(DIMENSION, {})
        new = {variant["VariantName"]: variant.get("InstanceType") for variant in config.production_variants}
        old = backend.endpoint_configs.get(endpoint.endpoint_config_name)
        for variant in old.production_variants if old else []:
            name = variant["VariantName"]
            if f"endpoint/{endpoint.endpoint_name}/variant/{name}" not in scaled:
                continue
            if new.get(name) != variant.get("InstanceType"):
                raise ValidationError(
                    f"The variant(s) [{name}] must be deregistered as scalable targets from Application Auto Scaling "
                    "before they can be removed or change their instance type."
                )

    # Tags

    def add_tags(self) -> ActionResult:
        resource = self._tagged()
        tags = {tag["Key"]: tag for tag in [*resource.tags, *self._get_param("Tags")]}
        resource.tags = list(tags.values())
        return ActionResult({"Tags": resource.tags})

    def list_tags(self) -> ActionResult:
        self._tagged()
        return super().list_tags()

    def delete_tags(self) -> ActionResult:
        self._tagged()
        return super().delete_tags()

    def _tagged(self) -> Any:
        arn = unquote(self._get_param("ResourceArn"))
        try:
            resource = self.sagemaker_backend._get_resource_from_arn(arn)
        except (AttributeError, ValueError):
            resource = None
        if resource is None:
            raise ResourceNotFound(f"Could not find resource {arn}.")
        return resource


def _check_variant(variant: dict[str, Any]) -> None:
    """Rules across the members of one variant; fills in what AWS fills in."""
    name = variant["VariantName"]
    if variant.get("ManagedInstanceScaling") and variant.get("ModelName"):
        raise ValidationError("ManagedInstanceScaling is only supported for inference component endpoints.")
    if not variant.get("ModelName"):
        raise ValidationError(f"Variant {name} has no ModelName; the local AWS has no inference components.")
    if variant.get("ServerlessConfig"):
        if variant.get("InstanceType") or variant.get("InitialInstanceCount"):
            raise ValidationError(f"Variant {name} has a ServerlessConfig and instances; only one is allowed.")
    elif not variant.get("InstanceType") or not variant.get("InitialInstanceCount"):
        raise ValidationError(f"Variant {name} needs an InstanceType and an InitialInstanceCount.")
    weight = variant.get("InitialVariantWeight")
    variant["InitialVariantWeight"] = 1.0 if weight is None else as_float32(weight)


def _names(config: Any) -> set[str]:
    return {variant["VariantName"] for variant in config.production_variants}


def _images(backend: Any, model_name: str) -> list[str]:
    model = backend._models[model_name]
    containers = [model.primary_container] if model.primary_container else model.containers or []
    return [container["Image"] for container in containers if container.get("Image")]


def _trusts_sagemaker(policy: str | Mapping[str, Any]) -> bool:
    document = json.loads(unquote(policy)) if isinstance(policy, str) else policy
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, Mapping) else []
        actions = statement.get("Action", [])
        if (
            statement.get("Effect") == "Allow"
            and "sagemaker.amazonaws.com" in ([services] if isinstance(services, str) else services)
            and {"sts:AssumeRole", "sts:*", "*"} & set([actions] if isinstance(actions, str) else actions)
        ):
            return True
    return False
