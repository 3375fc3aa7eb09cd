"""Amounts: whole numbers of a small unit, decimal text, or numbers with a point, none ever rounded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any

from services.gateway.converters.contract import Context, Json
from services.gateway.vendors.pointers import pointed
from wedsync.model.currencies import MINOR_DIGITS
from wedsync.model.items import FieldValue
from wedsync.model.values import money, split_money

_DECIMAL = re.compile(r"\d{1,18}(\.\d{1,8})?", re.ASCII)
_EXCEPTION = re.compile(r"([A-Z]{3})=([0-4])")


class Form(StrEnum):
    """How an amount is written.

    MINOR_UNITS     12500
    DECIMAL_TEXT    "125.00"
    DECIMAL_NUMBER  125.0, a number of JSON's
    """

    MINOR_UNITS = "minor_units"
    DECIMAL_TEXT = "decimal_text"
    DECIMAL_NUMBER = "decimal_number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount and its currency."""

    at: str
    form: Form
    currency: str = ""
    """Where the currency stands; empty where the account has one for all."""
    lower_case: bool = False
    """Whether the vendor writes currencies in lower case."""
    digits: str = ""
    """The setting that lists currencies whose minor unit has other digits there than in ISO 4217."""
    zero_is_nothing: bool = False

    def to_canonical(self, record: Json, context: Context) -> FieldValue:
        """Return the amount in minor units of ISO 4217."""
        found = pointed(record, self.at)
        amount = Decimal(0) if found is None else _read(self.form, found)
        if found is None or (self.zero_is_nothing and not amount):
            return None
        code = self._code(record, context)
        units = amount.scaleb(MINOR_DIGITS[code] - self._digits(code, context))
        if units != units.to_integral_value():
            raise ValueError("has a fraction its currency does not have")
        return money(int(units), code)

    def to_vendor(self, value: FieldValue, context: Context) -> Mapping[str, Any]:
        """Return the amount, and its currency where the vendor keeps one with each."""
        if value is None:
            return {self.at: _written(self.form, Decimal(0), 0) if self.zero_is_nothing else None}
        units, code = split_money(str(value))
        digits = self._digits(code, context)
        amount = Decimal(units).scaleb(digits - MINOR_DIGITS[code])
        if self.form is Form.MINOR_UNITS and amount != amount.to_integral_value():
            raise ValueError(f"has a fraction that {code} does not have there")
        written = {self.at: _written(self.form, amount, MINOR_DIGITS[code])}
        if self.currency:
            return {**written, self.currency: code.lower() if self.lower_case else code}
        if code != context.currency:
            raise ValueError(f"is kept in {context.currency} there: enter the amount in it")
        return written

    def _code(self, record: Json, context: Context) -> str:
        found = pointed(record, self.currency) if self.currency else context.currency
        code = found.upper() if isinstance(found, str) else ""
        if code not in MINOR_DIGITS:
            raise ValueError("has no currency of ISO 4217")
        return code

    def _digits(self, code: str, context: Context) -> int:
        """Return by how many digits the vendor's number differs from the amount itself."""
        if self.form is not Form.MINOR_UNITS:
            return 0
        known = read_digits(context.settings[self.digits]) if self.digits else {}
        return known.get(code, MINOR_DIGITS[code])


@lru_cache(maxsize=64)
def read_digits(setting: str) -> Mapping[str, int]:
    """Return the exceptions that a setting lists: `ISK=2 MGA=0`. Raises `ValueError` naming the fault."""
    found = {entry: _EXCEPTION.fullmatch(entry) for entry in setting.split()}
    if wrong := [entry for entry, match in found.items() if match is None]:
        raise ValueError(f"holds {wrong[0]!r}: write it like ISK=2")
    return {match[1]: int(match[2]) for match in found.values() if match is not None}


def _read(form: Form, found: Any) -> Decimal:
    match form, found:
        # A truth value is a whole number to Python, and no amount.
        case (_, bool()):
            pass
        case (Form.MINOR_UNITS | Form.DECIMAL_NUMBER, int()) if found >= 0:
            return Decimal(found)
        # The shortest text of a float is what was written in the JSON, up to fifteen digits of it.
        case (Form.DECIMAL_NUMBER, float()) if _DECIMAL.fullmatch(text := format(Decimal(repr(found)), "f")):
            return Decimal(text)
        case (Form.DECIMAL_TEXT, str()) if _DECIMAL.fullmatch(found):
            return Decimal(found)
    raise ValueError("is no whole number" if form is Form.MINOR_UNITS else "is no decimal number")


def _written(form: Form, amount: Decimal, digits: int) -> str | int | float:
    if form is Form.DECIMAL_TEXT:
        return format(amount, f".{digits}f")
    if form is Form.MINOR_UNITS or not digits:
        return int(amount)
    return float(amount)
