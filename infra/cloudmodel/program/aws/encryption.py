"""The stack's KMS key and its alias."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from cloudmodel.program import policies
from cloudmodel.program.deployment import Deployment

DELETION_WINDOW_DAYS = 30


class Encryption(pulumi.ComponentResource):
    """`arn` is the key for the bundle and the endpoint's disks. `own_arn` is None where the key is a platform's: what
    its policy allows to CloudWatch and SNS is not known, so logs and messages then keep AWS's own encryption."""

    arn: pulumi.Output[str]
    own_arn: pulumi.Output[str] | None

    def __init__(self, deployment: Deployment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cloudmodel:aws:Encryption", "encryption", None, opts)
        existing = deployment.settings.key_arn
        if existing:
            self.arn, self.own_arn = pulumi.Output.from_input(existing), None
        else:
            key = aws.kms.Key(
                "key",
                description=f"Bundles, disks, logs and messages of {deployment.name}",
                deletion_window_in_days=DELETION_WINDOW_DAYS,
                enable_key_rotation=True,
                policy=policies.key(deployment),
                tags=deployment.tags | deployment.identity_tag("aws:kms/key:Key", "key"),
                opts=pulumi.ResourceOptions(parent=self, protect=deployment.settings.protect),
            )
            aws.kms.Alias(
                "alias",
                name=f"alias/{deployment.name}",
                target_key_id=key.key_id,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.arn = self.own_arn = key.arn
        self.register_outputs({"arn": self.arn})
