"""Whatever a manifest's converter sends to a vendor comes back as it was, or as the equivalence declares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.gateway.converters.contract import Context
from services.gateway.converters.fields import read_fields, write_fields
from services.gateway.converters.people import e164
from services.gateway.converters.reading import _SORTS
from services.gateway.vendors.field_rules import Equivalence
from tests.property.values import ZONES, currencies, line, values_of, zoned_times
from tests.support.field_maps import field_rule
from wedsync.model.currencies import MINOR_DIGITS
from wedsync.model.items import FieldValue, ItemKind
from wedsync.model.values import MAX_MINOR_UNITS, canonical, money

CONTEXT = Context(
    zone="Europe/Paris",
    currency="USD",
    settings={"currency_digits": "ISK=2 MGA=0 UGX=2", "region": "US"},
)
EVENT, CONTACT, BOOKING = ItemKind.TIMELINE_EVENT, ItemKind.CONTACT, ItemKind.BOOKING
PAYMENT, TASK = ItemKind.PAYMENT, ItemKind.TASK

any_currency = st.sampled_from(sorted(MINOR_DIGITS))
amounts = st.builds(money, st.integers(0, MAX_MINOR_UNITS), any_currency)
# Before 1980 some offsets were no whole minutes.
in_whole_minutes = zoned_times.filter(lambda text: text > "1980")
dollars = st.builds(money, st.integers(0, MAX_MINOR_UNITS), st.just("USD"))
phones = st.one_of(
    line,
    st.from_regex(r"\+1 ?\(?[2-9]\d\d\)?[ -]?[2-9]\d\d[ -]?\d{4}", fullmatch=True),
    st.from_regex(r"\(?[2-9]\d\d\)?[ .-]?[2-9]\d\d[ .-]?\d{4}", fullmatch=True),
    st.from_regex(r"\+33 ?[1-79]( ?\d\d){4}", fullmatch=True),
    st.from_regex(r"\+39 ?0\d{6,9}", fullmatch=True),
    st.from_regex(r"[+()\d .-]{1,30}", fullmatch=True),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A field as a manifest maps it."""

    kind: ItemKind
    path: str
    rule: str
    values: st.SearchStrategy[FieldValue]
    may_refuse: bool = False
    """Whether the vendor cannot say every value, and then says so."""


def case(kind: ItemKind, path: str, rule: str, **changes: Any) -> Case:
    """Return a case with every value of its field."""
    return replace(
        Case(kind=kind, path=path, rule=f"{{direction: both, {rule}}}", values=values_of(kind, path)),
        **changes,
    )


CASES = {
    "text": case(EVENT, "title", "equivalence: exact, convert: {type: text, at: /name}"),
    "lines": case(EVENT, "notes", "equivalence: trimmed, convert: {type: text, at: /details/notes~1html}"),
    "number": case(BOOKING, "guest_count", "equivalence: exact, convert: {type: number, at: /guests}"),
    "flag": case(TASK, "done", "equivalence: flag, convert: {type: flag, at: /done}"),
    "date": case(TASK, "due_on", "equivalence: exact, convert: {type: date, at: /due}"),
    "choice": case(
        EVENT,
        "status",
        "equivalence: exact, convert: {type: choice, at: /state, fallback: tentative, "
        "values: {held: tentative, pencilled: tentative, firm: confirmed, called_off: cancelled}}",
    ),
    "labels": case(EVENT, "tags", "equivalence: trimmed, convert: {type: labels, at: /tags}"),
    "labels of objects": case(
        EVENT, "tags", "equivalence: trimmed, convert: {type: labels, at: /tags, item: /tag/name}"
    ),
    "labels in a text": case(
        EVENT,
        "tags",
        'equivalence: trimmed, convert: {type: labels, at: /tags, separator: ", "}',
        may_refuse=True,
    ),
    "minor units": case(
        PAYMENT,
        "amount",
        "equivalence: exact, convert: {type: money, form: minor_units, at: /amount/value, "
        "currency: /amount/currency, lower_case: true, digits: currency_digits}",
        values=amounts,
        may_refuse=True,
    ),
    "minor units of one currency": case(
        PAYMENT,
        "amount",
        "equivalence: exact, convert: {type: money, form: minor_units, at: /cents}",
        values=dollars,
    ),
    "decimal text": case(
        PAYMENT,
        "amount",
        "equivalence: exact, convert: {type: money, form: decimal_text, at: /amount/value, "
        "currency: /amount/currency_code}",
        values=amounts,
    ),
    "decimal number": case(
        PAYMENT,
        "amount",
        "equivalence: exact, convert: {type: money, form: decimal_number, at: /total, currency: /currency}",
        values=amounts,
    ),
    "a refund of nothing": case(
        PAYMENT,
        "refunded",
        "equivalence: exact, convert: {type: money, form: decimal_text, at: /refund, zero_is_nothing: true}",
        values=st.none() | dollars.filter(lambda text: text != "0 USD"),
    ),
    "local time": case(
        EVENT,
        "starts_at",
        "equivalence: exact, convert: {type: local_time, date: /day, time: /time, zone: /zone}",
    ),
    "local time in one text": case(
        EVENT,
        "starts_at",
        "equivalence: exact, convert: {type: local_time, at: /start/dateTime, zone: /start/timeZone}",
    ),
    "local time to the minute": case(
        EVENT,
        "starts_at",
        "equivalence: minute, convert: {type: local_time, date: /day, time: /time, zone: /zone, "
        "to_minute: true}",
    ),
    "local time of the wedding": case(
        EVENT, "starts_at", "equivalence: instant, convert: {type: local_time, at: /start}", may_refuse=True
    ),
    "the wedding's to the minute": case(
        EVENT,
        "starts_at",
        "equivalence: instant_minute, convert: {type: local_time, at: /start, to_minute: true}",
        values=in_whole_minutes,
        may_refuse=True,
    ),
    "rfc3339": case(EVENT, "starts_at", "equivalence: instant, convert: {type: rfc3339, at: /start}"),
    "rfc3339 with zone": case(
        EVENT, "starts_at", "equivalence: instant, convert: {type: rfc3339, at: /start, zone: /zone}"
    ),
    "unix": case(EVENT, "starts_at", "equivalence: instant, convert: {type: unix, at: /start}"),
    "unix milliseconds": case(
        EVENT,
        "starts_at",
        "equivalence: instant_minute, convert: {type: unix, at: /start, unit: milliseconds}",
        values=in_whole_minutes,
    ),
    "person name": case(
        CONTACT, "name", "equivalence: single_line, convert: {type: person_name, first: /first, last: /last}"
    ),
    "phone": case(
        CONTACT,
        "phone",
        "equivalence: phone, convert: {type: phone, at: /phone, region: region}",
        values=st.none() | phones,
    ),
}


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.sampled_from(ZONES), st.data())
def test_what_goes_out_comes_back(name: str, zone: str, data: st.DataObject) -> None:
    """Through the vendor's JSON and back a value is equivalent, and a second round changes nothing."""
    known, context = CASES[name], replace(CONTEXT, zone=zone)
    rules = {known.path: field_rule(known.kind, known.path, known.rule)}
    value = data.draw(known.values)
    try:
        written = write_fields(rules, {known.path: value}, context)
    except ValueError:
        assert known.may_refuse
        assume(False)
    for shown in (orjson.loads(orjson.dumps(written)), json.loads(json.dumps(written))):
        back = read_fields(rules, shown, context)[known.path]
        rule = rules[known.path]
        assert rule.equivalent(value, back)
        assert rule.equivalence is not Equivalence.EXACT or back == value
        assert back is None or canonical(known.kind, known.path, back) == back
        assert write_fields(rules, {known.path: back}, context) == written
        assert read_fields(rules, shown, context)[known.path] == back


@given(phones)
def test_a_number_of_e164_stays_as_it_is(text: str) -> None:
    """What was made E.164 is, in any country, the same number."""
    number = e164(text, "US")
    if number is not None:
        assert [e164(number, region) for region in ("US", "FR", "")] == [number] * 3


@given(st.integers(-(10**12), 10**12), st.sampled_from(ZONES))
def test_no_instant_is_shifted(seconds: int, zone: str) -> None:
    """An instant a vendor shows comes back to it as the same one, also in the hour that clocks show twice."""
    rule = field_rule(EVENT, "starts_at", CASES["unix"].rule)
    context = replace(CONTEXT, zone=zone)
    try:
        value = read_fields({"starts_at": rule}, {"start": seconds}, context)["starts_at"]
    except ValueError:
        return  # it lies outside the calendar
    assert rule.convert is not None
    assert rule.convert.to_vendor(value, context) == {"/start": seconds}


@given(st.integers(0, MAX_MINOR_UNITS), currencies)
def test_no_number_with_a_point_loses_a_cent(units: int, currency: str) -> None:
    """However large an amount, the float that carries it in JSON is read as exactly what was written."""
    rules = {"amount": field_rule(PAYMENT, "amount", CASES["decimal number"].rule)}
    digits = MINOR_DIGITS[currency]
    whole, rest = divmod(units, 10**digits)
    text = f'{{"total": {whole}{f".{rest:0{digits}d}" if digits else ""}, "currency": "{currency}"}}'
    for parsed in (json.loads(text), orjson.loads(text)):
        assert read_fields(rules, parsed, CONTEXT) == {"amount": money(units, currency)}


def test_every_converter_is_among_the_cases() -> None:
    """No type of converter is left without a round trip."""
    used: Sequence[str] = [known.rule.partition("type: ")[2].partition(",")[0] for known in CASES.values()]
    assert set(used) == set(_SORTS)
