"""IAM and resource policies as data: pure functions from a deployment to the document."""

from __future__ import annotations

import json
from typing import Any

from cloudmodel.program.deployment import Deployment
from cloudmodel.program.variant import PREFIX

VERSION = "2012-10-17"


def document(*statements: dict[str, Any]) -> str:
    """A policy document as JSON text, the same bytes for the same statements."""
    return json.dumps({"Version": VERSION, "Statement": list(statements)}, sort_keys=True)


def trust(deployment: Deployment) -> str:
    """Only SageMaker may take the role, and only for this account's resources in this region."""
    return document(
        {
            "Sid": "SageMaker",
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": deployment.account},
                "ArnLike": {"aws:SourceArn": deployment.arn("sagemaker", "*")},
            },
        }
    )


def execution(deployment: Deployment, bucket: str, key_arn: str) -> str:
    """What the endpoint itself may do. Two statements name every resource, since their actions take no other:
    ecr:GetAuthorizationToken, and cloudwatch:PutMetricData, which the namespace bounds."""
    group = deployment.arn("logs", f"log-group:{deployment.log_group_name}")
    volume = {
        "Sid": "Volume",
        "Effect": "Allow",
        "Action": "kms:CreateGrant",
        "Resource": key_arn,
        "Condition": {
            "Bool": {"kms:GrantIsForAWSResource": "true"},
            "StringEquals": {"kms:ViaService": [deployment.service("ec2"), deployment.service("sagemaker")]},
        },
    }
    alarms = {
        "Sid": "Alarms",
        "Effect": "Allow",
        "Action": "cloudwatch:DescribeAlarms",
        "Resource": [deployment.arn("cloudwatch", f"alarm:{each}") for each in deployment.watched],
    }
    # SageMaker lists what lies below a prefix; an archive it knows by its key.
    listing = {
        "Sid": "BundleFiles",
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": f"arn:{deployment.partition}:s3:::{bucket}",
        "Condition": {"StringLike": {"s3:prefix": f"{PREFIX}*"}},
    }
    images = sorted({each.image.repository_arn for each in deployment.variants})
    return document(
        {
            "Sid": "Bundle",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"arn:{deployment.partition}:s3:::{bucket}/{PREFIX}*",
        },
        *([listing] if any(each.large for each in deployment.bundles.values()) else []),
        {"Sid": "Decrypt", "Effect": "Allow", "Action": ["kms:Decrypt", "kms:DescribeKey"], "Resource": key_arn},
        *([volume] if deployment.volume_key else []),
        *(capture(deployment, bucket, key_arn) if deployment.settings.capture.percent else []),
        *(interfaces(deployment) if deployment.settings.network.subnets else []),
        *(queue(deployment, bucket, key_arn) if deployment.settings.mode == "async" else []),
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            "Resource": [group, f"{group}:*"],
        },
        {
            "Sid": "Metrics",
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/Endpoints"]}},
        },
        {"Sid": "RegistryLogin", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {
            "Sid": "Image",
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": images[0] if len(images) == 1 else images,
        },
        # SageMaker looks at the alarms that roll an update back as this role.
        *([alarms] if deployment.watched else []),
    )


def capture(deployment: Deployment, bucket: str, key_arn: str) -> list[dict[str, Any]]:
    """What the endpoint needs to write down what it answers: its own folder, encrypted."""
    return [
        {
            "Sid": "Capture",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": f"arn:{deployment.partition}:s3:::{bucket}/{deployment.capture_prefix}*",
        },
        {"Sid": "CaptureKey", "Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key_arn},
    ]


def interfaces(deployment: Deployment) -> list[dict[str, Any]]:
    """What SageMaker does in the role's name to put an instance into the platform's subnets. What describes takes no
    resource but *."""
    network = deployment.settings.network
    own = deployment.arn("ec2", "network-interface/*")
    subnets = [deployment.arn("ec2", f"subnet/{each}") for each in network.subnets]
    groups = [deployment.arn("ec2", f"security-group/{each}") for each in network.security_groups or ("*",)]
    things = ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
    return [
        {
            "Sid": "Interfaces",
            "Effect": "Allow",
            "Action": "ec2:CreateNetworkInterface",
            "Resource": [own, *subnets, *groups],
        },
        {
            "Sid": "OwnInterfaces",
            "Effect": "Allow",
            "Action": [
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            "Resource": own,
        },
        {"Sid": "Network", "Effect": "Allow", "Action": [f"ec2:Describe{each}" for each in things], "Resource": "*"},
    ]


def queue(deployment: Deployment, bucket: str, key_arn: str) -> list[dict[str, Any]]:
    """What an async endpoint needs: to read its inputs, to write what comes of them, and to tell its topics."""
    wanted = deployment.settings.asynchronous
    place = f"arn:{deployment.partition}:s3:::{wanted.bucket or bucket}/{deployment.queue_prefix}"
    topics = sorted(
        deployment.arn("sns", deployment.queue_topic(outcome)) if topic == "create" else topic
        for outcome, topic in wanted.topics.items()
    )
    tell = {"Sid": "Tell", "Effect": "Allow", "Action": "sns:Publish", "Resource": topics}
    return [
        {"Sid": "Inputs", "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{place}input/*"},
        {
            "Sid": "Outputs",
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": [f"{place}output/*", f"{place}failure/*"],
        },
        {"Sid": "QueueKey", "Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key_arn},
        *([tell] if topics else []),
    ]


def key(deployment: Deployment) -> str:
    """The account's own policies decide who uses the key; besides, this stack's logs and its alarms' messages."""
    source = {"StringEquals": {"aws:SourceAccount": deployment.account}}
    use = ["kms:Decrypt", "kms:GenerateDataKey*"]
    return document(
        {
            "Sid": "Account",
            "Effect": "Allow",
            "Principal": {"AWS": deployment.arn("iam", "root", region="")},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Principal": {"Service": deployment.service("logs")},
            "Action": ["kms:DescribeKey", "kms:Encrypt", "kms:ReEncrypt*", *use],
            "Resource": "*",
            "Condition": {
                "ArnEquals": {
                    "kms:EncryptionContext:aws:logs:arn": deployment.arn(
                        "logs", f"log-group:{deployment.log_group_name}"
                    )
                }
            },
        },
        {
            "Sid": "Alarms",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": use,
            "Resource": "*",
            "Condition": source,
        },
    )


def tls_only(deployment: Deployment, bucket: str) -> str:
    """Nobody reaches the bucket without TLS."""
    arn = f"arn:{deployment.partition}:s3:::{bucket}"
    return document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def topic(deployment: Deployment) -> str:
    """This account's alarms may publish, and nothing may without TLS."""
    arn = deployment.arn("sns", deployment.name)
    return document(
        {
            "Sid": "Alarms",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": arn,
            "Condition": {"StringEquals": {"aws:SourceAccount": deployment.account}},
        },
        _tls_publishers(arn),
    )


def tls_only_topic(deployment: Deployment, name: str) -> str:
    """Nothing publishes without TLS; who may publish at all is said by the roles of the account."""
    return document(_tls_publishers(deployment.arn("sns", name)))


def _tls_publishers(topic_arn: str) -> dict[str, Any]:
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": topic_arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
