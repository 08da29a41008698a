"""Connections to one worker that are kept open between requests."""

from __future__ import annotations

import http.client
import select
import threading
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reply:
    """What a worker answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Requests to `host:port`, over open connections where there are any. Safe from several threads."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, timeout: float
    ) -> Reply:
        """One exchange. Raises OSError or http.client.HTTPException; a TimeoutError (an OSError) after `timeout` s.

        A connection that the worker closed while it was idle is replaced once; on a new one nothing is repeated.
        """
        kept = self._take()
        if kept is not None:
            try:
                return self._exchange(kept, method, path, body, headers or {}, timeout)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                pass  # it was closed between the look and the request: the worker never began to answer
        fresh = http.client.HTTPConnection(self._host, self._port)
        return self._exchange(fresh, method, path, body, headers or {}, timeout)

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.sock is not None and not _readable(connection):
                return connection
            connection.close()  # readable while nothing was asked: the other side closed it

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Reply:
        try:
            connection.timeout = timeout
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            content = answer.read()
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:
            with self._lock:
                self._idle.append(connection)
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)


def _readable(connection: http.client.HTTPConnection) -> bool:
    poller = select.poll()
    poller.register(connection.sock, select.POLLIN)
    return bool(poller.poll(0))
