"""The Outlook adapter when the vendor, the line or somebody's event does not behave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.gateway.vendors.port import (
    CursorLost,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
)
from tests.support.outlook_bench import DINNER, EVENT, TOAST, Bench, open_bench
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind
from wedsync.testing.outlook import CALENDAR


@pytest.fixture(name="bench")
async def _bench() -> AsyncIterator[Bench]:
    async with open_bench() as opened:
        yield opened


async def test_a_link_that_outlook_forgot_is_a_lost_cursor(bench: Bench) -> None:
    """After 410 a scan from the start sees everything, and so does one whose cursor is nobody's."""
    theirs = bench.outlook.add(**DINNER)
    await bench.moved()
    bench.outlook.rounds.forget()
    with pytest.raises(CursorLost, match="delta link"):
        await bench.moved()
    bench.fault(path="delta", status=400, code="SyncStateInvalid")
    with pytest.raises(CursorLost):
        await bench.moved()
    for nonsense in ({}, {"link": 1}, {"link": "/x", "until": "soon"}, {"link": "/x", "until": "2027-01-01"}):
        with pytest.raises(CursorLost):
            await bench.adapter().scan({"odd": True, **nonsense})
    bench.cursor = None
    assert (await bench.moved()).present == frozenset({theirs})


async def test_one_bad_event_is_set_apart(bench: Bench) -> None:
    """An event that cannot be understood is reported alone, with reason and text; the others are shown."""
    good = bench.outlook.add(**DINNER)
    odd = bench.outlook.add(**{**DINNER, "subject": "Odd"})
    bench.outlook.mailbox.events[odd].body["location"] = 5
    scan = await bench.moved()
    assert [record.record_id for record in scan.records] == [good]
    (bad,) = scan.bad
    assert (bad.record_id, "location is no text" in bad.reason, b"Odd" in bad.raw) == (odd, True, True)
    with pytest.raises(VendorGarbage, match="location is no text"):
        await bench.adapter().read(odd)


async def test_values_no_calendar_can_hold_are_refused(bench: Bench) -> None:
    """An event without a start, or another kind, is refused before anything is sent."""
    with pytest.raises(VendorRejected, match="needs a time at which it starts: change the item"):
        await bench.adapter().create(EVENT, new_id(), {"title": "Some day"})
    with pytest.raises(VendorRejected, match="cannot be kept"):
        await bench.adapter().create(ItemKind.TASK, new_id(), {"title": "Call"})
    assert bench.writes() == 0


@pytest.mark.parametrize(
    ("changes", "error", "cure"),
    [
        ({"token": "expired"}, VendorAuthFailed, "reconnect"),
        ({"token": ""}, VendorAuthFailed, "reconnect"),
        ({"calendar": "AAkALgNone="}, VendorRejected, "choose a calendar"),
        ({"calendar": "../../users"}, VendorRejected, "choose a calendar"),
    ],
    ids=["expired", "no token", "no calendar", "a path"],
)
async def test_what_does_not_work_is_said_with_its_cure(
    bench: Bench, changes: dict[str, str], error: type[VendorError], cure: str
) -> None:
    """A link is refused with what to do about it; one that works is not."""
    await bench.adapter().check()
    with pytest.raises(error, match=cure):
        await bench.adapter(**changes).check()


async def test_an_account_that_may_only_read_is_not_disconnected(bench: Bench) -> None:
    """A refused write is a matter of rights, for a human; reading goes on."""
    created = await bench.adapter().create(EVENT, new_id(), TOAST)
    bench.outlook.read_only = True
    for write in (bench.adapter().update(created, {"title": "Mine"}), bench.adapter().delete(created)):
        with pytest.raises(VendorRejected, match="right to change"):
            await write
    assert (await bench.read(created.record_id)).fields == TOAST


async def test_a_busy_mailbox_says_when_to_come_back(bench: Bench) -> None:
    """A 429 is transient, carries the waiting time, and the write is known not to have happened."""
    bench.fault(method="POST", status=429, retry_after=7)
    with pytest.raises(VendorUnavailable) as busy:
        await bench.adapter().create(EVENT, new_id(), TOAST)
    assert (busy.value.retry_after, busy.value.unknown_outcome) == (7, False)
    bench.outlook.traffic.max_in_window = 0
    with pytest.raises(VendorUnavailable):
        await bench.adapter().check()


async def test_a_scan_asks_for_one_thing_at_a_time(bench: Bench) -> None:
    """Of the four requests a mailbox takes at once a scan uses one: deliveries have room beside it."""
    for _ in range(5):
        bench.outlook.add(**DINNER)
    await bench.moved()
    assert bench.outlook.traffic.highest == 1


@pytest.mark.parametrize(
    "fault",
    [{"cut": "after"}, {"apply": True, "status": 502}, {"apply": True, "body": "<html>"}, {"body": "{}"}],
    ids=str,
)
async def test_a_create_without_an_answer_is_found_instead_of_repeated(
    bench: Bench, fault: dict[str, Any]
) -> None:
    """The outcome of a create whose answer is lost or garbage is unknown; a look tells."""
    item = new_id()
    await bench.adapter().check()
    bench.fault(method="POST", **fault)
    with pytest.raises(VendorUnavailable) as lost:
        await bench.adapter().create(EVENT, item, TOAST)
    assert lost.value.unknown_outcome
    found = await bench.adapter().find(EVENT, item)
    assert [found is not None] == [bool(bench.outlook.events())]
    await bench.adapter().create(EVENT, item, TOAST)
    assert len(bench.outlook.events()) == 1


async def test_a_link_to_another_host_is_not_followed(bench: Bench) -> None:
    """A page that leads elsewhere is garbage: the token goes to Graph's own host only."""
    await bench.moved()
    assert bench.cursor is not None
    with pytest.raises(VendorGarbage, match="another host"):
        await bench.adapter().scan({**bench.cursor, "link": "https://elsewhere.example/delta"})
    with pytest.raises(VendorGarbage, match="another host"):
        await bench.adapter().scan({**bench.cursor, "link": bench.url.replace("http://", "http://x@")})


@pytest.mark.parametrize(
    "body",
    ["[]", "<html>", "{}", '{"value": [1], "@odata.deltaLink": "x"}', '{"value": []}'],
)
async def test_a_senseless_answer_to_a_read_is_garbage(bench: Bench, body: str) -> None:
    """A page without events or link, an event without ETag: nothing is concluded from it."""
    theirs = bench.outlook.add(**DINNER)
    bench.fault(path="delta", body=body)
    with pytest.raises(VendorGarbage):
        await bench.adapter().scan(None)
    bench.fault(path="/events/", body=body)
    with pytest.raises(VendorGarbage):
        await bench.adapter().read(theirs)
    bench.fault(path="/events", body=body.replace("[]", "{}"))
    with pytest.raises(VendorGarbage):
        await bench.adapter().find(EVENT, new_id())


async def test_a_moved_api_is_not_followed(bench: Bench) -> None:
    """A redirect could hand the token to a stranger: the base URL is to be corrected."""
    bench.fault(status=302, body="")
    with pytest.raises(VendorRejected, match="base URL"):
        await bench.adapter().check()
    bench.fault(method="POST", status=400, code="ErrorInvalidRequest")
    with pytest.raises(VendorRejected, match="ErrorInvalidRequest"):
        await bench.adapter().create(EVENT, new_id(), TOAST)


async def test_an_event_that_leaves_while_it_is_listed_is_no_error(bench: Bench) -> None:
    """Moved away between the list and the read it is passed over; deleted, it is missing."""
    theirs = [bench.outlook.add(**DINNER) for _ in range(3)]
    bench.fault(path=f"/events/{theirs[0]}", status=404)
    bench.fault(path=f"/events/{theirs[1]}", status=404, times=2)
    scan = await bench.moved()
    assert ([r.record_id for r in scan.records], scan.missing) == ([theirs[2]], [theirs[1]])
    assert scan.present == frozenset(theirs)


async def test_a_refusal_of_another_kind_says_nothing_about_the_event(bench: Bench) -> None:
    """Neither a read nor a list that is refused makes a record gone or a cursor lost."""
    theirs = bench.outlook.add(**DINNER)
    bench.fault(path="/events/", status=400, code="ErrorInvalidIdMalformed")
    with pytest.raises(VendorRejected, match="ErrorInvalidIdMalformed"):
        await bench.adapter().read(theirs)
    bench.fault(path=f"{CALENDAR}/events/", status=404)
    bench.fault(path=f"{theirs}/calendar", status=400)
    with pytest.raises(VendorRejected):
        await bench.adapter().read(theirs)
    bench.fault(path="delta", status=400, code="ErrorInvalidParameter")
    with pytest.raises(VendorRejected, match="ErrorInvalidParameter"):
        await bench.moved()
