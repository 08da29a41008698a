"""Data capture: what boto3 finds in S3 after requests to an endpoint that captures."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

BOTH = [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]
RECORD_FILE = re.compile(r"captured/(?P<endpoint>[^/]+)/v0/\d{4}/\d\d/\d\d/\d\d/\d\d-\d\d-\d{3}-[0-9a-f-]{36}\.jsonl")


class Capturing:
    """An endpoint that captures, and what boto3 reads back."""

    def __init__(self, cloud: Any, **settings: Any) -> None:
        self.cloud = cloud
        self.bucket = cloud.name("captured")
        cloud.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": cloud.REGION})
        capture = {
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{self.bucket}/captured",
            "CaptureOptions": BOTH,
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"], "CsvContentTypes": ["text/csv"]},
        }
        config = cloud.name("config")
        variant = {"VariantName": "v0", "ModelName": cloud.model([1, 2])}
        cloud.sagemaker.create_endpoint_config(
            EndpointConfigName=config,
            ProductionVariants=[variant | {"InstanceType": "ml.c7i.large", "InitialInstanceCount": 1}],
            DataCaptureConfig=capture | settings,
        )
        self.endpoint = cloud.endpoint(config)

    def ask(self, body: bytes, content_type: str = "application/json", **parameters: Any) -> Any:
        return self.cloud.runtime.invoke_endpoint(
            EndpointName=self.endpoint, Body=body, ContentType=content_type, **parameters
        )

    def keys(self) -> list[str]:
        found = self.cloud.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [each["Key"] for each in found]

    def records(self, count: int) -> list[dict[str, Any]]:
        """The records of all files, once there are `count`."""
        found: list[dict[str, Any]] = []

        def are_there() -> bool:
            texts = (self.cloud.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in self.keys())
            found[:] = [json.loads(line) for text in texts for line in text.decode().splitlines()]
            return len(found) >= count

        self.cloud.until(are_there)
        return found


def test_a_record_holds_both_sides_in_sagemakers_form_and_place(cloud: Any) -> None:
    endpoint = Capturing(cloud)
    endpoint.ask(b'"hello"', InferenceId="id-1", CustomAttributes="a=b")
    (record,) = endpoint.records(1)
    assert record["captureData"] == {
        "endpointInput": {
            "observedContentType": "application/json",
            "mode": "INPUT",
            "data": '"hello"',
            "encoding": "JSON",
        },
        "endpointOutput": {
            "observedContentType": "application/json",
            "mode": "OUTPUT",
            "data": "[1, 2]",
            "encoding": "JSON",
        },
    }
    about = record["eventMetadata"]
    assert (about["inferenceId"], about["customAttributes"]) == ("id-1", ["a=b"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", about["inferenceTime"])
    assert record["eventVersion"] == "0"
    (key,) = endpoint.keys()
    found = RECORD_FILE.fullmatch(key)
    assert found and found["endpoint"] == endpoint.endpoint
    assert about["eventId"] in key
    shown = cloud.sagemaker.describe_endpoint(EndpointName=endpoint.endpoint)["DataCaptureConfig"]
    assert (shown["CaptureStatus"], shown["CurrentSamplingPercentage"]) == ("Started", 100)


@pytest.mark.parametrize(
    ("content_type", "body", "encoding", "data"),
    [
        ("text/csv; charset=utf-8", b"1,2", "CSV", "1,2"),
        ("application/x-npy", b"1,2", "BASE64", base64.b64encode(b"1,2").decode()),
    ],
)
def test_a_type_that_is_not_named_as_text_is_captured_in_base64(
    cloud: Any, content_type: str, body: bytes, encoding: str, data: str
) -> None:
    endpoint = Capturing(cloud, CaptureOptions=[{"CaptureMode": "Input"}])
    endpoint.ask(body, content_type)
    (record,) = endpoint.records(1)
    assert list(record["captureData"]) == ["endpointInput"]
    assert record["captureData"]["endpointInput"]["encoding"] == encoding
    assert record["captureData"]["endpointInput"]["data"] == data


def test_every_request_is_captured_once_and_what_failed_is_not(cloud: Any) -> None:
    endpoint = Capturing(cloud)
    for number in range(20):
        endpoint.ask(f'"{number}"'.encode())
    with pytest.raises(cloud.runtime.exceptions.ModelError):
        endpoint.ask(b"bad")
    endpoint.ask(b'"last"')
    records = endpoint.records(21)
    said = [each["captureData"]["endpointInput"]["data"] for each in records]
    assert sorted(said) == sorted([f'"{number}"' for number in range(20)] + ['"last"'])
    assert len({each["eventMetadata"]["eventId"] for each in records}) == 21


def test_nothing_is_captured_where_capture_is_off_or_its_bucket_is_gone(cloud: Any) -> None:
    off = Capturing(cloud, EnableCapture=False)
    off.ask(b'"hello"')
    gone = Capturing(cloud, DestinationS3Uri="s3://nobody-has-this/captured")
    assert gone.ask(b'"hello"')["ResponseMetadata"]["HTTPStatusCode"] == 200
    on = Capturing(cloud)
    on.ask(b'"hello"')
    on.records(1)  # written after the two others would have been
    assert off.keys() == []


def test_a_sample_is_about_as_large_as_it_was_asked_for(cloud: Any) -> None:
    endpoint = Capturing(cloud, InitialSamplingPercentage=50)
    for _ in range(200):
        endpoint.ask(b'"sampled"')
    every = Capturing(cloud)
    every.ask(b'"after them"')
    every.records(1)
    assert 50 < len(endpoint.records(1)) < 150  # 7 standard deviations away on either side
