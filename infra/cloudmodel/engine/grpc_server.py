"""Serves a monitor and an engine object over gRPC on this machine, for a program that talks to addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from pulumi.runtime.proto import engine_pb2_grpc, resource_pb2_grpc

MESSAGE_SIZE = 400 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", MESSAGE_SIZE), ("grpc.so_reuseport", 0)]


class Served:
    """Every method of `target`, with its RpcErrors sent to the caller as code and details."""

    def __init__(self, target: object) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Callable[[Any, Any], Any]:
        def call(request: Any, context: Any) -> Any:
            method: Callable[[Any, Any], Any] | None = getattr(self._target, name, None)
            if method is None:
                return context.abort(grpc.StatusCode.UNIMPLEMENTED, name)
            try:
                return method(request, context)
            except grpc.RpcError as refused:
                return context.abort(refused.code(), refused.details())

        return call


@contextmanager
def serving(monitor: object, engine: object, threads: int) -> Iterator[str]:
    """The address of both services while the block runs."""
    server = grpc.server(ThreadPoolExecutor(threads, thread_name_prefix="grpc"), options=OPTIONS)
    served: tuple[Any, Any] = (Served(monitor), Served(engine))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(served[0], server)
    engine_pb2_grpc.add_EngineServicer_to_server(served[1], server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=1).wait()
