"""One prediction over HTTP, from a server that answers as SageMaker's runtime does; boto3 reads the answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudmodel.core.errors import (
    CloudmodelError,
    CredentialsMissing,
    InvocationFailed,
    LocalCloudUnavailable,
    UsageError,
)
from cloudmodel.operate import invoke as subject
from cloudmodel.operate.invoke import Address, Answer, content_type_of, invoke

JSON = "application/json"


@dataclass
class Runtime:
    """The next answer of the server, and the requests it got."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    @property
    def address(self) -> Address:
        return Address("eu-west-1", self.url)


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    """A server on this machine that answers POST as the test says."""
    state = Runtime()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.path, headers, content))
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield state
        server.shutdown()
        thread.join()


def refused(runtime: Runtime, status: int, code: str, **fields: object) -> CloudmodelError:
    runtime.status = status
    runtime.headers = {"Content-Type": JSON, "x-amzn-ErrorType": code}
    runtime.body = json.dumps(fields).encode()
    with pytest.raises(CloudmodelError) as raised:
        invoke(runtime.address, "digits", b"{}", content_type=JSON, accept=JSON)
    return raised.value


def test_the_answer_has_status_type_body_latency_and_variant(runtime: Runtime) -> None:
    runtime.headers = {"Content-Type": JSON, "x-Amzn-Invoked-Production-Variant": "blue"}
    runtime.body = b'{"outputs": {"y": [1.5]}}'
    answer = invoke(runtime.address, "digits", b"\x93NUMPY", content_type="application/x-npy", accept=JSON)
    document = answer.as_json()
    assert document.pop("latency_ms") > 0
    assert document == {
        "status": 200, "content_type": JSON, "body": {"outputs": {"y": [1.5]}}, "variant": "blue",
    }  # fmt: skip
    ((path, headers, body),) = runtime.requests
    assert path == "/endpoints/digits/invocations"
    assert headers["content-type"] == "application/x-npy"
    assert headers["accept"] == JSON
    assert body == b"\x93NUMPY"


def test_the_users_configuration_never_reaches_the_local_aws(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile work]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = work\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAREALREALREALREAL",
        "AWS_SECRET_ACCESS_KEY": "a real secret",
        "AWS_SESSION_TOKEN": "a real token",
        "AWS_PROFILE": "work",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    invoke(runtime.address, "digits", b"{}", content_type=JSON, accept=JSON)
    sent = json.dumps(runtime.requests[0][1])
    assert "real" not in sent.lower()
    assert "Credential=local/" in sent


def test_the_models_own_status_and_message_are_told(runtime: Runtime) -> None:
    error = refused(
        runtime, 424, "ModelError", OriginalStatusCode=400, OriginalMessage='{"error": "expected float32 [n, 1, 8, 8]"}'
    )
    assert isinstance(error, InvocationFailed)
    assert error.message == "the model answered 400: expected float32 [n, 1, 8, 8]"
    assert error.where == "digits"
    assert error.details == {
        "status": 424, "original_status": 400, "original_message": "expected float32 [n, 1, 8, 8]",
    }  # fmt: skip


@pytest.mark.parametrize("said", ["plain text", "{", "[1]", '{"error": 5}', ""])
def test_a_model_may_say_anything(runtime: Runtime, said: str) -> None:
    error = refused(runtime, 424, "ModelError", OriginalStatusCode=500, OriginalMessage=said, Message="it failed")
    assert (said or "it failed") in error.message


def test_an_endpoint_that_is_not_there_has_a_next_command(runtime: Runtime) -> None:
    error = refused(runtime, 400, "ValidationError", message="Endpoint digits of account 1 not found.")
    assert isinstance(error, InvocationFailed)
    assert error.hint == "cloudmodel up"


def test_what_is_refused_for_another_reason_has_one_too(runtime: Runtime) -> None:
    error = refused(runtime, 400, "ValidationError", message="Variant b does not exist.")
    assert isinstance(error, InvocationFailed)
    assert error.hint == "wait, or mend what it names, then run the same command again"


@pytest.mark.parametrize("code", subject.REFUSED)
def test_refused_credentials_end_with_3(runtime: Runtime, code: str) -> None:
    error = refused(runtime, 403, code, message="no")
    assert isinstance(error, CredentialsMissing)
    assert error.code == 3


def test_no_credentials_for_a_real_account_end_with_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CredentialsMissing):
        invoke(Address("eu-west-1"), "digits", b"{}", content_type=JSON, accept=JSON)


def test_a_dead_local_aws_is_told(runtime: Runtime) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_address[1]
    with pytest.raises(LocalCloudUnavailable) as raised:
        invoke(Address("eu-west-1", f"http://127.0.0.1:{port}"), "digits", b"", content_type=JSON, accept=JSON)
    assert raised.value.hint == "cloudmodel up --stack local"


def test_a_request_over_the_limit_is_refused_before_it_is_sent(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MAX_PAYLOAD", 3)
    invoke(runtime.address, "digits", b"123", content_type=JSON, accept=JSON)
    with pytest.raises(UsageError):
        invoke(runtime.address, "digits", b"1234", content_type=JSON, accept=JSON)
    assert len(runtime.requests) == 1


def test_the_suffix_decides_the_content_type() -> None:
    assert content_type_of(Path("a/b.NPY")) == "application/x-npy"
    assert content_type_of(Path("a.tar.json")) == JSON
    with pytest.raises(UsageError) as raised:
        content_type_of(Path("photo.heic"))
    assert "--content-type" in str(raised.value.hint)


@given(st.binary(), st.sampled_from([JSON, "text/csv", "application/x-npy", "", "application/problem+json"]))
@example(b"1e999", JSON)
@example(b"[NaN]", JSON)
@example(b'"\\ud800"', JSON)
@example(b"[" * 100_000, JSON)
def test_every_body_fits_into_a_document(body: bytes, content_type: str) -> None:
    document = Answer(200, content_type, body, 1.0, None).as_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    if document.get("encoding") == "base64":
        assert base64.b64decode(document["body"]) == body
    elif isinstance(document["body"], str) and content_type != JSON and not content_type.endswith("+json"):
        assert document["body"].encode() == body
