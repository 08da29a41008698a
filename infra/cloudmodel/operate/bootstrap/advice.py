"""What to write where after a bootstrap: names and ARNs follow from the setup, nothing is asked."""

from __future__ import annotations

from typing import Any

from cloudmodel.operate.bootstrap.setup import Setup


def outputs(setup: Setup) -> dict[str, str]:
    """What stands now, by name."""
    return {
        "bucket": setup.bucket,
        "key_alias": f"alias/{setup.own('state')}",
        "boundary_arn": setup.boundary_arn,
        "plan_role_arn": setup.arn("iam", f"role/{setup.own('plan')}", region=""),
        "apply_role_arn": setup.arn("iam", f"role/{setup.own('apply')}", region=""),
    }


def settings(setup: Setup, stack: str) -> dict[str, dict[str, Any]]:
    """By file: the keys to write there."""
    made = outputs(setup)
    return {
        "Pulumi.yaml": {"backend": {"url": f"s3://{setup.bucket}?region={setup.region}"}},
        "cloudmodel.yaml": {"bundles": f"s3://{setup.bucket}/bundles"},
        f"Pulumi.{stack}.yaml": {
            "secretsprovider": f"awskms://{made['key_alias']}?region={setup.region}",
            "config": {
                "aws:region": setup.region,
                "aws:allowedAccountIds": [setup.account],
                # A stack that is given its role makes none that could be bounded.
                **({} if setup.existing.role else {"cloudmodel:existing": {"boundary": setup.boundary_arn}}),
            },
        },
    }


def pipeline(setup: Setup) -> dict[str, dict[str, Any]]:
    """The roles of a pipeline's jobs, and whose tokens they take."""
    made = outputs(setup)
    return {
        "plan": {
            "role": made["plan_role_arn"],
            "subjects": [subject for each in setup.pipelines for subject in each.plans],
        },
        "apply": {
            "role": made["apply_role_arn"],
            "subjects": [subject for each in setup.pipelines for subject in each.applies],
        },
    }
