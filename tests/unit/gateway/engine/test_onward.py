"""Work goes on in memory; the table is asked for what could not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.gateway.onward import ROOM, Onward
from services.gateway.records import NOBODY, Busy, Owner
from services.gateway.store.inbound import Activity
from services.gateway.store.sql import CLAIM_SECONDS
from tests.support.gateway_world import World, finish
from wedsync.clock import FakeClock

IDLE = 1.0


class Stage:
    """A hand-over, its table and how often either was asked."""

    def __init__(self, *rows: int, most: int = ROOM) -> None:
        self.table, self.looks, self.woken = list(rows), list[int](), 0
        self.clock, self.busy, self.failing = FakeClock(), NOBODY, False
        self.onward = Onward[int](
            claim=self._claim,
            wake=self.wake,
            idle_seconds=IDLE,
            urgency=lambda task: task % 10,
            owner=lambda task: Owner(integration_id="i", vendor="odd" if task % 2 else "even"),
            most=most,
            clock=self.clock.monotonic,
        )

    async def _claim(self, limit: int, busy: Busy) -> Sequence[int]:
        if self.failing:
            raise OSError("no database")
        self.looks.append(limit)
        self.busy = busy
        found, self.table = self.table[:limit], self.table[limit:]
        return found

    def wake(self) -> None:
        """Count it."""
        self.woken += 1

    async def nothing(self, limit: int, busy: Busy) -> Sequence[Activity]:
        """Find nothing."""
        return []

    def claim(self, limit: int) -> list[int]:
        """Claim so many."""
        return finish(self.onward.claim(limit))

    def look(self) -> None:
        """Let the table have been asked just now."""
        self.claim(1)
        self.looks.clear()


def test_what_is_put_is_claimed_without_asking_the_table() -> None:
    """The most urgent first, of alike ones the oldest, and never more than were asked for."""
    stage = Stage()
    stage.look()
    stage.onward.put([11, 20, 31, 40])
    assert stage.woken == 1
    assert stage.claim(3) == [20, 40, 11]
    assert stage.claim(3) == [31]
    assert stage.looks == []


def test_the_table_is_asked_now_and_then() -> None:
    """At first, and whenever so much time has passed; those who are busy are passed on."""
    stage = Stage(1, 2)
    busy = Busy(integrations=["i"])
    assert finish(stage.onward.claim(1, busy)) == [1]
    assert stage.busy is busy
    stage.clock.advance(IDLE)
    assert stage.claim(5) == [2]
    assert stage.claim(5) == []
    assert len(stage.looks) == 2


def test_the_table_is_asked_for_a_while_where_something_is_due_there() -> None:
    """So does one that had as many as it was asked for: it may have more."""
    stage = Stage()
    stage.look()
    stage.onward.ask()
    assert stage.woken == 1
    assert (stage.claim(5), stage.claim(5)) == ([], [])
    assert len(stage.looks) == 2
    stage.clock.advance(IDLE)
    stage.table = [1, 2, 3]
    assert (stage.claim(2), stage.claim(2), stage.claim(2)) == ([1, 2], [3], [])


def test_what_is_of_the_busy_waits_its_turn() -> None:
    """Others' go first; it is claimed once its owner has places again, and stale like any other."""
    stage = Stage()
    stage.look()
    stage.onward.put([7, 8, 9])
    busy = Busy(vendors=["odd"])
    assert finish(stage.onward.claim(5, busy)) == [8]
    assert stage.onward.room == ROOM - 2
    assert stage.claim(1) == [7]
    stage.clock.advance(CLAIM_SECONDS / 2)
    finish(stage.onward.claim(5, busy))
    assert stage.onward.room == ROOM


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_neither_starves(limit: int) -> None:
    """Where both have plenty, each gives about half of what is claimed."""
    stage = Stage(*range(1000, 1200))
    stage.onward.put(range(200))
    claimed = [task for _ in range(12) for task in stage.claim(limit)]
    assert len(claimed) == 12 * limit
    assert 4 * limit <= sum(task < 200 for task in claimed) <= 8 * limit


@pytest.mark.parametrize("before", [0, 1])
def test_one_place_is_for_either_in_turn(before: int) -> None:
    """Though something is put each time before the one free place is claimed for."""
    stage = Stage(*range(1000, 1200))
    stage.onward.put(range(before))
    claimed = []
    for task in range(10, 22):
        stage.onward.put([task])
        claimed += stage.claim(1)
    assert sum(task < 1000 for task in claimed) == 6


def test_one_has_what_the_other_lacks() -> None:
    """A short table leaves its part to memory."""
    stage = Stage(1001)
    stage.onward.put([1, 2, 3])
    assert sorted(stage.claim(4)) == [1, 2, 3, 1001]


def test_room_is_what_is_left() -> None:
    """What could not be put is to be found in the table."""
    stage = Stage(most=3)
    stage.look()
    assert stage.onward.room == 3
    stage.onward.go_on([1, None, 2])
    assert stage.onward.room == 1
    stage.onward.put([3, 4])
    assert stage.onward.room == 0
    stage.claim(2)
    assert len(stage.looks) == 1


def test_there_is_no_room_while_something_waits_long() -> None:
    """What comes then waits in the table; once nothing is late any more there is room again."""
    stage = Stage()
    stage.onward.put([1, 2, 3])
    stage.clock.advance(CLAIM_SECONDS / 10)
    assert stage.claim(1) == [1]
    assert stage.onward.room == 0
    assert stage.claim(2) == [2, 3]
    assert stage.onward.room == ROOM


def test_what_waited_too_long_is_left_to_its_lease() -> None:
    """Somebody else may claim it before it would be done."""
    stage = Stage()
    stage.onward.put([1])
    stage.clock.advance(CLAIM_SECONDS / 2)
    stage.onward.put([2])
    assert stage.claim(5) == [2]


def test_a_table_that_fails_costs_memory_nothing() -> None:
    """What was taken for the claim is there for the next."""
    stage = Stage()
    stage.onward.put([1, 2])
    stage.failing = True
    for _ in range(2):
        with pytest.raises(OSError, match="no database"):
            stage.claim(3)
        stage.clock.advance(IDLE)
    stage.failing = False
    assert sorted(stage.claim(3)) == [1, 2]


def test_a_change_waits_in_the_table_while_another_of_its_record_is_on_its_way() -> None:
    """The first goes on in memory; the next must come after it, which only the table knows."""
    world, stage = World(), Stage()
    world.inspector._onward = changes = Onward[Activity](
        claim=stage.nothing, wake=stage.wake, idle_seconds=IDLE
    )
    desk, link = world.vendors["desk"], world.links[0]
    record = desk.put(title="Cake")
    world.look(link, record)
    assert (changes.room, stage.woken) == (ROOM - 1, 1)
    desk.put(record, title="Two cakes")
    world.look(link, record)
    assert (changes.room, stage.woken) == (ROOM - 1, 2)
    assert len(world.memory.activities) == 2
