"""AWS Identity and Access Management."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.provider.rules.form import TAGS, Name, Rule, flag, integer, policy, text, texts

ALLOWED = "letters, digits and '+=,.@_-'"
PATTERN = r"[\w+=,.@-]+"
SEPARATE = "pulumi_aws deprecates it here; use RolePolicy or RolePolicyAttachment"

RULES: Mapping[str, Rule] = {
    "aws:iam/role:Role": Rule(
        {
            "tags": TAGS,
            "assumeRolePolicy": policy(required=True),
            "description": text(),
            "forceDetachPolicies": flag(default=False, local=True),
            "maxSessionDuration": integer(default=3600),
            "name": text(replaces=True),
            "namePrefix": text(replaces=True, local=True),
            "path": text(default="/", replaces=True),
            "permissionsBoundary": text(),
        },
        outputs=("arn", "createDate", "tagsAll", "uniqueId"),
        name=Name("name", 64, PATTERN, ALLOWED, prefix="namePrefix"),
        refused={"inlinePolicies": SEPARATE, "managedPolicyArns": SEPARATE},
    ),
    "aws:iam/rolePolicy:RolePolicy": Rule(
        {
            "name": text(replaces=True),
            "namePrefix": text(replaces=True, local=True),
            "policy": policy(required=True),
            "role": text(required=True, replaces=True),
        },
        name=Name("name", 128, PATTERN, ALLOWED, prefix="namePrefix"),
    ),
    "aws:iam/policy:Policy": Rule(
        {
            "tags": TAGS,
            "delayAfterPolicyCreationInMs": integer(local=True),
            "description": text(replaces=True),
            "name": text(replaces=True),
            "namePrefix": text(replaces=True, local=True),
            "path": text(default="/", replaces=True),
            "policy": policy(required=True),
        },
        outputs=("arn", "attachmentCount", "policyId", "tagsAll"),
        name=Name("name", 128, PATTERN, ALLOWED, prefix="namePrefix"),
        volatile=("attachmentCount",),
    ),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": Rule(
        {
            "tags": TAGS,
            "clientIdLists": texts(required=True, unordered=True),
            "thumbprintLists": texts(computed=True),
            "url": text(required=True, replaces=True),
        },
        outputs=("arn", "tagsAll"),
    ),
    # Two attachments of one policy to one role are the same thing: deleting the old one after creating the new one
    # would leave none.
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Rule(
        {"policyArn": text(required=True, replaces=True), "role": text(required=True, replaces=True)},
        delete_first=True,
    ),
}
