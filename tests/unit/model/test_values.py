"""Canonical values: what is kept, how it is written, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from wedsync.model.items import CATALOGUE, ItemKind
from wedsync.model.values import (
    MAX_LINES,
    MAX_TAGS,
    MAX_TEXT,
    BadValue,
    canonical,
    is_zone,
    split_money,
    split_zoned_time,
)

EVENT, PAYMENT, BOOKING, TASK = ItemKind.TIMELINE_EVENT, ItemKind.PAYMENT, ItemKind.BOOKING, ItemKind.TASK


@pytest.mark.parametrize(
    ("kind", "path", "given", "kept"),
    [
        (EVENT, "title", "First dance", "First dance"),
        (EVENT, "notes", "a\r\nb\rc\td", "a\nb\nc\td"),
        (EVENT, "tags", ("b", " a ", "b", ""), ("a", "b")),
        (EVENT, "tags", ["b", "a"], ("a", "b")),
        (EVENT, "tags", (" ", ""), None),
        (EVENT, "all_day", False, False),
        (
            EVENT,
            "starts_at",
            "2027-06-12T15:00:00[America/New_York]",
            "2027-06-12T15:00:00[America/New_York]",
        ),
        (PAYMENT, "amount", "007 USD", "7 USD"),
        (PAYMENT, "amount", "-0 USD", "0 USD"),
        (PAYMENT, "paid_on", "20270612", "2027-06-12"),
        (BOOKING, "guest_count", 0, 0),
        (BOOKING, "status", "booked", "booked"),
    ],
)
def test_a_value_has_one_form(kind: ItemKind, path: str, given: Any, kept: Any) -> None:
    """Spellings of the same value become one."""
    assert canonical(kind, path, given) == kept


@pytest.mark.parametrize("kind", ItemKind)
@pytest.mark.parametrize("nothing", [None, "", (), []])
def test_there_is_one_way_to_say_nothing(kind: ItemKind, nothing: Any) -> None:
    """None, empty text and an empty set of labels are all None, for text and labels alike."""
    for path, spec in CATALOGUE[kind].items():
        if nothing != [] or spec.type == "tags":
            assert canonical(kind, path, nothing) is None


@pytest.mark.parametrize(
    ("kind", "path", "value", "says"),
    [
        (EVENT, "begins", "x", "no field 'begins'"),
        (EVENT, "title", 3, "must be text"),
        (EVENT, "title", "a\nb", "single line"),
        (EVENT, "title", "a\tb", "single line"),
        (EVENT, "title", "x" * (MAX_TEXT + 1), f"at most {MAX_TEXT}"),
        (EVENT, "notes", "x" * (MAX_LINES + 1), f"at most {MAX_LINES}"),
        (EVENT, "notes", "bell\x07", "control characters"),
        (EVENT, "notes", "half \ud83d", "half a character"),
        (EVENT, "all_day", "yes", "true or false"),
        (EVENT, "status", "maybe", "tentative, confirmed, cancelled"),
        (EVENT, "starts_at", "2027-06-12T15:00:00", "no moment"),
        (EVENT, "starts_at", "2027-06-12T15:00:00[Mars/Olympus]", "IANA"),
        (EVENT, "starts_at", "2027-06-12T15:00:00[America]", "IANA"),
        (EVENT, "starts_at", "2027-02-30T15:00:00[Europe/Paris]", "no local time"),
        (EVENT, "starts_at", "２０２７-06-12T15:00:00[Europe/Paris]", "no moment"),  # noqa: RUF001  # on purpose
        (EVENT, "tags", "vip", "set of labels"),
        (EVENT, "tags", (1,), "set of labels"),
        (EVENT, "tags", ("a\nb",), "single line"),
        (EVENT, "tags", tuple(map(str, range(MAX_TAGS + 1))), f"at most {MAX_TAGS}"),
        (PAYMENT, "amount", "12.50 USD", "no amount"),
        (PAYMENT, "amount", "12 usd", "no amount"),
        (PAYMENT, "amount", "١٢ USD", "no amount"),
        (PAYMENT, "paid_on", "tomorrow", "no date"),
        (BOOKING, "guest_count", True, "whole number"),
        (BOOKING, "guest_count", 1.5, "whole number"),
        (BOOKING, "guest_count", 100_001, "at most 100000"),
        (BOOKING, "guest_count", -1, "at least 0"),
        (PAYMENT, "amount", "-1 USD", "at least 0"),
        (PAYMENT, "amount", f"{10**15 + 1} USD", "at most 1000000000000000"),
        (PAYMENT, "refunded", "-1 USD", "at least 0"),
        (PAYMENT, "paid_on", "1899-12-31", "1900 to 2200"),
        (PAYMENT, "paid_on", "2201-01-01", "1900 to 2200"),
        (EVENT, "starts_at", "1027-06-12T15:00:00[Europe/Paris]", "1900 to 2200"),
        (EVENT, "title", "next line\x85", "control characters"),
        (EVENT, "title", "pay\u202egnp.exe", "turn the direction"),
        (EVENT, "notes", "\u2066isolated\u2069", "turn the direction"),
        (EVENT, "tags", ("x" * 101,), "at most 100"),
        (TASK, "done", 1, "true or false"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_cure(kind: ItemKind, path: str, value: Any, says: str) -> None:
    """A value that does not fit its field is a `BadValue` whose message says how to mend it."""
    with pytest.raises(BadValue, match=says):
        canonical(kind, path, value)


def test_values_come_apart_again() -> None:
    """Moments and amounts are taken apart into what they were made of; others are refused."""
    assert split_zoned_time("2027-06-12T15:00:00[Etc/GMT+12]") == ("2027-06-12T15:00:00", "Etc/GMT+12")
    assert split_money("-12500 USD") == (-12500, "USD")
    with pytest.raises(BadValue):
        split_money("12500")
    with pytest.raises(BadValue):
        split_zoned_time("noon")


def test_zones_are_names_and_not_paths() -> None:
    """Only names of IANA zones are zones."""
    assert is_zone("Europe/Paris")
    assert not any(map(is_zone, ("", "/etc/passwd", "../UTC", "Europe", "Europe/Nowhere")))
