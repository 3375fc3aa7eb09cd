"""Certification of calendars: series, exceptions, cancelled instances, whole days and zones of time."""

from __future__ import annotations

import pytest

from tests.certification.calendars import keepers_of, place, stand, values, weeks
from tests.certification.world import World
from wedsync.model.changes import ChangeKind

_NEW_YORK = "2027-06-12T15:00:00[America/New_York]"
_PARIS = "2027-06-12T15:00:00[Europe/Paris]"
_DAY = "2027-06-12T00:00:00[America/New_York]"


@pytest.mark.parametrize(("starts_at", "all_day"), [(_NEW_YORK, False), (_DAY, True)], ids=["timed", "days"])
async def test_each_instance_of_a_series_arrives(world: World, starts_at: str, all_day: bool) -> None:
    """Once, at its own time, also when it was moved; a cancelled one goes, and nothing is written back."""
    keepers = keepers_of(world)
    series = await keepers.plan("lesson", starts_at, all_day=all_day, weekly=4)
    await world.looked()
    await stand(world, *weeks("lesson", starts_at, range(4), all_day=all_day))
    moved = starts_at.replace("06-12", "06-20")
    await keepers.move(keepers.instance(series, 1), moved, all_day=all_day)
    await keepers.remove(keepers.instance(series, 2))
    await world.looked()
    left = weeks("lesson", starts_at, (0, 3), all_day=all_day)
    await stand(world, *left, place("lesson", moved, all_day=all_day))
    await keepers.remove(series)
    await world.looked()
    await stand(world)
    kinds = [change.kind for change in world.changes()]
    assert (kinds.count(ChangeKind.CREATE), kinds.count(ChangeKind.DELETE)) == (4, 4)
    assert world.writes() == []


async def test_what_we_do_to_an_instance_is_done_to_that_instance(world: World) -> None:
    """It is renamed, moved or cancelled in one write each; the others stay, and nothing comes back."""
    keepers = keepers_of(world)
    await keepers.plan("lesson", _NEW_YORK, weekly=4)
    await world.looked()
    every = weeks("lesson", _NEW_YORK, range(4))
    await stand(world, *every)
    items = {item.value("starts_at"): item_id for item_id, item in world.items().items()}
    seen, moved = len(world.changes()), "2027-06-20T11:00:00[America/New_York]"
    await world.change(items[every[1].starts_at], values("lesson", moved))
    await world.edit(items[every[2].starts_at], "the last lesson")
    await world.delete(items[every[3].starts_at])
    await stand(world, every[0], place("lesson", moved), place("the last lesson", every[2].starts_at))
    assert len(world.writes()) == 3
    assert len(world.changes()) == seen


async def test_a_series_that_moves_takes_its_instances_along(world: World) -> None:
    """To another zone by the same clock, and to another hour: each instance is there, once."""
    keepers = keepers_of(world)
    series = await keepers.plan("lesson", _NEW_YORK, weekly=3)
    await world.looked()
    await stand(world, *weeks("lesson", _NEW_YORK, range(3)))
    for starts_at in (_PARIS, _PARIS.replace("T15", "T17")):
        await keepers.move(series, starts_at)
        await world.looked()
        await stand(world, *weeks("lesson", starts_at, range(3)))
    assert world.writes() == []


async def test_an_event_that_moves_to_another_zone_keeps_its_clock(world: World) -> None:
    """Whoever moves it, both sides show the same local time in the same zone, and nothing flows back."""
    keepers = keepers_of(world)
    theirs = await keepers.plan("toast", _NEW_YORK)
    await world.looked()
    await stand(world, place("toast", _NEW_YORK))
    await keepers.move(theirs, _PARIS)
    await world.looked()
    await stand(world, place("toast", _PARIS))
    assert world.writes() == []
    told = len(world.changes())
    await world.change(world.item("toast"), values("toast", _NEW_YORK))
    await stand(world, place("toast", _NEW_YORK))
    assert (len(world.writes()), len(world.changes())) == (1, told)


async def test_an_event_becomes_a_whole_day_and_a_time_again(world: World) -> None:
    """Whoever makes it so: one change of ours or one write there, each time."""
    keepers = keepers_of(world)
    theirs = await keepers.plan("toast", _NEW_YORK)
    await world.looked()
    for starts_at, all_day in ((_DAY, True), (_NEW_YORK, False)):
        await keepers.move(theirs, starts_at, all_day=all_day)
        await world.looked()
        await stand(world, place("toast", starts_at, all_day=all_day))
    assert world.writes() == []
    told = len(world.changes())
    for starts_at, all_day in ((_DAY, True), (_NEW_YORK, False)):
        await world.change(world.item("toast"), values("toast", starts_at, all_day=all_day))
        await stand(world, place("toast", starts_at, all_day=all_day))
    assert (len(world.writes()), len(world.changes())) == (2, told)


async def test_an_event_of_ours_that_recurs_from_now_on(world: World) -> None:
    """Its item gives way to one for each instance, as nothing stands there any more but those."""
    keepers = keepers_of(world)
    await world.create("toast")
    await world.agree("toast")
    record = await world.record("toast")
    await keepers.recur(record, weekly=3)
    await world.looked()
    await stand(world, *weeks("toast", _NEW_YORK, range(3)))
    assert [change.kind for change in world.changes()].count(ChangeKind.DELETE) == 1
    assert len(world.writes()) == 1
