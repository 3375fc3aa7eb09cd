"""A calendar resource as a timeline event, and our values written into it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import available_timezones

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.vendors.apple_calendar.event import Event, changed_event, new_event, read_event
from services.gateway.vendors.apple_calendar.ics import IcsError
from services.gateway.vendors.manifest import VENDORS, load_manifest
from wedsync.model.items import FieldValue, ItemKind

_NOW = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
_ZONE = "America/New_York"
_ID = "0193b1b0-0000-7000-8000-000000000001"
_RULES = load_manifest(VENDORS / "apple_calendar").kinds[ItemKind.TIMELINE_EVENT].fields


def _resource(*lines: str, before: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> str:
    event = ("BEGIN:VEVENT", "UID:u1", *lines, "END:VEVENT")
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *before, *event, *after, "END:VCALENDAR", ""])


def _read(*lines: str, before: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Event:
    event = read_event(_resource(*lines, before=before, after=after), _ZONE)
    assert event is not None
    return event


def _times(*lines: str, before: tuple[str, ...] = ()) -> tuple[FieldValue, FieldValue, FieldValue]:
    fields = _read(*lines, before=before).fields
    return fields["starts_at"], fields["ends_at"], fields["all_day"]


def _fields(text: str) -> Mapping[str, FieldValue]:
    event = read_event(text, _ZONE)
    assert event is not None
    return event.fields


def _refused(text: str) -> str:
    with pytest.raises(IcsError) as caught:
        read_event(text, _ZONE)
    return str(caught.value)


def test_every_field_is_read() -> None:
    """A full event shows all mapped fields in canonical values."""
    event = _read(
        "SUMMARY:First\\, look",
        "DTSTART;TZID=America/New_York:20270612T150000",
        "DTEND;TZID=America/New_York:20270612T160000",
        "LOCATION:Old Barn",
        "DESCRIPTION:a\\nb",
        "STATUS:TENTATIVE",
        "CATEGORIES:b,a",
        "CATEGORIES:c\\,d",
    )
    assert event.fields == {
        "title": "First, look",
        "starts_at": "2027-06-12T15:00:00[America/New_York]",
        "ends_at": "2027-06-12T16:00:00[America/New_York]",
        "all_day": False,
        "location": "Old Barn",
        "notes": "a\nb",
        "status": "tentative",
        "tags": ("a", "b", "c,d"),
    }
    assert (event.uid, event.marker) == ("u1", None)


def test_what_is_left_out_is_none() -> None:
    """Empty and missing properties are None, and a status we do not know says nothing."""
    fields = _read("DTSTART:20270612T150000Z", "SUMMARY:", "STATUS:NEEDS-ACTION").fields
    assert [fields[path] for path in ("title", "ends_at", "location", "notes", "status", "tags")] == [
        None
    ] * 6


@pytest.mark.parametrize(
    ("lines", "starts_at", "ends_at"),
    [
        (["DTSTART:20270612T150000Z"], "2027-06-12T15:00:00[UTC]", None),
        (["DTSTART:20270612T150000"], "2027-06-12T15:00:00[America/New_York]", None),
        (["DTSTART;TZID=Eastern Standard Time:20270612T150000"],
         "2027-06-12T15:00:00[America/New_York]", None),
        (["DTSTART;TZID=/mozilla.org/20050126_1/Europe/Paris:20270612T150000"],
         "2027-06-12T15:00:00[Europe/Paris]", None),
        (["DTSTART;TZID=GMT:20270612T150000"], "2027-06-12T15:00:00[UTC]", None),
        (["DTSTART:20270612T150000Z", "DURATION:PT90M"],
         "2027-06-12T15:00:00[UTC]", "2027-06-12T16:30:00[UTC]"),
        (["DTSTART:20270612T150000Z", "DURATION:P1W2D"],
         "2027-06-12T15:00:00[UTC]", "2027-06-21T15:00:00[UTC]"),
        # Exact hours over the change of the clock, and a nominal day over it (RFC 5545, 3.3.6).
        (["DTSTART:20270313T120000", "DURATION:PT24H"],
         "2027-03-13T12:00:00[America/New_York]", "2027-03-14T13:00:00[America/New_York]"),
        (["DTSTART:20270313T120000", "DURATION:P1D"],
         "2027-03-13T12:00:00[America/New_York]", "2027-03-14T12:00:00[America/New_York]"),
    ],
)  # fmt: skip
def test_times_are_read_in_each_of_their_forms(lines: list[str], starts_at: str, ends_at: str | None) -> None:
    """UTC, floating, named, Windows' and prefixed zones and durations become canonical times."""
    assert _times(*lines) == (starts_at, ends_at, False)


@pytest.mark.parametrize(
    ("lines", "ends_at"),
    [
        (["DTSTART;VALUE=DATE:20270612"], None),
        (
            ["DTSTART;VALUE=DATE:20270612", "DTEND;VALUE=DATE:20270614"],
            "2027-06-14T00:00:00[America/New_York]",
        ),
        (["DTSTART:20270612", "DURATION:P1D"], "2027-06-13T00:00:00[America/New_York]"),
    ],
)
def test_a_whole_day_is_midnights_of_the_weddings_zone(lines: list[str], ends_at: str | None) -> None:
    """An all-day event starts at midnight and ends at the midnight after its last day."""
    assert _times(*lines) == ("2027-06-12T00:00:00[America/New_York]", ends_at, True)


def _custom(tzid: str, *lines: str, rule: str = "") -> tuple[str, ...]:
    standard = ("DTSTART:19700101T000000", *([f"RRULE:{rule}"] if rule else []), *lines)
    return ("BEGIN:VTIMEZONE", f"TZID:{tzid}", "BEGIN:STANDARD", *standard, "END:STANDARD", "END:VTIMEZONE")


_WEST = ("TZOFFSETFROM:-0700", "TZOFFSETTO:-0700")


def test_a_zone_of_the_events_own_is_brought_to_the_weddings_zone() -> None:
    """A zone that only its VTIMEZONE explains gives the same moment in the wedding's zone."""
    lines = ("DTSTART;TZID=Ranch:20270612T120000", "DURATION:PT1H")
    expected = ("2027-06-12T15:00:00[America/New_York]", "2027-06-12T16:00:00[America/New_York]", False)
    assert _times(*lines, before=_custom("Ranch", *_WEST)) == expected


def test_a_definition_may_name_its_zone() -> None:
    """X-LIC-LOCATION in a VTIMEZONE is the zone's name."""
    before = ("BEGIN:VTIMEZONE", "TZID:Ranch", "X-LIC-LOCATION:America/Denver", "END:VTIMEZONE")
    assert (
        _times("DTSTART;TZID=Ranch:20270612T120000", before=before)[0]
        == "2027-06-12T12:00:00[America/Denver]"
    )


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ((), "unknown and not defined"),
        (("BEGIN:VTIMEZONE", "TZID:Ranch", "END:VTIMEZONE"), "cannot be used"),
        (_custom("Ranch", *_WEST, rule="FREQ=SECONDLY"), "cannot be used"),
        (_custom("Ranch", "TZOFFSETTO:soon"), "makes no sense"),
        (("BEGIN:VTIMEZONE", "END:VTIMEZONE"), "unknown and not defined"),
    ],
)
def test_a_zone_that_nobody_can_know_is_refused(before: tuple[str, ...], says: str) -> None:
    """An undefined, empty, broken or endlessly recurring zone makes the record bad, quickly."""
    assert says in _refused(_resource("DTSTART;TZID=Ranch:20270612T120000", before=before))


@pytest.mark.parametrize(
    "lines",
    [
        ["SUMMARY:no start"],
        ["DTSTART:soon"],
        ["DTSTART:20271345T150000"],
        ["DTSTART;VALUE=DATE:20270230"],
        ["DTSTART:20270612T150000Z", "DURATION:P"],
        ["DTSTART:20270612T150000Z", "DURATION:-PT1H"],
        ["DTSTART:99990612T150000Z", "DURATION:P9999W"],
    ],
)
def test_an_event_that_makes_no_sense_is_refused(lines: list[str]) -> None:
    """A missing or impossible time is refused with a reason."""
    assert _refused(_resource(*lines))


def test_a_resource_of_several_events_is_refused() -> None:
    """Different UIDs, or none, in one resource make it bad."""
    other = ("BEGIN:VEVENT", "UID:u2", "DTSTART:20270612T150000Z", "END:VEVENT")
    assert "different UIDs" in _refused(_resource("DTSTART:20270612T150000Z", after=other))
    assert "no UID" in _refused(_resource("DTSTART:20270612T150000Z").replace("UID:u1", "X-A:1"))
    assert "no VEVENT" in _refused("BEGIN:VCALENDAR\nEND:VCALENDAR")
    with pytest.raises(IcsError, match="no VEVENT"):
        changed_event("BEGIN:VCALENDAR\nEND:VCALENDAR", {}, _ZONE, _NOW)


def test_tasks_and_journals_are_no_events() -> None:
    """A resource of tasks only is none of ours, and no error."""
    assert read_event("BEGIN:VCALENDAR\nBEGIN:VTODO\nEND:VTODO\nEND:VCALENDAR", _ZONE) is None
    assert read_event("BEGIN:VCALENDAR\nBEGIN:VJOURNAL\nEND:VJOURNAL\nEND:VCALENDAR", _ZONE) is None


def test_a_new_event_carries_our_marker() -> None:
    """What we create has our id as UID and marker, and reads back as it was written."""
    text = new_event(_ID, {"title": "Toast", "starts_at": f"2027-06-12T19:00:00[{_ZONE}]"}, _ZONE, _NOW)
    event = read_event(text, _ZONE)
    assert event is not None
    assert (event.uid, event.marker) == (_ID, _ID)
    assert event.fields["title"] == "Toast"
    for line in ("SEQUENCE:0", "DTSTAMP:20270102T030405Z", "CREATED:20270102T030405Z", f"TZID:{_ZONE}"):
        assert f"\r\n{line}\r\n" in text


def test_a_copy_of_our_event_does_not_carry_our_marker() -> None:
    """A client that duplicates an event copies the property but not the UID: the copy is not ours."""
    assert _read("DTSTART:20270612T150000Z", f"X-WEDSYNC-ID:{_ID}").marker is None


def test_an_event_needs_a_start() -> None:
    """A value that iCalendar has no room for is refused with a reason a person understands."""
    with pytest.raises(IcsError, match="needs a time at which it starts"):
        new_event(_ID, {"title": "Some day"}, _ZONE, _NOW)


@pytest.mark.parametrize("text", ["tomorrow", "2027-13-12T15:00:00[UTC]", "2027-06-12T15:00:00[Mars/Base]"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    """A malformed time, an impossible one and an unknown zone are refused."""
    with pytest.raises(IcsError):
        new_event(_ID, {"starts_at": text}, _ZONE, _NOW)


_FOREIGN = _resource(
    "SUMMARY;LANGUAGE=en:Dinner",
    "DTSTART;TZID=Eastern Standard Time:20270612T180000",
    "DURATION:PT2H",
    "LOCATION:Barn",
    "X-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-TITLE=Barn:geo:40.1,-73.2",
    "DESCRIPTION:old",
    "X-ALT-DESC;FMTTYPE=text/html:<b>old</b>",
    "SEQUENCE:4",
    "X-OTHER;X-A=1:a,b;c",
    "BEGIN:VALARM",
    "TRIGGER:-PT15M",
    "END:VALARM",
)


def test_an_edit_touches_only_what_it_is_about() -> None:
    """A new title leaves times, alarms, unknown properties and their order as they came."""
    text = changed_event(_FOREIGN, {"title": "Supper"}, _ZONE, _NOW)
    dropped = {"SUMMARY;LANGUAGE=en:Dinner"}
    assert set(_FOREIGN.split("\r\n")) - set(text.split("\r\n")) == dropped
    added = set(text.split("\r\n")) - set(_FOREIGN.split("\r\n"))
    assert added == {"SUMMARY:Supper", "DTSTAMP:20270102T030405Z", "LAST-MODIFIED:20270102T030405Z"}


def test_a_moved_event_keeps_its_end() -> None:
    """A new start does not move the end, which the event had said as a duration; SEQUENCE rises."""
    text = changed_event(_FOREIGN, {"starts_at": "2027-06-12T17:00:00[Europe/Paris]"}, _ZONE, _NOW)
    fields = _fields(text)
    assert fields["starts_at"] == "2027-06-12T17:00:00[Europe/Paris]"
    assert fields["ends_at"] == "2027-06-12T20:00:00[America/New_York]"
    assert "\r\nSEQUENCE:5\r\n" in text
    assert "DURATION" not in text
    zones = icalendar.Calendar.from_ical(text).walk("VTIMEZONE")
    assert {str(zone["TZID"]) for zone in zones} == {"America/New_York", "Europe/Paris"}


def test_other_forms_of_a_changed_text_are_dropped() -> None:
    """A stale map position or HTML description would be shown instead of the new text."""
    text = changed_event(_FOREIGN, {"location": "Hall", "notes": None}, _ZONE, _NOW)
    assert "X-APPLE-STRUCTURED-LOCATION" not in text
    assert "X-ALT-DESC" not in text
    assert _fields(text)["location"] == "Hall"
    assert _fields(text)["notes"] is None


def test_writing_what_is_there_raises_no_sequence() -> None:
    """An edit to the value that is there is no change for anybody."""
    text = changed_event(_FOREIGN, {"location": "Barn", "status": None, "tags": None}, _ZONE, _NOW)
    assert "\r\nSEQUENCE:4\r\n" in text
    assert "geo:40.1" in text


def test_a_broken_sequence_starts_again() -> None:
    """A SEQUENCE that is no number counts as none."""
    text = changed_event(_FOREIGN.replace("SEQUENCE:4", "SEQUENCE:x"), {"status": "cancelled"}, _ZONE, _NOW)
    assert "\r\nSEQUENCE:1\r\n" in text


def test_a_kept_time_counts_only_while_nobody_moved_the_event() -> None:
    """The hour of an all-day event is remembered until another client moves it; garbage is ignored."""
    values: dict[str, FieldValue] = {"starts_at": f"2027-06-12T15:00:00[{_ZONE}]", "all_day": True}
    text = new_event(_ID, values, _ZONE, _NOW)
    assert _fields(text)["starts_at"] == values["starts_at"]
    moved = text.replace("VALUE=DATE:20270612", "VALUE=DATE:20270613")
    assert _fields(moved)["starts_at"] == f"2027-06-13T00:00:00[{_ZONE}]"
    broken = text.replace("X-WEDSYNC-STARTS-AT:2027", "X-WEDSYNC-STARTS-AT:never")
    assert _fields(broken)["starts_at"] == f"2027-06-12T00:00:00[{_ZONE}]"


_TEXTS = st.text(st.characters(codec="utf-8"), max_size=120)
_ZONED = st.builds(
    "{}[{}]".format,
    st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)).map(lambda t: t.isoformat(timespec="seconds")),  # noqa: DTZ001
    st.sampled_from(
        ["UTC", "America/New_York", "Europe/Dublin", "Asia/Kolkata", "Pacific/Apia", "Etc/GMT+4"]
    ),
)
_VALUES = st.fixed_dictionaries(
    {"starts_at": _ZONED},
    optional={
        "title": st.none() | _TEXTS,
        "ends_at": st.none() | _ZONED,
        "all_day": st.none() | st.booleans(),
        "location": st.none() | _TEXTS,
        "notes": st.none() | _TEXTS,
        "status": st.sampled_from([None, "tentative", "confirmed", "cancelled"]),
        "tags": st.none() | st.lists(_TEXTS, max_size=3).map(lambda tags: tuple(sorted(set(tags)))),
    },
)


def _held(values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    return {path: _RULES[path].holds(value) for path, value in values.items()}


@settings(max_examples=150, deadline=None)
@given(values=_VALUES)
def test_what_is_written_reads_back_as_the_manifest_says(values: dict[str, FieldValue]) -> None:
    """Any values, written as a new event, read back equal under the manifest's equivalences."""
    held = _held(values)
    text = new_event(_ID, held, _ZONE, _NOW)
    shown = _held(_fields(text))
    assert {path: shown[path] for path in held} == held
    assert icalendar.Calendar.from_ical(text).walk("VEVENT")[0]["UID"] == _ID


@settings(max_examples=150, deadline=None)
@given(values=_VALUES)
def test_an_edit_reads_back_and_keeps_the_rest(values: dict[str, FieldValue]) -> None:
    """Any values, written into another client's event, read back; fields not written stay."""
    held = _held(values)
    before = _held(_fields(_FOREIGN))
    text = changed_event(_FOREIGN, held, _ZONE, _NOW)
    assert _held(_fields(text)) == {**before, **held}
    assert "X-OTHER;X-A=1:a,b;c" in text


@settings(max_examples=40, deadline=None)
@given(zone=st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})))
def test_every_iana_zone_can_be_written(zone: str) -> None:
    """An event in any IANA zone reads back in that zone."""
    start = f"2027-06-12T15:00:00[{zone}]"
    assert _fields(new_event(_ID, {"starts_at": start}, _ZONE, _NOW))["starts_at"] == start
