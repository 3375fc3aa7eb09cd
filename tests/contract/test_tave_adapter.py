"""The Tave adapter against the running simulator: what a link does to a studio, and what it never does."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.vendors.port import (
    OutOfScope,
    RecordGone,
    VendorRejected,
)
from tests.support.tave_bench import BOOKING, CEREMONY, CONTACT, EVENT, PAYMENT, Bench, a_person
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue


async def test_a_created_event_is_found_again_by_its_item(bench: Bench) -> None:
    """An event we create shows our values and is found by the item's id; another item's is not."""
    adapter, item = bench.adapter(), new_id()
    created = await adapter.create(EVENT, item, CEREMONY)
    assert {path: created.fields[path] for path in CEREMONY} == CEREMONY
    found = await adapter.find(EVENT, item)
    assert found == created
    assert found.marker == item
    assert await adapter.find(EVENT, new_id()) is None
    assert await adapter.find(CONTACT, item) is None


async def test_an_event_reads_the_same_alone_as_in_a_list(bench: Bench) -> None:
    """A scan and a direct read agree on the version and the fields of an event, and so does the create."""
    created = await bench.adapter().create(EVENT, new_id(), CEREMONY)
    listed = (await bench.moved())[created.record_id]
    assert listed == created == await bench.adapter().read(created.record_id)


async def test_an_update_keeps_what_we_do_not_map(bench: Bench) -> None:
    """Moving an event leaves its type, channel, rich description and structured address as they were."""
    kind = next(iter(bench.studio.objects["event-type"]))
    kept = {
        "jobId": bench.job_id,
        "typeId": kind,
        "channel": "Phone",
        "descriptionHtml": "<ul><li><b>Bold</b></li></ul>",
        "location": {"address": {"streetAddress": "12 Garden Lane", "city": "Beacon"}},
        "phoneNumber": {"formatted": "(212) 555-0100"},
    }
    event = await bench.ui("POST", "/event", kept | {"name": "Tasting", "startDate": "2027-06-11"})
    adapter = bench.adapter()
    record = await adapter.read(f"event/{event['id']}")
    assert record is not None
    moved = await adapter.update(record, {"starts_at": "2027-06-11T18:30:00[America/New_York]"})
    assert moved.fields["starts_at"] == "2027-06-11T18:30:00[America/New_York]"
    after = bench.studio.get("event", event["id"])
    assert {n: after[n] for n in ("typeId", "channel", "descriptionHtml", "location", "phoneNumber")} == {
        n: event[n] for n in ("typeId", "channel", "descriptionHtml", "location", "phoneNumber")
    }


async def test_an_event_moves_to_another_zone_though_the_zone_id_would_win(bench: Bench) -> None:
    """Writing a time in another zone changes the event's zone, and its end stays the same instant."""
    adapter = bench.adapter()
    record = await adapter.create(EVENT, new_id(), CEREMONY)
    moved = await adapter.update(record, {"starts_at": "2027-06-12T14:00:00[America/Chicago]"})
    assert moved.fields["starts_at"] == "2027-06-12T14:00:00[America/Chicago]"
    assert moved.fields["ends_at"] == "2027-06-12T14:45:00[America/Chicago]"


async def test_an_update_that_changes_nothing_is_not_sent(bench: Bench) -> None:
    """Values the event shows already, up to what Tave can keep, cause no write."""
    adapter = bench.adapter()
    record = await adapter.create(EVENT, new_id(), CEREMONY)
    before = await bench.writes()
    again = {**CEREMONY, "starts_at": "2027-06-12T15:00:31[America/New_York]", "title": " Ceremony\n"}
    assert await adapter.update(record, again) == record
    assert await bench.writes() == before


async def test_deleting_an_event_is_final_and_repeatable(bench: Bench) -> None:
    """A deleted event is gone for reads, is not missed by a second delete, and cannot be updated."""
    adapter = bench.adapter()
    record = await adapter.create(EVENT, new_id(), CEREMONY)
    await adapter.delete(record)
    await adapter.delete(record)
    assert await adapter.read(record.record_id) is None
    with pytest.raises(RecordGone):
        await adapter.update(record, {"title": "Too late"})


async def test_a_hidden_event_counts_as_gone(bench: Bench) -> None:
    """An event that the studio hides is gone for a read and missing from a sweep."""
    record = await bench.adapter().create(EVENT, new_id(), CEREMONY)
    await bench.control("PATCH", f"/objects/{record.record_id}", {"hidden": True})
    scan = await bench.adapter().scan(None)
    assert scan.present is not None
    assert record.record_id not in scan.present
    assert await bench.adapter().read(record.record_id) is None


async def test_a_locked_event_is_shown_and_never_written(bench: Bench) -> None:
    """A read-only event is a record that is not writable; writing and deleting it is refused unsent."""
    record = await bench.adapter().create(EVENT, new_id(), CEREMONY)
    await bench.control("PATCH", f"/objects/{record.record_id}", {"readOnly": True})
    locked = await bench.adapter().read(record.record_id)
    assert locked is not None
    assert not locked.writable
    before = await bench.writes()
    with pytest.raises(VendorRejected):
        await bench.adapter().update(locked, {"title": "Mine"})
    with pytest.raises(VendorRejected):
        await bench.adapter().delete(locked)
    assert await bench.writes() == before


async def test_a_scan_shows_each_change_once(bench: Bench) -> None:
    """The first scan shows everything, the next nothing, and one after an edit just what was edited."""
    event = await bench.adapter().create(EVENT, new_id(), CEREMONY)
    person = await a_person(bench)
    job = f"job/{bench.job_id}"
    assert set(await bench.moved()) == {job, event.record_id, f"contact/{person}"}
    assert await bench.moved() == {}
    await bench.edit(event.record_id, startTime="16:00:00")
    moved = await bench.moved()
    assert moved[event.record_id].fields["starts_at"] == "2027-06-12T16:00:00[America/New_York]"
    assert set(moved) == {event.record_id}
    assert await bench.moved() == {}


async def test_two_edits_within_one_second_are_both_seen(bench: Bench) -> None:
    """An edit in the same second as the last one seen is not mistaken for it, though `modified` is equal."""
    event = await bench.adapter().create(EVENT, new_id(), CEREMONY)
    first = (await bench.moved())[event.record_id]
    await bench.now(
        "PUT", f"/{event.record_id}", {"jobId": bench.job_id, "name": "Vows", "startDate": "2027-06-12"}
    )
    second = (await bench.moved())[event.record_id]
    assert second.fields["title"] == "Vows"
    assert second.native["modified"] == first.native["modified"]
    assert second.version != first.version


async def test_every_page_of_a_long_list_is_read(bench: Bench) -> None:
    """A job with more events than three pages hold is seen whole, and later edits on the first page only."""
    adapter = bench.adapter(page_size="10")
    events = [
        await bench.ui("POST", "/event", {"jobId": bench.job_id, "name": f"Event {n}"}) for n in range(35)
    ]
    scan = await adapter.scan(None)
    assert {f"event/{event['id']}" for event in events} <= set(scan.present or ())
    assert len(scan.records) == 36
    await bench.edit(f"event/{events[0]['id']}", name="Renamed")
    await bench.control("DELETE", "/requests")
    scan = await adapter.scan(scan.cursor)
    assert [record.fields["title"] for record in scan.records] == ["Renamed"]
    assert scan.present is None
    # One page with the change, one beyond the watermark, and no third.
    assert (await bench.control("GET", "/requests"))["by"]["GET /event"] == 2


async def test_an_event_pulled_over_a_page_edge_is_not_missed(bench: Bench) -> None:
    """A delete between two pages makes the list start over, so the event that moved up is still seen."""
    adapter = bench.adapter(page_size="10")
    events = [
        await bench.ui("POST", "/event", {"jobId": bench.job_id, "name": f"Event {n}"}) for n in range(15)
    ]
    doomed = events.pop()["id"]
    inner = bench.http.request
    seen: list[str] = []

    async def request(method: str, url: str, **options: Any) -> Any:
        answer = await inner(method, url, **options)
        if "/event?" in url and not seen:
            seen.append(url)
            bench.studio.delete("event", doomed)
        return answer

    bench.http.request = request  # type: ignore[method-assign]
    scan = await adapter.scan(None)
    assert {f"event/{event['id']}" for event in events} <= {record.record_id for record in scan.records}
    assert f"event/{doomed}" not in (scan.present or ())


async def test_an_absent_event_is_only_a_missing_name(bench: Bench) -> None:
    """A delete in Tave shows as an id that a complete sweep no longer holds, and a read says gone."""
    event = await bench.adapter().create(EVENT, new_id(), CEREMONY)
    scan = await bench.adapter().scan(None)
    assert event.record_id in (scan.present or ())
    await bench.ui("DELETE", f"/{event.record_id}")
    scan = await bench.adapter().scan(scan.cursor)
    assert scan.present is not None
    assert event.record_id not in scan.present
    assert await bench.adapter().read(event.record_id) is None


async def test_a_vanished_job_says_nothing_about_its_events(bench: Bench) -> None:
    """When the job itself is gone, only the job is suspected."""
    await bench.adapter().create(EVENT, new_id(), CEREMONY)
    scan = await bench.adapter().scan(None)
    await bench.ui("DELETE", f"/job/{bench.job_id}")
    after = await bench.adapter().scan(scan.cursor)
    assert (after.missing, after.present, after.cursor) == ([f"job/{bench.job_id}"], None, scan.cursor)
    assert await bench.adapter().read(f"job/{bench.job_id}") is None
    with pytest.raises(VendorRejected, match="no such job"):
        await bench.adapter().check()
    with pytest.raises(VendorRejected):
        await bench.adapter().create(EVENT, new_id(), CEREMONY)


async def test_another_jobs_records_are_out_of_scope(bench: Bench) -> None:
    """An event moved to another job, that job itself and a person in no job of ours are never deletes."""
    other = (await bench.ui("POST", "/job", {"name": "Another wedding"}))["id"]
    event = await bench.adapter().create(EVENT, new_id(), CEREMONY)
    stranger = (await bench.ui("POST", "/address-book", {"kind": "person", "firstName": "Sam"}))["id"]
    await bench.edit(event.record_id, jobId=other)
    for record_id in (event.record_id, f"job/{other}", f"contact/{stranger}"):
        with pytest.raises(OutOfScope):
            await bench.adapter().read(record_id)


async def test_the_job_is_a_booking(bench: Bench) -> None:
    """The job shows as a booking and takes title, date, guests, notes and status; its type stays."""
    adapter = bench.adapter()
    await adapter.check()
    record = await adapter.read(f"job/{bench.job_id}")
    assert record is not None
    assert record.fields["status"] == "booked"
    assert record.fields["service"] == "photography"
    values: dict[str, FieldValue] = {
        "date": "2027-06-12",
        "guest_count": 140,
        "notes": "Two tents",
        "status": "cancelled",
    }
    updated = await adapter.update(record, {**values, "title": "Okafor & Lindqvist"})
    assert {path: updated.fields[path] for path in values} == values
    assert updated.fields["title"] == "Okafor & Lindqvist"
    with pytest.raises(VendorRejected):
        await adapter.update(updated, {"status": None})
    for kind in (BOOKING, CONTACT):
        with pytest.raises(VendorRejected):
            await adapter.create(kind, new_id(), {"title": "x"})
    with pytest.raises(VendorRejected):
        await adapter.delete(updated)


async def test_a_persons_edits_travel_both_ways(bench: Bench) -> None:
    """A contact of the job shows name, mail, phone and role; what we write is what Tave then shows."""
    person = await a_person(bench, cellPhone={"formatted": "212 555 0100"})
    shown = (await bench.moved())[f"contact/{person}"]
    assert shown.fields == {
        "name": "Ana Okafor",
        "email": "ana@example.com",
        "phone": "+12125550100",
        "role": "Bride",
        "company": None,
    }
    assert bench.adapter().hints({"targetId": person, "event": "contact.created"}) == [f"contact/{person}"]
    assert await bench.adapter().read(f"contact/{person}") == shown
    wanted = {"name": "Ana Maria Lindqvist", "phone": "+4687654321", "company": "Studio A"}
    written = await bench.adapter().update(shown, wanted)
    assert {path: written.fields[path] for path in wanted} == wanted
    assert (await bench.moved())[f"contact/{person}"] == written


async def test_a_contact_edited_in_the_address_book_is_seen(bench: Bench) -> None:
    """An edit of a person of the job is seen, one of anybody else is not."""
    person = await a_person(bench)
    stranger = await bench.ui("POST", "/address-book", {"kind": "company", "name": "Elsewhere"})
    await bench.moved()
    await bench.edit(f"address-book/{stranger['id']}", name="Elsewhere Ltd")
    await bench.edit(f"address-book/{person}", email="ana@example.org")
    moved = await bench.moved()
    assert {i: record.fields["email"] for i, record in moved.items()} == {
        f"contact/{person}": "ana@example.org"
    }


async def test_someone_known_for_long_who_joins_the_job_is_seen(bench: Bench) -> None:
    """A contact older than the watermark shows once it is put into the job, and leaves by absence."""
    await bench.moved()
    person = await a_person(bench)
    bench.clock.advance(3600)
    await bench.moved()
    assert await bench.moved() == {}
    membership = next(iter(bench.studio.objects["job-contact"].values()))
    await bench.edit(f"job-contact/{membership['id']}", jobRoles=[], client=True)
    assert (await bench.moved())[f"contact/{person}"].fields["role"] == "Client"
    await bench.ui("DELETE", f"/job-contact/{membership['id']}")
    scan = await bench.adapter().scan(bench.cursor)
    assert f"contact/{person}" not in (scan.present or ())


async def test_a_crowd_is_read_in_parts(bench: Bench) -> None:
    """More people than one scan reads follow with the next page, and none is forgotten."""
    people = {f"contact/{await a_person(bench, email=None)}" for _ in range(30)}
    first = await bench.adapter().scan(None)
    assert first.more
    second = await bench.adapter().scan(first.cursor)
    assert not second.more
    shown = {record.record_id for scan in (first, second) for record in scan.records}
    assert people <= shown


async def test_an_import_into_the_address_book_hides_nobodys_edit(bench: Bench) -> None:
    """When more contacts changed than are read back, the job's people are read one by one instead."""
    person = await a_person(bench)
    adapter = bench.adapter(page_size="10")
    await bench.moved(adapter)
    await bench.edit(f"address-book/{person}", email="new@example.org")
    for n in range(70):
        await bench.ui("POST", "/address-book", {"kind": "location", "name": f"Barn {n}"})
    moved = await bench.moved(adapter)
    assert moved[f"contact/{person}"].fields["email"] == "new@example.org"


async def test_a_contact_deleted_under_its_membership_is_not_present(bench: Bench) -> None:
    """A member whose contact cannot be read is neither shown nor present."""
    person = await a_person(bench)
    for n in range(10):
        await bench.ui("POST", "/address-book", {"kind": "location", "name": f"Barn {n}"})
    await bench.fault(method="GET", path=f"/address-book/{person}", status=404)
    scan = await bench.adapter(page_size="10").scan(None)
    assert f"contact/{person}" not in (scan.present or ())


async def test_a_payment_is_found_again_and_keeps_its_amount(bench: Bench) -> None:
    """A payment carries reference and marker in one field, can be updated, but never its amount."""
    adapter, item = bench.adapter(), new_id()
    values = {"amount": "12500 USD", "reference": "ch_123", "memo": "Deposit", "paid_on": "2027-02-03"}
    created = await adapter.create(PAYMENT, item, values)
    assert created.fields == {**values, "status": "planned", "refunded": None}
    assert await adapter.find(PAYMENT, item) == created
    paid = await adapter.update(created, {"status": "paid", "reference": "ch_456", "amount": "12500 USD"})
    assert (paid.fields["status"], paid.fields["reference"], paid.marker) == ("paid", "ch_456", item)
    assert await adapter.read(paid.record_id) == paid
    for refused in ({"amount": "1 USD"}, {"status": "refunded"}):
        with pytest.raises(VendorRejected):
            await adapter.update(paid, refused)
    for wrong in ({"amount": "12500 EUR"}, {}):
        with pytest.raises(VendorRejected):
            await adapter.create(PAYMENT, new_id(), wrong)
    assert set(await bench.moved()) == {paid.record_id, f"job/{bench.job_id}"}
