"""Tave's objects and canonical fields: what goes out comes back, up to what the manifest declares."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.converters import contract
from services.gateway.vendors.manifest import load_manifest
from services.gateway.vendors.port import VendorGarbage, VendorRejected
from services.gateway.vendors.tave import contacts, events, html_text, jobs, moments, payments, records
from services.gateway.vendors.tave.mapping import Context, marker, marker_of, version, writable_body
from services.gateway.vendors.tave.memory import Memory
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.tave import derive
from wedsync.testing.tave.resources import RESOURCES
from wedsync.testing.tave.schema import violations

MANIFEST = load_manifest(Path(__file__).parents[4] / "services/gateway/vendors/tave")
JOB_ID = "01jz8k3v6w2q9n4r7t5m1xbc0d"
CONTEXT = Context(
    job_id=JOB_ID,
    kinds=MANIFEST.kinds,
    conversion=contract.Context(zone="America/New_York", currency="USD"),
)
ZONES = ("America/New_York", "Europe/Stockholm", "Asia/Kolkata", "Pacific/Auckland", "UTC")

texts = st.none() | st.text(max_size=300).filter(lambda t: bool(t.strip()))
zoned = st.builds(
    lambda local, zone: f"{local:%Y-%m-%dT%H:%M:%S}[{zone}]",
    st.datetimes(
        min_value=datetime.fromisoformat("2026-01-01"), max_value=datetime.fromisoformat("2030-01-01")
    ),
    st.sampled_from(ZONES),
)
dates = st.none() | st.dates().map(str)
event_values = st.fixed_dictionaries(
    {
        "title": st.text(min_size=1, max_size=400),
        "starts_at": st.none() | zoned,
        "ends_at": st.none() | zoned,
        "all_day": st.none() | st.booleans(),
        "location": texts,
        "notes": texts,
        "status": st.sampled_from([None, "confirmed"]),
    }
)
blank_event: dict[str, Any] = {n: r.default for n, r in RESOURCES["event"].rules.items()}


def held(kind: ItemKind, values: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """The values as the manifest says that Tave can hold them."""
    rules = MANIFEST.kinds[kind].fields
    return {path: rules[path].holds(value) for path, value in values.items()}


def stored(kind: str, native: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """The object after a strict Tave took the write."""
    body = {**writable_body(kind, native), **written}
    rules = RESOURCES["address-book" if kind == "contact" else kind].rules
    assert violations(rules, body) == {}
    return {**native, **body}


@given(event_values)
def test_an_event_comes_back_as_it_went_out(values: dict[str, FieldValue]) -> None:
    """Every event survives the way to Tave and back, up to zone, minutes and whole days."""
    wanted = held(ItemKind.TIMELINE_EVENT, values)
    wanted["title"] = wanted["title"] or "Untitled event"
    native = stored("event", blank_event, events.changes(blank_event, wanted, CONTEXT))
    native = derive.event(native, "America/New_York")
    wanted |= moments.to_fields(moments.from_fields(wanted))
    if not (wanted["starts_at"] or wanted["ends_at"]):
        assert native["startDate"] is native["endDate"] is None
    assert events.read(native, CONTEXT) == wanted
    assert events.changes(native, wanted, CONTEXT) == {}


@given(st.none() | zoned, st.none() | zoned, st.booleans(), st.booleans())
def test_a_span_is_normal_once_and_for_all(
    starts: str | None, ends: str | None, all_day: bool, inclusive: bool
) -> None:
    """Normal form is stable, and the vendor's form of it reads back as the same, whichever end it means."""
    span = moments.from_fields({"starts_at": starts, "ends_at": ends, "all_day": all_day})
    assert span.normal() == span
    event = moments.to_event(span, inclusive=inclusive)
    assert moments.from_event(event, "UTC", inclusive=inclusive) == span


def test_an_all_day_event_ends_on_its_last_day() -> None:
    """An all-day event of two days is written with its last day, and never ends before it starts."""
    fields: dict[str, FieldValue] = {
        "starts_at": "2027-06-12T09:00:00[UTC]",
        "ends_at": "2027-06-14T00:00:00[UTC]",
        "all_day": True,
    }
    span = moments.from_fields(fields)
    event = moments.to_event(span, inclusive=True)
    assert (event["startDate"], event["endDate"], event["startTime"]) == ("2027-06-12", "2027-06-13", None)
    assert moments.to_event(span, inclusive=False)["endDate"] == "2027-06-14"
    backwards = moments.from_fields(fields | {"ends_at": "2027-06-10T00:00:00[UTC]"})
    assert str(backwards.ends) == "2027-06-13T00:00:00[UTC]"


def test_an_event_without_end_date_ends_on_its_first_day() -> None:
    """An end time without a date belongs to the start date, and a date without a time to its midnight."""
    event = {"startDate": "2027-06-12", "startTime": None, "endTime": "18:30:00"}
    assert moments.to_fields(moments.from_event(event, "UTC", inclusive=True)) == {
        "starts_at": "2027-06-12T00:00:00[UTC]",
        "ends_at": "2027-06-12T18:30:00[UTC]",
        "all_day": False,
    }


@pytest.mark.parametrize("value", ["2027-06-12", "2027-13-12T00:00:00[UTC]", "2027-06-12T00:00:00[../x]", 7])
def test_what_is_no_time_is_refused(value: FieldValue) -> None:
    """A value that is no zoned time never reaches Tave."""
    with pytest.raises(ValueError):  # noqa: PT011 - the type is the contract
        moments.read_moment(value)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (None, None),
        ("", None),
        ("<p><br></p>", None),
        ("plain", "plain"),
        ("a<br>b<br/><br>c", "a\nb\n\nc"),
        (
            "<div>Hello <b>dear</b>\n guests</div>\n<ul><li>one</li>\n<li>two</li></ul>",
            "Hello dear  guests\none\ntwo",
        ),
        ("<style>p{}</style><p>seen</p><script>no</script></script>", "seen"),
        ("<p>&lt;tag&gt; &amp;amp; &#233;</p>", "<tag> &amp; é"),
    ],
)
def test_html_reads_as_the_lines_a_person_sees(html: str | None, text: str | None) -> None:
    """Rich text reads as plain lines; style and script are not read."""
    assert html_text.to_text(html) == text


@given(texts)
def test_notes_survive_html(text: str | None) -> None:
    """Plain notes come back from HTML as they were, up to the declared trimming."""
    rule = MANIFEST.kinds[ItemKind.TIMELINE_EVENT].fields["notes"]
    kept = rule.holds(text)
    assert kept is None or isinstance(kept, str)
    assert rule.holds(html_text.to_text(html_text.to_html(kept))) == kept


job_values = st.fixed_dictionaries(
    {
        "title": st.text(min_size=1, max_size=255),
        "status": st.sampled_from(["inquiry", "booked", "in_progress", "completed", "cancelled"]),
        "date": dates,
        "guest_count": st.none() | st.integers(0, 10_000),
        "notes": texts,
    }
)


@given(job_values, st.sampled_from(["lead", "booked", "fulfillment", "completed"]), st.booleans())
def test_a_job_comes_back_as_it_went_out(values: dict[str, FieldValue], stage: str, closed: bool) -> None:
    """Every booking survives the way to Tave and back, from whatever stage the job was in."""
    native = {n: r.default for n, r in RESOURCES["job"].rules.items()} | {"stage": stage, "closed": closed}
    wanted = held(ItemKind.BOOKING, values)
    wanted["title"] = wanted["title"] or "Untitled job"
    after = stored("job", native, jobs.changes(native, wanted, CONTEXT))
    assert jobs.read(after, CONTEXT) == {**wanted, "service": "photography"}


def test_a_job_without_name_has_the_title_tave_gave_it() -> None:
    """Tave's generated title stands in where nobody named the job."""
    assert jobs.read({"stage": "lead", "title": "Ana's wedding"}, CONTEXT)["title"] == "Ana's wedding"
    for senseless in (
        {"stage": "gone"},
        {"stage": "lead", "guestCount": "many"},
        {"stage": "lead", "name": 7},
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - the type is the contract
            jobs.read(senseless, CONTEXT)


contact_values = st.fixed_dictionaries(
    {
        "name": st.text(min_size=1, max_size=40),
        "email": texts.map(lambda t: t and t[:200]),
        "phone": st.none() | st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True),
        "company": texts.map(lambda t: t and t[:128]),
    }
)


@example({"name": "Ada  Lovelace", "email": None, "phone": None, "company": None}, "person")
@given(contact_values, st.sampled_from(["person", "company", "location"]))
def test_a_contact_comes_back_as_it_went_out(values: dict[str, FieldValue], kind: str) -> None:
    """Every contact survives the way to Tave and back; companies and places have no company of their own."""
    native = {n: r.default for n, r in RESOURCES["address-book"].rules.items()} | {"kind": kind}
    wanted = held(ItemKind.CONTACT, values)
    current = contacts.read(native, {}, {}, CONTEXT)
    if not wanted["name"]:
        wanted["name"] = wanted["email"] or "Unnamed contact"
    written = contacts.changes(native, current, wanted, CONTEXT)
    after = derive.contact(stored("contact", native, contacts.body_without_derived(native, written)), "UTC")
    shown = contacts.read(after, {}, {}, CONTEXT)
    expected = {path: value for path, value in wanted.items() if path in shown}
    assert {path: shown[path] for path in expected} == expected
    assert ("company" in shown) == (kind == "person")


def test_a_person_keeps_the_phone_that_was_read() -> None:
    """Writing a phone replaces the number that was shown, and clearing it removes that one only."""
    person = {"kind": "person", "name": "Ana", "workPhone": {"formatted": "ext 12"}}
    current = contacts.read(person, {}, {}, CONTEXT)
    assert (current["name"], current["phone"]) == ("Ana", "ext 12")
    assert contacts.changes(person, current, {"phone": "call the office"}, CONTEXT) == {
        "workPhone": {"formatted": "call the office"}
    }
    assert contacts.changes(person, current, {"phone": None}, CONTEXT) == {"workPhone": None}


def test_roles_are_read_by_name() -> None:
    """Several roles are listed in order; unknown ones are left out; without any a client is a client."""
    names = {"b": "Planner", "a": "Bride"}
    memberships: tuple[dict[str, Any], ...] = (
        {"jobRoles": ["b", None, "x", "a"]},
        {"client": True},
        {"jobRoles": []},
    )
    shown = [
        contacts.read({"kind": "person"}, membership, names, CONTEXT)["role"] for membership in memberships
    ]
    assert shown == ["Bride, Planner", "Client", None]


payment_values = st.fixed_dictionaries(
    {
        "amount": st.integers(0, 99_999_999_999).map(lambda n: f"{n} USD"),
        "status": st.sampled_from(["planned", "pending", "paid", "failed"]),
        "paid_on": dates,
        "memo": texts,
        "reference": texts,
    }
)


@given(payment_values)
def test_a_payment_comes_back_as_it_went_out(values: dict[str, FieldValue]) -> None:
    """Every payment survives the way to Tave and back, marker and reference side by side."""
    item, wanted = new_id(), held(ItemKind.PAYMENT, values)
    body = payments.new(item, wanted, CONTEXT)
    assert violations(RESOURCES["payment"].rules, body) == {}
    assert payments.read(body, CONTEXT) == {**wanted, "refunded": None}
    assert payments.marker_of(body) == item
    assert payments.changes(body, wanted, CONTEXT) == {}
    written = payments.changes(body, {"memo": "Balance", "paid_on": "2027-01-01", "reference": None}, CONTEXT)
    assert payments.marker_of({**body, **written}) == item


def test_a_refund_is_seen_and_never_written() -> None:
    """A payment refunded in full shows as refunded; a part is still paid; we cannot refund."""
    paid = {"amount": 100, "status": "posted", "transactionId": "ch_1"}
    assert payments.read({**paid, "refundedAmount": 100}, CONTEXT)["status"] == "refunded"
    part = payments.read({**paid, "refundedAmount": 60}, CONTEXT)
    assert (part["status"], part["refunded"]) == ("paid", "60 USD")
    with pytest.raises(ValueError, match="field refunded that is no whole number"):
        payments.read({**paid, "refundedAmount": "60"}, CONTEXT)
    assert payments.changes(paid, {"reference": None}, CONTEXT) == {"transactionId": None}
    with pytest.raises(VendorRejected):
        payments.changes(paid, {"status": "refunded"}, CONTEXT)
    for senseless in ({"amount": 1.5}, {"amount": True}, {"amount": 1, "status": "lost"}):
        with pytest.raises(ValueError):  # noqa: PT011 - the type is the contract
            payments.read(senseless, CONTEXT)
    assert payments.marker_of({"transactionId": 7}) is None


def test_our_marker_is_told_from_others() -> None:
    """Only a mapping with our address and an item id is our marker."""
    item = new_id()
    foreign = [{"id": item, "url": "https://elsewhere.example/x"}, {"id": "7", "url": CONTEXT.marker_url}]
    assert marker_of({"externalMappings": foreign}, CONTEXT) is None
    assert marker_of({"externalMappings": foreign + marker(item, CONTEXT)}, CONTEXT) == item
    assert marker_of({}, CONTEXT) is None


def test_a_full_write_leaves_out_what_tave_computes() -> None:
    """Read-only fields are left out at every depth; unknown ones are kept, for they may be writable."""
    native = {
        "id": JOB_ID,
        "startUtc": "2027",
        "name": "x",
        "novelty": 1,
        "location": {"id": None, "address": {"id": JOB_ID, "name": "Barn", "city": "Beacon"}},
        "phoneNumber": {"id": None, "formatted": "1"},
        "externalMappings": [{"id": "kept", "url": "https://elsewhere.example"}],
    }
    assert writable_body("event", native) == {
        "name": "x",
        "novelty": 1,
        "location": {"id": None, "address": {"city": "Beacon"}},
        "phoneNumber": {"formatted": "1"},
        "externalMappings": [{"id": "kept", "url": "https://elsewhere.example"}],
    }
    fields = [{"id": JOB_ID, "created": "2027", "fieldId": JOB_ID, "value": "red"}]
    assert writable_body("job", {"customFields": fields}) == {
        "customFields": [{"fieldId": JOB_ID, "value": "red"}]
    }


def test_a_version_moves_with_the_content() -> None:
    """Two states with one `modified` differ in version; notes, which only single reads show, do not count."""
    native = {"modified": "2027-01-01T00:00:00Z", "name": "a"}
    assert version(native) != version({**native, "name": "b"})
    assert version(native) == version({**native, "notes": [], "links": {}})


def test_a_location_with_a_name_reads_as_one_line() -> None:
    """Name and address parts read as one line; no address is no location."""
    located = {"location": {"address": {"name": "Barn", "city": "Beacon", "state": " ", "country": "US"}}}
    assert events.read(located, CONTEXT)["location"] == "Barn, Beacon, US"
    assert events.read({"location": {"id": JOB_ID}}, CONTEXT)["location"] is None
    assert events.changes(located, {"location": None}, CONTEXT) == {"location": None}


@pytest.mark.parametrize(
    ("hook", "ids"),
    [
        ({"id": JOB_ID, "stage": "lead"}, [f"job/{JOB_ID}"]),
        ({"id": "01jz8k3v6w2q9n4r7t5m1xbc0e", "stage": "lead"}, []),
        ({"id": JOB_ID, "kind": "person"}, [f"contact/{JOB_ID}"]),
        ({"id": JOB_ID, "jobId": JOB_ID, "amount": 5}, [f"payment/{JOB_ID}"]),
        ({"id": JOB_ID, "jobId": "another", "amount": 5}, []),
        ({"targetId": JOB_ID, "event": "payment.created"}, [f"payment/{JOB_ID}"]),
        ({"targetId": "01jz8k3v6w2q9n4r7t5m1xbc0e", "event": "order.booked"}, [f"job/{JOB_ID}"]),
        ({"targetId": JOB_ID}, [f"contact/{JOB_ID}", f"payment/{JOB_ID}", f"job/{JOB_ID}"]),
    ],
)
def test_a_hook_points_at_records(hook: dict[str, Any], ids: list[str]) -> None:
    """A hook's body, whole or thin, points at what it may be about, and never at another job."""
    assert records.hinted(hook, JOB_ID) == ids


@pytest.mark.parametrize("hook", [{}, {"id": 7}, {"id": "../studio/me"}, {"targetId": None}])
def test_a_hook_without_an_id_is_garbage(hook: dict[str, Any]) -> None:
    """A body that names nothing of Tave's makes no sense."""
    with pytest.raises(VendorGarbage):
        records.hinted(hook, JOB_ID)


def test_an_object_without_an_id_is_garbage() -> None:
    """A record needs an id of the vendor's own form."""
    with pytest.raises(VendorGarbage, match="no id"):
        records.understood(lambda: records.event({"id": "x"}, CONTEXT))


def test_memory_tells_news_by_content_within_the_overlap() -> None:
    """What is older than the overlap is not news; within it, only what changed; senseless times always."""
    old, new = (
        {"id": "a", "modified": "2027-01-01T00:00:00Z"},
        {"id": "b", "modified": "2027-01-01T00:01:00Z"},
    )
    odd = {"id": "c", "modified": "yesterday"}
    fresh, memory = Memory().news([new, old, odd], 5)
    assert fresh == [new, old, odd]
    memory = Memory.restore(memory.dump())
    assert memory.news([new, old, odd], 5)[0] == []
    assert memory.news([{**new, "name": "x"}, {**old, "name": "y"}], 5)[0] == [{**new, "name": "x"}]
    assert Memory().since(5) == ""
