"""A recurring event as its instances, each a VEVENT of its own. Pure.

An instance is named by the day on which its series has it, whatever became of it since: so it stays the
same when the whole series is moved to another hour or zone. Of several on one day the later ones are named
by their time too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from services.gateway.vendors.apple_calendar import times, zones
from services.gateway.vendors.apple_calendar.ics import Component, IcsError, Line, prop, split_list
from services.gateway.vendors.apple_calendar.times import Moment, TimeContext

# Every other day for five years: what takes place more often is no part of a wedding.
MAX_INSTANCES = 1_000
# Of these a day can hold any number, and a library takes seconds to find out.
_TOO_OFTEN = re.compile(r"FREQ=(SECONDLY|MINUTELY|HOURLY)|BYSECOND=|BYMINUTE=[^;]*,", re.IGNORECASE)
_ENDLESS = re.compile(r"INTERVAL=0*(;|$)", re.IGNORECASE)
_UNTIL = re.compile(r";?UNTIL=(\d{8})(T\d{6})?(Z?)", re.IGNORECASE)
_RULES = ("RRULE", "RDATE", "EXDATE", "EXRULE")
_ID = "RECURRENCE-ID"
_DAY = timedelta(days=1)
# The calendar repeats every 400 years, weekdays included, and the library gives up at the year 9999: a rule
# that never comes true is given up sooner if it begins late.
_CYCLE, _LATEST = 400, 9_900


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One of the times that a recurring event takes place."""

    key: str
    event: Component
    """What it says."""
    own: Component | None
    """The same where it stands in the resource, being other than the series says; else None."""


def is_series(events: Iterable[Component]) -> bool:
    """Say whether these are a recurring event, or invitations to instances of one."""
    return any(event.line(name) for event in events for name in ("RRULE", "RDATE", _ID))


def master_of(events: Iterable[Component]) -> Component | None:
    """Return the event that says how it recurs, None where only invitations to instances are."""
    return next((event for event in events if event.line(_ID) is None), None)


def instances(events: list[Component], context: TimeContext, until: datetime) -> list[Instance]:
    """Return the instances that a series has before a moment. Raises `IcsError`."""
    master = master_of(events)
    own = [event for event in events if event is not master]
    if any("RANGE" in line.params for event in own for line in event.lines(_ID)):
        raise IcsError("it changes all later instances of a series at once: make that a series of its own")
    if master is None:
        # Invitations to some instances of a series that is not ours to see.
        return [Instance(key=_name(_id_of(event, context).local), event=event, own=event) for event in own]
    return _Series(master, own, context).instances(until)


def instance(events: list[Component], context: TimeContext, key: str) -> Instance | None:
    """Return one instance, None if the series has none of that name. Raises `IcsError`."""
    try:
        day = datetime.strptime(key[:8], "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    # A day has begun in every zone when the next but one begins in UTC.
    found = instances(events, context, day + 3 * _DAY)
    return next((one for one in found if one.key == key), None)


def without(calendar: Component, found: Instance) -> Component | None:
    """Return the calendar object in which the instance does not take place; None if nothing is left of it."""
    calendar = calendar.without_component(found.own) if found.own else calendar
    events = calendar.components("VEVENT")
    if not events:
        return None
    master = master_of(events)
    line = found.event.line(_ID)
    if master is None or line is None:
        return calendar
    return calendar.with_component(master, master.with_added(prop("EXDATE", line.value, **line.params)))


class _Series:
    """A master, and what differs from it."""

    def __init__(self, master: Component, own: list[Component], context: TimeContext) -> None:
        line = master.line("DTSTART")
        if line is None:
            raise IcsError("its event has no DTSTART")
        rules = [rule.value for rule in master.lines("RRULE")]
        if any(map(_TOO_OFTEN.search, rules)):
            raise IcsError("it recurs more often than daily")
        self._master, self._line, self._context, self._rules = master, line, context, rules
        self._start, self._all_day = times.read(line, context)
        self._end = times.read_end(master, self._start, context)
        self._own = {self._local(_id_of(event, context)): event for event in own}

    def instances(self, until: datetime) -> list[Instance]:
        """Return those before a moment, in the order of the days on which the series has them."""
        last = until.astimezone(ZoneInfo(self._start.zone)).replace(tzinfo=None)
        excluded = set(self._listed("EXDATE"))
        planned = sorted({*self._planned(last), *self._own})
        found, days = list[Instance](), set[str]()
        for at in planned:
            key = _name(at) if _name(at) not in days else f"{at:%Y%m%dT%H%M%S}"
            days.add(key)
            if at not in excluded:
                own = self._own.get(at)
                found.append(Instance(key=key, event=own or self._plain(at), own=own))
        return found

    def _planned(self, last: datetime) -> set[datetime]:
        # The first is one, whatever the rule says (RFC 5545 section 3.8.5.3).
        found = {at for at in (self._start.local, *self._listed("RDATE")) if at < last}
        for rule in self._rules:
            for at in takewhile(lambda at: at < last, self._following(rule)):
                found.add(at)
                if len(found) > MAX_INSTANCES:
                    raise IcsError(f"it takes place more than {MAX_INSTANCES} times: give it an end")
        return found

    def _following(self, rule: str) -> Iterator[datetime]:
        """Yield the local times that a rule names."""
        if _ENDLESS.search(rule):
            raise IcsError("its rule makes no sense")
        start, end = self._start.local, self._until(rule)
        later = (_LATEST - start.year) // _CYCLE * _CYCLE
        try:
            named = rrulestr(_UNTIL.sub("", rule).strip(";"), dtstart=start.replace(year=start.year + later))
            for at in named:
                local = at.replace(year=at.year - later)
                if end is not None and local > end:
                    return
                yield local
        except Exception as error:  # the library raises whatever a broken rule trips it into
            raise IcsError("its rule makes no sense") from error

    def _until(self, rule: str) -> datetime | None:
        found = _UNTIL.search(rule)
        if found is None:
            return None
        # A day that is named as the end takes place still.
        moment = f"{found[1]}{found[2] or 'T235959'}"
        line = Line("", "UNTIL", f"{moment}{found[3] if found[2] and not self._all_day else ''}")
        return (
            times.read(line, replace(self._context, wedding_zone=self._start.zone))[0]
            .at(self._start.zone)
            .local
        )

    def _listed(self, name: str) -> Iterator[datetime]:
        for line in self._master.lines(name):
            # Of a period only the beginning counts: none of ours ends differently.
            for value in split_list(line.value):
                yield self._local(times.read(replace(line, value=value.partition("/")[0]), self._context)[0])

    def _local(self, at: Moment) -> datetime:
        """Return a moment by the clock of the series; of whole days, the day."""
        return datetime.combine(at.local, time()) if self._all_day else at.at(self._start.zone).local

    def _plain(self, at: datetime) -> Component:
        """Return an instance as the series itself says it."""
        start, event = Moment(at, self._start.zone), self._master
        for name in _RULES:
            event = event.with_line(name, None)
        event = event.with_line("DTSTART", times.start_line(start, all_day=self._all_day))
        if event.line("DTEND") and self._end is not None:
            end = times.end_line(start, self._ending(start, self._end), all_day=self._all_day)
            event = event.with_line("DTEND", end)
        return event.with_line(_ID, self._id_line(start))

    def _ending(self, start: Moment, first: Moment) -> Moment:
        if first.zone == self._start.zone:
            return Moment(start.local + (first.local - self._start.local), start.zone)
        return start.plus(timedelta(), first.instant - self._start.instant).at(first.zone)

    def _id_line(self, at: Moment) -> Line:
        """Return what names an instance in the form of its series' own start."""
        if self._all_day:
            return prop(_ID, f"{at.local:%Y%m%d}", VALUE="DATE")
        text, tzid = f"{at.local:%Y%m%dT%H%M%S}", self._line.params.get("TZID")
        if tzid is not None and zones.iana_name(tzid, self._context.definitions.get(tzid)) is not None:
            return prop(_ID, text, TZID=tzid)
        if tzid is None and at.zone != "UTC":
            return prop(_ID, text)
        return prop(_ID, f"{at.instant:%Y%m%dT%H%M%S}Z")


def _id_of(event: Component, context: TimeContext) -> Moment:
    line = event.line(_ID)
    if line is None:
        raise IcsError("it has two events that say how it recurs")
    return times.read(line, context)[0]


def _name(at: datetime) -> str:
    return f"{at:%Y%m%d}"
