"""Canonical field values: checking them, and taking them apart."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wedsync.model.currencies import is_currency
from wedsync.model.items import CATALOGUE, FieldSpec, FieldType, FieldValue, ItemKind

MAX_TEXT, MAX_LINES, MAX_TAGS = 2_000, 20_000, 64
"""Characters of a text, characters of lines of text, and labels of a set; vendors hold less."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")
_ZONED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\[([A-Za-z0-9_+\-/]+)\]", re.ASCII)
_MONEY = re.compile(r"(-?\d{1,18}) ([A-Z]{3})", re.ASCII)
_INT64 = 1 << 63


class BadValue(ValueError):
    """A value does not fit its field; the message says how to mend it."""


def canonical(kind: ItemKind, path: str, value: FieldValue) -> FieldValue:
    """Return the value in its one canonical form. Raises `BadValue`."""
    spec = CATALOGUE[kind].get(path)
    if spec is None:
        raise BadValue(f"a {kind} has no field {path!r}; it has {', '.join(CATALOGUE[kind])}")
    if value is None or value in ("", ()):
        return None
    return _CHECKS[spec.type](spec, value)


def from_text(kind: ItemKind, path: str, text: str) -> FieldValue:
    """Return the value a person typed: flags as yes or no, labels between commas, nothing as nothing.

    Raises `BadValue`, which says what it must be, or for the life of an item, which nobody types.
    """
    spec = CATALOGUE[kind].get(path)
    if spec is None:
        raise BadValue("is decided by keeping one of the two sides")
    if not text:
        return canonical(kind, path, None)
    match spec.type:
        case FieldType.BOOL:
            return canonical(
                kind, path, {"yes": True, "true": True, "no": False, "false": False}.get(text, text)
            )
        case FieldType.INTEGER:
            return canonical(kind, path, int(text) if text.lstrip("-").isdecimal() else text)
        case FieldType.TAGS:
            return canonical(kind, path, tuple(tag.strip() for tag in text.split(",")))
        case _:
            return canonical(kind, path, text)


def zoned_time(local_time: str, time_zone: str) -> str:
    """Return the canonical moment for a local time `2027-06-12T15:00:00` in an IANA zone."""
    return f"{local_time}[{time_zone}]"


def split_zoned_time(value: str) -> tuple[str, str]:
    """Return local time and IANA zone of a canonical moment. Raises `BadValue`."""
    match = _ZONED.fullmatch(value)
    if match is None:
        raise BadValue(f"{value!r} is no moment; write 2027-06-12T15:00:00[America/New_York]")
    return match[1], match[2]


def money(minor_units: int, currency: str) -> str:
    """Return the canonical amount for minor units and an ISO 4217 code."""
    return f"{minor_units} {currency}"


def split_money(value: str) -> tuple[int, str]:
    """Return minor units and ISO 4217 code of a canonical amount. Raises `BadValue`."""
    match = _MONEY.fullmatch(value)
    if match is None:
        raise BadValue(f"{value!r} is no amount; write minor units and an ISO 4217 code: 12500 USD")
    return int(match[1]), match[2]


@lru_cache(maxsize=1024)
def is_zone(name: str) -> bool:
    """Say whether the name is an IANA time zone this machine knows."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _text(spec: FieldSpec, value: FieldValue) -> FieldValue:
    if not isinstance(value, str):
        raise BadValue("must be text")
    limit = MAX_LINES if spec.type is FieldType.LINES else MAX_TEXT
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    if spec.type is FieldType.TEXT and ("\n" in text or "\t" in text):
        raise BadValue("must be a single line without tabs")
    if _CONTROL.search(text):
        raise BadValue("holds control characters; remove them")
    if _HALF_CHARACTER.search(text):
        raise BadValue("holds half a character (a lone surrogate); send whole ones")
    if len(text) > limit:
        raise BadValue(f"has {len(text)} characters; at most {limit} are kept")
    return text


def _date(_: FieldSpec, value: FieldValue) -> FieldValue:
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise BadValue(f"{value!r} is no date; write 2027-06-12") from None


def _zoned(_: FieldSpec, value: FieldValue) -> FieldValue:
    local, zone = split_zoned_time(str(value))
    try:
        datetime.fromisoformat(local)
    except ValueError:
        raise BadValue(f"{local!r} is no local time; write 2027-06-12T15:00:00") from None
    if not is_zone(zone):
        raise BadValue(f"{zone!r} is no IANA time zone; write for example Europe/Paris")
    return value


def _flag(_: FieldSpec, value: FieldValue) -> FieldValue:
    if not isinstance(value, bool):
        raise BadValue("must be true or false")
    return value


def _integer(_: FieldSpec, value: FieldValue) -> FieldValue:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue("must be a whole number")
    if not -_INT64 <= value < _INT64:
        raise BadValue("must fit into 64 bits")
    return value


def _amount(_: FieldSpec, value: FieldValue) -> FieldValue:
    units, currency = split_money(str(value))
    if not is_currency(currency):
        raise BadValue(f"{currency!r} is no currency of ISO 4217; write for example EUR")
    return money(units, currency)


def _choice(spec: FieldSpec, value: FieldValue) -> FieldValue:
    if value not in spec.values:
        raise BadValue(f"{value!r} is not one of {', '.join(spec.values)}")
    return value


def _tags(_: FieldSpec, value: FieldValue) -> FieldValue:
    if not isinstance(value, (tuple, list)) or not all(isinstance(tag, str) for tag in value):
        raise BadValue("must be a set of labels")
    labels = tuple(sorted({label.strip() for label in value} - {""}))
    if len(labels) > MAX_TAGS:
        raise BadValue(f"has {len(labels)} labels; at most {MAX_TAGS} are kept")
    for label in labels:
        _text(FieldSpec(type=FieldType.TEXT), label)
    return labels or None


_CHECKS = {
    FieldType.TEXT: _text,
    FieldType.LINES: _text,
    FieldType.DATE: _date,
    FieldType.ZONED_TIME: _zoned,
    FieldType.BOOL: _flag,
    FieldType.INTEGER: _integer,
    FieldType.MONEY: _amount,
    FieldType.ENUM: _choice,
    FieldType.TAGS: _tags,
}
