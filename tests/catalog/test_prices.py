"""Prices are of types that exist, and say where and when they were read."""

from __future__ import annotations

import re

from cloudmodel.catalog.catalog import instance_types, read
from cloudmodel.catalog.prices import price


def test_every_price_is_of_an_endpoint_type_with_its_place_and_date() -> None:
    for name in read("prices.json")["rows"]:
        found = price(name)
        assert name in instance_types()
        assert found is not None
        assert 0 < found.hourly < 200
        assert (found.currency, found.region) == ("USD", "us-east-1")
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", found.date)


def test_a_type_without_a_price_has_none() -> None:
    assert price("ml.unheard.of") is None
