"""The provider as a Pulumi plugin, `pulumi-resource-aws`, for the official engine on stacks whose target is `local`.

The engine starts it, reads the port from its standard output and holds its standard input: when the engine ends in
whatever way, the input ends, and then so does this process. An engine that is done says so with SIGINT.

It cannot reach a real account: it refuses to start unless LOCAL_URL names a loopback address, sends every call there,
and refuses a configuration that names endpoints of its own.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from cloudmodel.core.errors import UsageError
from cloudmodel.core.files import private_folder, write_text
from cloudmodel.core.resource import Checked, DiffKind, Live, Properties, Provider, ResourceFailure, ResourceNotReady
from cloudmodel.engine import urn as urns
from cloudmodel.engine.diff import changed_keys
from cloudmodel.engine.providers import ENGINE_KEYS
from cloudmodel.engine.values import parse_path, plain, with_secret_keys
from cloudmodel.engine.wire import from_struct, to_struct
from cloudmodel.program.aws.local import LOCAL_URL
from cloudmodel.provider.provider import AwsProvider

EXECUTABLE = "pulumi-resource-aws"
THREADS = 64  # the engine's --parallel decides how much really runs at once
LARGEST = 400 << 20  # Pulumi's own limit of one message
GRACE = 4.0  # seconds for calls that still run when the engine is done; it kills after 5


class Plugin(provider_pb2_grpc.ResourceProviderServicer):
    """Serves one provider over Pulumi's public protocol."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        from pulumi.runtime.proto import plugin_pb2

        return plugin_pb2.PluginInfo(version=version("pulumi-aws"))

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What runs is finished; the engine starts nothing more."""
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return _checked(self._provider.check_config(_configuration(request.news)))

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        olds = _configuration(request.old_inputs if request.HasField("old_inputs") else request.olds)
        return _difference(changed_keys(olds, _configuration(request.news)), before=False)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = _configuration(request.args)
        if inputs.get("endpoints"):
            _abort(context, ResourceFailure("aws:endpoints cannot be set: a local stack talks to the local AWS only"))
        try:
            self._provider.configure(inputs)
        except ResourceFailure as failure:
            _abort(context, failure)
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            found = self._provider.invoke(request.tok, _values(request.args))
        except ResourceFailure as failure:
            _abort(context, failure)
        answer: dict[str, Any] = {"return": to_struct(found)}
        return provider_pb2.InvokeResponse(**answer)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        olds = _values(request.olds) if request.HasField("olds") and request.olds.fields else None
        try:
            return _checked(
                self._provider.check(request.urn, _type(request.urn), olds, _values(request.news), request.randomSeed)
            )
        except ResourceFailure as failure:
            _abort(context, failure)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            found = self._provider.diff(
                request.urn, _type(request.urn), request.id,
                _values(request.old_inputs), _values(request.olds), _values(request.news),
            )  # fmt: skip
        except ResourceFailure as failure:
            _abort(context, failure)
        return _difference(found.changes, before=found.delete_before_replace)

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = _values(request.properties)
        try:
            live = self._provider.create(
                request.urn, _type(request.urn), inputs, request.timeout or None, request.preview
            )
        except ResourceFailure as failure:
            _abort(context, failure, inputs)
        return provider_pb2.CreateResponse(id=live.id, properties=_outputs(live))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs, outputs = _values(request.inputs), _values(request.properties)
        try:
            live = self._provider.read(request.urn, _type(request.urn), request.id, inputs, outputs)
        except ResourceFailure as failure:
            _abort(context, failure)
        if live is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=live.id, properties=_outputs(live), inputs=to_struct(live.inputs))

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        news = _values(request.news)
        try:
            live = self._provider.update(
                request.urn, _type(request.urn), request.id, _values(request.old_inputs), _values(request.olds), news,
                request.timeout or None, request.preview,
            )  # fmt: skip
        except ResourceFailure as failure:
            _abort(context, failure, news)
        return provider_pb2.UpdateResponse(properties=_outputs(live))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs, outputs = _values(request.old_inputs), _values(request.properties)
        try:
            self._provider.delete(request.urn, _type(request.urn), request.id, inputs, outputs, request.timeout or None)
        except ResourceFailure as failure:
            _abort(context, failure)
        return empty_pb2.Empty()


def require_loopback(url: str | None) -> str:
    """`url`, which must be http to a loopback address. Raises UsageError."""
    host = urlsplit(url or "").hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False  # a name may resolve to anything
    if not url or not loopback or urlsplit(url).scheme != "http":
        raise UsageError(
            f"{EXECUTABLE} serves stacks of the local AWS only; {url or 'nothing'} is no loopback address",
            where=LOCAL_URL,
            hint="deploy with `cloudmodel up`; for a real account pulumi installs its own aws plugin",
        )
    return url


def write_launcher(folder: Path) -> Path:
    """Put the executable that the engine starts into `folder`; returns the folder."""
    command = shlex.join([sys.executable, "-m", __name__])
    write_text(private_folder(folder) / EXECUTABLE, f'#!/bin/sh\nexec {command} "$@"\n', mode=0o700)
    return folder


def main() -> int:
    """Serve until the engine is gone."""
    try:
        url = require_loopback(os.environ.get(LOCAL_URL))
    except UsageError as refused:
        sys.stderr.write(f"{refused.message}\n")
        return refused.code
    # The engine gives us a process group of our own: a user's Ctrl-C reaches it alone, and it lets us finish what runs.
    # What comes here is its own word that it is done; one that is not heard costs each of its runs 5 seconds.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    size = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
    server = grpc.server(ThreadPoolExecutor(THREADS), options=size)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Plugin(AwsProvider(endpoint_url=url)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    signal.sigwait({signal.SIGINT})
    server.stop(GRACE).wait()
    return 0


def _end_with_the_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)  # calls that still run are of an engine that is gone


def _type(urn: str) -> str:
    return urns.split(urn).qualified_type.rsplit("$", 1)[-1]


def _values(struct: Any) -> Properties:
    values: Properties = plain(from_struct(struct))
    return values


def _configuration(struct: Any) -> Properties:
    return {key: value for key, value in _values(struct).items() if key not in ENGINE_KEYS}


def _outputs(live: Live) -> Any:
    return to_struct(with_secret_keys(live.outputs, live.secrets))


def _checked(checked: Checked) -> Any:
    failures = [
        provider_pb2.CheckFailure(property=failure.property, reason=failure.reason) for failure in checked.failures
    ]
    return provider_pb2.CheckResponse(inputs=to_struct(checked.inputs), failures=failures)


def _difference(changes: Any, *, before: bool) -> Any:
    kinds = {path: DiffKind(kind) for path, kind in changes.items()}
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if kinds else response.DIFF_NONE,
        diffs=sorted({str(parse_path(path)[0]) for path in kinds}),
        replaces=sorted(path for path, kind in kinds.items() if kind.value.endswith("-replace")),
        deleteBeforeReplace=before,
        hasDetailedDiff=True,
        detailedDiff={path: _property(kind) for path, kind in kinds.items()},
    )


def _property(kind: DiffKind) -> Any:
    return provider_pb2.PropertyDiff(
        kind=provider_pb2.PropertyDiff.Kind.Value(kind.value.upper().replace("-", "_")), inputDiff=True
    )


class _Status(grpc.Status):  # type: ignore[misc]
    """A gRPC status with details, as `context.abort_with_status` takes it."""

    def __init__(self, message: str, detail: Any | None = None) -> None:
        self.code = grpc.StatusCode.UNKNOWN
        self.details = message
        self.trailing_metadata: tuple[tuple[str, bytes], ...] = ()
        if detail is not None:
            status = status_pb2.Status(code=self.code.value[0], message=message)
            status.details.add().Pack(detail)
            self.trailing_metadata = (("grpc-status-details-bin", status.SerializeToString()),)


def _abort(context: Any, failure: ResourceFailure, inputs: Properties | None = None) -> NoReturn:
    """End the call with the failure; a resource that exists all the same is handed over with it."""
    message = failure.message + (f" ({failure.hint})" if failure.hint else "")
    detail = None
    if isinstance(failure, ResourceNotReady):
        detail = provider_pb2.ErrorResourceInitFailed(
            id=failure.live.id, properties=_outputs(failure.live), reasons=[message], inputs=to_struct(inputs or {})
        )
    context.abort_with_status(_Status(message, detail))
    raise AssertionError("abort_with_status raises")


if __name__ == "__main__":
    sys.exit(main())
