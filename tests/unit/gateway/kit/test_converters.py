"""What a vendor shows and a manifest alone makes of it; what makes no sense is named, never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.gateway.converters.contract import Context
from services.gateway.converters.fields import read_fields, write_fields
from services.gateway.vendors.manifest import ManifestError, load_manifest
from services.gateway.vendors.pointers import placed, pointed
from tests.support.field_maps import field_rule, manifest_text
from wedsync.model.items import FieldValue, ItemKind

_CONTEXT = Context(zone="Europe/Paris", currency="USD", settings={"currency_digits": "ISK=2", "region": "US"})
_MINOR = "{type: money, form: minor_units, at: /amount, currency: /currency, digits: currency_digits}"
_TEXT = "{type: money, form: decimal_text, at: /amount, currency: /currency}"
_NUMBER = "{type: money, form: decimal_number, at: /amount}"
_PARTS = "{type: local_time, date: /day, time: /time, zone: /zone}"
_STATE = "{type: choice, at: /state, values: {firm: confirmed, pencilled: tentative, gone: cancelled}}"

_KINDS = {
    "amount": (ItemKind.PAYMENT, "exact"),
    "paid_on": (ItemKind.PAYMENT, "exact"),
    "refunded": (ItemKind.PAYMENT, "exact"),
    "starts_at": (ItemKind.TIMELINE_EVENT, "instant"),
    "status": (ItemKind.TIMELINE_EVENT, "exact"),
    "tags": (ItemKind.TIMELINE_EVENT, "trimmed"),
    "all_day": (ItemKind.TIMELINE_EVENT, "flag"),
    "title": (ItemKind.TIMELINE_EVENT, "trimmed"),
    "guest_count": (ItemKind.BOOKING, "exact"),
    "date": (ItemKind.BOOKING, "exact"),
    "name": (ItemKind.CONTACT, "single_line"),
    "phone": (ItemKind.CONTACT, "phone"),
}


def shown(path: str, convert: str, record: Any, direction: str = "both") -> FieldValue:
    """Return what a record shows of a field."""
    kind, equivalence = _KINDS[path]
    rule = f"{{direction: {direction}, equivalence: {equivalence}, convert: {convert}}}"
    return read_fields({path: field_rule(kind, path, rule)}, record, _CONTEXT)[path]


def told(path: str, convert: str, value: FieldValue) -> dict[str, Any]:
    """Return what the vendor is told of a value."""
    kind, equivalence = _KINDS[path]
    rule = f"{{direction: both, equivalence: {equivalence}, convert: {convert}}}"
    return write_fields({path: field_rule(kind, path, rule)}, {path: value}, _CONTEXT)


@pytest.mark.parametrize(
    ("path", "convert", "record", "value"),
    [
        ("amount", _MINOR, {"amount": 250000, "currency": "gbp"}, "250000 GBP"),
        ("amount", _MINOR, {"amount": 500, "currency": "isk"}, "5 ISK"),
        ("amount", _TEXT, {"amount": "1850.5", "currency": "GBP"}, "185050 GBP"),
        ("amount", _TEXT, {"amount": "1850", "currency": "JPY"}, "1850 JPY"),
        ("amount", _NUMBER, {"amount": 0.1}, "10 USD"),
        ("amount", _NUMBER, {"amount": 1e3}, "100000 USD"),
        ("amount", _NUMBER, {"amount": 4503599627370.49}, "450359962737049 USD"),
        ("amount", _NUMBER, {"amount": None}, None),
        ("starts_at", "{type: unix, at: /t}", {"t": 1801463400}, "2027-02-01T07:30:00[Europe/Paris]"),
        (
            "starts_at",
            "{type: rfc3339, at: /t}",
            {"t": "2027-06-12T09:00:00-04:00"},
            "2027-06-12T15:00:00[Europe/Paris]",
        ),
        (
            "starts_at",
            "{type: rfc3339, at: /t}",
            {"t": "2027-06-12T13:00:00.999Z"},
            "2027-06-12T15:00:00[Europe/Paris]",
        ),
        ("starts_at", _PARTS, {"day": "2027-06-12", "time": "15:00"}, "2027-06-12T15:00:00[Europe/Paris]"),
        ("starts_at", _PARTS, {"day": "2027-06-12", "zone": "UTC"}, "2027-06-12T00:00:00[UTC]"),
        ("starts_at", _PARTS, {"time": "15:00"}, None),
        ("starts_at", "{type: unix, at: /t}", {"t": 1824942600}, "2027-10-31T02:30:00[Europe/Paris]"),
        # An hour later the clocks show 02:30 again.
        ("starts_at", "{type: unix, at: /t}", {"t": 1824946200}, "2027-10-31T01:30:00[UTC]"),
        ("status", _STATE, {"state": "pencilled"}, "tentative"),
        ("status", _STATE, {"state": ""}, None),
        ("tags", "{type: labels, at: /tags}", {"tags": ["b ", "a", "b", ""]}, ("a", "b")),
        ("tags", '{type: labels, at: /tags, separator: ";"}', {"tags": "b; a;;"}, ("a", "b")),
        ("tags", "{type: labels, at: /tags, item: /n}", {"tags": [{"n": "a"}, {}]}, ("a",)),
        ("all_day", "{type: flag, at: /whole}", {}, False),
        ("guest_count", "{type: number, at: /n}", {"n": 120.0}, 120),
        ("name", "{type: person_name, first: /f, last: /l}", {"f": " Ada ", "l": ""}, "Ada"),
        ("phone", "{type: phone, at: /p, region: region}", {"p": "(202) 555-0143"}, "+12025550143"),
        ("phone", "{type: phone, at: /p, region: region}", {"p": "ask for Ann"}, "ask for Ann"),
        ("phone", "{type: phone, at: /p, region: region}", {"p": "202-555-0143 x7"}, "202-555-0143 x7"),
    ],
)
def test_a_manifest_reads_what_a_vendor_shows(
    path: str, convert: str, record: Any, value: FieldValue
) -> None:
    """Money, moments, choices, labels, names and numbers come in as canonical values."""
    assert shown(path, convert, record) == value


def test_an_instant_may_count_as_a_day() -> None:
    """A day is the one that clocks show at the wedding, whatever day it is elsewhere."""
    assert shown("paid_on", "{type: unix, at: /t}", {"t": 1801463400}, "in") == "2027-02-01"
    assert shown("paid_on", "{type: rfc3339, at: /t}", {"t": "2027-02-01T23:30:00Z"}, "in") == "2027-02-02"


@pytest.mark.parametrize(
    ("path", "convert", "record", "why"),
    [
        ("amount", _MINOR, {"amount": 550, "currency": "isk"}, "has a fraction its currency does not have"),
        ("amount", _MINOR, {"amount": 1.5, "currency": "usd"}, "is no whole number"),
        ("amount", _MINOR, {"amount": True, "currency": "usd"}, "is no whole number"),
        ("amount", _MINOR, {"amount": -1, "currency": "usd"}, "is no whole number"),
        ("amount", _MINOR, {"amount": 1, "currency": "us$"}, "has no currency of ISO 4217"),
        ("amount", _MINOR, {"amount": 1}, "has no currency of ISO 4217"),
        ("amount", _TEXT, {"amount": "1,850.00", "currency": "USD"}, "is no decimal number"),
        ("amount", _TEXT, {"amount": "1.505", "currency": "USD"}, "has a fraction"),
        ("amount", _TEXT, {"amount": 5, "currency": "USD"}, "is no decimal number"),
        ("amount", _NUMBER, {"amount": 0.1 + 0.2}, "is no decimal number"),
        ("amount", _NUMBER, {"amount": float("nan")}, "is no decimal number"),
        ("amount", _NUMBER, {"amount": float("inf")}, "is no decimal number"),
        ("amount", _NUMBER, {"amount": -0.5}, "is no decimal number"),
        ("starts_at", "{type: unix, at: /t}", {"t": 1.5}, "is no whole number of seconds"),
        ("starts_at", "{type: unix, at: /t}", {"t": 10**30}, "is out of the calendar"),
        ("starts_at", "{type: rfc3339, at: /t}", {"t": "2027-06-12T15:00:00"}, "it has no offset"),
        ("starts_at", "{type: rfc3339, at: /t}", {"t": "noon"}, "is no time of RFC 3339"),
        ("starts_at", _PARTS, {"day": "12 June", "time": "15:00"}, "is no local time"),
        ("starts_at", _PARTS, {"day": "2027-06-12", "time": "15:00Z"}, "it has an offset"),
        ("starts_at", _PARTS, {"day": "2027-06-12", "zone": "Mars/Base"}, "unknown time zone, Mars/Base"),
        ("status", _STATE, {"state": "lost"}, "is unknown"),
        ("status", _STATE, {"state": 5}, "is something else than text"),
        ("tags", "{type: labels, at: /tags}", {"tags": "a"}, "is no list"),
        ("tags", "{type: labels, at: /tags}", {"tags": [5]}, "is something else than text"),
        ("all_day", "{type: flag, at: /whole}", {"whole": 1}, "is neither true nor false"),
        ("guest_count", "{type: number, at: /n}", {"n": 1.5}, "is no whole number"),
        ("guest_count", "{type: number, at: /n}", {"n": True}, "is no whole number"),
        ("date", "{type: date, at: /d}", {"d": "12/06/2027"}, "is no date"),
        ("title", "{type: text, at: /t}", {"t": ["x"]}, "is something else than text"),
    ],
)
def test_what_makes_no_sense_is_named_by_its_field(path: str, convert: str, record: Any, why: str) -> None:
    """Nothing is rounded, shortened or guessed: the record is refused, with the field and the reason."""
    with pytest.raises(ValueError, match=f"has a field {path} that .*{why}"):
        shown(path, convert, record)


@pytest.mark.parametrize(
    ("path", "convert", "value", "why"),
    [
        ("amount", _NUMBER, "100 EUR", "is kept in USD there"),
        (
            "amount",
            "{type: money, form: minor_units, at: /a, currency: /c, digits: currency_digits}",
            "150 MGA",
            "has a fraction that MGA does not have there",
        ),
        ("tags", '{type: labels, at: /tags, separator: ", "}', ("a,b",), "holds a label with ',' in it"),
        ("starts_at", "{type: local_time, at: /t}", "2027-10-31T01:30:00[UTC]", "show twice"),
    ],
)
def test_what_a_vendor_cannot_say_is_not_said_wrongly(
    path: str, convert: str, value: FieldValue, why: str
) -> None:
    """What would come back as something else is refused before it is written."""
    context = Context(zone="Europe/Paris", currency="USD", settings={"currency_digits": "MGA=0"})
    kind, equivalence = _KINDS[path]
    rule = field_rule(kind, path, f"{{direction: both, equivalence: {equivalence}, convert: {convert}}}")
    with pytest.raises(ValueError, match=f"{path} .*{why}"):
        write_fields({path: rule}, {path: value}, context)


def test_the_first_of_several_words_is_told() -> None:
    """Of words that mean the same to us the vendor is told the first; a word it does not have, never."""
    several = "{type: choice, at: /s, values: {open: tentative, pencilled: tentative, firm: confirmed}}"
    kind = ItemKind.TIMELINE_EVENT
    rule = field_rule(
        kind, "status", f"{{direction: both, equivalence: exact, accepts: [tentative], convert: {several}}}"
    )
    assert write_fields({"status": rule}, {"status": "tentative"}, _CONTEXT) == {"s": "open"}
    with pytest.raises(ValueError, match="status cannot be cancelled there"):
        write_fields({"status": rule}, {"status": "cancelled"}, _CONTEXT)


def test_what_is_written_is_what_the_vendor_can_hold() -> None:
    """A value goes out in its normal form, at its place, beside what else is written."""
    assert told("title", "{type: text, at: /summary/plain}", "  Toast \r\n") == {
        "summary": {"plain": "Toast"}
    }
    assert told("amount", _TEXT, "185050 GBP") == {"amount": "1850.50", "currency": "GBP"}
    assert told("refunded", "{type: money, form: decimal_text, at: /r, zero_is_nothing: true}", None) == {
        "r": "0"
    }
    assert told("starts_at", "{type: local_time, date: /d, time: /t}", None) == {"d": None, "t": None}
    assert write_fields({}, {"title": "Toast"}, _CONTEXT) == {}


_START, _STATUS = "timeline_event.starts_at", "timeline_event.status"
_PHONE, _ON_INSTANT = "contact.phone", "write instant or instant_minute"


@pytest.mark.parametrize(
    ("field", "equivalence", "convert", "says"),
    [
        ("payment.amount", "exact", "{type: text, at: /a}", "does not suit a money: choose from money"),
        ("payment.amount", "exact", "{type: money, at: /a}", "lacks form, which a money needs"),
        ("contact.name", "trimmed", "{type: text, at: /a, zone: /z}", "does not have: drop it"),
        ("contact.name", "exact", "{type: person_name, first: /f, last: /l}", "single_line or trimmed"),
        (_PHONE, "exact", "{type: phone, at: /p, region: region}", "write phone"),
        (_PHONE, "phone", "{type: phone, at: /p, region: land}", "the setting land: describe it"),
        (_PHONE, "phone", "{type: phone, at: /p, region: currency_digits}", "two letters of a country"),
        (
            "payment.amount",
            "exact",
            "{type: money, form: minor_units, at: /a, digits: region}",
            "write it like ISK=2",
        ),
        (
            "payment.amount",
            "exact",
            "{type: money, form: decimal_text, at: /a, digits: currency_digits}",
            "count for minor_units only",
        ),
        (_START, "exact", "{type: rfc3339, at: /t}", _ON_INSTANT),
        (_START, "minute", "{type: unix, at: /t}", _ON_INSTANT),
        (_START, "exact", "{type: local_time, at: /t}", _ON_INSTANT),
        (_START, "instant", "{type: local_time, at: /t, to_minute: true}", "write instant_minute"),
        (_START, "exact", "{type: local_time, date: /d, zone: /z}", "either at, or date and time"),
        (_START, "exact", "{type: local_time, zone: /z}", "either at, or date and time"),
        ("timeline_event.tags", "exact", "{type: labels, at: /t}", "write single_line or trimmed"),
        (_STATUS, "exact", "{type: choice, at: /s, values: {a: maybe}}", "makes maybe of the vendor's"),
        (_STATUS, "exact", "{type: choice, at: /s, values: {a: confirmed}}", "for cancelled, tentative"),
        (_STATUS, "exact", "{type: choice, at: /s, values: {off: cancelled}}", "put it in quotes"),
        ("payment.paid_on", "exact", "{type: unix, at: /t}", "cannot write a day as an instant"),
        ("payment.paid_on", "exact", "{type: telegram, at: /t}", "Write text, number, flag"),
        ("contact.name", "trimmed", "{type: text, at: name}", "Write a JSON pointer"),
        ("contact.name", "instant", "{type: text, at: /n}", "does not suit a text"),
    ],
)
def test_a_field_map_that_cannot_work_is_refused(
    tmp_path: Path, field: str, equivalence: str, convert: str, says: str
) -> None:
    """What is missing, does not suit the field or would lose what was promised is named with its cure."""
    folder = tmp_path / "petalworks"
    folder.mkdir()
    kind, _, path = field.partition(".")
    rule = f"{{direction: both, equivalence: {equivalence}, convert: {convert}}}"
    text = manifest_text(kind, path, rule)
    (folder / "manifest.yaml").write_text(text, "utf-8")
    line = text[: text.index(f"      {path}: ")].count("\n") + 1
    with pytest.raises(ManifestError) as refused:
        load_manifest(folder)
    place = f"{folder}/manifest.yaml:{line}: kinds.{kind}.fields.{path}"
    assert any(problem.startswith(place) and says in problem for problem in refused.value.problems)


def test_pointers_are_those_of_rfc_6901() -> None:
    """Names may hold slashes and tildes; what stands beside a place stays as it was."""
    record = {"a/b": {"~c": 1, "d": 2}, "e": "text"}
    assert (pointed(record, "/a~1b/~0c"), pointed(record, "/e/f"), pointed(record, "/x")) == (1, None, None)
    assert placed(record, "/a~1b/~0c", 5) == {"a/b": {"~c": 5, "d": 2}, "e": "text"}
    assert placed(record, "/e/f/g", 5)["e"] == {"f": {"g": 5}}
    assert record["a/b"] == {"~c": 1, "d": 2}
