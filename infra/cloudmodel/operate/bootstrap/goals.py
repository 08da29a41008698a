"""What bootstrap makes, as data: each resource with its inputs in pulumi_aws' words. Pure functions of a setup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cloudmodel.core.resource import Properties
from cloudmodel.operate.bootstrap import documents
from cloudmodel.operate.bootstrap.setup import AUDIENCES, PULUMI, Setup

DELETION_WINDOW_DAYS = 30
ABORT_UPLOADS_DAYS = 7
KEEP_OLD_STATES_DAYS = 365
APPLY_SECONDS = 6 * 3600
"""As long as the longest job of GitHub's: credentials that end in the middle of an apply are the trouble to avoid."""
PLAN_SECONDS = 3600


@dataclass(frozen=True)
class Goal:
    """One resource that shall stand. `shared` is for what an account has once: where it stands it is used as it is."""

    name: str
    type: str
    inputs: Properties
    shared: bool = False

    def urn(self, setup: Setup) -> str:
        """Its name in plans; nothing is kept under it."""
        return f"urn:pulumi:bootstrap::{setup.project}::{self.type}::{self.name}"


def key(setup: Setup) -> Goal:
    """The key comes first: everything else names it."""
    identity = {"cloudmodel:urn": f"bootstrap/{setup.project}/{setup.region}/key"}
    return Goal(
        "key",
        "aws:kms/key:Key",
        {
            "description": f"State and secrets of {setup.project}",
            "deletionWindowInDays": DELETION_WINDOW_DAYS,
            "enableKeyRotation": True,
            "policy": documents.key_policy(setup),
            "tags": setup.tags | identity,
        },
    )


def others(setup: Setup, key_arn: str) -> list[Goal]:
    """Everything but the key, in the order of making."""
    return [
        Goal("alias", "aws:kms/alias:Alias", {"name": f"alias/{setup.own('state')}", "targetKeyId": key_arn}),
        *_bucket(setup, key_arn),
        *(
            Goal(
                each.host,
                "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
                {"url": f"https://{each.host}", "clientIdLists": [AUDIENCES[each.host]]},
                shared=True,
            )
            for each in setup.pipelines
        ),
        *_roles(setup, key_arn),
    ]


def _bucket(setup: Setup, key_arn: str) -> list[Goal]:
    name = {"bucket": setup.bucket}

    def part(label: str, type: str, **inputs: Any) -> Goal:
        return Goal(label, f"aws:s3/{type[0].lower()}{type[1:]}:{type}", name | inputs)

    encrypted = {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key_arn}
    return [
        part("bucket", "Bucket", tags=setup.tags),
        part("bucket-ownership", "BucketOwnershipControls", rule={"objectOwnership": "BucketOwnerEnforced"}),
        part(
            "bucket-private",
            "BucketPublicAccessBlock",
            blockPublicAcls=True,
            blockPublicPolicy=True,
            ignorePublicAcls=True,
            restrictPublicBuckets=True,
        ),
        part("bucket-versioning", "BucketVersioning", versioningConfiguration={"status": "Enabled"}),
        part(
            "bucket-encryption",
            "BucketServerSideEncryptionConfiguration",
            rules=[{"applyServerSideEncryptionByDefault": encrypted, "bucketKeyEnabled": True}],
        ),
        part("bucket-policy", "BucketPolicy", policy=documents.bucket_policy(setup)),
        part(
            "bucket-lifecycle",
            "BucketLifecycleConfiguration",
            rules=[
                {
                    "id": "abort-uploads",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "abortIncompleteMultipartUpload": {"daysAfterInitiation": ABORT_UPLOADS_DAYS},
                },
                {
                    "id": "expire-old-states",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrentVersionExpiration": {"noncurrentDays": KEEP_OLD_STATES_DAYS},
                },
            ],
        ),
    ]


def _roles(setup: Setup, key_arn: str) -> list[Goal]:
    boundary = Goal(
        "boundary",
        "aws:iam/policy:Policy",
        {
            "name": setup.own("boundary"),
            "description": f"The most that any role of {setup.project}'s stacks may do",
            "policy": documents.boundary_policy(setup),
            "tags": setup.tags,
        },
    )
    found = [] if setup.existing.boundary or setup.existing.role else [boundary]
    policies = {"plan": documents.plan_policy(setup, key_arn), "apply": documents.apply_policy(setup, key_arn)}
    for what, seconds in (("plan", PLAN_SECONDS), ("apply", APPLY_SECONDS)):
        name = setup.own(what)
        role = {
            "name": name,
            "description": f"Jobs that {what} stacks of {setup.project}",
            "assumeRolePolicy": documents.trust(setup, apply=what == "apply"),
            "maxSessionDuration": seconds,
            "tags": setup.tags | ({PULUMI: setup.pulumi_name} if what == "apply" else {}),
        }
        found.append(Goal(f"{what}-role", "aws:iam/role:Role", role))
        policy = {"name": what, "role": name, "policy": policies[what]}
        found.append(Goal(f"{what}-role-policy", "aws:iam/rolePolicy:RolePolicy", policy))
    for part, text in documents.apply_changes(setup).items():
        name = setup.own(f"apply-{part}")
        managed = {
            "name": name,
            "description": f"What jobs that apply stacks of {setup.project} may change",
            "policy": text,
            "tags": setup.tags,
        }
        found.append(Goal(f"apply-{part}", "aws:iam/policy:Policy", managed))
        attached = {"role": setup.own("apply"), "policyArn": setup.arn("iam", f"policy/{name}", region="")}
        found.append(Goal(f"apply-role-{part}", "aws:iam/rolePolicyAttachment:RolePolicyAttachment", attached))
    return found
