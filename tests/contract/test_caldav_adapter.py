"""The calendar adapter against a real CalDAV server, with an independent client as the other person."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import caldav
import pytest

from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.apple_calendar.adapter import CalDavCalendar, create_adapter
from services.gateway.vendors.apple_calendar.discovery import discover
from services.gateway.vendors.manifest import VENDORS, load_manifest
from services.gateway.vendors.port import (
    Account,
    CursorLost,
    Scan,
    VendorAuthFailed,
    VendorGarbage,
    VendorPort,
    VendorRecord,
    VendorRejected,
    VersionMismatch,
)
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.radicale import RadicaleServer, running_radicale

_ZONE = "America/New_York"
_EVENT = ItemKind.TIMELINE_EVENT
_MANIFEST = load_manifest(VENDORS / "apple_calendar")
_TOAST: Mapping[str, FieldValue] = {
    "title": "Toast, with \\ and ; and ü",
    "starts_at": f"2027-06-12T19:00:00[{_ZONE}]",
    "ends_at": f"2027-06-12T19:30:00[{_ZONE}]",
    "all_day": False,
    "location": "Old Barn",
    "notes": "first line\n" + "long " * 60 + "end",
    "status": "confirmed",
    "tags": ("family", "photo, video"),
}


@dataclass(frozen=True)
class World:
    """A calendar, our adapter to it, and another person's client to it."""

    server: RadicaleServer
    account: Account
    url: str
    name: str
    http: VendorHttp
    calls: list[str]

    @property
    def port(self) -> VendorPort:
        """Our adapter."""
        return create_adapter(
            self.http, _MANIFEST, self.account, {"calendar_url": self.url, "time_zone": _ZONE}
        )

    async def other(self, action: str, *arguments: str) -> list[str]:
        """Let the other person do something with the independent client, off the event loop."""
        return await asyncio.to_thread(_other_person, self, action, *arguments)


def _other_person(world: World, action: str, *arguments: str) -> list[str]:
    with caldav.DAVClient(
        world.server.url, username=world.server.username, password=world.server.password
    ) as client:
        calendar = client.calendar(url=world.url)
        if action == "add":
            calendar.add_event(arguments[0])
        for event in calendar.events():
            if action == "replace" and arguments[0] in event.data:
                event.data = event.data.replace(*arguments)
                event.save()
            if action == "delete" and arguments[0] in event.data:
                event.delete()
        return [str(event.data) for event in calendar.events()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RadicaleServer]:
    """A running server for all tests of this file; each test has a calendar of its own."""
    with running_radicale(tmp_path_factory.mktemp("radicale"), calendars=["first"]) as running:
        yield running


@pytest.fixture
async def world(server: RadicaleServer) -> AsyncIterator[World]:
    """An empty calendar and everybody who uses it."""
    name, calls = new_id(), list[str]()
    account = Account(
        integration_id="i1",
        base_url=server.url,
        credentials={"username": server.username, "password": server.password},
    )
    http = VendorHttp(limits=Limits(allow_private=True), observe=lambda method, *_: calls.append(method))
    async with http:
        url = server.create_calendar(name)
        yield World(server=server, account=account, url=url, name=name, http=http, calls=calls)


async def test_an_account_leads_to_its_calendars(world: World) -> None:
    """Discovery from the bare server address finds the calendar by name, through the well-known address."""
    calendars = await discover(world.http, _MANIFEST, world.account)
    assert (world.url, world.name) in [(calendar.url, calendar.name) for calendar in calendars]


async def test_a_wrong_password_says_reconnect(world: World) -> None:
    """Refused credentials are an authentication failure with the cure, not an outage."""
    wrong = replace(world.account, credentials={"username": "couple", "password": "wrong"})
    port = create_adapter(world.http, _MANIFEST, wrong, {"calendar_url": world.url, "time_zone": _ZONE})
    with pytest.raises(VendorAuthFailed, match="reconnect") as caught:
        await port.check()
    assert "wrong" not in str(caught.value)


async def test_check_accepts_a_calendar_only(world: World) -> None:
    """A calendar passes; a folder that is none and an address with nothing are refused with the cure."""
    await world.port.check()
    for url in (f"{world.server.url}couple/", f"{world.server.url}couple/nothing/"):
        port = create_adapter(world.http, _MANIFEST, world.account, {"calendar_url": url, "time_zone": _ZONE})
        with pytest.raises(VendorRejected, match="choose one that discovery lists"):
            await port.check()


async def test_what_is_created_is_found_read_and_seen_by_others(world: World) -> None:
    """An event of ours is shown as the server has it, is found by our id, and others read it."""
    item = new_id()
    created = await world.port.create(_EVENT, item, _TOAST)
    assert created.fields == _TOAST
    assert created.marker == item
    for again in (await world.port.find(_EVENT, item), await world.port.read(created.record_id)):
        assert again is not None
        assert (again.fields, again.version, again.marker) == (_TOAST, created.version, item)
    (seen,) = await world.other("read")
    assert "SUMMARY:Toast\\, with \\\\ and \\; and ü" in seen
    await world.port.aclose()


async def test_what_is_not_there_is_not_found(world: World) -> None:
    """An id that was never written is found nowhere, nor is a kind that calendars do not hold."""
    assert await world.port.find(_EVENT, new_id()) is None
    assert await world.port.find(ItemKind.PAYMENT, new_id()) is None


async def test_a_create_that_is_repeated_creates_nothing(world: World) -> None:
    """The second create returns the event of the first."""
    item = new_id()
    first = await world.port.create(_EVENT, item, _TOAST)
    second = await world.port.create(_EVENT, item, {**_TOAST, "title": "Another"})
    assert (second.record_id, second.version, second.fields["title"]) == (
        first.record_id,
        first.version,
        _TOAST["title"],
    )


async def test_an_id_that_another_event_has_taken_is_refused(world: World) -> None:
    """Where the UID lives under another address the server's refusal is terminal and named."""
    item = new_id()
    password = aiohttp.encode_basic_auth(world.server.username, world.server.password)
    await world.http.request(
        "PUT",
        f"{world.url}elsewhere.ics",
        headers={"Authorization": password, "Content-Type": "text/calendar"},
        body=_foreign("Theirs", uid=item).encode(),
    )
    with pytest.raises(VendorRejected, match="no-uid-conflict"):
        await world.port.create(_EVENT, item, _TOAST)


@pytest.mark.parametrize(
    "values",
    [
        {"title": "Renamed"},
        {"starts_at": "2027-06-13T10:00:00[Europe/Paris]"},
        {"ends_at": None, "notes": None, "tags": None},
        {"all_day": True},
        {
            "all_day": True,
            "starts_at": f"2027-06-14T00:00:00[{_ZONE}]",
            "ends_at": f"2027-06-15T00:00:00[{_ZONE}]",
        },
        {"status": "cancelled", "location": "Hall"},
        {"ends_at": f"2027-06-12T18:00:00[{_ZONE}]"},
        {"title": "emoji 🎂", "notes": "a\n\nb\tc"},
    ],
)
async def test_an_update_is_shown_and_read_back_alike(world: World, values: dict[str, FieldValue]) -> None:
    """After an update the record returned is the record a fresh read returns, with the rest kept."""
    created = await world.port.create(_EVENT, new_id(), _TOAST)
    updated = await world.port.update(created, values)
    assert updated.fields == {**_TOAST, **values}
    again = await world.port.read(created.record_id)
    assert again is not None
    assert (again.fields, again.version) == (updated.fields, updated.version)


async def test_an_update_of_what_moved_is_refused(world: World) -> None:
    """An edit by somebody else in between makes the update, and the delete, a version mismatch."""
    created = await world.port.create(_EVENT, new_id(), _TOAST)
    await world.other("replace", "Old Barn", "New Barn")
    with pytest.raises(VersionMismatch):
        await world.port.update(created, {"title": "Lost"})
    with pytest.raises(VersionMismatch):
        await world.port.delete(created)
    read = await world.port.read(created.record_id)
    assert read is not None
    assert (read.fields["location"], read.fields["title"]) == ("New Barn", _TOAST["title"])


async def test_a_delete_is_final_and_repeatable(world: World) -> None:
    """A deleted event is gone for everyone, and deleting it again is success."""
    created = await world.port.create(_EVENT, new_id(), _TOAST)
    await world.port.delete(created)
    await world.port.delete(created)
    assert await world.port.read(created.record_id) is None
    assert await world.other("read") == []


async def test_an_update_of_what_is_gone_does_not_bring_it_back(world: World) -> None:
    """Writing to an event that somebody deleted is refused; it stays deleted."""
    created = await world.port.create(_EVENT, new_id(), _TOAST)
    await world.other("delete", "Toast")
    with pytest.raises(VersionMismatch):
        await world.port.update(created, {"title": "Zombie"})
    assert await world.other("read") == []


async def test_another_persons_edits_arrive_by_scan(world: World) -> None:
    """Create, move, rename and delete by another client are shown by the next scan, and nothing else is."""
    start = await _scan(world, None)
    assert (list(start.records), start.present) == ([], frozenset())
    await world.other("add", _foreign("Dinner"))
    added = await _scan(world, start.cursor)
    (record,) = added.records
    assert record.fields["title"] == "Dinner"
    assert record.fields["starts_at"] == "2027-06-12T18:00:00[America/Chicago]"
    assert (record.marker, added.present, added.missing) == (None, None, [])

    await world.other("replace", "20270612T180000", "20270612T183000")
    moved = await _scan(world, added.cursor)
    assert [r.fields["starts_at"] for r in moved.records] == ["2027-06-12T18:30:00[America/Chicago]"]

    await world.other("delete", "Dinner")
    deleted = await _scan(world, moved.cursor)
    assert (list(deleted.records), deleted.missing) == ([], [record.record_id])
    quiet = await _scan(world, deleted.cursor)
    assert (list(quiet.records), quiet.missing) == ([], [])


async def test_our_edit_of_another_persons_event_keeps_what_is_theirs(world: World) -> None:
    """Alarms and properties that we do not know are still there after our update."""
    await world.other("add", _foreign("Dinner"))
    (record,) = (await _scan(world, None)).records
    await world.port.update(record, {"title": "Supper"})
    (seen,) = await world.other("read")
    for kept in ("X-THEIRS;X-A=1:a\\,b", "TRIGGER:-PT15M", "SUMMARY:Supper"):
        assert kept in seen


async def test_a_quiet_scan_is_one_small_call(world: World) -> None:
    """Asking with a token when nothing moved costs one request, and writes nothing."""
    start = await _scan(world, None)
    world.calls.clear()
    assert (await _scan(world, start.cursor)).cursor
    assert world.calls == ["REPORT"]


async def test_a_token_that_the_server_forgot_is_a_lost_cursor(world: World) -> None:
    """After the server lost its tokens the scan says so, and a scan from the start sees everything."""
    created = await world.port.create(_EVENT, new_id(), _TOAST)
    start = await _scan(world, None)
    world.server.forget_sync_tokens(world.name)
    with pytest.raises(CursorLost):
        await world.port.scan(start.cursor)
    again = await _scan(world, None)
    assert again.present == frozenset({created.record_id})
    assert [record.version for record in again.records] == [created.version]


async def test_a_large_calendar_is_read_in_batches(world: World) -> None:
    """More events than one batch holds are all shown."""
    items = [new_id() for _ in range(120)]
    for item in items:
        await world.port.create(_EVENT, item, {"title": item, "starts_at": "2027-06-12T15:00:00[UTC]"})
    world.calls.clear()
    scan = await _scan(world, None)
    assert {record.marker for record in scan.records} == set(items)
    assert scan.present == frozenset({record.record_id for record in scan.records})
    assert world.calls == ["PROPFIND", "REPORT", "REPORT", "REPORT", "REPORT"]


async def test_one_bad_event_is_set_apart(world: World) -> None:
    """An event that cannot be understood is reported alone, with reason and text; the others are shown."""
    await world.other("add", _foreign("Dinner"))
    await world.other(
        "add", _foreign("Ticking").replace("END:VEVENT", "RRULE:FREQ=SECONDLY;COUNT=3\r\nEND:VEVENT")
    )
    scan = await _scan(world, None)
    assert [record.fields["title"] for record in scan.records] == ["Dinner"]
    (bad,) = scan.bad
    assert "more often than daily" in bad.reason
    assert b"Ticking" in bad.raw
    with pytest.raises(VendorGarbage, match="more often than daily"):
        await world.port.read(bad.record_id)


async def test_each_instance_of_a_series_is_a_record(world: World) -> None:
    """What is written to one goes to that one, a cancelled one is missing, and the series is no record."""
    await world.other("add", _yoga())
    first = await _scan(world, None)
    days = {record.record_id: record.fields["starts_at"] for record in first.records}
    assert list(days.values()) == [f"2027-06-{day}T18:00:00[America/Chicago]" for day in (12, 19, 26)]
    assert first.present == days.keys()
    one, two, three = [await _read(world, name) for name in days]
    assert await world.port.read(one.record_id.partition("#")[0]) is None
    late = await world.port.update(two, {"title": "Late yoga"})
    again = await _read(world, two.record_id)
    assert (late.fields, late.version) == (again.fields, again.version)
    assert (late.fields["title"], late.fields["starts_at"]) == ("Late yoga", days[two.record_id])
    with pytest.raises(VersionMismatch):
        await world.port.delete(three)
    await world.port.delete(await _read(world, three.record_id))
    await world.port.delete(await _read(world, two.record_id))
    assert await world.port.read(three.record_id) is None
    second = await _scan(world, first.cursor)
    assert [record.fields["title"] for record in second.records] == ["Yoga"]
    assert {two.record_id, three.record_id} <= {*second.missing}
    await world.other("delete", "Yoga")
    assert one.record_id in (await _scan(world, second.cursor)).missing


async def test_an_event_may_begin_and_cease_to_recur(world: World) -> None:
    """Either way what there was is missing, and what there is now is there."""
    item = new_id()
    created = await world.port.create(_EVENT, item, _TOAST)
    first = await _scan(world, None)
    await world.other("replace", "END:VEVENT", "RRULE:FREQ=DAILY;COUNT=2\nEND:VEVENT")
    recurring = await _scan(world, first.cursor)
    assert [record.marker for record in recurring.records] == [None, None]
    assert recurring.missing == [created.record_id]
    assert await world.port.find(_EVENT, item) is None
    await world.other("replace", "RRULE:FREQ=DAILY;COUNT=2", "X-OLD:1")
    single = await _scan(world, recurring.cursor)
    assert [record.marker for record in single.records] == [item]
    assert single.missing == [record.record_id for record in recurring.records]


async def test_values_no_calendar_can_hold_are_refused(world: World) -> None:
    """An event without a start is refused before anything is sent."""
    world.calls.clear()
    with pytest.raises(VendorRejected, match="needs a time at which it starts: change the item"):
        await world.port.create(_EVENT, new_id(), {"title": "Some day"})
    assert world.calls == []


def test_a_webhook_makes_no_sense_here(tmp_path: Path) -> None:
    """CalDAV has no webhooks, so an event of one is garbage."""
    account = Account(
        integration_id="i", base_url="https://x.example", credentials={"username": "u", "password": "p"}
    )
    port = CalDavCalendar(VendorHttp(), _MANIFEST, account, {"calendar_url": "/c/", "time_zone": _ZONE})
    with pytest.raises(VendorGarbage):
        port.hints({"id": 1})


async def _scan(world: World, cursor: Mapping[str, object] | None) -> Scan:
    scan = await world.port.scan(cursor)
    assert not scan.more
    return scan


async def _read(world: World, record_id: str) -> VendorRecord:
    record = await world.port.read(record_id)
    assert record is not None
    return record


def _yoga() -> str:
    return _foreign("Yoga").replace("END:VEVENT", "RRULE:FREQ=WEEKLY;COUNT=3\r\nEND:VEVENT")


def _foreign(title: str, uid: str = "") -> str:
    stamp = datetime(2027, 1, 1, tzinfo=UTC).strftime("%Y%m%dT%H%M%SZ")
    lines = [
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Other//EN", "BEGIN:VEVENT", f"UID:{uid or new_id()}",
        f"DTSTAMP:{stamp}", f"SUMMARY:{title}", "DTSTART;TZID=America/Chicago:20270612T180000",
        "DTEND;TZID=America/Chicago:20270612T200000", "X-THEIRS;X-A=1:a\\,b",
        "BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:soon", "TRIGGER:-PT15M", "END:VALARM",
        "END:VEVENT", "END:VCALENDAR", "",
    ]  # fmt: skip
    return "\r\n".join(lines)
