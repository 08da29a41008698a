"""`cloudmodel:variants`: several bundles behind one real-time endpoint, each on a fleet of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cloudmodel.settings.document import Key
from cloudmodel.settings.fields import Digest, InstanceName, matching
from cloudmodel.settings.part import Settings
from cloudmodel.settings.scaling import Scaling

MAIN = "main"
"""The name of the variant of a stack that lists none."""


class Variant(Settings):
    name: Annotated[
        str, matching(r"[a-z][a-z0-9-]{0,30}(?<!-)", "a small letter, then at most 30 small letters, digits or hyphens")
    ]
    weight: Annotated[float, Field(ge=0, le=1_000_000)]
    """Its share of the requests is this over the sum of all weights; 0: only requests that name it."""
    bundle: Digest | None = None
    """Without one the stack's own, `cloudmodel:bundle`."""
    instance: InstanceName | None = None
    """Without one the stack's."""
    scaling: Scaling | None = None
    """In place of the stack's, whole."""


@dataclass(frozen=True)
class Served:
    """One variant with everything that it takes from the stack. `keys` are the places of `instance` and `scaling` in
    the settings."""

    name: str
    weight: float
    bundle: str | None
    instance: str
    scaling: Scaling
    keys: dict[str, Key]
