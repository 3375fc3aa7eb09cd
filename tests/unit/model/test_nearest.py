"""What is kept of the values that vendors show, and what callers are asked to mend."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wedsync.model.items import CATALOGUE, FieldType, FieldValue, ItemKind
from wedsync.model.values import (
    MAX_LABEL,
    MAX_LINES,
    MAX_TAGS,
    MAX_TEXT,
    BadValue,
    canonical,
    nearest,
    objection,
)

EVENT, CONTACT, BOOKING = ItemKind.TIMELINE_EVENT, ItemKind.CONTACT, ItemKind.BOOKING
_TEXTS = (FieldType.TEXT, FieldType.LINES, FieldType.TAGS)
_FIELDS = [(kind, path, spec.type) for kind, fields in CATALOGUE.items() for path, spec in fields.items()]


@pytest.mark.parametrize(
    ("path", "shown", "kept"),
    [
        ("title", "First\ndance\t\n at 8", "First dance  at 8"),
        ("title", "bell\x07 and \x9fnext", "bell and next"),
        ("title", "pay\u202egnp.exe \u2066now\u2069", "paygnp.exe now"),
        ("title", "half \ud83d a smile", "half  a smile"),
        ("title", "\u200fשבת", "\u200fשבת"),
        ("title", "👩\u200d❤️\u200d👨", "👩\u200d❤️\u200d👨"),
        ("title", "x" * (MAX_TEXT + 1), "x" * MAX_TEXT),
        ("title", "\x00", None),
        ("notes", "a\r\nb\x85c\x0bd\te", "a\nb\nc\nd\te"),
        ("notes", "x" * (MAX_LINES + 1), "x" * MAX_LINES),
        ("tags", ("b\n", "a\u202a", "\x00", "y" * 200), ("a", "b", "y" * MAX_LABEL)),
        ("tags", tuple(f"{n:03}" for n in range(99)), tuple(f"{n:03}" for n in range(MAX_TAGS))),
        ("starts_at", "2027-03-14T02:30:00[America/New_York]", "2027-03-14T03:30:00[America/New_York]"),
        ("starts_at", "2027-11-07T01:30:00[America/New_York]", "2027-11-07T01:30:00[America/New_York]"),
        ("starts_at", "2027-04-30T00:00:00[Africa/Cairo]", "2027-04-30T00:00:00[Africa/Cairo]"),
        ("starts_at", "2027-04-30T00:30:00[Africa/Cairo]", "2027-04-30T01:30:00[Africa/Cairo]"),
        ("starts_at", "half past two", "half past two"),
        ("all_day", True, True),
        ("no_field", "\x00", "\x00"),
    ],
)
def test_the_nearest_value_is_kept(path: str, shown: Any, kept: Any) -> None:
    """Text loses what cannot be kept, a skipped time moves to where the clocks go, the rest stays."""
    assert nearest(EVENT, path, shown) == kept


@given(st.sampled_from([(kind, path) for kind, path, type_ in _FIELDS if type_ in _TEXTS]), st.text())
def test_no_text_of_a_vendor_is_refused(field: tuple[ItemKind, str], shown: str) -> None:
    """Whatever text a vendor shows, what is kept of it is canonical, and keeping it again changes nothing."""
    kind, path = field
    value: FieldValue = (shown,) if CATALOGUE[kind][path].type is FieldType.TAGS else shown
    kept = nearest(kind, path, value)
    assert canonical(kind, path, kept) == kept
    assert nearest(kind, path, kept) == kept


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("email", "ada", "e-mail address"),
        ("email", "ada@", "e-mail address"),
        ("email", "ada lovelace@example.com", "e-mail address"),
        ("email", "a@b@c", "e-mail address"),
        ("email", "a" * 251 + "@b.c", "254 characters"),
        ("phone", "ask Ada", "phone number"),
        ("phone", "1" * 51, "50 characters"),
    ],
)
def test_a_callers_own_contacts_are_checked(path: str, value: str, says: str) -> None:
    """An address that is none is kept of a vendor, and a caller is told how to mend it."""
    assert canonical(CONTACT, path, value) == value
    assert says in (objection(CONTACT, path, value) or "")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("email", "ada@example.com"),
        ("email", "ada+wedding@über.example"),
        ("email", None),
        ("phone", "+33 1 23 45 67 89"),
        ("phone", "(212) 555-0100 ext. 4"),
        ("name", "ada"),
    ],
)
def test_what_could_be_right_is_taken(path: str, value: FieldValue) -> None:
    """Only what cannot be an address or a number is objected to."""
    assert objection(CONTACT, path, value) is None
    assert objection(BOOKING, "title", "ada") is None


@pytest.mark.parametrize(
    ("local", "says", "cure"),
    [
        (
            "2027-03-14T02:30:00[America/New_York]",
            "02:30 does not exist in America/New_York on 2027-03-14",
            "the clocks go from 02:00 to 03:00; write 03:30",
        ),
        (
            "2011-12-30T12:00:00[Pacific/Apia]",
            "12:00 does not exist in Pacific/Apia on 2011-12-30",
            "the clocks go from 2011-12-30 00:00 to 2011-12-31 00:00; write 2011-12-31 12:00",
        ),
    ],
)
def test_a_skipped_time_is_refused_with_the_one_to_write(local: str, says: str, cure: str) -> None:
    """The refusal names the gap and the cure."""
    with pytest.raises(BadValue) as refused:
        canonical(EVENT, "starts_at", local)
    assert str(refused.value) == f"{says}: {cure}"


def test_midnight_begins_its_day_although_the_clocks_skip_it() -> None:
    """A whole day in a zone whose clocks go forward at midnight can be written."""
    midnight = "2027-04-30T00:00:00[Africa/Cairo]"
    assert canonical(EVENT, "starts_at", midnight) == midnight
