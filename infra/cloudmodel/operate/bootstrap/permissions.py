"""What a pipeline's roles may do with what a project's stacks are made of: statements as data, by the stacks' names."""

from __future__ import annotations

from typing import Any

from cloudmodel.operate.bootstrap.setup import Setup

SCALING_ROLE = "sagemaker.application-autoscaling.amazonaws.com"
KEY_CHANGES = (
    "kms:EnableKeyRotation",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
)
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
            _roles(setup),
        ),
        allow(
            "ReadServing",
            [
                "sagemaker:DescribeEndpoint",
                "sagemaker:DescribeEndpointConfig",
                "sagemaker:DescribeModel",
                "sagemaker:ListTags",
            ],
            _serving(setup),
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


def storage(setup: Setup) -> list[dict[str, Any]]:
    """Changes of what a stack stands on: buckets, keys, roles."""
    stem = setup.stem
    return [
        allow(
            "Buckets",
            [
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:DeleteBucketPolicy",
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:ListBucketVersions",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketTagging",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:PutObject",
            ],
            s3(setup, f"{stem}-*"),
        ),
        *([_use_of(setup.existing.key)] if setup.existing.key else _own_keys(setup)),
        *([] if setup.existing.role else _own_roles(setup)),
        allow(
            "PassRole",
            ["iam:PassRole"],
            setup.existing.role or _roles(setup),
            StringEquals={"iam:PassedToService": "sagemaker.amazonaws.com"},
        ),
        allow(
            "ScalingRole",
            ["iam:CreateServiceLinkedRole"],
            setup.arn("iam", f"role/aws-service-role/{SCALING_ROLE}/*", region=""),
            StringEquals={"iam:AWSServiceName": SCALING_ROLE},
        ),
    ]


def serving(setup: Setup) -> list[dict[str, Any]]:
    """Changes of endpoints, and of what scales, watches, shields and shows them."""
    stem = setup.stem
    return [
        allow(
            "Serving",
            [
                "sagemaker:AddTags",
                "sagemaker:CreateEndpoint",
                "sagemaker:CreateEndpointConfig",
                "sagemaker:CreateModel",
                "sagemaker:DeleteEndpoint",
                "sagemaker:DeleteEndpointConfig",
                "sagemaker:DeleteModel",
                "sagemaker:DeleteTags",
                "sagemaker:InvokeEndpoint",
                "sagemaker:UpdateEndpoint",
                "sagemaker:UpdateEndpointWeightsAndCapacities",
            ],
            _serving(setup),
        ),
        allow(
            "Scaling",
            [
                "application-autoscaling:DeleteScalingPolicy",
                "application-autoscaling:DeleteScheduledAction",
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:PutScalingPolicy",
                "application-autoscaling:PutScheduledAction",
                "application-autoscaling:RegisterScalableTarget",
                "application-autoscaling:TagResource",
                "application-autoscaling:UntagResource",
            ],
            setup.arn("application-autoscaling", "scalable-target/*"),
        ),
        allow(
            "Alarms",
            [
                "cloudwatch:DeleteAlarms",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ],
            [
                setup.arn("cloudwatch", f"alarm:{stem}-*"),
                setup.arn("cloudwatch", f"alarm:TargetTracking-endpoint/{stem}-*"),
            ],
        ),
        allow(
            "Dashboards",
            ["cloudwatch:DeleteDashboards", "cloudwatch:PutDashboard"],
            setup.arn("cloudwatch", f"dashboard/{stem}-*", region=""),
        ),
        allow(
            "Logs",
            [
                "logs:AssociateKmsKey",
                "logs:CreateLogGroup",
                "logs:DeleteLogGroup",
                "logs:DisassociateKmsKey",
                "logs:PutRetentionPolicy",
                "logs:TagResource",
                "logs:UntagResource",
            ],
            setup.arn("logs", f"{LOGS}/{stem}-*"),
        ),
        allow(
            "Topics",
            [
                "sns:CreateTopic",
                "sns:DeleteTopic",
                "sns:SetTopicAttributes",
                "sns:Subscribe",
                "sns:TagResource",
                "sns:UntagResource",
            ],
            setup.arn("sns", f"{stem}-*"),
        ),
        # A subscription is no resource that a policy can name.
        allow("Subscriptions", ["sns:SetSubscriptionAttributes", "sns:Unsubscribe"], "*"),
        *_own_groups(setup),
    ]


def _use_of(key: str) -> dict[str, Any]:
    """What a stack does with a key that the platform owns."""
    return allow("Key", ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"], key)


def _own_keys(setup: Setup) -> list[dict[str, Any]]:
    """The keys that a stack makes, known by their tags. A key has no name, and whoever may tag a new key may tag any:
    the state's key is kept out by name, others by `existing.key`, which takes these statements away."""
    ours, asked = _tagged(setup)
    keys, alias = setup.arn("kms", "key/*"), ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"]
    return [
        allow("MakeKeys", ["kms:CreateKey"], "*", StringLike=asked),
        allow("TagKeys", ["kms:TagResource"], keys, StringLike=asked),
        allow(
            "Keys",
            [*KEY_CHANGES, "kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKey", "kms:TagResource"],
            keys,
            StringLike=ours,
        ),
        # An alias is changed with a permission on itself and one on its key.
        allow("KeyOfAnAlias", alias, keys, StringLike=ours),
        allow("Aliases", alias, setup.arn("kms", f"alias/{setup.stem}-*")),
    ]


def _own_groups(setup: Setup) -> list[dict[str, Any]]:
    """The security groups that a stack makes, known by their tags. They may be made in any VPC; tags come with one."""
    ours, asked = _tagged(setup)
    groups = setup.arn("ec2", "security-group/*")
    return [
        allow("MakeGroups", ["ec2:CreateSecurityGroup"], groups, StringLike=asked),
        allow("GroupsOfNetworks", ["ec2:CreateSecurityGroup"], setup.arn("ec2", "vpc/*")),
        allow("TagGroups", ["ec2:CreateTags"], groups, StringEquals={"ec2:CreateAction": "CreateSecurityGroup"}),
        allow(
            "Groups",
            [
                "ec2:AuthorizeSecurityGroupEgress",
                "ec2:AuthorizeSecurityGroupIngress",
                "ec2:CreateTags",
                "ec2:DeleteSecurityGroup",
                "ec2:DeleteTags",
                "ec2:RevokeSecurityGroupEgress",
                "ec2:RevokeSecurityGroupIngress",
            ],
            groups,
            StringLike=ours,
        ),
    ]


def _tagged(setup: Setup) -> tuple[dict[str, str], dict[str, str]]:
    """What a stack's own things carry, and what a request to make one does: a tag that no setting can take off."""
    return {"aws:ResourceTag/cloudmodel:urn": setup.urns}, {"aws:RequestTag/cloudmodel:urn": setup.urns}


def _own_roles(setup: Setup) -> list[dict[str, Any]]:
    """The roles that a stack makes: never without the boundary, so that no stack can reach beyond it."""
    bounded = {"iam:PermissionsBoundary": setup.boundary_arn}
    return [
        allow(
            "MakeRoles",
            ["iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"],
            _roles(setup),
            ArnEquals=bounded,
        ),
        allow(
            "Roles",
            [
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole",
            ],
            _roles(setup),
        ),
    ]


def s3(setup: Setup, name: str) -> list[str]:
    arn = f"arn:{setup.partition}:s3:::{setup.existing.bucket or name}"
    return [arn, f"{arn}/*"]


def _roles(setup: Setup) -> str:
    return setup.arn("iam", f"role/{setup.stem}-*", region="")


def _serving(setup: Setup) -> list[str]:
    return [setup.arn("sagemaker", f"{kind}/{setup.stem}-*") for kind in ("model", "endpoint-config", "endpoint")]
