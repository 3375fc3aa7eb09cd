"""Certification of calendars: series, exceptions, cancelled instances, whole days and zones of time."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.certification.calendars import keepers_of, place, stand, values, weeks
from tests.certification.world import World
from wedsync.model.changes import ChangeKind

_NEW_YORK = "2027-06-12T15:00:00[America/New_York]"
_PARIS = "2027-06-12T15:00:00[Europe/Paris]"
_DAY = "2027-06-12T00:00:00[America/New_York]"


@pytest_asyncio.fixture(loop_scope="session")
async def calendar(unlinked: World) -> World:
    """A calendar that is linked to its wedding."""
    if unlinked.manifest.category != "calendar":
        pytest.skip("it keeps no calendar")
    await unlinked.connect()
    return unlinked


@pytest.mark.parametrize(("starts_at", "all_day"), [(_NEW_YORK, False), (_DAY, True)], ids=["timed", "days"])
async def test_each_instance_of_a_series_arrives(calendar: World, starts_at: str, all_day: bool) -> None:
    """Once, at its own time, also when it was moved; a cancelled one goes, and nothing is written back."""
    keepers = keepers_of(calendar)
    series = await keepers.plan("lesson", starts_at, all_day=all_day, weekly=4)
    await calendar.looked()
    await stand(calendar, *weeks("lesson", starts_at, range(4), all_day=all_day))
    moved = starts_at.replace("06-12", "06-20")
    await keepers.move(keepers.instance(series, 1), moved, all_day=all_day)
    await keepers.remove(keepers.instance(series, 2))
    await calendar.looked()
    left = weeks("lesson", starts_at, (0, 3), all_day=all_day)
    await stand(calendar, *left, place("lesson", moved, all_day=all_day))
    await keepers.remove(series)
    await calendar.looked()
    await stand(calendar)
    kinds = [change.kind for change in calendar.changes()]
    assert (kinds.count(ChangeKind.CREATE), kinds.count(ChangeKind.DELETE)) == (4, 4)
    assert calendar.writes() == []


async def test_what_we_do_to_an_instance_is_done_to_that_instance(calendar: World) -> None:
    """It is renamed, moved or cancelled in one write each; the others stay, and nothing comes back."""
    keepers = keepers_of(calendar)
    await keepers.plan("lesson", _NEW_YORK, weekly=4)
    await calendar.looked()
    every = weeks("lesson", _NEW_YORK, range(4))
    await stand(calendar, *every)
    items = {item.value("starts_at"): item_id for item_id, item in calendar.items().items()}
    seen, moved = len(calendar.changes()), "2027-06-20T11:00:00[America/New_York]"
    await calendar.change(items[every[1].starts_at], values("lesson", moved))
    await calendar.edit(items[every[2].starts_at], "the last lesson")
    await calendar.delete(items[every[3].starts_at])
    await stand(calendar, every[0], place("lesson", moved), place("the last lesson", every[2].starts_at))
    assert len(calendar.writes()) == 3
    assert len(calendar.changes()) == seen


async def test_a_series_that_moves_takes_its_instances_along(calendar: World) -> None:
    """To another zone by the same clock, and to another hour: each instance is there, once."""
    keepers = keepers_of(calendar)
    series = await keepers.plan("lesson", _NEW_YORK, weekly=3)
    await calendar.looked()
    await stand(calendar, *weeks("lesson", _NEW_YORK, range(3)))
    for starts_at in (_PARIS, _PARIS.replace("T15", "T17")):
        await keepers.move(series, starts_at)
        await calendar.looked()
        await stand(calendar, *weeks("lesson", starts_at, range(3)))
    assert calendar.writes() == []


async def test_an_event_that_moves_to_another_zone_keeps_its_clock(calendar: World) -> None:
    """Whoever moves it, both sides show the same local time in the same zone, and nothing flows back."""
    keepers = keepers_of(calendar)
    theirs = await keepers.plan("toast", _NEW_YORK)
    await calendar.looked()
    await stand(calendar, place("toast", _NEW_YORK))
    await keepers.move(theirs, _PARIS)
    await calendar.looked()
    await stand(calendar, place("toast", _PARIS))
    assert calendar.writes() == []
    told = len(calendar.changes())
    await calendar.change(calendar.item("toast"), values("toast", _NEW_YORK))
    await stand(calendar, place("toast", _NEW_YORK))
    assert (len(calendar.writes()), len(calendar.changes())) == (1, told)


async def test_an_event_becomes_a_whole_day_and_a_time_again(calendar: World) -> None:
    """Whoever makes it so: one change of ours or one write there, each time."""
    keepers = keepers_of(calendar)
    theirs = await keepers.plan("toast", _NEW_YORK)
    await calendar.looked()
    for starts_at, all_day in ((_DAY, True), (_NEW_YORK, False)):
        await keepers.move(theirs, starts_at, all_day=all_day)
        await calendar.looked()
        await stand(calendar, place("toast", starts_at, all_day=all_day))
    assert calendar.writes() == []
    told = len(calendar.changes())
    for starts_at, all_day in ((_DAY, True), (_NEW_YORK, False)):
        await calendar.change(calendar.item("toast"), values("toast", starts_at, all_day=all_day))
        await stand(calendar, place("toast", starts_at, all_day=all_day))
    assert (len(calendar.writes()), len(calendar.changes())) == (2, told)


async def test_an_event_of_ours_that_recurs_from_now_on(calendar: World) -> None:
    """Its item gives way to one for each instance, as nothing stands there any more but those."""
    keepers = keepers_of(calendar)
    await calendar.create("toast")
    await calendar.agree("toast")
    record = await calendar.record("toast")
    await keepers.recur(record, weekly=3)
    await calendar.looked()
    await stand(calendar, *weeks("toast", _NEW_YORK, range(3)))
    assert [change.kind for change in calendar.changes()].count(ChangeKind.DELETE) == 1
    assert len(calendar.writes()) == 1
