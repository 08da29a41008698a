"""Two facts for the smoke test on AWS.

smoke_facts.py account aws|local REGION     the id of the account that the credentials belong to
smoke_facts.py price INSTANCE               what an hour costs, and where that is from
"""

from __future__ import annotations

import sys

from cloudmodel.catalog.prices import price
from cloudmodel.localaws.identity import ACCOUNT


def account(target: str, region: str) -> str:
    """Asks STS; the local AWS's own for a rehearsal."""
    if target == "local":
        return ACCOUNT
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return str(boto3.client("sts", region_name=region).get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"no account: {error}")


def estimate(instance: str) -> str:
    """One line."""
    known = price(instance)
    if known is None:
        return f"What {instance} costs is not in the catalog."
    return (
        f"{instance} costs about {known.hourly:g} {known.currency} an hour ({known.region}, {known.date}; yours may "
        "differ). The test takes about a quarter of an hour."
    )


if __name__ == "__main__":
    asked, *words = sys.argv[1:]
    print(account(*words) if asked == "account" else estimate(*words))
