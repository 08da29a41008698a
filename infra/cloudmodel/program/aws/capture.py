"""What an endpoint writes down of its requests and answers, and for how long it is kept.

The rule that ends it stands in the bucket's lifecycle whether capture is on or off: what was captured ends anyway.
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from cloudmodel.program.deployment import CAPTURE, Deployment

JSON_TYPES = ["application/json"]
CSV_TYPES = ["text/csv"]
"""Bodies of these types are captured as the text that they are; all others in base64."""


def configuration(
    deployment: Deployment, bucket: pulumi.Output[str], key_arn: pulumi.Output[str]
) -> aws.sagemaker.EndpointConfigurationDataCaptureConfigArgsDict | None:
    """Both sides of every n-th request, under `capture/` in the bundle's bucket; None where nothing is captured."""
    percent = deployment.settings.capture.percent
    if not percent:
        return None
    return {
        "enable_capture": True,
        "initial_sampling_percentage": percent,
        "destination_s3_uri": pulumi.Output.concat("s3://", bucket, "/", CAPTURE.rstrip("/")),
        "kms_key_id": key_arn,
        "capture_options": [{"capture_mode": "Input"}, {"capture_mode": "Output"}],
        "capture_content_type_header": {"json_content_types": JSON_TYPES, "csv_content_types": CSV_TYPES},
    }


def lifecycle(deployment: Deployment) -> aws.s3.BucketLifecycleConfigurationRuleArgsDict:
    """The rule of the bucket that ends captured records; versions that it leaves behind end the next day."""
    return {
        "id": "expire-capture",
        "status": "Enabled",
        "filter": {"prefix": CAPTURE},
        "expiration": {"days": deployment.settings.capture.retention_days},
        "noncurrent_version_expiration": {"noncurrent_days": 1},
    }
