"""Tave and an Apple calendar hold one wedding, both ways."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.e2e.conftest import Wedding, until
from wedsync.api.conflicts.v1 import service_pb2 as conflicts_pb2
from wedsync.api.sync.v1 import change_pb2
from wedsync.client.sync import CALLER
from wedsync.model.changes import Change, ChangeKind, Outcome
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind

_NEW_YORK = ZoneInfo("America/New_York")

_TOASTS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//couple//phone//EN
BEGIN:VEVENT
UID:{uid}
DTSTAMP:20270101T000000Z
DTSTART;TZID=America/New_York:20270612T190000
DTEND;TZID=America/New_York:20270612T193000
SUMMARY:Toasts
LOCATION:Garden
END:VEVENT
END:VCALENDAR
"""


def _local(hour: int, minute: int = 0) -> datetime:
    return datetime(2027, 6, 12, hour, minute, tzinfo=_NEW_YORK)


async def test_an_event_planned_moved_renamed_and_deleted_in_tave_follows_in_the_calendar(
    wedding: Wedding,
) -> None:
    """What a photographer does to an event in Tave appears in the couple's calendar."""
    event_id = await wedding.photographer.plan(
        "Ceremony", "15:00", "16:00", descriptionHtml="<p>Bring tissues</p>"
    )
    shown = await wedding.in_calendar("Ceremony")
    assert shown["dtstart"].dt == _local(15)
    assert str(shown["description"]) == "Bring tissues"

    await wedding.photographer.change(event_id, startTime="14:30:00")

    async def moved() -> bool:
        return bool((await wedding.couple.events())["Ceremony"]["dtstart"].dt == _local(14, 30))

    await until(moved, "the calendar shows the new time")
    await wedding.photographer.change(event_id, name="Vows")
    await wedding.in_calendar("Vows")
    await wedding.photographer.cancel(event_id)

    async def gone() -> bool:
        return not await wedding.couple.events()

    await until(gone, "the event is gone from the calendar")


async def test_an_event_planned_moved_renamed_and_deleted_in_the_calendar_follows_in_tave(
    wedding: Wedding,
) -> None:
    """What a couple does to an event on their phones appears in the photographer's Tave."""
    await wedding.couple.plan(_TOASTS.format(uid=new_id()))
    shown = await wedding.in_tave("Toasts")
    assert (shown["startDate"], shown["startTime"], shown["timezoneName"]) == (
        "2027-06-12",
        "19:00:00",
        "America/New_York",
    )
    await wedding.couple.change("Toasts", dtstart=_local(18, 45))

    async def moved() -> bool:
        return bool((await wedding.photographer.events())["Toasts"]["startTime"] == "18:45:00")

    await until(moved, "Tave shows the new time")
    await wedding.couple.change("Toasts", summary="Speeches")
    await wedding.in_tave("Speeches")
    await wedding.couple.cancel("Speeches")

    async def gone() -> bool:
        return not await wedding.photographer.events()

    await until(gone, "the event is gone from Tave")


async def test_different_fields_edited_in_both_systems_at_once_both_survive(wedding: Wedding) -> None:
    """A new time in Tave and a new title in the calendar, made unseen by each other, both stay."""
    event_id = await wedding.photographer.plan("First look", "13:00", "13:30")
    await wedding.in_calendar("First look")
    await wedding.quiet()
    await wedding.paused(paused=True)
    await wedding.photographer.change(event_id, startTime="12:45:00")
    await wedding.couple.change("First look", summary="Reveal")
    await wedding.paused(paused=False)

    in_tave = await wedding.in_tave("Reveal")
    shown = await wedding.in_calendar("Reveal")

    async def both() -> bool:
        tave, calendar = await wedding.photographer.events(), await wedding.couple.events()
        times = tave["Reveal"]["startTime"], calendar["Reveal"]["dtstart"].dt
        return times == ("12:45:00", _local(12, 45))

    await until(both, "both systems show the new time and the new title")
    assert in_tave["id"] == event_id
    assert shown["summary"] == "Reveal"


async def test_the_same_field_edited_in_both_systems_is_held_until_it_is_settled(wedding: Wedding) -> None:
    """Two titles made unseen by each other are held; keeping one brings both to it, and it is over."""
    event_id = await wedding.photographer.plan("Dinner", "18:00", "20:00")
    await wedding.in_calendar("Dinner")
    await wedding.quiet()
    await wedding.paused(paused=True)
    await wedding.photographer.change(event_id, name="Banquet")
    await wedding.couple.change("Dinner", summary="Supper")
    await wedding.paused(paused=False)

    async def opened() -> list[Any]:
        found = wedding.clients.conflicts.list_conflicts(wedding_id=wedding.wedding_id)
        return [conflict async for conflict in found]

    [conflict] = await until(opened, "a conflict is open")
    assert conflict.path == "title"
    assert {conflict.current.value.text, conflict.proposed.value.text} == {"Banquet", "Supper"}
    assert {conflict.current.source.vendor, conflict.proposed.source.vendor} == {"tave", "apple_calendar"}
    await wedding.quiet()
    assert set(await wedding.photographer.events()) == {"Banquet"}
    assert set(await wedding.couple.events()) == {"Supper"}
    outcomes = [f.outcome for change in await wedding.log() for f in change.fields if f.path == "title"]
    assert change_pb2.OUTCOME_CONFLICTED in outcomes

    stays = conflict.current.value.text
    keep = Change(
        change_id=new_id(),
        item_id=conflict.item_id,
        item_kind=ItemKind.TIMELINE_EVENT,
        kind=ChangeKind.UPDATE,
        source=CALLER,
        values={"title": stays},
        base={"title": conflict.sequence},
    )
    await wedding.clients.sync.apply_changes(wedding.wedding_id, [keep])
    await wedding.in_tave(stays)
    await wedding.in_calendar(stays)

    async def over() -> bool:
        return [c.state for c in await opened()] == [conflicts_pb2.CONFLICT_STATE_RESOLVED]

    await until(over, "the conflict is over")


async def test_an_edit_through_the_api_reaches_both_vendors(wedding: Wedding) -> None:
    """A service's ApplyChanges shows in Tave and in the calendar, and the journey says when."""
    change = Change(
        change_id=new_id(),
        item_id=new_id(),
        item_kind=ItemKind.TIMELINE_EVENT,
        kind=ChangeKind.CREATE,
        source=CALLER,
        values={
            "title": "Sunset portraits",
            "starts_at": "2027-06-12T19:40:00[America/New_York]",
            "ends_at": "2027-06-12T20:00:00[America/New_York]",
        },
    )
    [result] = await wedding.clients.sync.apply_changes(wedding.wedding_id, [change])
    assert result.outcome is Outcome.APPLIED
    assert (await wedding.in_tave("Sunset portraits"))["startTime"] == "19:40:00"
    assert (await wedding.in_calendar("Sunset portraits"))["dtstart"].dt == _local(19, 40)

    async def told() -> Any:
        journey = await wedding.clients.gateway.get_journey(change.change_id)
        return journey if journey.complete else None

    journey = await until(told, "the journey is complete")
    assert {stage.name for stage in journey.stages} == {
        "committed",
        "tave: delivered",
        "apple_calendar: delivered",
    }


async def test_an_edit_never_comes_back_as_a_new_edit(wedding: Wedding) -> None:
    """Once everything is quiet, no vendor is written to and nothing more is logged."""
    event_id = await wedding.photographer.plan("Cake", "21:00", "21:15")
    await wedding.in_calendar("Cake")
    await wedding.photographer.change(event_id, name=" Cake cutting ")
    await wedding.in_calendar("Cake cutting")
    await wedding.couple.change("Cake cutting", location="Terrace")

    async def arrived() -> bool:
        event = (await wedding.photographer.events()).get("Cake cutting", {})
        return "Terrace" in str(event.get("location"))

    await until(arrived, "Tave shows the place")
    await wedding.quiet()
    writes, logged = await wedding.photographer.writes(), len(await wedding.log())
    versions = {title: str(event["sequence"]) for title, event in (await wedding.couple.events()).items()}
    await wedding.quiet()
    assert await wedding.photographer.writes() == writes
    assert len(await wedding.log()) == logged
    assert versions == {t: str(e["sequence"]) for t, e in (await wedding.couple.events()).items()}
