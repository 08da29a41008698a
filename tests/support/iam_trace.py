"""A proxy before a local AWS that notes which IAM action each call needs; what asks it knows of no difference."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cloudmodel.localaws.answers import Request

PREFIXES = {"monitoring": "cloudwatch"}
"""Services whose actions are not called as their requests are signed."""
FREE = {"sts:GetCallerIdentity"}
"""Calls that need no permission."""
SUBRESOURCES = {
    "accelerate": "AccelerateConfiguration", "acl": "BucketAcl", "cors": "BucketCORS",
    "encryption": "EncryptionConfiguration", "lifecycle": "LifecycleConfiguration", "location": "BucketLocation",
    "logging": "BucketLogging", "object-lock": "BucketObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls", "policy": "BucketPolicy",
    "publicAccessBlock": "BucketPublicAccessBlock", "replication": "ReplicationConfiguration",
    "requestPayment": "BucketRequestPayment", "tagging": "BucketTagging", "versioning": "BucketVersioning",
    "website": "BucketWebsite",
}  # fmt: skip
"""S3's subresources of a bucket as its actions call them ("Actions, resources, and condition keys for Amazon S3")."""
OBJECTS = {"tagging": "s3:GetObjectTagging", "attributes": "s3:GetObjectAttributes"}


def action(request: Request) -> str:
    """The IAM action that a call needs."""
    service = request.scope[2]
    if service == "s3":
        return _s3(request)
    if "sagemaker" in service and request.path.endswith("/invocations"):
        return "sagemaker:InvokeEndpoint"
    return f"{PREFIXES.get(service, service)}:{request.operation}"


def _s3(request: Request) -> str:
    """S3 tells operations apart by method, path and query."""
    query, key = parse_qs(request.query, keep_blank_values=True), request.path.strip("/").partition("/")[2]
    if key:
        if found := [OBJECTS[name] for name in query if name in OBJECTS]:
            return found[0]
        gone = "s3:DeleteObjectVersion" if "versionId" in query else "s3:DeleteObject"
        return {"PUT": "s3:PutObject", "POST": "s3:PutObject", "DELETE": gone}.get(request.method, "s3:GetObject")
    if found := [SUBRESOURCES[name] for name in query if name in SUBRESOURCES]:
        if request.method == "DELETE" and found[0] == "BucketPolicy":
            return "s3:DeleteBucketPolicy"
        return f"s3:{'Get' if request.method == 'GET' else 'Put'}{found[0]}"
    if "versions" in query:
        return "s3:ListBucketVersions"
    if "delete" in query:
        return "s3:DeleteObjectVersion" if b"<VersionId>" in request.body else "s3:DeleteObject"
    return {"GET": "s3:ListBucket", "HEAD": "s3:ListBucket", "PUT": "s3:CreateBucket", "DELETE": "s3:DeleteBucket"}[
        request.method
    ]


class Trace:
    """What was asked for since the last `taken`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._actions: set[str] = set()
        self._lock = threading.Lock()

    def note(self, request: Request) -> None:
        with self._lock:
            self._actions.add(action(request))

    def taken(self) -> set[str]:
        """The actions so far; from here on a new set."""
        with self._lock:
            found, self._actions = self._actions, set()
        return found - FREE


@contextmanager
def traced(upstream: str) -> Iterator[Trace]:
    """A server that passes everything on to `upstream`."""
    host = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self._body()
            path, _, query = self.path.partition("?")
            headers = {name.lower(): value for name, value in self.headers.items()}
            trace.note(Request(self.command, path, query, headers, body))
            connection = http.client.HTTPConnection(host, timeout=120)
            passed = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
            connection.request(self.command, self.path, body, passed | {"Content-Length": str(len(body))})
            told = connection.getresponse()
            content = told.read()
            self.send_response(told.status)
            for name, value in told.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            raw = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                raw += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return raw

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    trace = Trace(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield trace
    server.shutdown()
    server.server_close()
