"""The Google Calendar adapter and recurring events: each instance is a record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from services.gateway.vendors.google_calendar.scanner import SERIES_A_PAGE
from tests.support.google_bench import (
    DINNER,
    LESSONS,
    THEIRS,
    WEEKLY,
    ZONE,
    World,
    open_world,
)
from wedsync.clock import SystemClock


@pytest.fixture(name="world")
async def _world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


async def test_each_instance_of_a_series_is_a_record(world: World) -> None:
    """One that differs shows its own values, a cancelled one is missing, and the series is no record."""
    world.calendar.insert(WEEKLY)
    world.calendar.patch(THEIRS[1], {"summary": "Late lesson"})
    world.calendar.delete(THEIRS[2])
    scan = await world.moved()
    titles = {record.record_id: record.fields["title"] for record in scan.records}
    assert titles == {LESSONS[0]: "Lesson", LESSONS[1]: "Late lesson", LESSONS[3]: "Lesson"}
    assert scan.present == titles.keys()
    assert {record.fields["starts_at"] for record in scan.records} == {
        f"2027-{day}T18:00:00[America/Chicago]" for day in ("06-12", "06-19", "07-03")
    }
    assert await world.port().read("lesson1") is None
    assert await world.port().read(LESSONS[2]) is None
    world.calendar.delete(THEIRS[3])
    assert LESSONS[3] in (await world.moved()).missing


async def test_what_is_written_to_an_instance_is_that_instances(world: World) -> None:
    """An update makes it differ from its series, a delete cancels it, and the other instances stay."""
    world.calendar.insert(WEEKLY)
    await world.moved()
    moved = {"starts_at": f"2027-06-19T20:00:00[{ZONE}]", "ends_at": f"2027-06-19T21:00:00[{ZONE}]"}
    shown = await world.port().update(await world.read(LESSONS[1]), moved)
    assert {path: shown.fields[path] for path in moved} == moved
    assert (shown.marker, shown.writable) == (None, True)
    await world.port().delete(await world.read(LESSONS[2]))
    scan = await world.moved()
    starts = {record.record_id: record.fields["starts_at"] for record in scan.records}
    assert starts == {
        LESSONS[0]: "2027-06-12T18:00:00[America/Chicago]",
        LESSONS[1]: moved["starts_at"],
        LESSONS[3]: "2027-07-03T18:00:00[America/Chicago]",
    }
    assert LESSONS[2] in scan.missing


async def test_what_a_series_no_longer_has_is_missing(world: World) -> None:
    """A rule that ends sooner, a series that becomes one event, and one that is deleted take them along."""
    world.calendar.insert(WEEKLY)
    await world.moved()
    world.calendar.patch("lesson1", {"recurrence": ["RRULE:FREQ=WEEKLY;COUNT=2"]})
    assert set((await world.moved()).missing) >= {*LESSONS[2:]}
    world.calendar.patch("lesson1", {"recurrence": None})
    scan = await world.moved()
    assert ([record.record_id for record in scan.records], scan.missing) == (["lesson1"], [*LESSONS[:2]])
    world.calendar.patch("lesson1", {"recurrence": ["RRULE:FREQ=DAILY"]})
    scan = await world.moved()
    assert scan.missing == ["lesson1"]
    latest = max(str(record.fields["starts_at"]) for record in scan.records)
    ahead = datetime.fromisoformat(latest[:10]) - SystemClock().now().replace(tzinfo=None)
    assert timedelta(days=727) < ahead < timedelta(days=731)
    world.calendar.delete("lesson1")
    assert len((await world.moved()).missing) == len(scan.records) + 1


async def test_many_series_are_asked_for_a_few_at_a_time(world: World) -> None:
    """A scan from the start has shown everything once its last page has come."""
    for number in range(SERIES_A_PAGE + 1):
        world.calendar.insert({**WEEKLY, "id": f"lesson{number}"})
    first = await world.port().scan(None)
    assert (first.records, first.present, first.more) == ([], None, True)
    scan = await world.moved()
    assert len(scan.present or ()) == 4 * (SERIES_A_PAGE + 1)


async def test_an_instance_of_a_series_we_cannot_see_is_a_record(world: World) -> None:
    """An invitation to one instance of somebody else's series stands for itself."""
    made = world.calendar.insert(DINNER)
    world.calendar.events[made["id"]]["recurringEventId"] = "theirs"
    assert [record.record_id for record in (await world.moved()).records] == [made["id"]]
