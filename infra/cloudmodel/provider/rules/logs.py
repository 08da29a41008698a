"""Amazon CloudWatch Logs."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.provider.rules.form import TAGGED, Name, Rule, flag, integer, text

RETENTION = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)

RULES: Mapping[str, Rule] = {
    "aws:cloudwatch/logGroup:LogGroup": Rule(
        {
            **TAGGED,
            "kmsKeyId": text(),
            "logGroupClass": text(replaces=True, computed=True, choices=("STANDARD", "INFREQUENT_ACCESS", "DELIVERY")),
            "name": text(replaces=True, aws="logGroupName"),
            "namePrefix": text(replaces=True, local=True),
            "retentionInDays": integer(default=0, choices=tuple(str(days) for days in RETENTION)),
            "skipDestroy": flag(default=False, local=True),
        },
        outputs=("arn", "tagsAll"),
        name=Name("name", 512, r"[.\-_/#A-Za-z0-9]+", "letters, digits and './_-#'", prefix="namePrefix"),
        refused={"deletionProtectionEnabled": "not done by this provider; use the official engine for it"},
    ),
}
