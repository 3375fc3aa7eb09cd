"""What a vendor can hold of a field's value: the declared equivalences, as pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.gateway.converters.contract import Converter
from services.gateway.converters.people import e164
from wedsync.model.items import FieldType, FieldValue
from wedsync.model.moments import instant
from wedsync.model.values import split_zoned_time, zoned_time

_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# What neither XML 1.0 nor iCalendar can carry, besides the control characters themselves.
_UNSPEAKABLE = frozenset("\ufffe\uffff")


class Direction(StrEnum):
    """Which way a field travels between the vendor and us."""

    BOTH = "both"
    IN = "in"
    OUT = "out"


class Equivalence(StrEnum):
    """Which differences between two values this vendor cannot show.

    EXACT        none
    MINUTE       the seconds of a time
    TRIMMED      space around text, kinds of line end, control characters; empty text is nothing
    SINGLE_LINE  as TRIMMED, and line breaks are single spaces
    FLAG         nothing said counts as no
    INSTANT      the zone in which a time is told: the instant is the same
    INSTANT_MINUTE  as INSTANT, and the seconds of a time
    PHONE        as SINGLE_LINE, and how a telephone number is written
    """

    EXACT = "exact"
    MINUTE = "minute"
    TRIMMED = "trimmed"
    SINGLE_LINE = "single_line"
    FLAG = "flag"
    INSTANT = "instant"
    INSTANT_MINUTE = "instant_minute"
    PHONE = "phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """How one field of one kind travels, and what of its value the vendor can hold."""

    direction: Direction
    equivalence: Equivalence
    max_length: int | None = None
    accepts: frozenset[str] | None = None
    """Of a choice: the values the vendor can be told; None where it takes every one."""
    rising: tuple[frozenset[str], ...] = ()
    """Of a choice that never goes back: its values in the order they come; equals share a step."""
    convert: Converter | None = None
    """Where and how the vendor keeps it; None where its adapter knows."""
    region: str = ""
    """Of a telephone number: the country in which it is read where it names none."""

    @property
    def readable(self) -> bool:
        """Whether what the vendor shows counts."""
        return self.direction is not Direction.OUT

    @property
    def writable(self) -> bool:
        """Whether the vendor is written to."""
        return self.direction is not Direction.IN

    def holds(self, value: FieldValue) -> FieldValue:
        """Return the value as this vendor can hold it; holding it again changes nothing."""
        if isinstance(value, tuple):
            entries = {self._hold(entry) for entry in value}
            value = tuple(sorted(entry for entry in entries if entry)) or None
        elif isinstance(value, str):
            value = self._hold(value)
        return False if value is None and self.equivalence is Equivalence.FLAG else value

    def takes(self, value: FieldValue) -> bool:
        """Say whether the vendor can be told this value."""
        return self.accepts is None or value is None or value in self.accepts

    def goes_back(self, shown: FieldValue, value: FieldValue) -> bool:
        """Say whether the value is of an earlier step than the one shown: an old answer, not an edit."""
        steps = {name: step for step, names in enumerate(self.rising) for name in names}
        return shown in steps and steps.get(str(value), -1) < steps[str(shown)]

    def equivalent(self, a: FieldValue, b: FieldValue) -> bool:
        """Say whether this vendor cannot show a difference between the two."""
        return self._compared(a) == self._compared(b)

    def reads(self, value: FieldValue) -> FieldValue:
        """Return a value as the vendor shows it, without what counts for nothing; nothing of it is cut."""
        return replace(self, max_length=None).holds(value)

    def _compared(self, value: FieldValue) -> FieldValue:
        held = self.holds(value)
        on_instant = self.equivalence in {Equivalence.INSTANT, Equivalence.INSTANT_MINUTE}
        return _instant(held) if on_instant and isinstance(held, str) else held

    def _hold(self, text: str) -> str | None:
        normal = _NORMAL_FORM[self.equivalence]
        held = normal(text)
        if self.equivalence is Equivalence.PHONE and held is not None:
            held = e164(held, self.region) or held
        if self.max_length is not None and held is not None:
            # Cutting may leave a space at the end, which the normal form does not have.
            held = normal(held[: self.max_length])
        return held


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRule:
    """What can be done to one kind of item at this vendor, and its fields."""

    create: bool
    update: bool
    delete: bool
    fields: Mapping[str, FieldRule]


def suits(equivalence: Equivalence, type_: FieldType) -> bool:
    """Say whether the equivalence makes sense for a field of this type."""
    return type_ in _SUITED[equivalence]


def _without_seconds(text: str) -> str:
    # "2027-06-12T15:00:30[Zone]": the seconds stand at one place, whatever the zone.
    is_time = len(text) >= 19 and text[10] == "T" and text[16] == ":"
    return f"{text[:17]}00{text[19:]}" if is_time else text


def _instant(text: str) -> str:
    """Return the time as it is told in UTC."""
    try:
        local, zone = split_zoned_time(text)
        moment = instant(datetime.fromisoformat(local), zone)
    except (ValueError, OverflowError, LookupError):  # it makes no sense, and `canonical` will say so
        return text
    return zoned_time(moment.replace(tzinfo=None).isoformat(), "UTC")


def _trimmed(text: str) -> str | None:
    lines = _LINE_ENDS.sub("\n", text)
    return "".join(filter(_speakable, lines)).strip() or None


def _single_line(text: str) -> str | None:
    trimmed = _trimmed(text)
    return " ".join(line.strip() for line in trimmed.split("\n") if line.strip()) if trimmed else None


def _speakable(character: str) -> bool:
    if character in "\n\t":
        return True
    return character not in _UNSPEAKABLE and unicodedata.category(character) not in ("Cc", "Cs")


_NORMAL_FORM: Mapping[Equivalence, Callable[[str], str | None]] = {
    Equivalence.EXACT: lambda text: text,
    Equivalence.MINUTE: _without_seconds,
    Equivalence.TRIMMED: _trimmed,
    Equivalence.SINGLE_LINE: _single_line,
    Equivalence.FLAG: lambda text: text,
    Equivalence.INSTANT: lambda text: text,
    Equivalence.INSTANT_MINUTE: _without_seconds,
    Equivalence.PHONE: _single_line,
}

_TEXTS = frozenset({FieldType.TEXT, FieldType.LINES, FieldType.TAGS})
_SUITED: Mapping[Equivalence, frozenset[FieldType]] = {
    Equivalence.EXACT: frozenset(FieldType),
    Equivalence.MINUTE: frozenset({FieldType.ZONED_TIME}),
    Equivalence.TRIMMED: _TEXTS,
    Equivalence.SINGLE_LINE: _TEXTS,
    Equivalence.FLAG: frozenset({FieldType.BOOL}),
    Equivalence.INSTANT: frozenset({FieldType.ZONED_TIME}),
    Equivalence.INSTANT_MINUTE: frozenset({FieldType.ZONED_TIME}),
    Equivalence.PHONE: frozenset({FieldType.TEXT}),
}
