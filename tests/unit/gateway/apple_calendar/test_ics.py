"""iCalendar text as a tree: what we do not touch stays as it came."""

import time

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.vendors.apple_calendar.ics import (
    MAX_BYTES,
    Component,
    IcsError,
    escape,
    parse,
    prop,
    serialize,
    split_list,
    unescape,
)

_TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], include_characters="\n\t"))


def _calendar(*lines: str) -> str:
    return "\r\n".join(["BEGIN:VCALENDAR", "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR", ""])


def test_what_is_not_touched_is_written_as_it_came() -> None:
    """Unknown properties, odd parameters, alarms and even nonsense survive byte for byte."""
    text = _calendar(
        "UID:1",
        'X-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-TITLE="B; N, a":geo:40.1,-73.2',
        "X-RAW:a,b;c\\",
        "this line: makes no sense",
        'ATTENDEE;CN="A; B";ROLE=CHAIR:mailto:a@example.com',
        "BEGIN:VALARM",
        "TRIGGER:-PT15M",
        "END:VALARM",
    )
    assert serialize(parse(text)) == text


def test_long_lines_are_folded_at_75_octets_between_characters() -> None:
    """No physical line is longer than 75 octets, and unfolding gives the text back."""
    value = "ä€😀x" * 60
    text = serialize(Component("VCALENDAR", (prop("X-A", value),)))
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    line = parse(text).line("X-A")
    assert line is not None
    assert line.value == value


def test_both_line_ends_and_a_byte_order_mark_are_read() -> None:
    """Servers change CRLF to LF in XML, and some files begin with a mark."""
    root = parse("\ufeffBEGIN:VCALENDAR\nX-A:1\n 2\n\t3\nEND:VCALENDAR\n\n")
    line = root.line("x-a".upper())
    assert line is not None
    assert line.value == "123"


def test_parameters_are_read_with_and_without_quotes() -> None:
    """A parameter's value may be quoted and then hold colons and semicolons."""
    line = parse(_calendar('DTSTART;TZID="A:B;C";X-Y=z:2027')).components("VEVENT")[0].line("DTSTART")
    assert line is not None
    assert (line.params, line.value) == ({"TZID": "A:B;C", "X-Y": "z"}, "2027")


def test_a_line_with_broken_parameters_is_kept_and_has_no_name() -> None:
    """A line that cannot be read is not mistaken for a property."""
    event = parse(_calendar("DTSTART;TZID", "UID:1")).components("VEVENT")[0]
    assert event.line("DTSTART") is None
    assert event.line("UID") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>sign in</html>",
        "BEGIN:VCARD\nEND:VCARD",
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\nEND:VEVENT",
        "BEGIN:VCALENDAR\nVERSION:2.0",
        "BEGIN:VCALENDAR\nEND:VCALENDAR\nBEGIN:VCALENDAR\nEND:VCALENDAR",
        "BEGIN:X\n" * 9,
        "BEGIN:VCALENDAR\n" + "A:\n" * 20_001 + "END:VCALENDAR",
        "BEGIN:VCALENDAR\nX:" + "a" * MAX_BYTES + "\nEND:VCALENDAR",
    ],
)
def test_what_is_no_calendar_object_is_refused(text: str) -> None:
    """Anything but one whole, properly nested calendar object of bearable size is refused."""
    with pytest.raises(IcsError):
        parse(text)


def test_a_hostile_line_is_read_in_no_time() -> None:
    """A long parameter that never ends costs no more than its length."""
    started = time.perf_counter()
    parse(_calendar("X-A;B=" + "a" * 200_000, "X-A;B=" + '"' * 199_999, "CATEGORIES:" + "\\" * 100_001))
    assert time.perf_counter() - started < 5


def test_a_line_replaces_all_of_its_name_in_place() -> None:
    """A property written anew takes the first one's place; a new one stands before sub-components."""
    event = Component("VEVENT", (prop("A", "1"), prop("B", "1"), prop("A", "2"), Component("VALARM")))
    edited = event.with_line("A", prop("A", "3")).with_line("C", prop("C", "4")).with_line("B", None)
    names = [entry.name for entry in edited.entries]
    assert names == ["A", "C", "VALARM"]
    assert [line.value for line in edited.lines("A")] == ["3"]


@settings(deadline=None)
@given(_TEXT)
def test_text_survives_escaping(text: str) -> None:
    """What is escaped reads back as it was, by our reader and by an independent one."""
    assert unescape(escape(text)) == text
    written = serialize(Component("VCALENDAR", (Component("VEVENT", (prop("SUMMARY", escape(text)),)),)))
    event = icalendar.Calendar.from_ical(written).walk("VEVENT")[0]
    assert str(event["SUMMARY"]) == text


@settings(deadline=None)
@given(st.lists(_TEXT.filter(bool), min_size=1))
def test_a_list_of_texts_survives(texts: list[str]) -> None:
    """Commas inside an entry do not split it."""
    assert split_list(",".join(map(escape, texts))) == texts


def test_a_parameter_with_special_characters_is_quoted() -> None:
    """A parameter value with a comma is written in quotes."""
    assert prop("X", "1", CN="a,b").text == 'X;CN="a,b":1'
