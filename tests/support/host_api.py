"""An HTTP server in the place of a code host's API. What it answers is the host's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, TypeVar


class Redirect(str):
    """Where it lies."""


class Host(Protocol):
    """`answer` gives JSON, the bytes of a file, a Redirect, None for what is not there; `url` is where it listens."""

    url: str

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Any: ...


Served = TypeVar("Served", bound=Host)


@contextmanager
def serving(host: Served) -> Iterator[Served]:
    """`host` over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = host.answer(self.command, self.path, dict(self.headers), content)
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(404 if found is None else 302 if isinstance(found, Redirect) else 200)
            if isinstance(found, Redirect):
                self.send_header("Location", found)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = _do  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host.url = f"http://127.0.0.1:{server.server_port}"
    yield host
    server.shutdown()
    server.server_close()
