"""What a pipeline's roles may do with what a project's stacks are made of: statements as data, by the stacks' names."""

from __future__ import annotations

from typing import Any

from cloudmodel.operate.bootstrap.setup import Setup

BUCKET_READS = (
    "s3:GetAccelerateConfiguration",
    "s3:GetBucketAcl",
    "s3:GetBucketCORS",
    "s3:GetBucketLocation",
    "s3:GetBucketLogging",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketRequestPayment",
    "s3:GetBucketTagging",
    "s3:GetBucketVersioning",
    "s3:GetBucketWebsite",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetObject",
    "s3:GetObjectTagging",
    "s3:GetReplicationConfiguration",
    "s3:ListBucket",
)
"""What pulumi-aws reads of a bucket, whether a program sets it or not."""
LOGS = "log-group:/aws/sagemaker/Endpoints"


def allow(sid: str, actions: list[str], resources: list[str] | str, **conditions: Any) -> dict[str, Any]:
    """One statement; `conditions` by operator."""
    condition = {"Condition": conditions} if conditions else {}
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources, **condition}


def reads(setup: Setup) -> list[dict[str, Any]]:
    stem = setup.stem
    return [
        # How a stack is found by its name alone, where there is no project (deploy/official/recorded.py).
        allow("FindState", ["s3:ListAllMyBuckets"], "*"),
        allow("ReadBuckets", [*BUCKET_READS], s3(setup, f"{stem}-*")),
        allow(
            "ReadKeys",
            ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags"],
            setup.arn("kms", "key/*"),
        ),
        allow(
            "ReadRoles",
            [
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListInstanceProfilesForRole",
                "iam:ListRolePolicies",
                "iam:ListRoleTags",
            ],
            roles(setup),
        ),
        allow(
            "ReadServing",
            [
                "sagemaker:DescribeEndpoint",
                "sagemaker:DescribeEndpointConfig",
                "sagemaker:DescribeModel",
                "sagemaker:ListTags",
            ],
            endpoints(setup),
        ),
        allow("ReadDashboards", ["cloudwatch:GetDashboard"], setup.arn("cloudwatch", f"dashboard/{stem}-*", region="")),
        allow(
            "ReadAlarms",
            ["cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource"],
            setup.arn("cloudwatch", "alarm:*"),
        ),
        allow(
            "ReadScaling",
            ["application-autoscaling:ListTagsForResource"],
            setup.arn("application-autoscaling", "scalable-target/*"),
        ),
        allow("ReadLogs", ["logs:ListTagsForResource"], setup.arn("logs", f"{LOGS}/{stem}-*")),
        allow(
            "ReadTopics",
            [
                "sns:GetTopicAttributes",
                "sns:ListSubscriptionsByTopic",
                "sns:ListTagsForResource",
            ],
            setup.arn("sns", f"{stem}-*"),
        ),
        # The addresses of S3 are a list of AWS's own account.
        allow("ReadAddresses", ["ec2:GetManagedPrefixListEntries"], setup.arn("ec2", "prefix-list/*", account="*")),
        # These take no narrower resource.
        allow(
            "ReadLists",
            [
                "application-autoscaling:DescribeScalableTargets",
                "application-autoscaling:DescribeScalingPolicies",
                "application-autoscaling:DescribeScheduledActions",
                "ec2:DescribeManagedPrefixLists",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
                "kms:ListAliases",
                "logs:DescribeLogGroups",
                "sns:GetSubscriptionAttributes",
            ],
            "*",
        ),
    ]


def s3(setup: Setup, name: str) -> list[str]:
    arn = f"arn:{setup.partition}:s3:::{setup.existing.bucket or name}"
    return [arn, f"{arn}/*"]


def roles(setup: Setup) -> str:
    return setup.arn("iam", f"role/{setup.stem}-*", region="")


def endpoints(setup: Setup) -> list[str]:
    return [setup.arn("sagemaker", f"{kind}/{setup.stem}-*") for kind in ("model", "endpoint-config", "endpoint")]
