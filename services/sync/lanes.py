"""Which lane a change travels in, and a bounded queue of four lanes in which none starves. Pure.

The lane is derived from what is said, by whom and when; no caller names it. Every lane has room of its
own, so that a full one turns nobody else away; within a lane organizations take turns; and each take
gives every lane at least its share, by deficit round robin (Shreedhar and Varghese, 1996).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Generic, TypeVar

from wedsync.model.changes import Change, Priority
from wedsync.model.items import EMERGENCY, ItemKind
from wedsync.model.moments import instant

# From noon of the day before to noon of the day after: set-up, the day itself, the morning's farewells.
LIVE_WINDOW = timedelta(hours=12)

LANES = (Priority.EMERGENCY, Priority.CRITICAL, Priority.NORMAL, Priority.BULK)
"""The most urgent first."""

SHARES = {Priority.EMERGENCY: 0.5, Priority.CRITICAL: 0.3, Priority.NORMAL: 0.15, Priority.BULK: 0.05}
"""What of each take is a lane's own while it has anything waiting; what is not needed goes to the others."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """When a wedding takes place."""

    day: date | None
    time_zone: str

    def live_seconds(self, now: datetime) -> float:
        """Return how much longer the wedding's live window lasts; 0 outside of it."""
        if self.day is None:
            return 0.0
        midnight = instant(datetime.combine(self.day, time()), self.time_zone)
        starts, ends = midnight - LIVE_WINDOW, midnight + timedelta(days=1) + LIVE_WINDOW
        return (ends - now).total_seconds() if starts <= now < ends else 0.0


def is_emergency(change: Change) -> bool:
    """Say whether the change says something that must overtake everything else."""
    return change.item_kind is ItemKind.MESSAGE and change.values.get("urgency") == EMERGENCY


def lane_of(change: Change, *, live: bool, backfill: bool) -> Priority:
    """Return the lane of a change; what may be said at all was decided before."""
    if is_emergency(change):
        return Priority.EMERGENCY
    if backfill:
        return Priority.BULK
    return Priority.CRITICAL if live else Priority.NORMAL


@dataclass(slots=True)
class _Lane(Generic[Item]):
    """The items of one lane, by the organization they are for."""

    share: float
    parties: OrderedDict[str, deque[tuple[Item, int]]] = field(default_factory=OrderedDict)
    size: int = 0
    credit: float = 0.0
    """What of its shares a lane could not use yet, because what waits there first is larger."""

    def put(self, item: Item, party: str, cost: int) -> None:
        self.parties.setdefault(party, deque()).append((item, cost))
        self.size += cost

    def pop(self) -> tuple[Item, int]:
        party, waiting = self.parties.popitem(last=False)
        item, cost = waiting.popleft()
        if waiting:
            self.parties[party] = waiting  # its next turn comes after everybody else's
        self.size -= cost
        return item, cost

    def fits(self, room: float) -> bool:
        return bool(self.parties) and next(iter(self.parties.values()))[0][1] <= room


class LaneQueue(Generic[Item]):
    """Items in four lanes, each bounded by `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lanes: dict[Priority, _Lane[Item]] = {lane: _Lane(SHARES[lane]) for lane in LANES}

    def __bool__(self) -> bool:
        return any(lane.parties for lane in self._lanes.values())

    def __len__(self) -> int:
        return sum(lane.size for lane in self._lanes.values())

    @property
    def urgent(self) -> bool:
        """Whether an emergency waits."""
        return bool(self._lanes[Priority.EMERGENCY].parties)

    def put(self, item: Item, *, lane: Priority, party: str, cost: int = 1) -> bool:
        """Take the item in; False where its lane is full.

        A full lane still takes something from whoever has nothing waiting in it: a neighbour's flood
        does not shut anybody out.
        """
        into = self._lanes[lane]
        limit = self._limit if party in into.parties else 2 * self._limit
        # What is larger than a whole lane is taken when the lane is empty, or it would never be.
        if into.size + cost > limit and into.parties:
            return False
        into.put(item, party, cost)
        return True

    def take(self, room: int) -> list[Item]:
        """Return items of a cost of about `room`, the most urgent first; at least one if any wait."""
        chosen: dict[Priority, list[Item]] = {lane: [] for lane in LANES}
        left = room
        for name, lane in self._lanes.items():
            lane.credit = lane.credit + lane.share * room if lane.parties else 0.0
            while lane.fits(lane.credit):
                item, cost = lane.pop()
                chosen[name].append(item)
                lane.credit, left = lane.credit - cost, left - cost
        for name, lane in self._lanes.items():
            while lane.fits(left) or (lane.parties and not any(chosen.values())):
                item, cost = lane.pop()
                chosen[name].append(item)
                left -= cost
        return [item for lane in LANES for item in chosen[lane]]

    def drain(self) -> Iterator[Item]:
        """Take everything out."""
        for lane in self._lanes.values():
            while lane.parties:
                yield lane.pop()[0]
