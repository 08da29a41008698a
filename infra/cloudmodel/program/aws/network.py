"""The network that an endpoint's instances stand in: the platform's subnets, and a security group."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from cloudmodel.program.deployment import Deployment

TLS = 443
ANYWHERE = "0.0.0.0/0"


class Network(pulumi.ComponentResource):
    """`vpc_config` is what the model is told. Where the settings name no security group one is made: nothing comes in,
    and only TLS goes out, to S3 alone while the container is isolated (SageMaker fetches the bundle through it)."""

    vpc_config: aws.sagemaker.ModelVpcConfigArgsDict

    def __init__(self, deployment: Deployment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cloudmodel:aws:Network", "network", None, opts)
        settings = deployment.settings.network
        groups: list[pulumi.Input[str]] = [*settings.security_groups]
        if not groups:
            groups = [self._group(deployment).id]
        self.vpc_config = {"subnets": [*settings.subnets], "security_group_ids": groups}
        self.register_outputs({"security_group_ids": groups})

    def _group(self, deployment: Deployment) -> aws.ec2.SecurityGroup:
        settings = deployment.settings.network
        way: aws.ec2.SecurityGroupEgressArgsDict = {"protocol": "tcp", "from_port": TLS, "to_port": TLS}
        if settings.isolation:
            s3 = aws.ec2.get_managed_prefix_list(name=f"com.amazonaws.{deployment.region}.s3")
            egress = way | {"prefix_list_ids": [s3.id], "description": "The bundle in S3"}
        else:
            egress = way | {"cidr_blocks": [ANYWHERE], "description": "What the container asks for"}
        return aws.ec2.SecurityGroup(
            "security-group",
            name=deployment.name,
            description=f"Instances of the endpoint {deployment.name}",
            vpc_id=settings.vpc,
            ingress=[],
            egress=[egress],
            tags=deployment.tags | deployment.identity_tag("aws:ec2/securityGroup:SecurityGroup", "security-group"),
            opts=pulumi.ResourceOptions(parent=self),
        )
