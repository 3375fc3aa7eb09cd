"""Stripe's amounts as ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.gateway.converters.fields import read_fields
from services.gateway.vendors.manifest import load_manifest
from services.gateway.vendors.port import Account
from wedsync.model.items import FieldValue, ItemKind

MANIFEST = load_manifest(Path(__file__).parents[4] / "services/gateway/vendors/stripe")
AMOUNT = {"amount": MANIFEST.kinds[ItemKind.PAYMENT].fields["amount"]}


def canonical(amount: Any, currency: Any, **settings: str) -> FieldValue:
    """Return an amount of Stripe's as the manifest says."""
    account = Account(integration_id="i1", base_url="", settings=settings)
    context = MANIFEST.conversion(account, {})
    return read_fields(AMOUNT, {"amount": amount, "currency": currency}, context)["amount"]


@pytest.mark.parametrize(
    ("amount", "currency", "ours"),
    [
        (250000, "gbp", "250000 GBP"),
        (1, "usd", "1 USD"),
        (0, "eur", "0 EUR"),
        (50000, "jpy", "50000 JPY"),
        (50000, "krw", "50000 KRW"),
        (12340, "kwd", "12340 KWD"),
        (12340, "bhd", "12340 BHD"),
        (50000, "huf", "50000 HUF"),
        (50000, "twd", "50000 TWD"),
        (500, "isk", "5 ISK"),
        (500, "ugx", "5 UGX"),
        (5, "mga", "500 MGA"),
        (10**14, "vnd", "100000000000000 VND"),
    ],
)
def test_an_amount_counts_in_the_smallest_unit_of_iso_4217(amount: int, currency: str, ours: str) -> None:
    """Currencies with no, two and three digits stay; those Stripe counts otherwise are rescaled."""
    assert canonical(amount, currency) == ours


@pytest.mark.parametrize(
    ("amount", "currency", "why"),
    [
        (550, "isk", "fraction"),
        (1, "ugx", "fraction"),
        ("100", "usd", "whole number"),
        (1.5, "usd", "whole number"),
        (True, "usd", "whole number"),
        (-1, "usd", "whole number"),
        (1, "us", "currency"),
        (1, "", "currency"),
        (1, None, "currency"),
        (1, "us$", "currency"),
    ],
)
def test_an_amount_that_makes_no_sense_is_refused(amount: object, currency: object, why: str) -> None:
    """No amount is guessed: neither a rounded one nor one of an unknown currency."""
    with pytest.raises(ValueError, match=why):
        canonical(amount, currency)


def test_the_exceptions_are_a_setting() -> None:
    """What Stripe thinks of a currency can be corrected without a release; nothing said is no exception."""
    assert canonical(500, "clf", currency_digits=" ISK=0  CLF=2 ") == "50000 CLF"
    assert canonical(5, "isk", currency_digits="") == "5 ISK"


@pytest.mark.parametrize("setting", ["ISK", "isk=2", "ISK=2/0", "ISK=9", "USD=2 x"])
def test_a_setting_that_makes_no_sense_is_refused_with_its_cure(setting: str) -> None:
    """A slip in the setting is said, not ignored."""
    with pytest.raises(ValueError, match="write it like ISK=2"):
        canonical(1, "usd", currency_digits=setting)
