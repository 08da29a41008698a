"""Proof that an update landed: SageMaker can end an update in service and still serve what stood before.

A failed update leaves an endpoint `InService` with its old configuration and a FailureReason, or with none; tools that
wait for `InService` alone report success (D22 of the failure table: hashicorp/terraform-provider-aws#39099, #48997).
Looked at are the configuration, its models, their images and data, and what the endpoint answers to the bundle's own
golden sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import isclose
from typing import Any

from cloudmodel.bundle import golden, parity
from cloudmodel.bundle.store import open_store
from cloudmodel.core.errors import CloudmodelError, OperationFailed, RolledBack
from cloudmodel.deploy.elsewhere import other_engine
from cloudmodel.engine.run import Result
from cloudmodel.engine.state import Resource, State
from cloudmodel.engine.step import Op
from cloudmodel.engine.urn import STACK_TYPE
from cloudmodel.engine.values import plain
from cloudmodel.localaws.identity import Running
from cloudmodel.program import names
from cloudmodel.provider.cloud import LOCAL_KEY, session
from cloudmodel.settings.model import Project, StackSettings

ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
MODEL = "aws:sagemaker/model:Model"
WEIGHT, FLOAT32 = "weight", 1e-6
"""The property that others may move, and how exactly SageMaker keeps it."""
ASKED = ("realtime", "serverless")
"""The modes whose endpoints answer InvokeEndpoint."""
OWN_CREDENTIALS = ("aws:accessKey", "aws:secretKey", "aws:assumeRoles", "aws:assumeRoleWithWebIdentity")
"""Configuration of pulumi-aws by which it is somebody else than this process."""
AT_ONCE = 8
"""Endpoints that are looked at at once, as many as the engine has operations (a client keeps 10 connections)."""
ANSWER_SECONDS = 70
"""A model has 60 s for an answer, and the connection outlives it."""


@dataclass(frozen=True)
class Untrue:
    """One way in which an endpoint does not serve what the state says; `what` is the rest of a sentence about it."""

    urn: str
    endpoint: str
    property: str
    state: Any
    live: Any
    what: str


@dataclass(frozen=True)
class Proof:
    """Of one stack; `cloud` is its local AWS, None for a real account."""

    project: Project
    settings: StackSettings
    cloud: Running | None

    def require_known(self, state: State, engine: str) -> None:
        """Raise OperationFailed where the stack's endpoint stands and `state`, the one of `engine`, knows nothing of
        the stack: the state was lost, or another one is looked at, and an update would make a second key and fail at
        all that has a name."""
        if state.resources or state.pending or not self._reachable:
            return
        name = names.base(self.settings.existing.name_prefix, self.project.name, self.settings.stack)
        live = self._ask("describe_endpoint", EndpointName=name)
        if live is None or not live.get("EndpointArn"):
            return
        stack, where = self.settings.stack, str(live["EndpointArn"])
        other = self.cloud and other_engine(self.project.folder, self.project.pulumi_name, stack, engine)
        if other:
            raise OperationFailed(
                f"the endpoint {name} stands, and its state is the {other} engine's",
                where=where,
                hint=f"go on with --engine {other}; or take the state along: cloudmodel state export --stack {stack} "
                f"--engine {other} --file state.json, then: cloudmodel state import --stack {stack} --engine {engine} "
                "--file state.json",
            )
        raise OperationFailed(
            f"the endpoint {name} stands, and the state of stack {stack} knows nothing",
            where=where,
            hint=f"cloudmodel state rebuild --stack {stack}, where it is this stack's; else another "
            "name for the project or the stack",
            runbook="lost-state",
        )

    def tell_rolled_back(self, result: Result) -> None:
        """Raise RolledBack where a failed update of an endpoint left another configuration in service than it wanted.

        An update that SageMaker refused to begin is none: it is the failed operation that the run tells of.
        """
        failed = {failure.step.urn: failure for failure in result.failed if failure.step.op is Op.UPDATE}
        for entry in _endpoints(result.state):
            if entry.urn not in failed or not self._reachable:
                continue
            live = self._ask("describe_endpoint", EndpointName=entry.id)
            if live is None or live.get("EndpointStatus") != "InService":
                continue
            told = live.get("FailureReason") or "SageMaker gives no reason"
            if live.get("FailureReason") or "did not land" in failed[entry.urn].message:
                raise self._rolled_back(
                    entry.id, entry.urn, f"serves {live.get('EndpointConfigName')}, not the new configuration: {told}"
                )

    def require(self, state: State) -> tuple[str, ...]:
        """Raise RolledBack unless every endpoint of `state` is in service as `state` says, and each of its variants
        answers its bundle's golden sample. Returns as warnings what could not be looked at, and weights that somebody
        moved: an update does not bring them back."""
        found, unseen = self.serving(state)
        for each in found:
            if each.property != WEIGHT:
                raise self._rolled_back(each.endpoint, each.urn, each.what)
            unseen.append(f"endpoint {each.endpoint} {each.what}")
        return (*unseen, *(self._require_golden(state) if self.settings.mode in ASKED else ()))

    def serving(self, state: State) -> tuple[list[Untrue], list[str]]:
        """Where what is served is not what `state` says, and what could not be looked at. It only reads."""
        if not self._reachable:
            return [], ["what the endpoint serves was not looked at: the stack's credentials are pulumi-aws's own"]
        found: list[Untrue] = []
        unseen: list[str] = []
        models = {str(each.outputs.get("name")): each for each in _live(state, MODEL)}
        configurations = {str(each.outputs.get("name")): each for each in _live(state, CONFIGURATION)}

        def look(entry: Resource) -> list[Untrue | str]:
            live = self._ask("describe_endpoint", EndpointName=entry.id)
            if live is None:
                return [_unseen(entry, "it")]
            return list(self._described(entry, live, configurations, models))

        endpoints = _endpoints(state)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="landed") as pool:
            for each in (each for seen in pool.map(look, endpoints) for each in seen):
                if isinstance(each, str):
                    unseen.append(each)
                else:
                    found.append(each)
        return found, unseen

    def instances(self, state: State) -> dict[str, int]:
        """How many instances each variant of the endpoints of `state` wants now; of what cannot be asked, nothing."""
        described = [self._ask("describe_endpoint", EndpointName=entry.id) or {} for entry in _endpoints(state)]
        variants = [each for live in described for each in live.get("ProductionVariants") or ()]
        return {
            each["VariantName"]: each["DesiredInstanceCount"] for each in variants if "DesiredInstanceCount" in each
        }

    def _described(
        self,
        entry: Resource,
        live: Mapping[str, Any],
        configurations: Mapping[str, Resource],
        models: Mapping[str, Resource],
    ) -> Iterator[Untrue | str]:
        """What is untrue of an endpoint that was described as `live`; a text for what could not be looked at."""

        def untrue(property: str, wanted: Any, seen: Any, what: str) -> Untrue:
            return Untrue(entry.urn, entry.id, property, wanted, seen, what)

        wanted = str(entry.outputs.get("endpointConfigName"))
        serves, status = live.get("EndpointConfigName"), live.get("EndpointStatus")
        if status != "InService" or serves != wanted:
            why = live.get("FailureReason")
            if serves == wanted:
                yield untrue("status", "InService", status, f"is {status}" + (f": {why}" if why else ""))
            else:
                instead = f"serves {serves or 'nothing'}, not {wanted}: {why or f'it is {status}'}"
                yield untrue("configuration", wanted, serves, instead)
            return
        configuration = configurations.get(wanted)
        if configuration is None:
            return
        shown = {each["VariantName"]: each for each in live.get("ProductionVariants") or ()}
        images = {
            name: [image.get("SpecifiedImage") for image in each.get("DeployedImages") or ()]
            for name, each in shown.items()
        }
        told = self._ask("describe_endpoint_config", EndpointConfigName=wanted) or {}
        if not told:
            yield _unseen(entry, wanted)
        served = {each["VariantName"]: each.get("ModelName") for each in told.get("ProductionVariants") or ()}
        for variant in plain(configuration.inputs).get("productionVariants") or ():
            name, model = variant.get("variantName"), variant.get("modelName")
            if told and served.get(name) != model:
                yield untrue("model", model, served.get(name), f"serves {served.get(name)} in {name}, not {model}")
                continue
            weight, moved = variant.get("initialVariantWeight"), (shown.get(name) or {}).get("CurrentWeight")
            if (
                len(shown) > 1
                and moved is not None
                and weight is not None
                and not isclose(moved, weight, rel_tol=FLOAT32)
            ):
                yield untrue(
                    WEIGHT, weight, moved, f"gives {name} the weight {moved:g}, not {weight:g}: somebody moved it"
                )
            planned = plain(models[model].inputs) if model in models else {}
            container = planned.get("primaryContainer") or {}
            image, deployed = container.get("image"), images.get(name) or []
            if container and deployed and image not in deployed:
                runs = ", ".join(deployed)
                yield untrue("image", image, runs, f"runs the image {runs}, not {image}")
            described = self._ask("describe_model", ModelName=model) if container else None
            if container and described is None:
                yield _unseen(entry, f"its model {model}")
            has = (described or {}).get("PrimaryContainer") or {}
            for what, asked, given in (
                ("image", container.get("image"), has.get("Image")),
                ("data", container.get("modelDataUrl"), has.get("ModelDataUrl")),
                ("data", _planned_prefix(container), _served_prefix(has)),
            ):
                if has and asked and given != asked:
                    yield untrue(what, asked, given, f"has the model {model} with the {what} {given}, not {asked}")

    def _require_golden(self, state: State) -> Iterator[str]:
        """The sample of each bundle that the stack's outputs name, sent to the variant that serves it; yields what
        could not be asked."""
        outputs: Mapping[str, Any] = next((each.outputs for each in state.resources if each.type == STACK_TYPE), {})
        entry = next((each for each in _endpoints(state) if each.id == outputs.get("endpoint_name")), None)
        served = outputs.get("variants") or [{"bundle_digest": outputs.get("bundle_digest")}]
        for each in served:
            if entry is not None and isinstance(each.get("bundle_digest"), str):  # else a program of the user's own
                yield from self._require_answer(entry, each["bundle_digest"], each.get("name"))

    def _require_answer(self, entry: Resource, digest: str, variant: str | None) -> list[str]:
        """The golden sample of one bundle, sent to `variant`, the only one where it is None."""
        named = f" of {variant}" if variant else ""
        try:
            sample = golden.read(open_store(self.project.bundles, base=self.project.folder).get(digest))
        except CloudmodelError as error:
            return [f"the endpoint was not asked for the bundle's golden answer{named}: {error.message}"]
        if sample is None:
            return []
        how, request, expected = sample
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = (
                self._client("sagemaker-runtime")
                .invoke_endpoint(
                    EndpointName=entry.id,
                    Body=request,
                    ContentType=how.content_type,
                    Accept=how.content_type,
                    **({"TargetVariant": variant} if variant else {}),
                )["Body"]
                .read()
            )
        except ClientError as error:
            if error.response["Error"].get("Code") == "ModelError":
                words = error.response.get("OriginalMessage") or error.response["Error"].get("Message")
                raise self._rolled_back(
                    entry.id, entry.urn, f"fails on the bundle's golden sample{named}: {words}"
                ) from None
            return [f"the endpoint was not asked for the bundle's golden answer{named}: {error}"]
        except BotoCoreError as error:
            return [f"the endpoint was not asked for the bundle's golden answer{named}: {error}"]
        try:
            wanted = golden.arrays(expected)
            pair = [wanted], [golden.answered(how, answer, wanted)]
        except ValueError as error:
            raise self._rolled_back(
                entry.id, entry.urn, f"answers the bundle's golden sample{named} in another form: {error}"
            ) from None
        found = parity.compare(*pair, 1, absolute=how.absolute, relative=how.relative)
        if not found.passed:
            raise self._rolled_back(
                entry.id,
                entry.urn,
                f"answers the bundle's golden sample{named} otherwise than its model: "
                f"largest error {found.max_abs_error:.3g}",
            )
        return []

    def _rolled_back(self, endpoint: str, urn: str, what: str) -> RolledBack:
        again = f"cloudmodel up --stack {self.settings.stack}"
        return RolledBack(
            f"the update did not land: endpoint {endpoint} {what}",
            where=urn,
            hint=f"mend the bundle or its settings (or go back to the one before), then: {again} --refresh",
            runbook="silent-rollback",
        )

    @property
    def _reachable(self) -> bool:
        return self.cloud is not None or not any(self.settings.raw.get(key) for key in OWN_CREDENTIALS)

    def _ask(self, call: str, **parameters: Any) -> dict[str, Any] | None:
        """SageMaker's description; None where there is none, or where it does not say."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(self._sagemaker, call)(**parameters)
        except ClientError as error:
            if "Could not find" in str(error) and call == "describe_endpoint":
                return {"EndpointStatus": "gone"}
            return None
        except BotoCoreError:
            return None
        return answer

    @cached_property
    def _sagemaker(self) -> Any:
        """One client for all that is asked: making one costs more than the call."""
        return self._client("sagemaker")

    def _client(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        region, cloud = self.settings.region, self.cloud
        if cloud is None:
            keys = boto3.session.Session(profile_name=self.settings.raw.get("aws:profile") or None)
            return keys.client(service, region_name=region, config=Config(read_timeout=ANSWER_SECONDS))
        keys = boto3.session.Session(LOCAL_KEY, LOCAL_KEY, botocore_session=session(hermetic=True))
        config = Config(proxies={}, read_timeout=ANSWER_SECONDS)
        return keys.client(service, region_name=cloud.region, endpoint_url=cloud.endpoint_url, config=config)


def _live(state: State, type_: str) -> Iterator[Resource]:
    return (entry for entry in state.resources if entry.type == type_ and not entry.delete and entry.id)


def _endpoints(state: State) -> list[Resource]:
    return list(_live(state, ENDPOINT))


def _unseen(entry: Resource, what: str) -> str:
    return f"what {entry.id} serves could not be looked at: {what} cannot be described"


def _planned_prefix(container: Mapping[str, Any]) -> str | None:
    """Where a large bundle's files lie, as the state has it (`program/aws/endpoint.py`)."""
    sources: Sequence[Mapping[str, Any]] = (container.get("modelDataSource") or {}).get("s3DataSources") or ({},)
    prefix: str | None = sources[0].get("s3Uri")
    return prefix


def _served_prefix(container: Mapping[str, Any]) -> str | None:
    prefix: str | None = ((container.get("ModelDataSource") or {}).get("S3DataSource") or {}).get("S3Uri")
    return prefix
