"""The life of endpoints: Creating, InService, Updating, Deleting, Failed, over worker processes that really serve.

Moto keeps what Describe shows (`FakeEndpoint`); this keeps what serves (`Fleet`). Every change of either happens under
the one lock of the backends; bringing workers up and down happens in threads, without it.
"""

from __future__ import annotations

import secrets
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cloudmodel.localaws import model_data, vpc
from cloudmodel.localaws.fleet import Fleet, Variant
from cloudmodel.localaws.logs import Pump, Stream
from cloudmodel.localaws.rollout import Plan, Rollouts, Shift
from cloudmodel.localaws.serverless import OnDemand
from cloudmodel.localaws.workers import NoRoom, Order, Pool, Worker

Key = tuple[str, str, str]
"""Account, region and name of an endpoint."""

SCALED = ("Weight", "InstanceCount", "ServerlessConfig")
"""What a variant has a desired and a current value of."""
DRAIN = 70.0
REASON_LENGTH = 1024
STARTUP_TIMEOUT = 240.0


class NotReady(Exception):
    """Why an endpoint cannot serve; the message becomes its FailureReason."""


class Endpoints:
    """All endpoints of the local AWS. `lock` is the lock of moto's backends."""

    def __init__(
        self, pool: Pool, pump: Pump, lock: Any, rollouts: Rollouts, *, on_deleted: Callable[[Key], None]
    ) -> None:
        self._pool = pool
        self._pump = pump
        self._lock = lock
        self._rollouts = rollouts
        self._on_deleted = on_deleted
        self._fleets: dict[Key, Fleet] = {}
        self._shifts: dict[Key, Shift[Fleet]] = {}

    def fleet(self, key: Key) -> Fleet | None:
        """What serves the next request of an endpoint."""
        shift = self._shifts.get(key)
        return shift.fleet if shift is not None and shift.turns() else self._fleets.get(key)

    def fleets(self) -> Iterator[tuple[Key, Fleet]]:
        """All that serve, those that are on their way included. Called under the lock."""
        yield from list(self._fleets.items())
        yield from [(key, shift.fleet) for key, shift in self._shifts.items()]

    def create(self, backend: Any, endpoint: Any) -> None:
        """Begin to bring up an endpoint that moto has just made. Called under the lock, like the next three."""
        config = backend.endpoint_configs[endpoint.endpoint_config_name]
        _show(endpoint, "Creating", config)
        endpoint.production_variants = _summaries(config, current=False)
        self._begin(self._bring_up, backend, endpoint, config)

    def update(
        self, backend: Any, endpoint: Any, config: Any, retained: Mapping[str, Mapping[str, Any]], plan: Plan
    ) -> None:
        """Begin to move an endpoint to `config` as `plan` says; `retained` are fields of variants that keep their
        present value."""
        endpoint.endpoint_status = "Updating"
        endpoint.last_modified_time = _now()
        self._begin(self._move, backend, endpoint, config, retained, plan)

    def scale(self, backend: Any, endpoint: Any, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Begin to change weights and capacities: `wanted` maps a variant to some of the fields of SCALED."""
        endpoint.endpoint_status = "Updating"
        endpoint.last_modified_time = _now()
        for summary in endpoint.production_variants:
            for field, value in wanted.get(summary["VariantName"], {}).items():
                summary[f"Desired{field}"] = value
        self._begin(self._settle, backend, endpoint)

    def delete(self, backend: Any, endpoint: Any) -> None:
        """Begin to delete an endpoint."""
        endpoint.endpoint_status = "Deleting"
        endpoint.last_modified_time = _now()
        self._rollouts.interrupt()
        self._begin(self._take_down, backend, endpoint)

    def close(self) -> None:
        """Stop serving everything. Called under the lock; the processes end in the background."""
        fleets, self._fleets = self._fleets, {}
        self._shifts = {}
        self._rollouts.interrupt()
        for fleet in fleets.values():
            self._begin(self._retire, fleet)

    def _begin(self, work: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=work, args=arguments, name=work.__name__, daemon=True).start()

    def _bring_up(self, backend: Any, endpoint: Any, config: Any) -> None:
        try:
            fleet = self._fleet_of(backend, endpoint, config)
        except NotReady as problem:
            with self._lock:
                if _is_current(backend, endpoint, "Creating"):
                    _fail(endpoint, "Failed", str(problem))
            return
        with self._lock:
            wanted = _is_current(backend, endpoint, "Creating")
            if wanted:
                endpoint.production_variants = _summaries(config)
                endpoint.endpoint_status = "InService"
                endpoint.last_modified_time = _now()
                self._fleets[_key(backend, endpoint)] = fleet
        if not wanted:
            self._retire(fleet)

    def _move(
        self, backend: Any, endpoint: Any, config: Any, retained: Mapping[str, Mapping[str, Any]], plan: Plan
    ) -> None:
        def wanted() -> bool:
            return _is_current(backend, endpoint, "Updating")

        try:
            green = self._fleet_of(backend, endpoint, config)
        except NotReady as problem:
            with self._lock:
                if wanted():
                    _fail(endpoint, "InService", str(problem))
            return
        key, shift = _key(backend, endpoint), Shift(green)
        with self._lock:
            if wanted():
                self._shifts[key] = shift
        try:
            reason = self._rollouts.carry(plan, backend, endpoint, config, shift, wanted)
        except Exception as error:  # as below: it must not stay in transition for ever
            reason = f"{type(error).__name__}: {error}"
        with self._lock:
            if self._shifts.get(key) is shift:
                del self._shifts[key]
            if wanted() and reason is not None:
                endpoint.endpoint_status = "RollingBack"
            elif wanted():
                _show(endpoint, "InService", config)
                endpoint.production_variants = _summaries(config)
                for summary in endpoint.production_variants:
                    summary.update(retained.get(summary["VariantName"], {}))
                _weigh(green, endpoint)
                green, self._fleets[key] = self._fleets[key], green
        if reason is not None:
            with self._lock:
                if _is_current(backend, endpoint, "RollingBack"):
                    _fail(endpoint, "InService", reason)
        self._retire(green)  # the old one, or the new one that came too late or was sent back

    def _settle(self, backend: Any, endpoint: Any) -> None:
        with self._lock:
            if not _is_current(backend, endpoint, "Updating"):
                return
            for summary in endpoint.production_variants:
                for field in SCALED:
                    if f"Desired{field}" in summary:
                        summary[f"Current{field}"] = summary[f"Desired{field}"]
            fleet = self._fleets.get(_key(backend, endpoint))
            if fleet is not None:
                _weigh(fleet, endpoint)
            endpoint.endpoint_status = "InService"
            endpoint.last_modified_time = _now()

    def _take_down(self, backend: Any, endpoint: Any) -> None:
        key = _key(backend, endpoint)
        with self._lock:
            fleet = self._fleets.pop(key, None)
        if fleet is not None:
            self._retire(fleet)
        with self._lock:
            if _is_current(backend, endpoint, "Deleting"):
                del backend.endpoints[endpoint.endpoint_name]
                self._on_deleted(key)

    def _retire(self, fleet: Fleet) -> None:
        fleet.close(DRAIN)
        self._give_back(fleet.variants)

    def _give_back(self, variants: tuple[Variant, ...]) -> None:
        self._pump.flush()
        for variant in variants:
            variant.worker.unlisten(variant.stream)
            with self._lock:
                variant.stream.open = False
        for variant in variants:
            if isinstance(variant.worker, OnDemand):
                variant.worker.close()
            else:
                self._pool.release(variant.worker)

    def _fleet_of(self, backend: Any, endpoint: Any, config: Any) -> Fleet:
        """A fleet whose workers are all ready. Raises NotReady, and holds no worker then."""
        variants: tuple[Variant, ...] = ()
        try:
            for settings in config.production_variants:
                variants += (self._variant_of(backend, endpoint, settings),)
            for variant in variants:
                try:
                    reason = variant.worker.wait(variant.worker.order.startup_timeout)
                except NoRoom as problem:
                    raise NotReady(f"Unable to provision requested ML compute capacity: {problem}") from problem
                if reason is not None:
                    raise NotReady(
                        f"The primary container for production variant {variant.name} did not pass the ping health "
                        f"check: {reason}. Please check CloudWatch logs for this endpoint."
                    )
        except NotReady:
            self._give_back(variants)
            raise
        except Exception as error:  # a full disk, say: an endpoint must not stay in transition for ever
            self._give_back(variants)
            raise NotReady(f"{type(error).__name__}: {error}") from error
        name, capture = config.endpoint_config_name, config.data_capture_config or {}
        return Fleet(name, variants, capture, queued=bool(config.async_inference_config))

    def _variant_of(self, backend: Any, endpoint: Any, settings: Mapping[str, Any]) -> Variant:
        name = settings["VariantName"]
        with self._lock:
            model = backend._models.get(settings.get("ModelName"))
            if model is None:
                raise NotReady(f'Could not find model "{settings.get("ModelName")}".')
            if unmet := vpc.missing(backend.account_id, backend.region_name, model.vpc_config):
                raise NotReady(f"Unable to provision the network of model {model.model_name}: {unmet}.")
            container = model.primary_container or (model.containers or [{}])[0]
            try:
                data = model_data.fetch(backend.account_id, backend.partition, container)
            except model_data.NoModelData as problem:
                raise NotReady(str(problem)) from problem
        order = Order(
            data.digest,
            data.unpack,
            dict(container.get("Environment") or {}),
            startup_timeout(settings),
        )
        serverless = settings.get("ServerlessConfig")
        worker: Worker | OnDemand
        try:
            worker = OnDemand(self._pool, order, serverless) if serverless else self._pool.acquire(order)
        except NoRoom as problem:
            raise NotReady(f"Unable to provision requested ML compute capacity: {problem}") from problem
        stream = Stream(
            backend.account_id,
            backend.region_name,
            f"/aws/sagemaker/Endpoints/{endpoint.endpoint_name}",
            f"{name}/i-{secrets.token_hex(8)}1",
            self._pump,
        )
        worker.listen(stream)
        count = settings.get("InitialInstanceCount") or 1
        return Variant(name, settings.get("InitialVariantWeight", 1.0), count, worker, stream)


def startup_timeout(settings: Mapping[str, Any]) -> float:
    """Seconds within which a variant's container must turn healthy."""
    return float(settings.get("ContainerStartupHealthCheckTimeoutInSeconds") or STARTUP_TIMEOUT)


def as_float32(value: float) -> float:
    """`value` as SageMaker gives it back: the shortest decimal of the nearest 32-bit float (0.8999999761 is 0.9)."""
    stored = struct.pack("f", value)
    return next(number for digits in range(1, 18) if struct.pack("f", number := float(f"{value:.{digits}g}")) == stored)


def _key(backend: Any, endpoint: Any) -> Key:
    return backend.account_id, backend.region_name, endpoint.endpoint_name


def _is_current(backend: Any, endpoint: Any, status: str) -> bool:
    """Whether `endpoint` still is the one of its name, and nothing else began with it."""
    return backend.endpoints.get(endpoint.endpoint_name) is endpoint and endpoint.endpoint_status == status


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)  # as moto keeps its times


def _show(endpoint: Any, status: str, config: Any) -> None:
    """Let Describe tell of `config`."""
    endpoint.endpoint_status = status
    endpoint.failure_reason = None
    endpoint.pending_deployment_summary = None
    endpoint.endpoint_config_name = config.endpoint_config_name
    capture = config.data_capture_config
    status_of_capture = {
        "CaptureStatus": "Started" if capture.get("EnableCapture") else "Stopped",
        "CurrentSamplingPercentage": capture.get("InitialSamplingPercentage"),
    }
    endpoint.data_capture_config = {**capture, **status_of_capture} if capture else None
    endpoint.async_inference_config = config.async_inference_config
    endpoint.last_modified_time = _now()


def _fail(endpoint: Any, status: str, reason: str) -> None:
    endpoint.endpoint_status = status
    endpoint.failure_reason = reason[:REASON_LENGTH]
    endpoint.pending_deployment_summary = None
    endpoint.last_modified_time = _now()


def _summaries(config: Any, *, current: bool = True) -> list[dict[str, Any]]:
    """ProductionVariants of DescribeEndpoint, as a configuration begins them."""
    found = []
    for settings in config.production_variants:
        weight, count = settings.get("InitialVariantWeight", 1.0), settings.get("InitialInstanceCount")
        summary: dict[str, Any] = {
            "VariantName": settings["VariantName"],
            "DesiredWeight": weight,
            "CurrentWeight": weight if current else 0.0,
        }
        if count is not None:
            summary |= {"DesiredInstanceCount": count, "CurrentInstanceCount": count if current else 0}
        if settings.get("ServerlessConfig"):
            serverless = settings["ServerlessConfig"]
            summary |= {"DesiredServerlessConfig": serverless, "CurrentServerlessConfig": serverless}
        if settings.get("RoutingConfig"):
            summary["RoutingConfig"] = settings["RoutingConfig"]
        if current:
            images = config.images.get(settings["VariantName"], [])
            summary["DeployedImages"] = [
                {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": _now()} for image in images
            ]
        else:
            summary["VariantStatus"] = [{"Status": "Creating", "StartTime": _now()}]
        found.append(summary)
    return found


def _weigh(fleet: Fleet, endpoint: Any) -> None:
    shown = {summary["VariantName"]: summary for summary in endpoint.production_variants}
    fleet.variants = tuple(
        replace(
            variant,
            weight=shown[variant.name]["CurrentWeight"],
            instances=shown[variant.name].get("CurrentInstanceCount", variant.instances),
        )
        for variant in fleet.variants
    )
    for variant in fleet.variants:
        if isinstance(variant.worker, OnDemand):
            variant.worker.configure(shown[variant.name]["CurrentServerlessConfig"])
