"""AWS Key Management Service."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.provider.rules.form import REGIONAL, TAGGED, Name, Rule, flag, integer, policy, text

RULES: Mapping[str, Rule] = {
    "aws:kms/key:Key": Rule(
        {
            **TAGGED,
            "bypassPolicyLockoutSafetyCheck": flag(default=False, local=True),
            "customKeyStoreId": text(replaces=True),
            "customerMasterKeySpec": text(default="SYMMETRIC_DEFAULT", replaces=True),
            "deletionWindowInDays": integer(local=True),
            "description": text(computed=True),
            "enableKeyRotation": flag(default=False),
            "isEnabled": flag(default=True),
            "keyUsage": text(
                default="ENCRYPT_DECRYPT",
                replaces=True,
                choices=("ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"),
            ),
            "multiRegion": flag(replaces=True, computed=True),
            "policy": policy(computed=True),
            "rotationPeriodInDays": integer(computed=True),
            "xksKeyId": text(replaces=True),
        },
        outputs=("arn", "keyId", "tagsAll"),
    ),
    "aws:kms/alias:Alias": Rule(
        {
            **REGIONAL,
            "name": text(replaces=True),
            "namePrefix": text(replaces=True, local=True),
            "targetKeyId": text(required=True),
        },
        outputs=("arn", "targetKeyArn"),
        volatile=("targetKeyArn",),
        name=Name(
            "name",
            256,
            r"alias/(?!aws/)[a-zA-Z0-9/_-]+",
            "'alias/' and then letters, digits, '/', '_' and '-'; 'alias/aws/' is AWS's own",
            prefix="namePrefix",
            lead="alias/",
        ),
    ),
}
