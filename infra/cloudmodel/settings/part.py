"""What every part of a settings file is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A part of a settings file: frozen, strict, and with no other keys."""

    # A part that is only read inside another one needs no validator of its own.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)
