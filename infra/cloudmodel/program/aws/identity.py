"""The role that the endpoint runs as."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from cloudmodel.core.naming import fit
from cloudmodel.program import policies
from cloudmodel.program.deployment import Deployment
from cloudmodel.program.names import ROLE_NAME_LENGTH


class Identity(pulumi.ComponentResource):
    """`arn` is the execution role. `ready` must exist before SageMaker takes the role; an existing role has none."""

    arn: pulumi.Output[str]
    ready: list[pulumi.Resource]

    def __init__(
        self,
        deployment: Deployment,
        bucket: pulumi.Output[str],
        key_arn: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("cloudmodel:aws:Identity", "identity", None, opts)
        existing = deployment.settings.existing
        if existing.role:
            self.arn, self.ready = pulumi.Output.from_input(existing.role), []
        else:
            role = aws.iam.Role(
                "role",
                name=fit(deployment.name, ROLE_NAME_LENGTH),
                description=f"What the endpoint {deployment.name} may do",
                assume_role_policy=policies.trust(deployment),
                permissions_boundary=existing.boundary,
                tags=deployment.tags,
                opts=pulumi.ResourceOptions(parent=self),
            )
            policy = aws.iam.RolePolicy(
                "role-policy",
                name="execution",
                role=role.name,
                policy=pulumi.Output.all(bucket, key_arn).apply(
                    lambda values: policies.execution(deployment, values[0], values[1])
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.arn, self.ready = role.arn, [policy]
        self.register_outputs({"arn": self.arn})
