"""Money is whole minor units of a currency that exists."""

from __future__ import annotations

import pytest

from wedsync.model.currencies import MINOR_DIGITS, is_currency
from wedsync.model.items import ItemKind
from wedsync.model.values import BadValue, canonical


@pytest.mark.parametrize(("code", "digits"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("ISK", 0)])
def test_each_currency_has_its_digits(code: str, digits: int) -> None:
    """Euros have cents, yen have none, a dinar has a thousand fils."""
    assert MINOR_DIGITS[code] == digits


def test_every_code_is_listed_once() -> None:
    """The table has as many currencies as codes, each of three capital letters."""
    assert len(MINOR_DIGITS) > 160
    assert all(len(code) == 3 and code.isupper() for code in MINOR_DIGITS)
    assert not is_currency("XXX")


@pytest.mark.parametrize("amount", ["1250 EUR", "5000 JPY", "1 KWD"])
def test_whole_minor_units_are_kept_as_they_are(amount: str) -> None:
    """Nothing is scaled or rounded."""
    assert canonical(ItemKind.PAYMENT, "amount", amount) == amount


@pytest.mark.parametrize("amount", ["12.50 EUR", "1250 eur", "1250 ABC", "1250", "EUR 1250"])
def test_what_is_no_money_is_refused(amount: str) -> None:
    """Fractions, unknown currencies and other spellings are refused with a way to mend them."""
    with pytest.raises(BadValue, match="write"):
        canonical(ItemKind.PAYMENT, "amount", amount)
