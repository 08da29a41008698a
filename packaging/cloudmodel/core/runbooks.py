"""Where the runbooks are: what an alarm, or an error, sends its reader to."""

from __future__ import annotations

PLACE = "docs/runbooks"
"""A path in the repository of cloudmodel, for no address of it is published; this is the one place to change it."""


def runbook(name: str) -> str:
    """The address of the page `name`."""
    return f"{PLACE}/{name}.md"
