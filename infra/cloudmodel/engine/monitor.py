"""The resource monitor: Pulumi's public protocol on one side, a deployment on the other.

A plain object: every method takes `(request, context=None)`, so the SDK can call it in this process, and
`grpc_server` can serve the very same object. Errors leave as `Refusal`, which is what a gRPC client would raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, provider_pb2, resource_pb2, resource_pb2_grpc

from cloudmodel.core.errors import CloudmodelError, Unsupported
from cloudmodel.core.resource import UNKNOWN, ResourceFailure
from cloudmodel.engine import providers, wire
from cloudmodel.engine.deployment import BadRequest, Deployment
from cloudmodel.engine.goal import Goal
from cloudmodel.engine.reporting import Control, Halted, Reporter
from cloudmodel.engine.state import Resource
from cloudmodel.engine.values import plain

T = TypeVar("T")

# The name that an older SDK asks for with SupportsFeature, and the number that a newer one looks up.
FEATURES = {
    "secrets": "RESOURCE_MONITOR_FEATURE_SECRETS",
    "resourceReferences": "RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES",
    "aliasSpecs": "RESOURCE_MONITOR_FEATURE_ALIAS_SPECS",
    "deletedWith": "RESOURCE_MONITOR_FEATURE_DELETED_WITH",
}
# Known only so that the engine, and not the SDK with a hint to update a CLI, says that it does not do them.
REFUSED_FEATURES = {
    "transforms": "RESOURCE_MONITOR_FEATURE_TRANSFORMS",
    "invokeTransforms": "RESOURCE_MONITOR_FEATURE_INVOKE_TRANSFORMS",
    "parameterization": "RESOURCE_MONITOR_FEATURE_PARAMETERIZATION",
    "resourceHooks": "RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS",
    "errorHooks": "RESOURCE_MONITOR_FEATURE_ERROR_HOOKS",
    "replaceWith": "RESOURCE_MONITOR_FEATURE_REPLACE_WITH",
    "replacementTrigger": "RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER",
    "stateMigrations": "RESOURCE_MONITOR_FEATURE_STATE_MIGRATIONS",
}
# The fields of a registration that ask for what this engine does not do.
REFUSED_OPTIONS = {
    "transforms": "transforms",
    "replace_with": "the option replace_with",
    "replacement_trigger": "the option replacement_trigger",
    "hideDiffs": "the option hide_diffs",
    "envVarMappings": "the option env_var_mappings",
    "state_migrations": "state migrations",
}
SEVERITIES = ("debug", "info", "warning", "error")


class Refusal(grpc.RpcError):  # type: ignore[misc]
    """A call that the engine did not do; UNAVAILABLE makes the SDK end the program without another word."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


class Monitor:
    """Serves one evaluation of a program. `finish` is called once, when the program has asked for everything."""

    def __init__(
        self,
        deployment: Deployment,
        reporter: Reporter,
        control: Control,
        *,
        organization: str,
        parallel: int,
        finish: Callable[[], None],
    ) -> None:
        self._deployment = deployment
        self._reporter = reporter
        self._control = control
        self._organization = organization
        self._parallel = parallel
        self._finish = finish
        self.crash: BaseException | None = None

    def GetDeploymentInfo(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        settings = self._deployment.settings
        return resource_pb2.DeploymentInfo(
            project=settings.project,
            stack=settings.stack,
            organization=self._organization,
            config=dict(settings.config),
            configSecretKeys=sorted(settings.secret_keys),
            dryRun=self._deployment.executor.preview,
            parallel=self._parallel,
            supportedFeatures=[
                getattr(resource_pb2, name)
                for name in (FEATURES | REFUSED_FEATURES).values()
                if hasattr(resource_pb2, name)  # the newest are unknown to older SDKs
            ],
        )

    def SupportsFeature(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in FEATURES | REFUSED_FEATURES)

    def RegisterResource(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        def register() -> Resource:
            if request.remote or request.packageRef:
                raise Unsupported(
                    "the embedded engine does not do remote components and parameterized packages",
                    where=f"{request.type} '{request.name}'",
                    hint=providers.OFFICIAL,
                )
            for field, _ in request.ListFields():
                if field.name in REFUSED_OPTIONS:
                    self._refuse(f"{REFUSED_OPTIONS[field.name]} ({request.type} '{request.name}')")
            try:
                goal = wire.goal(request, wire.from_struct(request.object))
            except ValueError as error:
                raise BadRequest(f"{request.type} '{request.name}': {error}") from None
            return self._deployment.register(goal)

        entry = self._answer(register)
        return resource_pb2.RegisterResourceResponse(
            urn=entry.urn,
            id=entry.id,
            object=wire.to_struct(entry.outputs if entry.custom else {**entry.inputs, **entry.outputs}),
        )

    def ReadResource(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        def read() -> Resource:
            goal = Goal(
                type=request.type,
                name=request.name,
                inputs=wire.from_struct(request.properties),
                parent=request.parent,
                provider=request.provider,
                version=request.version,
                dependencies=tuple(request.dependencies),
                additional_secret_outputs=tuple(request.additionalSecretOutputs),
            )
            return self._deployment.read(goal, request.id)

        entry = self._answer(read)
        response = resource_pb2.ReadResourceResponse(urn=entry.urn, properties=wire.to_struct(entry.outputs))
        if "id" in response.DESCRIPTOR.fields_by_name:
            response.id = "" if entry.id == UNKNOWN else entry.id
        return response

    def RegisterResourceOutputs(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        self._answer(lambda: self._deployment.outputs(request.urn, wire.from_struct(request.outputs)))
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        def invoke() -> Mapping[str, Any]:
            arguments = plain(wire.from_struct(request.args))
            return self._deployment.invoke(request.tok, arguments, request.provider, request.version)

        message: Any = getattr(resource_pb2, "ResourceInvokeResponse", provider_pb2.InvokeResponse)
        return message(**{"return": wire.to_struct(self._answer(invoke))})

    def SignalAndWaitForShutdown(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        self._answer(self._finish)
        return empty_pb2.Empty()

    def RegisterStackTransform(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return self._refuse("transforms")

    def RegisterResourceHook(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return self._refuse(f"resource hooks ('{request.name}')")

    def RegisterStackInvokeTransform(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return self._refuse("transforms of invokes")

    def RegisterErrorHook(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return self._refuse("error hooks")

    def RegisterPackage(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return self._refuse(f"the parameterized package '{request.name}'")

    def ExistsResource(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return self._refuse("ExistsResource")

    def Call(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return self._refuse(f"methods of resources ({request.tok})")

    def _refuse(self, what: str) -> Any:
        error = Unsupported(f"the embedded engine does not do {what}", hint=providers.OFFICIAL)
        self._control.close(error)
        raise Refusal(grpc.StatusCode.UNAVAILABLE, error.message)

    def _answer(self, work: Callable[[], T]) -> T:
        """The result of `work`; what it raises becomes a Refusal, and the run keeps the typed error."""
        try:
            return work()
        except Refusal:
            raise
        except Halted:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "the engine has stopped this run") from None
        except CloudmodelError as error:
            self._control.close(error)
            raise Refusal(grpc.StatusCode.UNAVAILABLE, self._reporter.masker.mask(error.message)) from None
        except BadRequest as error:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, self._reporter.masker.mask(str(error))) from None
        except ResourceFailure as failure:
            raise Refusal(grpc.StatusCode.UNKNOWN, self._reporter.masker.mask(failure.message)) from None
        except BaseException as crash:
            self.crash = self.crash or crash
            self._control.close()
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "the engine broke off") from None


class InProcess(resource_pb2_grpc.ResourceMonitorStub):
    """A monitor as the stub that the SDK calls, without a channel; SDKs before 3.255 insist on the type."""

    def __init__(self, monitor: Monitor) -> None:
        for name in resource_pb2.DESCRIPTOR.services_by_name["ResourceMonitor"].methods_by_name:
            setattr(self, name, getattr(monitor, name, None))


class EngineLog:
    """The engine service: where the SDK's log lines arrive. Debug lines, four a resource, go nowhere."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._root = ""

    def Log(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        if request.severity != engine_pb2.DEBUG:
            self._reporter.say(SEVERITIES[request.severity], request.message, request.urn)
        return empty_pb2.Empty()

    def GetRootResource(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    def SetRootResource(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def StartDebugging(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def RequirePulumiVersion(self, request: Any, context: Any = None) -> Any:  # noqa: N802
        return engine_pb2.RequirePulumiVersionResponse()
