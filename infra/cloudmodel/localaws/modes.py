"""What SageMaker takes of serverless and asynchronous configurations, besides the bounds of its service model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Variant = Mapping[str, Any]


def refusal(request: Callable[[str], Any], variants: Sequence[Variant], models: Mapping[str, Any]) -> str | None:
    """Why CreateEndpointConfig is refused, or None. `request` gives its members, `models` are moto's by name."""
    serverless = [variant for variant in variants if variant.get("ServerlessConfig")]
    queued = request("AsyncInferenceConfig")
    if (serverless or queued) and (len(variants) > 1 or request("ShadowProductionVariants")):
        return f"{'A serverless' if serverless else 'An asynchronous'} endpoint has one production variant."
    if serverless and queued:
        return "AsyncInferenceConfig is not supported for serverless endpoints."
    if serverless and request("DataCaptureConfig"):
        return "DataCaptureConfig is not supported for serverless endpoints."
    return next((told for variant in serverless if (told := _of_serverless(variant, models))), None)


def _of_serverless(variant: Variant, models: Mapping[str, Any]) -> str | None:
    bounds, model = variant["ServerlessConfig"], models.get(variant.get("ModelName", ""))
    if bounds.get("ProvisionedConcurrency", 0) > bounds["MaxConcurrency"]:
        return "ProvisionedConcurrency must be less than or equal to MaxConcurrency."
    for member in (
        "ContainerStartupHealthCheckTimeoutInSeconds",
        "ModelDataDownloadTimeoutInSeconds",
        "VolumeSizeInGB",
    ):
        if variant.get(member) is not None:
            return f"{member} is not supported for serverless endpoints."
    if model is not None and (model.vpc_config or model.enable_network_isolation):
        what = "VpcConfig" if model.vpc_config else "EnableNetworkIsolation"
        return f"Serverless endpoints do not support models with {what}."
    return None


def conversion(old: Any, new: Any) -> str | None:
    """Why an endpoint of the configuration `old` cannot move to `new`, or None."""

    def serverless(config: Any) -> bool:
        return any(variant.get("ServerlessConfig") for variant in config.production_variants)

    if old is not None and serverless(new) and not serverless(old):
        return "An endpoint with instances cannot be updated to a serverless one."
    return None


def least_instances(config: Any) -> int:
    """The smallest number of instances of each variant: only an asynchronous endpoint may have none."""
    return 0 if config is not None and config.async_inference_config else 1
