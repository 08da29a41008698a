"""What moto would import and the local AWS does not need: more than half of the CPU of its start.

moto's Application Auto Scaling imports its ECS, and that its EC2, which parses tables of all machine types and regions.
Only a target that is a service of ECS is asked about there.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

ECS = "moto.ecs"


class _Backend:
    """moto's ECS of one account and region, imported when something of it is asked for."""

    def __init__(self, account: str, region: str) -> None:
        self._place = account, region

    def __getattr__(self, name: str) -> Any:
        from moto.backends import get_backend

        account, region = self._place
        return getattr(get_backend("ecs")[account][region], name)


class _Backends:
    """In place of `moto.ecs.ecs_backends`."""

    def __init__(self, account: str = "") -> None:
        self._account = account

    def __getitem__(self, key: str) -> _Backends | _Backend:
        return _Backend(self._account, key) if self._account else _Backends(key)


def spare_ecs() -> None:
    """Import moto's Application Auto Scaling without its ECS; call it before anything else imports either."""
    standing_in: Any = ModuleType(ECS)
    standing_in.ecs_backends = _Backends()
    sys.modules[ECS] = standing_in
    try:
        import moto.applicationautoscaling.models  # noqa: F401
    finally:
        del sys.modules[ECS]
