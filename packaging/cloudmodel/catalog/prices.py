"""What an instance of an endpoint costs an hour: a snapshot of few types, for estimates that name their source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from cloudmodel.catalog.catalog import read


@dataclass(frozen=True)
class Price:
    """`hourly` in `currency`, in `region` at `date`; elsewhere and later it is another one."""

    hourly: float
    currency: str
    region: str
    date: str


@cache
def price(instance: str) -> Price | None:
    """The price of an endpoint instance type; None where the snapshot lacks it."""
    data = read("prices.json")
    hourly = data["rows"].get(instance)
    return None if hourly is None else Price(hourly, data["currency"], data["region"], data["date"])
