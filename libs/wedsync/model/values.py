"""Canonical field values: checking them, and taking them apart."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wedsync.model import moments, texts
from wedsync.model.currencies import is_currency
from wedsync.model.items import CATALOGUE, FieldSpec, FieldType, FieldValue, ItemKind

MAX_TEXT, MAX_LINES, MAX_TAGS, MAX_LABEL = 2_000, 20_000, 64, 100
"""Characters of a text, characters of lines of text, labels of a set and characters of one of them."""

MAX_EMAIL, MAX_PHONE = 254, 50
FIRST_YEAR, LAST_YEAR = 1900, 2200
MAX_MINOR_UNITS = 10**15
"""Ten trillion of a currency with cents: more than any wedding, and exact wherever numbers are floats."""

_BREAKS = re.compile(r"[\n\t]+")
_ZONED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\[([A-Za-z0-9_+\-/]+)\]", re.ASCII)
_MONEY = re.compile(r"(-?\d{1,18}) ([A-Z]{3})", re.ASCII)
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_MIDNIGHT = time()


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


def nearest(kind: ItemKind, path: str, value: FieldValue) -> FieldValue:
    """Return the value nearest to what a vendor shows that can be kept: nobody there is asked to mend it.

    Text loses what cannot be kept and is cut, a skipped time is moved to where the clocks go. What
    makes no sense at all stays as it is, for `canonical` to refuse.
    """
    spec = CATALOGUE[kind].get(path)
    if spec is None:
        return value
    match spec.type, value:
        case ((FieldType.TEXT | FieldType.LINES), str()):
            return _kept_text(spec.type, value)
        case FieldType.TAGS, tuple():
            labels = (_kept_text(FieldType.TEXT, label) or "" for label in value if isinstance(label, str))
            return tuple(sorted({label[:MAX_LABEL].strip() for label in labels} - {""}))[:MAX_TAGS] or None
        case FieldType.ZONED_TIME, str():
            return _on_the_clock(value)
        case _:
            return value


def objection(kind: ItemKind, path: str, value: FieldValue) -> str | None:
    """Return what a caller should mend in a canonical value of its own.

    Vendors' people write anything into a contact's fields, and it is kept as they have it.
    """
    if kind is not ItemKind.CONTACT or not isinstance(value, str):
        return None
    if path == "email" and not (len(value) <= MAX_EMAIL and _EMAIL.fullmatch(value)):
        return f"is no e-mail address; write one of at most {MAX_EMAIL} characters, such as ada@example.com"
    if path == "phone" and not (len(value) <= MAX_PHONE and any(map(str.isdecimal, value))):
        return f"is no phone number; write one of at most {MAX_PHONE} characters, such as +33 1 23 45 67 89"
    return None


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


def day_of(value: str) -> date:
    """Return the day a canonical date is. Raises `BadValue`."""
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise BadValue(f"{value!r} is no date; write 2027-06-12") from None
    _require_year(day.year)
    return day


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
    if unkept := texts.objection(text):
        raise BadValue(unkept)
    if len(text) > limit:
        raise BadValue(f"has {len(text)} characters; at most {limit} are kept")
    return text


def _kept_text(kind: FieldType, text: str) -> str | None:
    text = texts.kept(text)
    if kind is FieldType.LINES:
        return text[:MAX_LINES] or None
    return _BREAKS.sub(" ", text)[:MAX_TEXT] or None


def _date(_: FieldSpec, value: FieldValue) -> FieldValue:
    return day_of(str(value)).isoformat()


def _zoned(_: FieldSpec, value: FieldValue) -> FieldValue:
    local, zone = split_zoned_time(str(value))
    at = _local_time(local, zone)
    # Whole days begin and end at midnight, also where the clocks skip it.
    skipped = None if at.time() == _MIDNIGHT else moments.gap(at, zone)
    if skipped:
        raise BadValue(_skipped(at, zone, *skipped))
    return value


def _local_time(local: str, zone: str) -> datetime:
    try:
        at = datetime.fromisoformat(local)
    except ValueError:
        raise BadValue(f"{local!r} is no local time; write 2027-06-12T15:00:00") from None
    if not is_zone(zone):
        raise BadValue(f"{zone!r} is no IANA time zone; write for example Europe/Paris")
    _require_year(at.year)
    return at


@lru_cache(maxsize=4096)
def _on_the_clock(value: str) -> str:
    try:
        local, zone = split_zoned_time(value)
        at = _local_time(local, zone)
    except BadValue:
        return value
    if at.time() == _MIDNIGHT:
        return value
    return zoned_time(moments.on_the_clock(at, zone).isoformat(timespec="seconds"), zone)


def _skipped(at: datetime, zone: str, start: datetime, end: datetime) -> str:
    instead = moments.on_the_clock(at, zone)
    shown = "%Y-%m-%d %H:%M" if at.date() != instead.date() or start.date() != end.date() else "%H:%M"
    return (
        f"{at:%H:%M} does not exist in {zone} on {at:%Y-%m-%d}: "
        f"the clocks go from {start:{shown}} to {end:{shown}}; write {instead:{shown}}"
    )


def _require_year(year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise BadValue(f"is in the year {year}; write one from {FIRST_YEAR} to {LAST_YEAR}")


def _flag(_: FieldSpec, value: FieldValue) -> FieldValue:
    if not isinstance(value, bool):
        raise BadValue("must be true or false")
    return value


def _integer(spec: FieldSpec, value: FieldValue) -> FieldValue:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue("must be a whole number")
    _require_between(value, spec.least, spec.most)
    return value


def _amount(spec: FieldSpec, value: FieldValue) -> FieldValue:
    units, currency = split_money(str(value))
    if not is_currency(currency):
        raise BadValue(f"{currency!r} is no currency of ISO 4217; write for example EUR")
    _require_between(units, -MAX_MINOR_UNITS if spec.least is None else spec.least, MAX_MINOR_UNITS)
    return money(units, currency)


def _require_between(number: int, least: int | None, most: int | None) -> None:
    if least is not None and number < least:
        raise BadValue(f"is {number}; write at least {least}")
    if most is not None and number > most:
        raise BadValue(f"is {number}; write at most {most}")


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
        if len(label) > MAX_LABEL:
            raise BadValue(f"has a label of {len(label)} characters; at most {MAX_LABEL} are kept")
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
