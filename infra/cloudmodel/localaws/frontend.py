"""HTTP in front of the application: moto's request handler, with connections that stay open.

Werkzeug closes a connection after each request because it cannot know whether the application read the whole body.
Ours always has, and always answers with a length.
"""

from __future__ import annotations

from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler


class Handler(MotoRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet

    def run_wsgi(self) -> None:
        """Answer one request."""
        if self.headers.get("Expect", "").lower().strip() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            code, _, phrase = status.partition(" ")
            self.send_response(int(code), phrase)
            for name, value in headers:
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()

        try:
            for part in self.server.app(self.make_environ(), start_response):
                self.wfile.write(part)
            self.wfile.flush()
        except (ConnectionError, TimeoutError, ValueError) as error:
            self.close_connection = True
            self.connection_dropped(error)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Failures of the server only: a line a request would be most of the log."""
        if str(code).startswith("5"):
            super().log_request(code, size)
