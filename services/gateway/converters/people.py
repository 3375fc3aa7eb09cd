"""People's names and telephone numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import phonenumbers

from services.gateway.converters.contract import Context, Json, text_at
from services.gateway.vendors.pointers import pointed
from wedsync.model.items import FieldValue

# One space between the two comes back as it went: where more stand, the name stays in one piece.
_TWO_NAMES = re.compile(r"(.*\S) (\S+)", re.DOTALL)
# Without words: the library would make a number of "ask for Ann", and drop an extension.
_NUMBER = re.compile(r"[+()\d\s./-]{3,40}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonName:
    """A whole name, kept as first and last: the last word is the last name, and one word alone the first."""

    first: str
    last: str

    def to_canonical(self, record: Json, _: Context) -> FieldValue:
        """Return the whole name."""
        parts = [(text_at(pointed(record, place)) or "").strip() for place in (self.first, self.last)]
        return " ".join(part for part in parts if part) or None

    def to_vendor(self, value: FieldValue, _: Context) -> Mapping[str, Any]:
        """Return the two parts."""
        parts = _TWO_NAMES.fullmatch(str(value or ""))
        return {self.first: parts[1] if parts else value, self.last: parts[2] if parts else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A telephone number as E.164, where it is one; what people wrote instead stays as they wrote it."""

    at: str
    region: str
    """The setting with the country, as of ISO 3166, in which numbers without one are read."""

    def to_canonical(self, record: Json, context: Context) -> FieldValue:
        """Return the number as E.164."""
        text = text_at(pointed(record, self.at))
        return text and (e164(text, context.settings[self.region]) or text)

    def to_vendor(self, value: FieldValue, context: Context) -> Mapping[str, Any]:
        """Return the number as E.164."""
        return {self.at: value and (e164(str(value), context.settings[self.region]) or value)}


@lru_cache(maxsize=4096)
def e164(text: str, region: str) -> str | None:
    """Return a telephone number as E.164, read in a region; None if it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        number = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException:
        return None
    valid = phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if valid else None
