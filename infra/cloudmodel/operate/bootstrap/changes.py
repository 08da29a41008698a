"""What the role that applies may change of what a project's stacks are made of: statements as data, by the names and
tags of the stacks."""

from __future__ import annotations

from typing import Any

from cloudmodel.operate.bootstrap.permissions import LOGS, allow, endpoints, roles, s3
from cloudmodel.operate.bootstrap.setup import Setup

SCALING_ROLE = "sagemaker.application-autoscaling.amazonaws.com"
KEY_CHANGES = (
    "kms:EnableKeyRotation",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
)


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
            setup.existing.role or roles(setup),
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
            endpoints(setup),
        ),
        *_own_targets(setup),
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


def _own_targets(setup: Setup) -> list[dict[str, Any]]:
    """The scalable targets of a stack's variants, known by their tags: AWS makes up their names. One is tagged where it
    is registered, which takes the permission to tag; what has another project's tag already keeps it."""
    ours, asked = _tagged(setup)
    targets = setup.arn("application-autoscaling", "scalable-target/*")
    of_endpoints = {"application-autoscaling:service-namespace": "sagemaker"}
    return [
        allow(
            "MakeTargets",
            ["application-autoscaling:RegisterScalableTarget"],
            targets,
            StringEquals=of_endpoints,
            StringLike=asked,
            StringLikeIfExists=ours,
        ),
        allow(
            "TagTargets",
            ["application-autoscaling:TagResource"],
            targets,
            StringLike=asked,
            StringLikeIfExists=ours,
        ),
        allow(
            "Targets",
            [
                "application-autoscaling:DeleteScalingPolicy",
                "application-autoscaling:DeleteScheduledAction",
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:PutScalingPolicy",
                "application-autoscaling:PutScheduledAction",
                "application-autoscaling:RegisterScalableTarget",
            ],
            targets,
            StringEquals=of_endpoints,
            StringLike=ours,
        ),
        allow(
            "TagsOfTargets",
            ["application-autoscaling:TagResource", "application-autoscaling:UntagResource"],
            targets,
            StringLike=ours,
        ),
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
            roles(setup),
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
            roles(setup),
        ),
    ]
