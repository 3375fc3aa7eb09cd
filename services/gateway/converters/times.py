"""Moments: local date and time with a zone, RFC 3339, and Unix time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from services.gateway.converters.contract import Context, Json, text_at
from services.gateway.vendors.pointers import pointed
from wedsync.model.items import FieldValue
from wedsync.model.moments import instant
from wedsync.model.values import is_zone, split_zoned_time, zoned_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_A_SECOND = timedelta(seconds=1)
_UNITS = {"seconds": 1, "milliseconds": 1000}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTime:
    """What clocks show somewhere: in one text or two, and perhaps the zone; else it is the wedding's."""

    at: str = ""
    date: str = ""
    time: str = ""
    zone: str = ""
    to_minute: bool = False
    """Whether seconds are left out."""

    def to_canonical(self, record: Json, context: Context) -> FieldValue:
        """Return the local time in its zone."""
        if (text := self._read(record)) is None:
            return None
        try:
            local = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("is no local time") from None
        if local.tzinfo is not None:
            raise ValueError("is no local time: it has an offset")
        return zoned_time(local.isoformat(timespec="seconds"), _zone(record, self.zone, context))

    def to_vendor(self, value: FieldValue, context: Context) -> Mapping[str, Any]:
        """Return the local time in its own zone, or in the wedding's where the vendor keeps none."""
        if value is None:
            return dict.fromkeys(filter(None, (self.at, self.date, self.time)))
        local, zone = split_zoned_time(str(value))
        if not self.zone:
            local, zone = _elsewhere(local, zone, context.zone), context.zone
        if self.to_minute:
            local = _whole_minutes(local)
        day, _, clock = local.partition("T")
        written = {self.at: local} if self.at else {self.date: day, self.time: clock}
        return {**written, self.zone: zone} if self.zone else written

    def _read(self, record: Json) -> str | None:
        if self.at:
            return text_at(pointed(record, self.at))
        day, clock = text_at(pointed(record, self.date)), text_at(pointed(record, self.time))
        return day and f"{day}T{clock or time().isoformat()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rfc3339:
    """An instant such as 2027-06-12T13:00:00Z, shown in a zone the vendor names or in the wedding's."""

    at: str
    zone: str = ""
    day: bool = False
    """Whether only the day counts that it falls on."""

    def to_canonical(self, record: Json, context: Context) -> FieldValue:
        """Return the instant as local time in its zone."""
        if (text := text_at(pointed(record, self.at))) is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("is no time of RFC 3339") from None
        if moment.tzinfo is None:
            raise ValueError("is no time of RFC 3339: it has no offset")
        return _shown(moment, _zone(record, self.zone, context), day=self.day)

    def to_vendor(self, value: FieldValue, _: Context) -> Mapping[str, Any]:
        """Return the instant in UTC."""
        if value is None:
            return {self.at: None}
        local, zone = split_zoned_time(str(value))
        moment = instant(datetime.fromisoformat(local), zone)
        written = {self.at: moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"}
        return {**written, self.zone: zone} if self.zone else written


@dataclass(frozen=True, slots=True, kw_only=True)
class Unix:
    """An instant as seconds or milliseconds since 1970, shown in the wedding's zone."""

    at: str
    unit: str = "seconds"
    day: bool = False
    """Whether only the day counts that it falls on."""

    def to_canonical(self, record: Json, context: Context) -> FieldValue:
        """Return the instant as local time."""
        found = pointed(record, self.at)
        if found is None:
            return None
        if type(found) is not int:
            raise ValueError(f"is no whole number of {self.unit}")
        try:
            moment = _EPOCH + timedelta(seconds=found // _UNITS[self.unit])
            return _shown(moment, context.zone, day=self.day)
        except OverflowError:
            raise ValueError("is out of the calendar") from None

    def to_vendor(self, value: FieldValue, _: Context) -> Mapping[str, Any]:
        """Return the instant as a number."""
        if value is None:
            return {self.at: None}
        local, zone = split_zoned_time(str(value))
        since = instant(datetime.fromisoformat(local), zone) - _EPOCH
        return {self.at: since // _A_SECOND * _UNITS[self.unit]}


def _zone(record: Json, pointer: str, context: Context) -> str:
    name = (text_at(pointed(record, pointer)) if pointer else None) or context.zone
    if not is_zone(name):
        raise ValueError(f"is in an unknown time zone, {name[:64]}")
    return name


def _whole_minutes(local: str) -> str:
    """Return a local time without its seconds, of which there are none but by zones of long ago."""
    minutes, _, seconds = local.rpartition(":")
    if seconds != "00":
        raise ValueError("has seconds, which cannot be told there")
    return minutes


def _shown(moment: datetime, zone: str, *, day: bool) -> str:
    """Return what clocks in the zone show at an instant; UTC where it is the second time they show it."""
    local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0, microsecond=0)
    if day:
        return local.date().isoformat()
    at = moment.astimezone(UTC).replace(microsecond=0)
    if instant(local, zone) != at:
        local, zone = at.replace(tzinfo=None), "UTC"
    return zoned_time(local.isoformat(), zone)


def _elsewhere(local: str, zone: str, other: str) -> str:
    """Return what clocks in another zone show. Raises `ValueError` if it is the second time they show it."""
    if zone == other:
        return local
    moment = instant(datetime.fromisoformat(local), zone)
    shown = moment.astimezone(ZoneInfo(other)).replace(tzinfo=None, fold=0)
    if instant(shown, other) != moment:
        raise ValueError(f"is in the hour that clocks in {other} show twice, and cannot be told apart there")
    return shown.isoformat()
