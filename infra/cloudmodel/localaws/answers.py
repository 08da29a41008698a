"""Errors in the form that the asking SDK reads, whatever the protocol of the service."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/aws4_request")


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A whole HTTP request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, environ: Mapping[str, Any], body: bytes) -> Request:
        """From a WSGI environment."""
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        }
        return cls(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""), headers, body)

    @property
    def scope(self) -> tuple[str, str, str]:
        """Access key, region and service of the signature; empty strings where it is not signed."""
        found = _SCOPE.search(self.headers.get("authorization", ""))
        return (found[1], found[2], found[3]) if found else ("", "", "")

    @property
    def operation(self) -> str:
        """The operation's name where the protocol tells it, else method and path."""
        if "x-amz-target" in self.headers:
            return self.headers["x-amz-target"].rpartition(".")[2]
        if _is_form(self):
            action = parse_qs(self.body.decode(errors="replace")).get("Action")
            if action:
                return action[0]
        return self.path.rpartition("/operation/")[2] if "/operation/" in self.path else f"{self.method} {self.path}"


def error(request: Request, status: int, code: str, message: str, **members: Any) -> Answer:
    """An AWS error; `members` are further fields of it, for the JSON protocols."""
    request_id = secrets.token_hex(16)
    headers = {"x-amzn-RequestId": request_id}
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        body = _cbor({"__type": code, "message": message})
        return Answer(status, body, {**headers, "Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"})
    if request.scope[2] == "s3":
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{request_id}</RequestId></Error>"
        ).encode()
        return Answer(status, body, {**headers, "Content-Type": "application/xml"})
    if _is_form(request):
        side = "Sender" if status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{side}</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        ).encode()
        return Answer(status, body, {**headers, "Content-Type": "text/xml"})
    document = {"__type": code, "message": message, "Message": message, **members}
    kind = "application/x-amz-json-1.1" if "x-amz-target" in request.headers else "application/json"
    headers |= {"Content-Type": kind, "x-amzn-ErrorType": code}
    return Answer(status, json.dumps(document).encode(), headers)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _cbor(document: Mapping[str, str]) -> bytes:
    """A map of text to text (RFC 8949, fewer than 24 entries)."""
    return bytes([0xA0 | len(document)]) + b"".join(_cbor_text(part) for entry in document.items() for part in entry)


def _cbor_text(text: str) -> bytes:
    raw = text.encode()
    return b"\x7a" + len(raw).to_bytes(4, "big") + raw
