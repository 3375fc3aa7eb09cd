"""The Outlook adapter against the running simulator, with people at work in the same mailbox."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.gateway.vendors.outlook_calendar.adapter import create_adapter
from services.gateway.vendors.port import CursorLost, OutOfScope, RecordGone, VendorRejected, VersionMismatch
from tests.support.outlook_bench import DINNER, EVENT, MANIFEST, TOAST, WEEKLY, ZONE, Bench, open_bench
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.outlook import CALENDAR


@pytest.fixture(name="bench")
async def _bench() -> AsyncIterator[Bench]:
    async with open_bench() as opened:
        yield opened


async def test_what_is_created_is_found_and_read(bench: Bench) -> None:
    """An event of ours is shown as Outlook has it, in our own zone, and is found by its item's id."""
    item = new_id()
    created = await bench.adapter().create(EVENT, item, TOAST)
    assert (created.fields, created.marker, created.writable) == (TOAST, item, True)
    for again in (await bench.adapter().find(EVENT, item), await bench.read(created.record_id)):
        assert again is not None
        assert (again.fields, again.version, again.marker) == (TOAST, created.version, item)
    (kept,) = bench.outlook.events()
    assert (kept["originalStartTimeZone"], kept["transactionId"]) == ("Eastern Standard Time", item)
    assert kept["start"]["dateTime"] == "2027-06-12T23:00:00.0000000"
    assert await bench.adapter().find(EVENT, new_id()) is None
    assert await bench.adapter().find(ItemKind.TASK, item) is None
    await bench.adapter().aclose()


@pytest.mark.parametrize(
    "values",
    [
        {"title": "Renamed"},
        {"starts_at": "2027-06-13T10:00:00[Europe/Madrid]", "ends_at": "2027-06-13T11:00:00[Europe/Paris]"},
        {"starts_at": "2027-06-13T10:00:00[Antarctica/Troll]", "ends_at": None},
        {"ends_at": None, "notes": None, "location": None, "status": None},
        {"all_day": True},
        {"all_day": True, "starts_at": f"2027-06-14T00:00:00[{ZONE}]", "ends_at": None},
        {"all_day": True, "ends_at": f"2027-06-14T02:00:00[{ZONE}]"},
        {"status": "tentative", "location": "Hall"},
        {"ends_at": f"2027-06-12T18:00:00[{ZONE}]"},
        {"title": "emoji 🎂", "notes": "a\n\nb\tc"},
    ],
    ids=str,
)
async def test_an_update_is_shown_and_read_back_alike(bench: Bench, values: dict[str, FieldValue]) -> None:
    """After an update the record returned is the record a fresh read returns, with the rest kept."""
    created = await bench.adapter().create(EVENT, new_id(), TOAST)
    updated = await bench.adapter().update(created, values)
    assert updated.fields == {**TOAST, **values}
    again = await bench.read(created.record_id)
    assert (again.fields, again.version, again.marker) == (updated.fields, updated.version, created.marker)


async def test_an_update_that_changes_nothing_is_not_sent(bench: Bench) -> None:
    """Values the event shows already cause no write; seconds, which Outlook's people cannot set, neither."""
    created = await bench.adapter().create(EVENT, new_id(), TOAST)
    before = bench.writes()
    again = {**TOAST, "starts_at": f"2027-06-12T19:00:45[{ZONE}]", "notes": "first line\r\n\r\nthird line "}
    assert await bench.adapter().update(created, again) == created
    assert bench.writes() == before


async def test_the_entry_point_gives_the_adapter_of_one_calendar(bench: Bench) -> None:
    """Made as the gateway makes it, with the machine's clock, it works on the scope's calendar."""
    scope = {"calendar_id": CALENDAR, "time_zone": ZONE}
    port = create_adapter(bench.http, MANIFEST, bench.account(), scope)
    created = await bench.adapter().create(EVENT, new_id(), TOAST)
    assert await port.read(created.record_id) == created
    assert port.decisions({}) == ()


async def test_what_people_change_counts_over_what_was_kept(bench: Bench) -> None:
    """A time set in Outlook counts, and what was not touched keeps the form in which we wrote it."""
    values = {**TOAST, "ends_at": None, "status": None}
    created = await bench.adapter().create(EVENT, new_id(), values)
    move = {"dateTime": "2027-06-12T20:00:00.0000000", "timeZone": "Eastern Standard Time"}
    bench.outlook.change(created.record_id, start=move, end=move, showAs="oof")
    moved = await bench.read(created.record_id)
    assert moved.fields == {**values, "starts_at": f"2027-06-12T20:00:00[{ZONE}]"}
    later = {"dateTime": "2027-06-12T21:00:00.0000000", "timeZone": "Pacific Standard Time"}
    bench.outlook.change(created.record_id, end=later, showAs="tentative")
    ends = await bench.read(created.record_id)
    assert (ends.fields["ends_at"], ends.fields["status"]) == (
        "2027-06-12T21:00:00[America/Los_Angeles]",
        "tentative",
    )


async def test_our_edit_of_another_persons_event_keeps_what_is_theirs(bench: Bench) -> None:
    """Their event is shown in its own zone, and everything we do not map is there after our update."""
    theirs = bench.outlook.add(**DINNER, importance="high", attendees=[], isAllDay=False)
    record = await bench.read(theirs)
    assert record.marker is None
    assert record.fields == {
        "title": "Dinner",
        "starts_at": "2027-06-12T18:00:00[America/Chicago]",
        "ends_at": "2027-06-12T20:00:00[America/Chicago]",
        "all_day": False,
        "location": None,
        "notes": None,
        "status": "confirmed",
    }
    await bench.adapter().update(record, {"title": "Supper"})
    body = bench.outlook.mailbox.events[theirs].body
    assert (body["subject"], body["importance"], body["startZone"]) == (
        "Supper",
        "high",
        "Central Standard Time",
    )


async def test_one_windows_zone_means_the_weddings_own(bench: Bench) -> None:
    """A zone of Windows stands for many places; where the wedding's is one of them, it is meant."""
    event = {**DINNER, "start": {**DINNER["start"], "timeZone": "Romance Standard Time"}}
    event["end"] = {**DINNER["end"], "timeZone": "Romance Standard Time"}
    theirs = bench.outlook.add(**event)
    for zone in ("Europe/Madrid", "Europe/Paris"):
        record = await bench.adapter(zone=zone).read(theirs)
        assert record is not None
        assert record.fields["starts_at"] == f"2027-06-12T18:00:00[{zone}]"
    elsewhere = await bench.read(theirs)
    assert elsewhere.fields["starts_at"] == "2027-06-12T18:00:00[Europe/Paris]"


async def test_an_all_day_event_has_the_weddings_days(bench: Bench) -> None:
    """A whole day of another zone is that day at the wedding."""
    day = {"dateTime": "2027-06-12T00:00:00.0000000", "timeZone": "Tokyo Standard Time"}
    after = {**day, "dateTime": "2027-06-13T00:00:00.0000000"}
    record = await bench.read(bench.outlook.add(subject="Wedding", isAllDay=True, start=day, end=after))
    assert record.fields["all_day"] is True
    assert (record.fields["starts_at"], record.fields["ends_at"]) == (
        f"2027-06-12T00:00:00[{ZONE}]",
        f"2027-06-13T00:00:00[{ZONE}]",
    )


async def test_a_repeated_create_makes_nothing_twice(bench: Bench) -> None:
    """The same create again returns the event, also when its values have changed since."""
    item = new_id()
    first = await bench.adapter().create(EVENT, item, TOAST)
    again = await bench.adapter().create(EVENT, item, TOAST)
    other = await bench.adapter().create(EVENT, item, {**TOAST, "title": "Another"})
    assert {first.record_id} == {again.record_id, other.record_id}
    assert other.fields["title"] == TOAST["title"]
    assert len(bench.outlook.events()) == 1


async def test_an_item_that_was_deleted_is_created_again(bench: Bench) -> None:
    """Outlook remembers the id of a deleted event's creation; a restored item gets another one."""
    item = new_id()
    first = await bench.adapter().create(EVENT, item, TOAST)
    await bench.adapter().delete(first)
    second = await bench.adapter().create(EVENT, item, TOAST)
    assert second.record_id != first.record_id
    found = await bench.adapter().find(EVENT, item)
    assert found is not None
    assert (found.record_id, found.marker) == (second.record_id, item)


async def test_of_a_copy_and_the_original_the_original_is_found(bench: Bench) -> None:
    """A person's copy carries our marker too, and is not taken for what we created."""
    item = new_id()
    created = await bench.adapter().create(EVENT, item, TOAST)
    copied = bench.outlook.add(**DINNER)
    original = bench.outlook.mailbox.events.pop(created.record_id)
    bench.outlook.mailbox.events[copied].properties = dict(original.properties)
    bench.outlook.mailbox.events[created.record_id] = original
    found = await bench.adapter().find(EVENT, item)
    assert found is not None
    assert found.record_id == created.record_id


async def test_an_edit_in_between_is_not_overwritten(bench: Bench) -> None:
    """An edit by somebody else makes the update, and the delete, a version mismatch."""
    created = await bench.adapter().create(EVENT, new_id(), TOAST)
    bench.outlook.change(created.record_id, location={"displayName": "New Barn"})
    with pytest.raises(VersionMismatch):
        await bench.adapter().update(created, {"title": "Lost"})
    with pytest.raises(VersionMismatch):
        await bench.adapter().delete(created)
    now = await bench.read(created.record_id)
    assert (now.fields["location"], now.fields["title"]) == ("New Barn", TOAST["title"])


async def test_a_delete_is_final_and_repeatable(bench: Bench) -> None:
    """A deleted event is gone, deleting it again is success, and an update does not bring it back."""
    created = await bench.adapter().create(EVENT, new_id(), TOAST)
    await bench.adapter().delete(created)
    await bench.adapter().delete(created)
    assert await bench.adapter().read(created.record_id) is None
    with pytest.raises(RecordGone):
        await bench.adapter().update(created, {"title": "Zombie"})
    assert bench.outlook.events() == []


async def test_peoples_doings_arrive_by_scan(bench: Bench) -> None:
    """Create, move, rename and delete are shown by the next scan, and nothing else is."""
    created = await bench.adapter().create(EVENT, new_id(), TOAST)
    start = await bench.moved()
    assert ([r.fields for r in start.records], start.present) == ([TOAST], frozenset({created.record_id}))
    theirs = bench.outlook.add(**DINNER)
    added = await bench.moved()
    assert [(r.record_id, r.fields["title"]) for r in added.records] == [(theirs, "Dinner")]
    assert (added.present, added.missing, added.bad) == (None, [], [])
    bench.outlook.change(theirs, subject="Supper")
    assert [r.fields["title"] for r in (await bench.moved()).records] == ["Supper"]
    bench.outlook.remove(theirs)
    deleted = await bench.moved()
    assert (deleted.records, deleted.missing) == ([], [theirs])
    quiet = await bench.moved()
    assert (quiet.records, quiet.missing) == ([], [])


async def test_our_own_write_is_shown_as_we_know_it(bench: Bench) -> None:
    """The scan after a write of ours shows what the write returned: nobody is to take it for news."""
    await bench.moved()
    created = await bench.adapter().create(EVENT, new_id(), {**TOAST, "ends_at": None})
    (shown,) = (await bench.moved()).records
    assert (shown.fields, shown.version, shown.marker) == (created.fields, created.version, created.marker)


async def test_a_quiet_scan_is_one_call(bench: Bench) -> None:
    """Asking when nothing moved costs one request, and writes nothing."""
    bench.outlook.add(**DINNER)
    await bench.moved()
    bench.outlook.traffic.counts.clear()
    await bench.moved()
    assert dict(bench.outlook.traffic.counts) == {"GET /me/calendars/{id}/calendarView/delta": 1}


async def test_a_full_calendar_comes_in_pages(bench: Bench) -> None:
    """Every event is seen once, and only the last page says what the window holds as a whole."""
    ids = {bench.outlook.add(**DINNER) for _ in range(7)}
    first = await bench.adapter(page_size="3").scan(None)
    assert (len(first.records), first.more, first.present) == (3, True, None)
    gone = first.records[0].record_id
    bench.outlook.remove(gone)
    bench.cursor = first.cursor
    rest = await bench.moved(page_size="3")
    assert {r.record_id for r in [*first.records, *rest.records]} == ids
    assert rest.present == frozenset(ids)
    assert (await bench.moved()).missing == [gone]


async def test_the_window_is_laid_anew_before_it_ends(bench: Bench) -> None:
    """While more than half of the future is left the link holds; after that everything is looked at again."""
    theirs = bench.outlook.add(**DINNER)
    await bench.moved()
    bench.clock.advance(547 * 86_400)
    await bench.moved()
    bench.clock.advance(2 * 86_400)
    with pytest.raises(CursorLost, match="window"):
        await bench.moved()
    bench.cursor = None
    assert (await bench.moved(window_past_days="730")).present == frozenset({theirs})


async def test_an_event_that_left_the_window_is_not_deleted(bench: Bench) -> None:
    """It is missing in the window, and a direct read says that it is still there, at its new time."""
    theirs = bench.outlook.add(**DINNER)
    await bench.moved()
    later = {"dateTime": "2039-06-12T18:00:00", "timeZone": "UTC"}
    bench.outlook.change(theirs, start=later, end=later)
    assert (await bench.moved()).missing == [theirs]
    assert (await bench.read(theirs)).fields["starts_at"] == "2039-06-12T18:00:00[UTC]"


async def test_an_event_in_another_calendar_is_out_of_scope(bench: Bench) -> None:
    """Moved away it is missing here, under the same id, and a read tells that from a delete."""
    created = await bench.adapter().create(EVENT, new_id(), TOAST)
    await bench.moved()
    bench.outlook.move(created.record_id, "AAkALgPrivate=")
    assert (await bench.moved()).missing == [created.record_id]
    with pytest.raises(OutOfScope):
        await bench.adapter().read(created.record_id)
    bench.outlook.move(created.record_id, CALENDAR)
    assert [r.marker for r in (await bench.moved()).records] == [created.marker]


async def test_each_instance_of_a_series_is_a_record(bench: Bench) -> None:
    """One that differs shows its own values, a cancelled one is missing, and the series is no record."""
    series = bench.outlook.add(**{**DINNER, "recurrence": WEEKLY})
    days = [f"{series}~o2027-06-{day}" for day in (12, 19, 26)]
    scan = await bench.moved()
    assert {r.record_id: r.fields["starts_at"] for r in scan.records} == {
        day: f"{day[-10:]}T18:00:00[America/Chicago]" for day in days
    }
    assert scan.present == frozenset(days)
    assert await bench.adapter().read(series) is None
    bench.outlook.change(days[1], subject="Dinner in the garden")
    changed = {r.record_id: r.fields["title"] for r in (await bench.moved()).records}
    assert changed == {days[0]: "Dinner", days[1]: "Dinner in the garden", days[2]: "Dinner"}
    bench.outlook.remove(days[1])
    assert days[1] in (await bench.moved()).missing
    assert await bench.adapter().read(days[1]) is None
    bench.outlook.remove(series)
    assert {days[0], days[2]} <= {*(await bench.moved()).missing}


async def test_what_is_written_to_an_instance_is_that_instances(bench: Bench) -> None:
    """An update makes it differ from its series, a delete cancels it, and the other instances stay."""
    series = bench.outlook.add(**{**DINNER, "recurrence": WEEKLY})
    days = [f"{series}~o2027-06-{day}" for day in (12, 19, 26)]
    await bench.moved()
    moved = {"starts_at": f"2027-06-19T20:00:00[{ZONE}]", "ends_at": None}
    shown = await bench.adapter().update(await bench.read(days[1]), moved)
    assert {path: shown.fields[path] for path in moved} == moved
    assert (shown.marker, shown.writable) == (None, True)
    await bench.adapter().delete(await bench.read(days[2]))
    scan = await bench.moved()
    assert {r.record_id: r.fields["starts_at"] for r in scan.records} == {
        days[0]: "2027-06-12T18:00:00[America/Chicago]",
        days[1]: moved["starts_at"],
    }
    assert days[2] in scan.missing


async def test_an_event_that_recurs_from_now_on_is_none_any_more(bench: Bench) -> None:
    """Its instances are, and do not stand for the item that it was created for; nor is it found as such."""
    item = new_id()
    created = await bench.adapter().create(EVENT, item, TOAST)
    await bench.moved()
    bench.outlook.change(created.record_id, recurrence=WEEKLY)
    scan = await bench.moved()
    assert [(r.fields["title"], r.marker) for r in scan.records] == [(TOAST["title"], None)] * 3
    assert scan.missing == [created.record_id]
    assert await bench.adapter().find(EVENT, item) is None
    bench.outlook.change(created.record_id, recurrence=None)
    assert [r.marker for r in (await bench.moved()).records] == [item]


async def test_somebody_elses_meeting_is_not_written(bench: Bench) -> None:
    """An invitation is seen and not writable; cancelled by its organizer, it says so for good."""
    theirs = bench.outlook.add(**DINNER)
    bench.outlook.touch(theirs, is_organizer=False, is_cancelled=True)
    record = await bench.read(theirs)
    assert (record.writable, record.fields["status"]) == (False, "cancelled")
    with pytest.raises(VendorRejected, match="organizer cancelled"):
        await bench.adapter().update(record, {"status": "confirmed"})


async def test_the_way_into_an_online_meeting_is_not_cut_off(bench: Bench) -> None:
    """Its notes are not written to; everything else is."""
    record = await bench.read(bench.outlook.add(**DINNER, isOnlineMeeting=True))
    with pytest.raises(VendorRejected, match="online meeting"):
        await bench.adapter().update(record, {"notes": "Bring the cake"})
    assert (await bench.adapter().update(record, {"title": "Call"})).fields["title"] == "Call"
