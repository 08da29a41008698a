"""Runs that ended because something in the cloud did not become ready in its time."""

from __future__ import annotations

import re

from cloudmodel.core.errors import TimedOut
from cloudmodel.engine.run import Result

STILL = re.compile(r"is still \w+ after [\d.]+ s")
"""The provider's words for it (`provider.sagemaker`)."""


def tell_late(result: Result, stack: str) -> None:
    """Raise TimedOut where a run failed only because it did not wait any longer: nothing says that it went wrong."""
    told = [failure for failure in result.failed if STILL.search(failure.message)]
    if told and len(told) == len(result.failed):
        raise TimedOut(
            told[0].message,
            where=told[0].step.urn,
            hint=f"cloudmodel status --stack {stack}; run the same command again to go on waiting",
            runbook="endpoint-stuck",
            details={"failed": [{"urn": each.step.urn, "message": each.message} for each in told]},
        )
