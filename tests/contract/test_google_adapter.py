"""The Google Calendar adapter against the running simulator: both ways, by sync token, and by channel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.gateway.vendors.google_calendar.event import MAX_LIVES, event_id
from services.gateway.vendors.port import (
    CursorLost,
    RecordGone,
    VendorAuthFailed,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
    VersionMismatch,
)
from tests.support.google_bench import (
    DINNER,
    EVENT,
    MANIFEST,
    TOAST,
    ZONE,
    World,
    open_world,
)
from wedsync.clock import SystemClock
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.google_calendar import CALENDAR, TOKEN


@pytest.fixture(name="world")
async def _world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


async def test_check_accepts_a_calendar_that_may_be_written(world: World) -> None:
    """A calendar of the account's passes; one that is not there or may only be read says what to do."""
    await world.port().check()
    with pytest.raises(VendorRejected, match="correct the id, or add the calendar"):
        await world.port(calendar="nothing").check()
    world.calendar.access_role = "reader"
    with pytest.raises(VendorRejected, match="let it make changes"):
        await world.port().check()


async def test_what_is_created_is_found_read_and_seen_by_others(world: World) -> None:
    """An event of ours is shown as Google has it, is found by our id, and people see it."""
    item = new_id()
    created = await world.port().create(EVENT, item, TOAST)
    assert (created.fields, created.marker, created.writable) == (TOAST, item, True)
    assert await world.port().find(EVENT, item) == created
    assert await world.read(created.record_id) == created
    seen = world.calendar.get(event_id(item))
    assert (seen["summary"], seen["start"]["timeZone"]) == ("Toast", ZONE)
    assert await world.port().find(EVENT, new_id()) is None
    assert await world.port().find(ItemKind.TASK, item) is None
    assert world.sandbox.traffic.counts["events.insert"] == 1


async def test_a_create_that_is_repeated_creates_nothing(world: World) -> None:
    """After a lost answer the second create returns the event of the first; nobody is sent mail."""
    item = new_id()
    world.fault(method="events.insert", cut="after")
    with pytest.raises(VendorUnavailable) as lost:
        await world.port().create(EVENT, item, TOAST)
    assert lost.value.unknown_outcome
    again = await world.port().create(EVENT, item, {**TOAST, "title": "Another"})
    assert (again.fields["title"], again.marker) == ("Toast", item)
    assert len(world.calendar.events) == 1


async def test_an_item_restored_after_a_delete_gets_an_event_again(world: World) -> None:
    """An id of a deleted event is never free again: the item's next event has the next id."""
    item = new_id()
    first = await world.port().create(EVENT, item, TOAST)
    await world.port().delete(first)
    assert await world.port().find(EVENT, item) is None
    second = await world.port().create(EVENT, item, TOAST)
    assert second.record_id != first.record_id
    assert (second.marker, await world.port().find(EVENT, item)) == (item, second)
    for life in range(2, MAX_LIVES):
        await world.port().delete(await world.read(event_id(item, life - 1)))
        await world.port().create(EVENT, item, TOAST)
    await world.port().delete(await world.read(event_id(item, MAX_LIVES - 1)))
    with pytest.raises(VendorRejected, match="make a new item"):
        await world.port().create(EVENT, item, TOAST)
    assert await world.port().find(EVENT, item) is None


async def test_a_copy_does_not_carry_our_marker(world: World) -> None:
    """People who copy an event copy our mark in it; only the event under our id is ours."""
    item = new_id()
    await world.port().create(EVENT, item, TOAST)
    copy = {name: value for name, value in world.calendar.get(event_id(item)).items() if name != "id"}
    copied = world.calendar.insert({**copy, "iCalUID": None})
    assert (await world.read(copied["id"])).marker is None


@pytest.mark.parametrize(
    "values",
    [
        {"title": "Renamed"},
        {"starts_at": "2027-06-12T17:00:00[Europe/Paris]"},
        {"starts_at": "2027-06-13T10:00:00[Europe/Paris]", "ends_at": "2027-06-13T09:00:00[UTC]"},
        {"ends_at": None, "notes": None, "location": None},
        {"all_day": True},
        {
            "all_day": True,
            "starts_at": f"2027-06-14T00:00:00[{ZONE}]",
            "ends_at": f"2027-06-16T00:00:00[{ZONE}]",
        },
        {"all_day": True, "ends_at": None},
        {"status": "tentative"},
        {"starts_at": f"2027-11-07T01:30:00[{ZONE}]", "ends_at": f"2027-11-07T03:00:00[{ZONE}]"},
        {"title": "emoji 🎂", "notes": "a\n\nb\tc"},
    ],
)
async def test_an_update_is_shown_and_read_back_alike(world: World, values: dict[str, FieldValue]) -> None:
    """After an update the record returned is the record a fresh read returns, with the rest kept.

    What Google cannot say of a time (an hour of a whole day, no end) included.
    """
    created = await world.port().create(EVENT, new_id(), TOAST)
    updated = await world.port().update(created, values)
    assert updated.fields == {**TOAST, **values}
    assert await world.read(created.record_id) == updated
    back = await world.port().update(updated, TOAST)
    assert back.fields == TOAST


async def test_the_hour_kept_beside_a_whole_day_ends_when_people_move_it(world: World) -> None:
    """Once somebody moves the day, what we kept of the hour no longer counts."""
    created = await world.port().create(EVENT, new_id(), {**TOAST, "all_day": True})
    assert created.fields["starts_at"] == TOAST["starts_at"]
    days = {"start": {"date": "2027-06-20"}, "end": {"date": "2027-06-21"}}
    world.calendar.patch(created.record_id, days)
    moved = await world.read(created.record_id)
    assert [moved.fields[path] for path in ("starts_at", "ends_at", "all_day")] == [
        f"2027-06-20T00:00:00[{ZONE}]",
        f"2027-06-21T00:00:00[{ZONE}]",
        True,
    ]


async def test_seconds_are_neither_written_nor_read(world: World) -> None:
    """Google drops seconds without a word; we never send any, so nothing comes back as an edit."""
    values = {**TOAST, "starts_at": f"2027-06-12T19:00:45[{ZONE}]"}
    created = await world.port().create(EVENT, new_id(), values)
    assert created.fields == TOAST
    before = world.sandbox.traffic.counts["events.patch"]
    assert await world.port().update(created, values) == created
    assert world.sandbox.traffic.counts["events.patch"] == before


async def test_an_update_of_what_moved_is_refused(world: World) -> None:
    """An edit by somebody else in between makes the update, and the delete, a version mismatch."""
    created = await world.port().create(EVENT, new_id(), TOAST)
    world.calendar.patch(created.record_id, {"location": "New Barn"})
    with pytest.raises(VersionMismatch):
        await world.port().update(created, {"title": "Lost"})
    with pytest.raises(VersionMismatch):
        await world.port().delete(created)
    read = await world.read(created.record_id)
    assert (read.fields["location"], read.fields["title"]) == ("New Barn", "Toast")


async def test_a_delete_is_final_and_repeatable(world: World) -> None:
    """A deleted event is gone, deleting it again is success, and no update brings it back."""
    created = await world.port().create(EVENT, new_id(), TOAST)
    await world.port().delete(created)
    await world.port().delete(created)
    assert await world.port().read(created.record_id) is None
    with pytest.raises(VersionMismatch):
        await world.port().update(created, {"title": "Zombie"})
    world.fault(method="events.patch", status=404, reason="notFound")
    with pytest.raises(RecordGone):
        await world.port().update(created, {"title": "Zombie"})


async def test_another_persons_edits_arrive_by_scan(world: World) -> None:
    """Create, move, rename and delete by others are shown by the next scan, and nothing else is."""
    start = await world.moved()
    assert (list(start.records), start.present) == ([], frozenset())
    made = world.calendar.insert(DINNER)
    added = await world.moved()
    (record,) = added.records
    assert record.fields == {
        "title": "Dinner",
        "starts_at": "2027-06-12T18:00:00[America/Chicago]",
        "ends_at": "2027-06-12T20:00:00[America/Chicago]",
        "all_day": False,
        "location": None,
        "notes": None,
        "status": "confirmed",
    }
    assert (record.marker, added.present, added.missing) == (None, None, [])
    world.calendar.delete(made["id"])
    deleted = await world.moved()
    assert (list(deleted.records), deleted.missing) == ([], [record.record_id])
    quiet = await world.moved()
    assert (list(quiet.records), quiet.missing) == ([], [])


async def test_a_move_to_another_zone_is_read_with_its_zone(world: World) -> None:
    """The same moment by another place's clock is told as that clock shows it."""
    made = world.calendar.insert(DINNER)
    start = {"start": {"dateTime": "2027-06-13T00:00:00+01:00", "timeZone": "Europe/London"}}
    world.calendar.patch(made["id"], start)
    assert (await world.read(made["id"])).fields["starts_at"] == "2027-06-13T00:00:00[Europe/London]"


async def test_our_edit_keeps_what_is_theirs(world: World) -> None:
    """Guests and reminders, which we do not know, are still there after our update."""
    made = world.calendar.insert(DINNER)
    await world.port().update(await world.read(made["id"]), {"title": "Supper", "all_day": True})
    seen = world.calendar.get(made["id"])
    assert (seen["summary"], seen["attendees"], seen["reminders"]) == (
        "Supper",
        DINNER["attendees"],
        DINNER["reminders"],
    )


async def test_short_and_empty_pages_are_read_to_the_end(world: World) -> None:
    """A page with nothing on it is not the last one; a scan from the start says what there is as a whole."""
    made = [world.calendar.insert(DINNER)["id"] for _ in range(7)]
    world.sandbox.page_sizes = (2, 0, 1)
    whole = await world.moved(page_size="3")
    assert [record.record_id for record in whole.records] == made
    assert whole.present == frozenset(made)
    for record_id in made[:3]:
        world.calendar.patch(record_id, {"summary": "Supper"})
    assert {r.record_id for r in (await world.moved(page_size="3")).records} == set(made[:3])
    assert world.cursor is not None
    assert world.cursor.keys() == {"token"}


@pytest.mark.parametrize("status", [410, 400])
async def test_a_token_that_google_forgot_is_a_lost_cursor(world: World, status: int) -> None:
    """After a lost token, in whatever page, the scan says so; from the start it sees everything."""
    created = await world.port().create(EVENT, new_id(), TOAST)
    await world.moved()
    if status == 410:
        world.sandbox.forget_tokens()
    else:
        world.fault(method="events.list", status=400, reason="invalid")
    with pytest.raises(CursorLost):
        await world.moved()
    world.cursor = None
    again = await world.moved()
    assert again.present == frozenset({created.record_id})
    assert [record.version for record in again.records] == [created.version]


async def test_a_quiet_scan_is_one_small_call(world: World) -> None:
    """Asking with a token when nothing moved costs one request."""
    await world.moved()
    world.sandbox.traffic.clear()
    await world.moved()
    assert world.sandbox.traffic.counts == {"events.list": 1}


@pytest.mark.parametrize(
    ("changes", "writable"),
    [
        ({"organizer": {"email": "venue@example.com"}}, False),
        ({"organizer": {"email": "venue@example.com"}, "guestsCanModify": True}, True),
        ({"locked": True}, False),
        ({"eventType": "birthday"}, False),
    ],
)
async def test_what_is_not_ours_to_change_is_read_only(
    world: World, changes: dict[str, Any], writable: bool
) -> None:
    """Other people's invitations and what Google makes itself are shown, and not written."""
    made = world.calendar.insert(DINNER)
    world.calendar.events[made["id"]] |= changes
    assert (await world.read(made["id"])).writable is writable


async def test_one_bad_event_is_set_apart(world: World) -> None:
    """An event that cannot be understood is reported alone, with reason and text; the others are shown."""
    world.calendar.insert(DINNER)
    odd = world.calendar.insert({**DINNER, "summary": "Odd"})["id"]
    world.calendar.events[odd]["start"] = {"dateTime": "soon"}
    scan = await world.moved()
    assert [record.fields["title"] for record in scan.records] == ["Dinner"]
    (bad,) = scan.bad
    assert (bad.record_id, "correct or delete the event" in bad.reason, b"Odd" in bad.raw) == (
        odd,
        True,
        True,
    )
    assert odd in (scan.present or ())
    with pytest.raises(VendorGarbage, match="cannot be read"):
        await world.port().read(odd)


async def test_values_no_calendar_can_hold_are_refused(world: World) -> None:
    """An event without a start is refused before anything is sent, and other kinds are."""
    with pytest.raises(VendorRejected, match="needs a time at which it starts: change the item"):
        await world.port().create(EVENT, new_id(), {"title": "Some day"})
    with pytest.raises(VendorRejected, match="cannot be kept"):
        await world.port().create(ItemKind.TASK, new_id(), {"title": "Some day"})
    assert not world.sandbox.traffic.counts


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 403, "reason": "rateLimitExceeded"}, VendorUnavailable),
        ({"status": 403, "reason": "userRateLimitExceeded"}, VendorUnavailable),
        ({"status": 403, "reason": "insufficientPermissions"}, VendorRejected),
        ({"status": 403, "body": "forbidden"}, VendorRejected),
        ({"status": 429, "reason": "rateLimitExceeded", "retry_after": 7}, VendorUnavailable),
        ({"status": 500}, VendorUnavailable),
        ({"status": 401, "reason": "authError"}, VendorAuthFailed),
        ({"status": 302}, VendorRejected),
        ({"body": "<html>"}, VendorGarbage),
        ({"body": '{"items": 1}'}, VendorGarbage),
        ({"body": '{"items": []}'}, VendorGarbage),
        ({"cut": "before", "times": 3}, VendorUnavailable),
    ],
)
async def test_failures_are_told_apart(world: World, fault: dict[str, Any], error: type[Exception]) -> None:
    """To slow down, to be let in no more, to be refused and to be told nonsense are four things."""
    world.fault(method="events.list", **fault)
    with pytest.raises(error) as raised:
        await world.moved()
    if "retry_after" in fault:
        assert getattr(raised.value, "retry_after", None) == 7
    assert TOKEN not in str(raised.value)


async def test_an_expired_token_says_reconnect(world: World) -> None:
    """A token that ended in the middle of a scan is an authentication failure with the cure."""
    for _ in range(3):
        world.calendar.insert(DINNER)
    first = await world.port(page_size="2").scan(None)
    world.sandbox.tokens[TOKEN] = False
    with pytest.raises(VendorAuthFailed, match="reconnect"):
        await world.port(page_size="2").scan(first.cursor)


async def test_a_calendar_that_is_hidden_from_us_is_not_empty(world: World) -> None:
    """Once the account loses the calendar, no read says that an event is deleted."""
    created = await world.port().create(EVENT, new_id(), TOAST)
    hidden = world.sandbox.calendars.pop(CALENDAR)
    with pytest.raises(VendorRejected):
        await world.port().read(created.record_id)
    with pytest.raises(VendorRejected):
        await world.port().scan(None)
    world.sandbox.calendars[CALENDAR] = hidden
    assert await world.port().read("nothing") is None


async def test_a_write_whose_answer_makes_no_sense_may_have_been_done(world: World) -> None:
    """The engine is told to look before it repeats it."""
    world.fault(method="events.insert", body="<html>", apply=True)
    with pytest.raises(VendorUnavailable) as raised:
        await world.port().create(EVENT, new_id(), TOAST)
    assert raised.value.unknown_outcome
    assert len(world.calendar.events) == 1


async def test_a_channel_is_opened_and_closed(world: World) -> None:
    """It lives as long as Google grants, carries our secret, and closing it again is success."""
    port, clock = world.port(), SystemClock()
    opened = await port.open_channel("http://127.0.0.1:9/hook", "channel-1", "s3cret")
    week = timedelta(seconds=MANIFEST.push.lifetime_seconds if MANIFEST.push else 0)
    assert abs(opened.ends_at - clock.now() - week) < timedelta(minutes=1)
    watch = world.sandbox.channels.watches["channel-1"]
    assert (watch.token, watch.resource_id) == ("s3cret", opened.native["resource_id"])
    with pytest.raises(VendorRejected, match="channelIdNotUnique"):
        await port.open_channel("http://127.0.0.1:9/hook", "channel-1", "s3cret")
    await port.close_channel(opened)
    assert not world.sandbox.channels.watches
    await port.close_channel(opened)
    world.fault(method="channels.stop", status=400, reason="invalid")
    with pytest.raises(VendorRejected):
        await port.close_channel(opened)


@pytest.mark.parametrize("answer", ['{"id": "channel-1"}', '{"resourceId": "r", "expiration": "soon"}'])
async def test_a_channel_of_which_nothing_is_known_is_none(world: World, answer: str) -> None:
    """An answer that names no resource or no end is no channel."""
    world.fault(method="events.watch", body=answer)
    with pytest.raises(VendorGarbage, match="what the channel watches"):
        await world.port().open_channel("http://127.0.0.1:9/hook", "channel-1", "s3cret")


async def test_a_notification_points_at_nothing(world: World) -> None:
    """It says that something moved and not what; nobody decides anything in a calendar."""
    assert (world.port().hints({}), world.port().decisions({})) == ((), ())
    await world.port().aclose()
