"""Stripe's amounts as ours. Pure.

Both count in a currency's smallest unit, but of some currencies Stripe holds another opinion than ISO 4217
of what that is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.gateway.vendors.port import VendorRejected

_EXCEPTION = re.compile(r"([A-Z]{3})=([0-4])/([0-4])")
_CURRENCY = re.compile(r"[A-Za-z]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """How many digits stand after the point of a currency's amounts."""

    stripe: int
    iso: int


def read_digits(setting: str) -> Mapping[str, Digits]:
    """Return the exceptions a setting lists: `ISK=2/0 MGA=0/2`. Raises `VendorRejected` naming the fault."""
    found = {entry: _EXCEPTION.fullmatch(entry) for entry in setting.split()}
    if wrong := [entry for entry, match in found.items() if match is None]:
        raise VendorRejected(f"currency_digits holds {wrong[0]!r}: write it like ISK=2/0")
    matches = [match for match in found.values() if match is not None]
    return {match[1]: Digits(stripe=int(match[2]), iso=int(match[3])) for match in matches}


def canonical(amount: object, currency: object, exceptions: Mapping[str, Digits]) -> str:
    """Return an amount of Stripe's as `12500 USD`. Raises `ValueError` if it makes no sense."""
    # A truth value is a whole number to Python, and no amount.
    if type(amount) is not int or amount < 0:
        raise ValueError("has an amount that is no whole number")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise ValueError("has no currency")
    code = currency.upper()
    return f"{_rescaled(amount, exceptions.get(code))} {code}"


def _rescaled(amount: int, digits: Digits | None) -> int:
    if digits is None:
        return amount
    scaled, rest = divmod(amount * 10**digits.iso, 10**digits.stripe)
    if rest:
        raise ValueError("has an amount with a fraction its currency does not have")
    return int(scaled)
