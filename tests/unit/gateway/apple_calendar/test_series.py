"""A recurring event as its instances, and our values written into one of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import icalendar
import pytest
from dateutil.rrule import rrulestr

from services.gateway.vendors.apple_calendar.event import (
    cancelled,
    changed_event,
    read_event,
    read_instances,
)
from services.gateway.vendors.apple_calendar.ics import IcsError

_NOW = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
_UNTIL = datetime(2029, 1, 1, tzinfo=UTC)
_ZONE = "America/New_York"
_TIMED = ("DTSTART;TZID=America/Chicago:20270612T180000", "DTEND;TZID=America/Chicago:20270612T200000")


def _resource(*lines: str, more: tuple[str, ...] = ()) -> str:
    event = ("BEGIN:VEVENT", "UID:u1", "SUMMARY:Lesson", *lines, "END:VEVENT")
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *event, *more, "END:VCALENDAR", ""])


def _own(*lines: str) -> tuple[str, ...]:
    return ("BEGIN:VEVENT", "UID:u1", *lines, "END:VEVENT")


def _parsed(text: str) -> list[Any]:
    """Return the events as an independent library reads them."""
    return [*icalendar.Calendar.from_ical(text).walk("VEVENT")]


def _starts(*lines: str, more: tuple[str, ...] = ()) -> dict[str, Any]:
    found = read_instances(_resource(*lines, more=more), _ZONE, _UNTIL)
    return {key: event.fields["starts_at"] for key, event in found.items()}


def test_each_instance_is_at_its_own_time() -> None:
    """It has the local time of its series, whatever the season, and as long as that."""
    found = read_instances(_resource(*_TIMED, "RRULE:FREQ=MONTHLY;COUNT=8"), _ZONE, _UNTIL)
    assert list(found)[0::5] == ["20270612", "20271112"]
    assert found["20271112"].fields["starts_at"] == "2027-11-12T18:00:00[America/Chicago]"
    assert found["20271112"].fields["ends_at"] == "2027-11-12T20:00:00[America/Chicago]"
    assert {event.fields["title"] for event in found.values()} == {"Lesson"}


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        (("RRULE:FREQ=WEEKLY;COUNT=2",), ["12", "19"]),
        (("RRULE:FREQ=WEEKLY;UNTIL=20270619",), ["12", "19"]),
        (("RRULE:FREQ=WEEKLY;UNTIL=20270619T230000Z",), ["12", "19"]),
        (("RRULE:FREQ=WEEKLY;UNTIL=20270619T225959Z",), ["12"]),
        (("RRULE:UNTIL=20270620T000000;FREQ=WEEKLY",), ["12", "19"]),
        (("RDATE;TZID=America/Chicago:20270614T180000,20270613T180000",), ["12", "13", "14"]),
        (("RDATE;VALUE=PERIOD:20270613T230000Z/PT1H",), ["12", "13"]),
        (("RRULE:FREQ=DAILY;COUNT=4", "EXDATE;TZID=America/Chicago:20270613T180000"), ["12", "14", "15"]),
        (("RRULE:FREQ=DAILY;COUNT=4", "EXDATE:20270612T230000Z,20270614T230000Z"), ["13", "15"]),
        (("RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=2",), ["12", "14", "21"]),
    ],
)
def test_it_takes_place_when_its_rules_say(lines: tuple[str, ...], days: list[str]) -> None:
    """Rules with any kind of end, single dates and exceptions are understood, in any form of a time."""
    assert [key[-2:] for key in _starts(*_TIMED, *lines)] == days


def test_whole_days_recur_as_whole_days() -> None:
    """An instance of an all-day series is a day, whatever the zone of the wedding."""
    days = ("DTSTART;VALUE=DATE:20270612", "DTEND;VALUE=DATE:20270614", "EXDATE;VALUE=DATE:20270619")
    found = read_instances(_resource(*days, "RRULE:FREQ=WEEKLY;UNTIL=20270626"), _ZONE, _UNTIL)
    assert list(found) == ["20270612", "20270626"]
    assert dict(found["20270626"].fields) | {"title": ""} == {
        "title": "", "location": None, "notes": None, "status": None, "tags": None, "all_day": True,
        "starts_at": f"2027-06-26T00:00:00[{_ZONE}]", "ends_at": f"2027-06-28T00:00:00[{_ZONE}]",
    }  # fmt: skip


def test_an_instance_that_differs_keeps_its_name() -> None:
    """One that was moved, to another day even, is found under the day on which its series has it."""
    own = _own("RECURRENCE-ID:20270619T230000Z", "SUMMARY:Late lesson", "DTSTART:20270621T150000Z")
    starts = _starts(*_TIMED, "RRULE:FREQ=WEEKLY;COUNT=3", more=own)
    assert starts == {
        "20270612": "2027-06-12T18:00:00[America/Chicago]",
        "20270619": "2027-06-21T15:00:00[UTC]",
        "20270626": "2027-06-26T18:00:00[America/Chicago]",
    }
    event = read_event(_resource(*_TIMED, "RRULE:FREQ=WEEKLY;COUNT=3", more=own), _ZONE, "20270619")
    assert event is not None
    assert event.fields["title"] == "Late lesson"


def test_a_series_that_moves_keeps_its_instances() -> None:
    """Another hour or another zone of the series is another time of the same instances."""
    rule = "RRULE:FREQ=WEEKLY;COUNT=2"
    before = _starts(*_TIMED, rule)
    for moved in (
        "DTSTART;TZID=America/Chicago:20270612T190000",
        "DTSTART;TZID=Europe/Paris:20270612T180000",
    ):
        after = _starts(moved, rule)
        assert before.keys() == after.keys()
        assert set(before.values()).isdisjoint(after.values())


def test_several_on_one_day_are_told_apart() -> None:
    """The first of a day has the day's name, and keeps it when another one is cancelled."""
    lines = (*_TIMED, "RRULE:FREQ=DAILY;BYHOUR=9,18;COUNT=3")
    assert list(_starts(*lines)) == ["20270612", "20270613", "20270613T180000"]
    assert list(_starts(*lines, "EXDATE:20270613T140000Z")) == ["20270612", "20270613T180000"]


def test_invitations_to_instances_stand_for_themselves() -> None:
    """Where the series is somebody else's, the instances that he invited us to are there."""
    first = _own("RECURRENCE-ID:20270612T230000Z", "DTSTART:20270612T230000Z")
    second = _own("RECURRENCE-ID:20270619T230000Z", "DTSTART:20270620T010000Z")
    text = "\r\n".join(["BEGIN:VCALENDAR", *first, *second, "END:VCALENDAR", ""])
    found = read_instances(text, _ZONE, _UNTIL)
    assert {key: event.fields["starts_at"] for key, event in found.items()} == {
        "20270612": "2027-06-12T23:00:00[UTC]",
        "20270619": "2027-06-20T01:00:00[UTC]",
    }
    left = cancelled(text, _ZONE, _NOW, "20270612")
    assert left is not None
    assert list(read_instances(left, _ZONE, _UNTIL)) == ["20270619"]
    assert cancelled(left, _ZONE, _NOW, "20270619") is None


@pytest.mark.parametrize(
    "start",
    [
        "DTSTART;TZID=America/Chicago:20270612T180000",
        "DTSTART;TZID=Central Standard Time:20270612T180000",
        "DTSTART:20270612T230000Z",
        "DTSTART:20270612T180000",
        "DTSTART;VALUE=DATE:20270612",
    ],
)
def test_what_is_written_to_an_instance_is_that_instances(start: str) -> None:
    """It differs from its series from then on, in the form of its series' own times; no other one moves."""
    text = _resource(start, "RRULE:FREQ=WEEKLY;COUNT=3", "X-THEIRS:kept")
    before = read_instances(text, _ZONE, _UNTIL)
    changed = changed_event(text, {"title": "Late"}, _ZONE, _NOW, "20270619")
    after = read_instances(changed, _ZONE, _UNTIL)
    assert {key: event.fields["title"] for key, event in after.items()} == {
        "20270612": "Lesson", "20270619": "Late", "20270626": "Lesson"
    }  # fmt: skip
    assert [e.fields["starts_at"] for e in after.values()] == [e.fields["starts_at"] for e in before.values()]
    again = changed_event(changed, {"starts_at": f"2027-06-20T10:00:00[{_ZONE}]", "all_day": False,
                                    "ends_at": None}, _ZONE, _NOW, "20270619")  # fmt: skip
    moved = read_instances(again, _ZONE, _UNTIL)["20270619"].fields
    assert (moved["title"], moved["starts_at"]) == ("Late", f"2027-06-20T10:00:00[{_ZONE}]")
    master, own = _parsed(again)
    assert (master["X-THEIRS"], own["X-THEIRS"], "RRULE" in own) == ("kept", "kept", False)
    assert type(own["RECURRENCE-ID"].dt) is type(master["DTSTART"].dt)


def test_a_cancelled_instance_is_gone_and_no_other() -> None:
    """Also one that differed: its series says from then on that it does not take place."""
    own = _own("RECURRENCE-ID:20270619T230000Z", "SUMMARY:Late lesson", "DTSTART:20270621T150000Z")
    text = _resource(*_TIMED, "RRULE:FREQ=WEEKLY;COUNT=3", "SEQUENCE:4", more=own)
    for key in ("20270619", "20270612"):
        left = cancelled(text, _ZONE, _NOW, key)
        assert left is not None
        text = left
        assert read_event(text, _ZONE, key) is None
    assert list(read_instances(text, _ZONE, _UNTIL)) == ["20270626"]
    (master,) = _parsed(text)
    assert (master["SEQUENCE"], len(master["EXDATE"])) == (6, 2)
    assert cancelled(text, _ZONE, _NOW, "20270612") == text


def test_a_series_is_no_event_of_its_own() -> None:
    """Neither is an instance that it does not have, nor a series of ours an item's."""
    text = _resource(*_TIMED, "RRULE:FREQ=WEEKLY;COUNT=3", "X-WEDSYNC-ID:u1")
    for key in ("", "20270613", "soon"):
        assert read_event(text, _ZONE, key) is None
    assert {event.marker for event in read_instances(text, _ZONE, _UNTIL).values()} == {None}
    assert read_instances(_resource(*_TIMED), _ZONE, _UNTIL) == {}
    with pytest.raises(IcsError, match="no such event"):
        changed_event(text, {}, _ZONE, _NOW, "20270613")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("RRULE:FREQ=SECONDLY",), "more often than daily"),
        (("RRULE:FREQ=HOURLY;INTERVAL=24",), "more often than daily"),
        (("RRULE:FREQ=DAILY;BYMINUTE=0,1,2",), "more often than daily"),
        (("RRULE:FREQ=DAILY;INTERVAL=0;BYDAY=MO",), "makes no sense"),
        (("RRULE:FREQ=NEVER",), "makes no sense"),
        (("RRULE:FREQ=DAILY;BYHOUR=1,2,3,4",), "more than 1000 times"),
        (("RDATE:soon",), "no date or time"),
    ],
)
def test_a_rule_that_nobody_can_follow_is_refused(lines: tuple[str, ...], says: str) -> None:
    """With a reason: it is set apart, and holds up nothing else."""
    with pytest.raises(IcsError, match=says):
        _starts(*_TIMED, *lines)


def test_a_change_of_all_later_instances_is_refused() -> None:
    """What one instance says of all that follow is not taken for its own."""
    own = _own("RECURRENCE-ID;RANGE=THISANDFUTURE:20270619T230000Z", "DTSTART:20270621T150000Z")
    with pytest.raises(IcsError, match="all later instances"):
        _starts(*_TIMED, "RRULE:FREQ=WEEKLY;COUNT=3", more=own)


@pytest.mark.parametrize("rule", ["DAILY;BYMONTH=2;BYMONTHDAY=30", "DAILY;INTERVAL=7;BYDAY=MO"])
def test_a_rule_that_never_comes_true_costs_little(rule: str) -> None:
    """The first time is all there is, and that is known soon."""
    before = time.process_time()
    assert list(_starts(*_TIMED, f"RRULE:FREQ={rule}")) == ["20270612"]
    assert time.process_time() - before < 3


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=YEARLY;BYWEEKNO=53;BYDAY=TH",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,TU;WKST=SU",
        "FREQ=YEARLY;BYYEARDAY=-1,100",
    ],
)
def test_instances_are_those_of_the_rule_itself(rule: str) -> None:
    """That a rule is followed in a later year with the same calendar changes no day of it."""
    start = datetime(2023, 3, 4, 18)  # noqa: DTZ001 - local
    named = [at for at in islice(rrulestr(rule, dtstart=start), 400) if at < datetime(2028, 6, 1)]  # noqa: DTZ001
    found = read_instances(_resource("DTSTART:20230304T180000", f"RRULE:{rule}"), "UTC",
                           datetime(2028, 6, 1, tzinfo=UTC))  # fmt: skip
    assert [key for key in found if key != "20230304"] == [f"{at:%Y%m%d}" for at in named if at != start]
