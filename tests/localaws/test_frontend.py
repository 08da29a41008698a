"""HTTP as raw bytes: connections that stay open, bodies of every form, requests that are no requests."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=key/20260101/eu-west-1/{}/aws4_request, SignedHeaders=host, Signature=0"


@pytest.fixture
def wire(cloud: Any) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(cloud.running.endpoint_url.removeprefix("http://"), timeout=30)
    yield connection
    connection.close()


def ask(wire: http.client.HTTPConnection, method: str, path: str, **settings: Any) -> tuple[int, bytes]:
    wire.request(method, path, **settings)
    answer = wire.getresponse()
    return answer.status, answer.read()


def test_one_connection_carries_many_requests(wire: http.client.HTTPConnection) -> None:
    for _ in range(5):
        status, body = ask(wire, "GET", "/_cloudmodel/status")
        assert status == 200
        assert json.loads(body)["region"] == "eu-west-1"
        first = wire.sock.getsockname()
    assert wire.sock.getsockname() == first


def test_a_body_in_chunks_arrives_whole(cloud: Any, wire: http.client.HTTPConnection) -> None:
    bucket = cloud.upload(b"x").split("/")[2]
    headers = {"Authorization": AUTHORIZATION.format("s3")}
    status, _ = ask(wire, "PUT", f"/{bucket}/chunked", body=iter([b"one ", b"two"]), headers=headers)
    assert status == 200
    assert cloud.s3.get_object(Bucket=bucket, Key="chunked")["Body"].read() == b"one two"


def test_a_request_cut_short_stores_nothing(cloud: Any) -> None:
    bucket = cloud.upload(b"x").split("/")[2]
    host, port = cloud.running.endpoint_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(
            f"PUT /{bucket}/cut HTTP/1.1\r\nHost: {host}\r\nAuthorization: {AUTHORIZATION.format('s3')}\r\n"
            "Content-Length: 100\r\n\r\nonly this".encode()
        )
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(100) == b""
    assert [entry["Key"] for entry in cloud.s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["models/model.tar.gz"]


def test_head_has_a_length_and_no_body(cloud: Any, wire: http.client.HTTPConnection) -> None:
    bucket = cloud.upload(b"12345").split("/")[2]
    wire.request("HEAD", f"/{bucket}/models/model.tar.gz", headers={"Authorization": AUTHORIZATION.format("s3")})
    answer = wire.getresponse()
    assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, "5", b"")
    assert ask(wire, "GET", "/_cloudmodel/status")[0] == 200


@pytest.mark.parametrize("length", ["-5", "many", "99999999999999999999"])
def test_a_length_that_is_none_ends_the_connection_only(cloud: Any, length: str) -> None:
    host, port = cloud.running.endpoint_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(f"PUT /b/k HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n".encode())
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(100) == b""
    assert cloud.report()["region"] == "eu-west-1"


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff", b'"text"', b""])
def test_a_body_that_is_no_request_is_the_clients_mistake(wire: http.client.HTTPConnection, body: bytes) -> None:
    headers = {
        "Authorization": AUTHORIZATION.format("sagemaker"),
        "X-Amz-Target": "SageMaker.CreateModel",
        "Content-Type": "application/x-amz-json-1.1",
    }
    status, answer = ask(wire, "POST", "/", body=body, headers=headers)
    assert status == 400
    assert json.loads(answer)["__type"] in ("SerializationException", "ValidationException")


def test_a_page_of_another_site_is_not_let_in(wire: http.client.HTTPConnection) -> None:
    wire.request("OPTIONS", "/bucket", headers={"Origin": "https://example.com"})
    answer = wire.getresponse()
    answer.read()
    assert "Access-Control-Allow-Origin" not in answer.headers
