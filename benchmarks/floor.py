"""The floor that an `up` is held against: its own AWS calls, recorded, made again by plain boto3.

`recording()` notes every call that botocore makes and for which resource; `Script` is what a careful person would
write with boto3: the same calls with the same parameters, a resource after what it depends on, as many threads, and
the same waits. Ids that the cloud made up (a key's, say) are taken from the new answers.

    python benchmarks/floor.py SCRIPT URL REGION      replays a saved script in a process of its own
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudmodel.engine.state import State

THREADS = 8
FIRST_PAUSE, PAUSE_FACTOR = 0.1, 1.4  # the provider's waiter
SHORTEST_ID = 8
READING = ("get_", "describe_", "list_", "head_")


@dataclass
class Call:
    """One API call. `urn` is the resource that it was made for, or a word for the run's beginning and end.

    `error` is the code of an answer that is one. `asked` counts how often a waiter asked; `until` is what it heard at
    last. `gives` are the strings of the answer that later calls need.
    """

    urn: str
    service: str
    operation: str
    parameters: dict[str, Any]
    answer: Any
    error: str = ""
    asked: int = 1
    until: dict[str, Any] = field(default_factory=dict)
    gives: set[str] = field(default_factory=set)

    @property
    def mutating(self) -> bool:
        """Whether the name does not say that it only reads."""
        return not self.operation.startswith(READING)


@contextlib.contextmanager
def recording() -> Iterator[list[Call]]:
    """The calls of this process, as they end, while the block runs."""
    from botocore import xform_name
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    from cloudmodel.provider.provider import AwsProvider
    from cloudmodel.provider.waiters import Waiter

    calls: list[Call] = []
    now = threading.local()
    send, create, until = BaseClient._make_api_call, AwsProvider.create, Waiter.until

    def creating(self: Any, urn: str, *rest: Any) -> Any:
        now.urn = urn
        try:
            return create(self, urn, *rest)
        finally:
            now.urn = None

    def waiting(self: Any, ask: Any, *, timeout: float) -> Any:
        now.waits = True
        try:
            return until(self, ask, timeout=timeout)
        finally:
            now.waits = False

    def sending(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        kept = {key: _reopenable(value) for key, value in parameters.items()}
        urn = getattr(now, "urn", None) or ("end" if any(call.urn.startswith("urn:") for call in calls) else "begin")
        call = Call(urn, self.meta.service_model.service_name, xform_name(operation), kept, {})
        try:
            call.answer = send(self, operation, parameters)
        except ClientError as error:
            call.error = error.response["Error"]["Code"]
            raise
        finally:
            _note(calls, call, waits=getattr(now, "waits", False))
        return call.answer

    BaseClient._make_api_call, AwsProvider.create, Waiter.until = sending, creating, waiting  # type: ignore[method-assign, assignment]
    try:
        yield calls
    finally:
        BaseClient._make_api_call, AwsProvider.create, Waiter.until = send, create, until  # type: ignore[method-assign]


@dataclass
class Replayed:
    """What a replay did: calls made (a wait counts once), how often waits asked, seconds spent in them."""

    calls: int = 0
    asked: int = 0
    waited: float = 0.0


@dataclass
class Script:
    """`calls` by resource, and for each resource those that must stand before it."""

    calls: dict[str, list[Call]]
    needs: dict[str, set[str]]

    @classmethod
    def of(cls, calls: list[Call], state: State) -> Script:
        """The script of an `up` that left `state`."""
        _find_ids(calls)
        by_urn: dict[str, list[Call]] = {}
        for call in calls:
            by_urn.setdefault(call.urn, []).append(call)
        needs: dict[str, set[str]] = {}
        for entry in state.resources:  # topological, so what it needs is known
            others = {entry.parent, *entry.dependencies, *sum(entry.property_dependencies.values(), ())}
            reached = {urn for other in others for urn in ({other} if other in by_urn else needs.get(other, set()))}
            needs[entry.urn] = reached
        return cls(by_urn, {urn: found for urn, found in needs.items() if urn in by_urn})

    def count(self) -> int:
        """The calls, a wait counted once."""
        return sum(map(len, self.calls.values()))

    def replay(self, url: str, region: str, threads: int = THREADS) -> Replayed:
        """Make all calls on the AWS at `url`. Raises whatever differs from the recording."""
        return _Replay(self, url, region).run(threads)


class _Replay:
    def __init__(self, script: Script, url: str, region: str) -> None:
        import boto3
        from botocore.config import Config

        from cloudmodel.provider.cloud import session

        made = boto3.session.Session("any", "any", region_name=region, botocore_session=session(hermetic=True))
        config = Config(max_pool_connections=32, proxies={}, s3={"addressing_style": "path"})
        services = {call.service for calls in script.calls.values() for call in calls}
        self._clients = {name: made.client(name, endpoint_url=url, config=config) for name in sorted(services)}
        self._script = script
        self._ids: dict[str, str] = {}
        self._done = Replayed()
        self._lock = threading.Lock()

    def run(self, threads: int) -> Replayed:
        sorter = TopologicalSorter(self._script.needs)
        sorter.prepare()
        finished: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()

        def work(urn: str) -> None:
            try:
                self._resource(urn)
                finished.put((urn, None))
            except BaseException as error:
                finished.put((urn, error))

        self._resource("begin")
        with ThreadPoolExecutor(threads) as pool:
            while sorter.is_active():
                for urn in sorter.get_ready():
                    pool.submit(work, urn)
                urn, error = finished.get()
                if error is not None:
                    raise error
                sorter.done(urn)
        self._resource("end")
        return self._done

    def _resource(self, urn: str) -> None:
        for call in self._script.calls.get(urn, ()):
            asked, waited = self._call(call)
            with self._lock:
                self._done.calls += 1
                self._done.asked += asked
                self._done.waited += waited

    def _call(self, call: Call) -> tuple[int, float]:
        began, asked, pause = time.monotonic(), 1, FIRST_PAUSE
        answer = self._send(call)
        while any(answer.get(key) != value for key, value in call.until.items()):
            time.sleep(pause)
            pause *= PAUSE_FACTOR
            asked += 1
            answer = self._send(call)
        for old, new in _pairs(call.answer, answer) if call.gives else ():
            if old in call.gives and old != new:
                self._ids[old] = new
        return asked, time.monotonic() - began if asked > 1 else 0.0

    def _send(self, call: Call) -> Any:
        from botocore.exceptions import ClientError

        parameters = _substituted(call.parameters, self._ids) if self._ids else call.parameters
        with contextlib.ExitStack() as files:
            for name, value in parameters.items():
                if isinstance(value, Path):
                    parameters = {**parameters, name: files.enter_context(value.open("rb"))}
            try:
                answer = getattr(self._clients[call.service], call.operation)(**parameters)
            except ClientError as error:
                if error.response["Error"]["Code"] != call.error:
                    raise
                return {}
        assert not call.error, f"{call.operation} failed with {call.error} when it was recorded, and now it did not"
        return answer


def standing(url: str, region: str) -> dict[str, list[str]]:
    """What stands in the AWS at `url`, by kind; of a key only that it is there, because AWS makes its name up."""
    import boto3

    def client(service: str) -> Any:
        return boto3.client(
            service, endpoint_url=url, region_name=region, aws_access_key_id="any", aws_secret_access_key="any"
        )

    def names(service: str, operation: str, items: str, name: str, **arguments: Any) -> list[str]:
        pages = client(service).get_paginator(operation).paginate(**arguments)
        return sorted(each[name] for page in pages for each in page[items])

    def versions(bucket: str) -> list[str]:
        return names("s3", "list_object_versions", "Versions", "Key", Bucket=bucket)

    kms, scaling = client("kms"), {"ServiceNamespace": "sagemaker"}
    states = [kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"] for each in kms.list_keys()["Keys"]]
    buckets = [each["Name"] for each in client("s3").list_buckets()["Buckets"]]
    return {
        "buckets": buckets,
        "objects": [key for each in buckets for key in versions(each)],
        "keys": [each["KeyState"] for each in states if each["KeyManager"] == "CUSTOMER"],
        "aliases": [each for each in names("kms", "list_aliases", "Aliases", "AliasName") if "alias/aws/" not in each],
        "roles": names("iam", "list_roles", "Roles", "RoleName"),
        "models": names("sagemaker", "list_models", "Models", "ModelName"),
        "configurations": names("sagemaker", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        "endpoints": names("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
        "targets": names(
            "application-autoscaling", "describe_scalable_targets", "ScalableTargets", "ResourceId", **scaling
        ),
        "policies": names(
            "application-autoscaling", "describe_scaling_policies", "ScalingPolicies", "PolicyName", **scaling
        ),
        "alarms": names("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "log groups": names("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "topics": names("sns", "list_topics", "Topics", "TopicArn"),
    }  # fmt: skip


def _note(calls: list[Call], call: Call, *, waits: bool) -> None:
    """Add `call`; the questions of one wait become one call."""
    if waits:
        call.until = {key: value for key, value in call.answer.items() if key.endswith("Status")}
        mine = next((each for each in reversed(calls) if each.urn == call.urn), None)
        if mine and mine.until and (mine.operation, mine.parameters) == (call.operation, call.parameters):
            mine.answer, mine.until, mine.asked = call.answer, call.until, mine.asked + 1
            return
    calls.append(call)


def _reopenable(value: Any) -> Any:
    """A parameter that can be used again: an open file by its path, a buffer by its content."""
    if hasattr(value, "getvalue"):
        return value.getvalue()
    return Path(value.name) if hasattr(value, "read") else value


def _find_ids(calls: list[Call]) -> None:
    """Fill `gives` of every call: the strings of its answer that a later call sends."""
    later = ""
    for call in reversed(calls):
        answer = {key: value for key, value in call.answer.items() if key != "ResponseMetadata"}
        call.answer = answer
        call.gives = {old for old, _ in _pairs(answer, answer) if len(old) >= SHORTEST_ID and old in later}
        later += "\n".join(old for old, _ in _pairs(call.parameters, call.parameters)) + "\n"


def _pairs(old: Any, new: Any) -> Iterator[tuple[str, str]]:
    """The strings of two answers of the same shape, side by side."""
    if isinstance(old, str) and isinstance(new, str):
        yield old, new
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in old:
            yield from _pairs(old[key], new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        for one, other in zip(old, new, strict=False):
            yield from _pairs(one, other)


def _substituted(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for old in sorted(ids, key=len, reverse=True):
            value = value.replace(old, ids[old])
        return value
    if isinstance(value, dict):
        return {key: _substituted(each, ids) for key, each in value.items()}
    return [_substituted(each, ids) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.modules["floor"] = sys.modules["__main__"]  # the script was pickled under that name
    pickle.loads(Path(sys.argv[1]).read_bytes()).replay(sys.argv[2], sys.argv[3])
