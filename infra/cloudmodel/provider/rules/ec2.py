"""Amazon EC2: security groups."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.provider.rules.form import TAGGED, Field, Name, Rule, blocks, flag, integer, text, texts

TRAFFIC: Mapping[str, Field] = {
    "fromPort": integer(required=True),
    "protocol": text(required=True),
    "toPort": integer(required=True),
    "cidrBlocks": texts(unordered=True),
    "description": text(),
    "ipv6CidrBlocks": texts(unordered=True),
    "prefixListIds": texts(unordered=True),
    "securityGroups": texts(unordered=True),
    "self": flag(),
}
NAME = r"(?!sg-)[\w .:/()#,@\[\]+=&;{}!$*-]+"

RULES: Mapping[str, Rule] = {
    "aws:ec2/securityGroup:SecurityGroup": Rule(
        {
            **TAGGED,
            "description": text(replaces=True, default="Managed by Pulumi"),
            "egress": blocks(TRAFFIC, unordered=True, computed=True),
            "ingress": blocks(TRAFFIC, unordered=True, computed=True),
            "name": text(replaces=True, aws="GroupName"),
            "namePrefix": text(replaces=True, local=True),
            "revokeRulesOnDelete": flag(local=True),
            "vpcId": text(replaces=True, computed=True),
        },
        outputs=("arn", "ownerId", "tagsAll"),
        name=Name("name", 255, NAME, "letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*; not sg- first", "namePrefix"),
    ),
}
