"""The tables of all resource types: which properties exist, are required, replace, are computed, name themselves.

A new property or type edits a table only. Judges: tests/provider/test_wire_names.py, which walks pulumi_aws, and
tests/judges/test_replacements.py, which holds what terraform planned.
Source of `replaces` and `default`: the schemas of terraform-provider-aws 6, which pulumi_aws 7 is generated from.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.provider.rules import autoscaling, cloudwatch, ec2, iam, kms, logs, s3, sagemaker, sns
from cloudmodel.provider.rules.form import Rule

RULES: Mapping[str, Rule] = {
    **s3.RULES,
    **kms.RULES,
    **iam.RULES,
    **sagemaker.RULES,
    **autoscaling.RULES,
    **cloudwatch.RULES,
    **logs.RULES,
    **ec2.RULES,
    **sns.RULES,
}
