"""The policies of the pipeline's roles as data: pure functions from a setup to a document.

Judged in the tests by AWS's own list of actions, resources and condition keys, as a linter of IAM policies has it.
"""

from __future__ import annotations

from typing import Any

from cloudmodel.operate.bootstrap.changes import KEY_CHANGES, serving, storage
from cloudmodel.operate.bootstrap.permissions import LOGS, allow, reads, s3
from cloudmodel.operate.bootstrap.setup import AUDIENCES, Setup
from cloudmodel.program.policies import document


def trust(setup: Setup, *, apply: bool) -> str:
    """Who may take a role: jobs of the named pipelines by their subject, exactly but for the branches that may plan on
    GitLab; without a pipeline, whom the account allows."""
    if not setup.pipelines:
        root = {"AWS": setup.arn("iam", "root", region="")}
        return document({"Sid": "Account", "Effect": "Allow", "Principal": root, "Action": "sts:AssumeRole"})
    statements = []
    for each in setup.pipelines:
        audience, subjects = AUDIENCES[each.host], list(each.applies if apply else each.plans)
        by = "StringLike" if any("*" in subject for subject in subjects) else "StringEquals"
        condition: dict[str, dict[str, Any]] = {"StringEquals": {f"{each.host}:aud": audience}}
        condition.setdefault(by, {})[f"{each.host}:sub"] = subjects
        statements.append(
            {
                "Sid": "".join(filter(str.isalnum, each.host.title())),
                "Effect": "Allow",
                "Principal": {"Federated": setup.arn("iam", f"oidc-provider/{each.host}", region="")},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": condition,
            }
        )
    return document(*statements)


def plan_policy(setup: Setup, key_arn: str) -> str:
    """What a plan needs: read the state, the bundles and what stands. `kms:Encrypt` changes nothing: a stack that has
    no state yet has its data key sealed for the length of a preview."""
    return document(
        allow("StateBucket", ["s3:ListBucket"], _bucket(setup)),
        allow("State", ["s3:GetObject"], f"{_bucket(setup)}/*"),
        allow("StateKey", ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"], key_arn),
        *reads(setup),
    )


def apply_policy(setup: Setup, key_arn: str) -> str:
    """What an apply needs besides its `apply_changes`: write the state, and read what a plan reads."""
    return document(
        allow("StateBucket", ["s3:ListBucket"], _bucket(setup)),
        allow("State", ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], f"{_bucket(setup)}/*"),
        allow("StateKey", ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"], key_arn),
        {
            "Sid": "StateKeyStays",
            "Effect": "Deny",
            "Action": [*KEY_CHANGES, "kms:TagResource"],
            "Resource": key_arn,
        },
        *reads(setup),
    )


def apply_changes(setup: Setup) -> dict[str, str]:
    """How an apply changes what the project's stacks are made of, by their names and tags: managed policies, since all
    together is more than a role's inline policies may have."""
    return {"storage": document(*storage(setup)), "serving": document(*serving(setup))}


def boundary_policy(setup: Setup) -> str:
    """The most that any role of the project's stacks may ever do: what serving needs, and nothing of IAM."""
    return document(
        allow("Artifacts", ["s3:GetObject", "s3:ListBucket", "s3:PutObject"], s3(setup, f"{setup.stem}-*")),
        allow(
            "Keys",
            ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"],
            setup.arn("kms", "key/*"),
        ),
        allow(
            "Logs",
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            setup.arn("logs", f"{LOGS}/{setup.stem}-*"),
        ),
        allow("Metrics", ["cloudwatch:PutMetricData", "ecr:GetAuthorizationToken"], "*"),
        allow("Alarms", ["cloudwatch:DescribeAlarms"], setup.arn("cloudwatch", "alarm:*")),
        allow(
            "Images",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            setup.arn("ecr", "repository/*", account="*"),
        ),
        allow("Messages", ["sns:Publish"], setup.arn("sns", f"{setup.stem}-*")),
        allow(
            "Interfaces",
            [
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            [setup.arn("ec2", f"{kind}/*") for kind in ("network-interface", "security-group", "subnet")],
        ),
        allow(
            "Network",
            [
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            "*",
        ),
    )


def key_policy(setup: Setup) -> str:
    """The account's own policies decide who uses the key."""
    root = {"AWS": setup.arn("iam", "root", region="")}
    return document({"Sid": "Account", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"})


def bucket_policy(setup: Setup) -> str:
    """Nobody reaches the bucket without TLS."""
    return document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [_bucket(setup), f"{_bucket(setup)}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def _bucket(setup: Setup) -> str:
    return f"arn:{setup.partition}:s3:::{setup.bucket}"
