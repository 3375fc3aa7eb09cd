"""An Outlook event as canonical values and back, whatever either of them can say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from services.gateway.vendors.manifest import VENDORS, load_manifest
from services.gateway.vendors.outlook_calendar import times, zones
from services.gateway.vendors.outlook_calendar.event import (
    KEPT,
    PROPERTIES,
    changed_event,
    new_event,
    read_event,
)
from services.gateway.vendors.outlook_calendar.times import EventError, Moment
from wedsync.clock import FakeClock
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.outlook import CALENDAR, Mailbox, display
from wedsync.testing.outlook.mailbox import Key

ZONE = "America/Toronto"
RULES = load_manifest(VENDORS / "outlook_calendar").kinds[ItemKind.TIMELINE_EVENT].fields
PREFER = display.Prefer(immutable_ids=True, text=True)
# Zones that Windows names, shares between places, or does not know; and one with half an hour of summer time.
ZONES = ["UTC", ZONE, "America/New_York", "Europe/Madrid", "Antarctica/Troll", "Australia/Lord_Howe"]

_MINUTES = st.datetimes(datetime.fromisoformat("1971-01-02"), datetime.fromisoformat("2090-01-01")).map(
    lambda moment: moment.replace(second=0, microsecond=0)
)
_TIMES = st.builds(lambda local, zone: Moment(local, zone).canonical, _MINUTES, st.sampled_from(ZONES))
_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
VALUES = st.fixed_dictionaries(
    {
        "title": _TEXTS,
        "starts_at": _TIMES,
        "ends_at": st.none() | _TIMES,
        "all_day": st.booleans(),
        "location": st.none() | _TEXTS,
        "notes": st.none() | st.text(st.sampled_from("ab \n\r\t<>&"), max_size=40),
        "status": st.sampled_from([None, "tentative", "confirmed"]),
    }
)


def held(values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """The values as the manifest says that Outlook can hold them."""
    return {path: RULES[path].holds(value) for path, value in values.items()}


def native(mailbox: Mailbox) -> dict[str, Any]:
    """The only event of a mailbox, with everything kept beside it."""
    (kept,) = mailbox.events.values()
    return display.event(mailbox, Key(kept.event_id), PREFER, list(kept.properties))


def shown(mailbox: Mailbox) -> dict[str, FieldValue]:
    """What that event says."""
    return held(read_event(native(mailbox), ZONE).fields)


@given(first=VALUES, second=VALUES)
def test_values_come_back_as_they_were_written(
    first: dict[str, FieldValue], second: dict[str, FieldValue]
) -> None:
    """Whatever is created, and then changed into, is what Outlook shows; writing it again changes nothing."""
    mailbox = Mailbox(FakeClock())
    mailbox.create(CALENDAR, new_event("i-1", held(first)))
    assert shown(mailbox) == held(first)
    before = native(mailbox)
    changed = {path: value for path, value in held(second).items() if held(first)[path] != value}
    if body := changed_event(before, held(first), changed):
        mailbox.update(Key(before["id"]), body)
    assert shown(mailbox) == held(second)
    assert read_event(native(mailbox), ZONE).marker == "i-1"


def test_a_place_whose_clock_was_its_own_is_written_in_utc() -> None:
    """Windows' zone of Madrid is that of Paris, which had no summer time in 1975."""
    days = [datetime.fromisoformat(f"{year}-05-01T00:00:00") for year in (1975, 2027)]
    written = [times.written(Moment(day, "Europe/Madrid"), all_day=False) for day in days]
    assert [at["timeZone"] for at in written] == ["UTC", "Romance Standard Time"]
    assert written[0]["dateTime"] == "1975-04-30T22:00:00.0000000"


def test_two_tables_of_zones_agree() -> None:
    """Every Windows zone that another library knows means the same clock here."""
    at = [datetime.fromisoformat(f"2027-{month}-15T12:00:00") for month in ("01", "07")]
    differing = {
        name: (ours, str(theirs))
        for name, theirs in WINDOWS_TO_OLSON.items()
        if (ours := zones.iana_name(name, "UTC")) != theirs
        and [Moment(a, str(ours)).instant for a in at] != [Moment(a, str(theirs)).instant for a in at]
    }
    assert differing == {}
    assert all(
        zones.windows_name(str(iana)) == name for name, iana in WINDOWS_TO_OLSON.items() if name != "UTC"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Eastern Standard Time", ZONE),
        ("Pacific Standard Time", "America/Los_Angeles"),
        ("Europe/Paris", "Europe/Paris"),
        ("tzone://Microsoft/Utc", "UTC"),
        ("tzone://Microsoft/Custom", None),
        ("", "UTC"),
        ("../../etc/passwd", None),
    ],
)
def test_a_name_of_a_zone_means_a_place(name: str, meant: str | None) -> None:
    """Windows' names, IANA's and Outlook's own are understood; what is none of them means nothing."""
    assert zones.iana_name(name, ZONE) == meant


def event(**changes: Any) -> dict[str, Any]:
    """An event as Graph shows it."""
    at = {"dateTime": "2027-06-12T18:00:00.0000000", "timeZone": "UTC"}
    plain = {
        "type": "singleInstance",
        "subject": "Dinner",
        "start": at,
        "end": at,
        "originalStartTimeZone": "Eastern Standard Time",
        "originalEndTimeZone": "tzone://Microsoft/Custom",
        "body": {"contentType": "text", "content": ""},
    }
    return {**plain, **changes}


def test_an_old_clients_zone_is_read_in_the_weddings() -> None:
    """A zone without a name leaves the moment as it is, shown at the wedding's place."""
    fields = read_event(event(), "Asia/Tokyo").fields
    assert (fields["starts_at"], fields["ends_at"]) == (
        "2027-06-12T14:00:00[America/New_York]",
        "2027-06-13T03:00:00[Asia/Tokyo]",
    )


def test_a_whole_day_that_was_converted_is_found_again() -> None:
    """Midnight in the zone it was set in is the same day, also when it is shown as an hour of another."""
    days = {
        name: {"dateTime": f"2027-06-{day}T15:00:00.0000000", "timeZone": "UTC"}
        for name, day in (("start", 11), ("end", 12))
    }
    tokyo = event(isAllDay=True, originalStartTimeZone="Tokyo Standard Time", **days)
    fields = read_event(tokyo, ZONE).fields
    assert (fields["starts_at"], fields["ends_at"]) == (
        f"2027-06-12T00:00:00[{ZONE}]",
        f"2027-06-13T00:00:00[{ZONE}]",
    )


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "{",
        "[]",
        '{"starts_at": 5, "ends_at": "x", "status": "paid"}',
        '{"ends_at": "2027-06-12T25:00:00[UTC]"}',
    ],
)
def test_what_is_kept_and_makes_no_sense_does_not_count(kept: str) -> None:
    """Another program may write anything there: the event is read as Outlook shows it."""
    odd = event(**{PROPERTIES: [{"id": KEPT, "value": kept}]})
    assert read_event(odd, ZONE).fields["starts_at"] == f"2027-06-12T14:00:00[{ZONE}]"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"start": None}, "start is no time"),
        ({"start": {"dateTime": "2027-06-12T18:00:00+02:00", "timeZone": "UTC"}}, "start is no time"),
        ({"end": {"dateTime": "2027-06-31T18:00:00", "timeZone": "UTC"}}, "no time"),
        ({"end": {"dateTime": "2027-06-12T18:00:00", "timeZone": "Moon"}}, "zone that is unknown"),
        ({"start": {"dateTime": "0001-01-01T00:00:00", "timeZone": "Asia/Tokyo"}}, "out of the calendar"),
        ({"subject": 5}, "subject is no text"),
        ({"location": "Barn"}, "location is no object"),
        ({"body": {"contentType": "html", "content": "<p>"}}, "came formatted"),
        ({PROPERTIES: {}, "type": 1}, ""),
        ({PROPERTIES: ["x"]}, "extended properties are no list"),
    ],
    ids=str,
)
def test_an_event_that_makes_no_sense_says_why(changes: dict[str, Any], says: str) -> None:
    """Each thing that cannot be read is named; nothing said is nothing read."""
    if not says:
        assert read_event(event(**changes), ZONE).marker is None
        return
    with pytest.raises(EventError, match=says):
        read_event(event(**changes), ZONE)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "needs a time"),
        ({"starts_at": None}, "needs a time"),
        ({"starts_at": "tomorrow"}, "no zoned time"),
        ({"starts_at": "2027-06-12T18:00:00[Moon/Crater]"}, "no zoned time"),
        ({"starts_at": "2027-06-31T18:00:00[UTC]"}, "is no time"),
        ({"starts_at": "0001-01-01T00:00:00[Asia/Tokyo]", "ends_at": "2027-06-12T18:00:00[UTC]"}, "calendar"),
    ],
    ids=str,
)
def test_values_without_a_sensible_time_are_not_written(values: dict[str, FieldValue], says: str) -> None:
    """What no calendar could show is refused before anything is sent."""
    with pytest.raises(EventError, match=says):
        new_event("i-1", {"title": "Dinner", **values})


def test_only_what_changed_is_written() -> None:
    """A new title touches no time; a status that looks the same touches nothing that people see."""
    fields = read_event(event(), ZONE).fields
    assert changed_event(event(), fields, {"title": "Supper"}) == {"subject": "Supper"}
    (kept,) = changed_event(event(showAs="oof"), fields, {"status": None}).pop(PROPERTIES)
    assert json.loads(kept["value"])["status"] is None
    assert set(changed_event(event(showAs="oof"), fields, {"status": None})) == {PROPERTIES}
    assert changed_event(event(), fields, {"status": "tentative"})["showAs"] == "tentative"
    assert times.written(
        Moment(datetime.fromisoformat("2027-06-12T18:00:00"), "Antarctica/Troll"), all_day=False
    ) == {
        "dateTime": "2027-06-12T16:00:00.0000000",
        "timeZone": "UTC",
    }
