"""InvokeEndpoint as boto3 sees it."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cloudmodel.localaws.connections import Connections


def test_an_answer_names_its_variant(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model([1, 2])))
    answer = cloud.runtime.invoke_endpoint(
        EndpointName=name, Body=b"x", ContentType="application/json", Accept="application/json", InferenceId="id-1"
    )
    assert json.loads(answer["Body"].read()) == [1, 2]
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "v0")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [(b"bad", 400, "three numbers were expected"), (b"raise", 500, "RuntimeError: the model broke")],
)
def test_errors_of_the_model_are_model_errors(cloud: Any, body: bytes, status: int, message: str) -> None:
    name = cloud.endpoint(cloud.config(cloud.model()))
    error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=body)
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert error["Error"]["Code"] == "ModelError"
    assert error["OriginalStatusCode"] == status
    assert json.loads(error["OriginalMessage"]) == {"error": message}
    assert message in error["Error"]["Message"]
    assert error["LogStreamArn"] == f"arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/{name}"


def test_an_endpoint_that_does_not_exist(cloud: Any) -> None:
    error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName="nobody", Body=b"x")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error["Error"] == {
        "Code": "ValidationError",
        "Message": "Endpoint nobody of account 123456789012 not found.",
    }


@pytest.mark.parametrize(
    ("parameters", "fragment"),
    [
        ({"TargetVariant": "nobody"}, "Variant nobody not found"),
        ({"InferenceId": "x" * 65}, "length less than or equal to 64"),
        ({"CustomAttributes": "x" * 1025}, "length less than or equal to 1024"),
        ({"Body": b"x" * 6_291_457}, "length less than or equal to 6291456"),
    ],
)
def test_what_the_platform_refuses(cloud: Any, parameters: dict[str, Any], fragment: str) -> None:
    name = cloud.endpoint(cloud.config(cloud.model()))
    error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, **{"Body": b"x", **parameters})
    assert error["Error"]["Code"] == "ValidationError"
    assert fragment in error["Error"]["Message"]


def test_the_largest_body_passes(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model("swallowed")))
    assert cloud.ask(name, "x" * 6_291_456) == "swallowed"


def test_an_invocation_that_takes_too_long_times_out(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model()))  # the server was started with 5 s
    error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=b"sleep 20")
    assert error["OriginalStatusCode"] == 0
    assert "timed out" in error["OriginalMessage"]


def test_what_is_not_done_is_said(cloud: Any) -> None:
    error = cloud.refused(cloud.runtime.invoke_endpoint_with_response_stream, EndpointName="nobody", Body=b"x")
    assert "does not do" in error["Error"]["Message"]


def test_a_bucket_may_be_called_endpoints(cloud: Any) -> None:
    cloud.s3.create_bucket(Bucket="endpoints", CreateBucketConfiguration={"LocationConstraint": cloud.REGION})
    upload = cloud.s3.create_multipart_upload(Bucket="endpoints", Key="x/invocations")
    assert upload["UploadId"]


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the headers it was sent; closes the connection after each second answer, without saying so."""

    protocol_version = "HTTP/1.1"
    answered = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        content = json.dumps([dict(self.headers), body.decode()]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        type(self).answered += 1
        self.close_connection = type(self).answered % 2 == 0

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_kept_connection_that_the_worker_closed_costs_no_request(echo: int) -> None:
    connections = Connections("127.0.0.1", echo)
    for number in range(20):
        reply = connections.request("POST", "/", str(number).encode(), {"X-Mine": "yes"}, timeout=10)
        headers, body = json.loads(reply.body)
        assert body == str(number)
        assert headers["X-Mine"] == "yes"
        assert "Accept-Encoding" not in headers
    connections.close()


def test_a_worker_that_is_not_there_is_an_error() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        connections = Connections("127.0.0.1", reserved.getsockname()[1])
        with pytest.raises(ConnectionRefusedError):
            connections.request("POST", "/", timeout=10)


def test_traffic_is_split_by_weight_and_follows_a_change_of_weights(cloud: Any) -> None:
    name = cloud.endpoint(cloud.config(cloud.model("a"), cloud.model("b")))

    def asked(requests: int) -> list[str]:
        answers = [cloud.runtime.invoke_endpoint(EndpointName=name, Body=b"x") for _ in range(requests)]
        return sorted(answer["InvokedProductionVariant"] for answer in answers)

    def weigh(first: float, second: float) -> None:
        wanted = [{"VariantName": "v0", "DesiredWeight": first}, {"VariantName": "v1", "DesiredWeight": second}]
        cloud.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=wanted)
        cloud.settled(name)

    assert asked(4) == ["v0", "v0", "v1", "v1"]
    weigh(3, 1)
    assert asked(8) == ["v0"] * 6 + ["v1"] * 2
    weigh(0, 1)
    assert asked(3) == ["v1"] * 3
    assert cloud.ask(name, TargetVariant="v0") == "a"
    weigh(0, 0)
    error = cloud.refused(cloud.runtime.invoke_endpoint, EndpointName=name, Body=b"x")
    assert "with a weight above 0" in error["Error"]["Message"]
