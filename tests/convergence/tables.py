"""The gateway's tables in memory, with time: what is claimed, leased and put off, as in PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.gateway.observe import Observation
from services.gateway.records import NOBODY, Busy, Intent, IntentKind, Link, Owner, RecordKey
from services.gateway.store.deliveries import Claimed, Commit
from services.gateway.store.inbound import Accepted, Activity, Arrival, Endpoint, Received
from services.gateway.store.leases import INTENT_SECONDS, LEASE_SECONDS, Held
from services.gateway.store.polls import DueLink, LinkTaken, Progress
from services.gateway.store.sql import CLAIM_SECONDS
from tests.support.gateway_fakes import (
    MemoryActivities,
    MemoryDeliveries,
    MemoryInbound,
    MemoryLeases,
    received,
)
from tests.support.gateway_links import MemoryLinks
from tests.support.gateway_memory import DueRow, Memory, Place, place_of
from tests.support.gateway_polls import MemoryPolls
from wedsync.clock import Clock, FakeClock
from wedsync.errors import StaleRevision
from wedsync.model.changes import Change
from wedsync.model.items import LIFE, ItemKind


@dataclass(slots=True)
class Turn:
    """When a row may be claimed next, and how often it was."""

    not_before: float = 0.0
    leased_until: float = 0.0
    attempts: int = 0


@dataclass
class Tables(Memory):
    """All of them, and the database's clock."""

    clock: Clock = field(default_factory=FakeClock)
    turns: dict[str, Turn] = field(default_factory=dict)
    waiting: dict[str, Arrival] = field(default_factory=dict)
    """Webhooks that are still to be worked on."""
    held_until: dict[Place, float] = field(default_factory=dict)
    """When the lease of each record ends, whoever has it."""
    intended_at: dict[str, float] = field(default_factory=dict)
    listed: dict[Place, str] = field(default_factory=dict)
    """What the newest delivery of each record says about it."""
    complaints: list[str] = field(default_factory=list)
    """Writes that were never to be."""
    scans: Counter[str] = field(default_factory=Counter)
    """How often each link was scanned to the end."""

    def is_free(self, row: str) -> bool:
        """Say whether a row may be claimed now."""
        turn, now = self.turns.get(row, Turn()), self.clock.monotonic()
        return turn.not_before <= now and turn.leased_until <= now

    def claim(self, row: str) -> int:
        """Claim a row; return how often that was done."""
        turn = self.turns.setdefault(row, Turn())
        turn.leased_until, turn.attempts = self.clock.monotonic() + CLAIM_SECONDS, turn.attempts + 1
        return turn.attempts

    def later(self, row: str, seconds: float, *, untried: bool = False) -> None:
        """Let a row be claimed again after so many seconds."""
        turn = self.turns.setdefault(row, Turn())
        turn.not_before, turn.leased_until = self.clock.monotonic() + seconds, 0.0
        turn.attempts -= untried


class TimedLeases(MemoryLeases):
    """A lease lapses, and a write of unknown outcome can no longer land after a while."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self._tables = tables

    async def take(self, key: RecordKey, kind: ItemKind) -> Held | None:
        """Lease the record; None while somebody else has it."""
        place, now = place_of(key), self._tables.clock.monotonic()
        if self._tables.held_until.get(place, 0.0) < now:
            self._tables.leases.pop(place, None)
        held = await super().take(key, kind)
        if held is None:
            return None
        self._tables.held_until[place] = now + LEASE_SECONDS
        recent = [i for i in held.intents if self._tables.intended_at[i.intent_id] > now - INTENT_SECONDS]
        return replace(held, intents=recent)

    async def intend(self, held: Held, intent: Intent) -> None:
        """Commit what is about to be written."""
        now = self._tables.clock.monotonic()
        if self._tables.held_until.get(place_of(held.key), 0.0) <= now:
            raise StaleRevision("The lease of the vendor record ran out.")
        await super().intend(held, intent)
        self._tables.intended_at[intent.intent_id] = now
        self._tables.complaints += [
            f"a write of {path}, which is held back" for path in _held_back(held, intent)
        ]


def _held_back(held: Held, intent: Intent) -> list[str]:
    """Return what is overwritten although its vendor is party to a conflict about it."""
    assert held.item is not None
    if intent.kind is IntentKind.CREATE:
        return []
    states = {LIFE: held.item.life, **held.item.fields}
    collisions = {path: states[path].collision for path in intent.values}
    return [path for path, each in collisions.items() if each and held.key.link_id in each.held_links]


class TimedInbound(MemoryInbound):
    """Webhooks are claimed for a while, and put off."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self._tables = tables

    async def accept(self, arrivals: Sequence[Arrival], *, room: int = 0) -> list[Accepted]:
        """Keep webhooks, and claim as many as there is room for."""
        waited = set(self._tables.waiting)
        kept = await super().accept(arrivals)
        new = [arrival for arrival in arrivals if arrival.webhook_id in self._tables.waiting.keys() - waited]
        taken = {
            arrival.webhook_id: received(arrival, attempts=self._tables.claim(arrival.webhook_id))
            for arrival in new[:room]
        }
        return [replace(each, taken=taken.pop(each.known_as, None)) for each in kept]

    async def commit_observation(
        self,
        held: Held,
        observation: Observation,
        change: Change | None,
        *rest: Any,
        taken: bool = False,
        **more: Any,
    ) -> None:
        """Commit shadow and change together, release the record, and claim the change if so asked."""
        await super().commit_observation(held, observation, change, *rest, **more)
        if change is not None and taken:
            self._tables.claim(change.change_id)

    def _known_as(self, arrival: Arrival) -> str:
        known = super()._known_as(arrival)
        if known == arrival.webhook_id and known not in self._tables.finished:
            self._tables.waiting[known] = arrival
            self._tables.later(known, arrival.wait_seconds)
        return known

    async def set_apart(
        self, arrivals: Sequence[Arrival], *, done: Received | None = None, reason: str = ""
    ) -> None:
        """Have records worked on by themselves; that each was tried once is how they came here."""
        await super().set_apart(arrivals, done=done, reason=reason)
        for arrival in arrivals:
            if arrival.webhook_id in self._tables.waiting:
                self._tables.turns[arrival.webhook_id].attempts = 1

    def _same(self, arrival: Arrival, known: Arrival) -> bool:
        # What somebody works on just now may have been read before it moved.
        turn = self._tables.turns.get(known.webhook_id, Turn())
        return turn.leased_until <= self._tables.clock.monotonic() and super()._same(arrival, known)

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Received]:
        """Claim webhooks that wait."""
        waiting = self._tables.waiting
        theirs = [row for row, arrival in waiting.items() if not _is_busy(arrival.endpoint, busy)]
        free = [row for row in theirs if self._tables.is_free(row)][:limit]
        return [received(waiting[row], attempts=self._tables.claim(row)) for row in free]

    def _end(self, webhook_id: str, state: str, reason: str) -> None:
        self._tables.waiting.pop(webhook_id, None)
        super()._end(webhook_id, state, reason)

    async def postpone(
        self, webhook: Received, *, seconds: float, reason: str, cause: str = "", untried: bool = False
    ) -> None:
        """Work on it later."""
        self._tables.later(webhook.webhook_id, seconds, untried=untried)


class TimedActivities(MemoryActivities):
    """Changes are claimed for a while, and put off."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self._tables = tables

    async def claim(self, limit: int) -> list[Activity]:
        """Claim changes that wait, of each record only the oldest."""
        oldest = await super().claim(len(self._tables.activities))
        free = [one for one in oldest if self._tables.is_free(one.change.change_id)][:limit]
        return [replace(one, attempts=self._tables.claim(one.change.change_id)) for one in free]

    async def retry(self, activities: Sequence[Activity], *, seconds: float, reason: str) -> None:
        """Send changes again later."""
        for activity in activities:
            self._tables.later(activity.change.change_id, seconds)


class TimedDeliveries(MemoryDeliveries):
    """Deliveries are claimed for a while, and put off; what is said of each record is kept."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self._tables = tables

    async def accept(self, commits: Sequence[Commit], *, room: int = 0) -> list[Claimed | None]:
        """Take over commits, and claim what they make due if there is room for all of it."""
        known = set(self._tables.deliveries)
        made = await super().accept(commits)
        new = [row for name, row in self._tables.deliveries.items() if name not in known]
        if len(new) > room:
            return made
        claimed = self._claimed(new)
        return [replace(each, link=self._tables.links[each.key.link_id]) for each in claimed]

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Claimed]:
        """Claim records with due deliveries."""
        due = [row for row in self._tables.deliveries.values() if row.state == "due"]
        free = [row for row in due if self._tables.is_free(row.delivery_id) and not self._is_busy(row, busy)]
        return self._claimed(free[:limit])

    def _claimed(self, due: Sequence[DueRow]) -> list[Claimed]:
        for row in due:
            self._tables.claim(row.delivery_id)
        return [replace(each, owner=self._owner(each.key)) for each in super()._claimed(due)]

    async def close(self, held: Held, *, state: str, reason: str = "", **outcome: Any) -> None:
        """Record the outcome, and release the record."""
        await super().close(held, state=state, reason=reason, **outcome)
        self._tables.listed[place_of(held.key)] = reason

    async def postpone(
        self, key: RecordKey, *, seconds: float, reason: str, cause: str = "", untried: bool = False
    ) -> None:
        """Try again later."""
        await super().postpone(key, seconds=seconds, reason=reason, cause=cause, untried=untried)
        for row in self._tables.due(key):
            self._tables.later(row.delivery_id, seconds)

    async def stop(
        self, key: RecordKey, *, state: str, reason: str, cause: str = "", upto: int | None = None
    ) -> None:
        """Stop trying."""
        await super().stop(key, state=state, reason=reason, cause=cause, upto=upto)
        self._tables.listed[place_of(key)] = reason

    def _owner(self, key: RecordKey) -> Owner:
        return self._tables.links[key.link_id].owner

    def _is_busy(self, row: DueRow, busy: Busy) -> bool:
        return _is_busy(self._owner(row.key), busy)


class TimedLinks(MemoryLinks):
    """A create that was never answered may land for a while only."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self._tables = tables

    async def awaits_create(self, link: Link, item_id: str) -> bool:
        """Say whether a create of ours for the item may still land."""
        now, place = self._tables.clock.monotonic(), (link.link_id, item_id)
        open_ones = [row for row in self._tables.intents if row.place == place and row.state != "confirmed"]
        return any(
            row.intent.kind is IntentKind.CREATE
            and self._tables.intended_at[row.intent.intent_id] > now - INTENT_SECONDS
            for row in open_ones
        )

    async def set_state(self, link: Link, *, active: bool, reason: str = "", believing: float = 0.0) -> None:
        """Pause a link or let it go on, at once."""
        await super().set_state(link, active=active, reason=reason, believing=believing)
        self._tables.later(link.link_id, 0.0)


class TimedPolls(MemoryPolls):
    """Links are scanned by one at a time, when their time has come."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self._tables = tables

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[DueLink]:
        """Claim links to look at."""
        due = await super().claim(len(self._tables.links))
        theirs = [one for one in due if not _is_busy(one.owner, busy)]
        return [self._claimed(one) for one in theirs if self._tables.is_free(one.link.link_id)][:limit]

    async def extend(self, due: DueLink) -> None:
        """Go on being the link's only poller."""
        turn = self._tables.turns[due.link.link_id]
        if str(turn.attempts) != due.token:
            raise LinkTaken
        turn.leased_until = self._tables.clock.monotonic() + CLAIM_SECONDS

    async def keep(self, due: DueLink, progress: Progress, *, rest: bool = False) -> None:
        """Keep where the next page begins."""
        await super().keep(due, progress, rest=rest)
        if rest:
            self._tables.later(due.link.link_id, 0.0)

    async def finish(self, due: DueLink, progress: Progress, *, pause: float, seconds: float) -> None:
        """Keep where the look ended."""
        await super().finish(due, progress, pause=pause, seconds=seconds)
        self._tables.scans[due.link.link_id] += 1
        self._tables.later(due.link.link_id, seconds)

    async def later(self, due: DueLink, *, seconds: float) -> None:
        """Look again later, although nothing was wrong."""
        await self.extend(due)
        self._tables.later(due.link.link_id, seconds)

    async def fail(self, due: DueLink, *, seconds: float, lost: bool) -> None:
        """Look again later."""
        await self.extend(due)
        await super().fail(due, seconds=seconds, lost=lost)
        self._tables.later(due.link.link_id, seconds)

    async def log(
        self, link: Link, *, started_at: datetime, records: int, looked_at: int, error: str = ""
    ) -> None:
        """Nobody reads it."""

    def _claimed(self, due: DueLink) -> DueLink:
        """Return a link with what only its present poller knows: how often it was claimed."""
        return replace(due, token=str(self._tables.claim(due.link.link_id)))


def _is_busy(owner: Endpoint | Owner, busy: Busy) -> bool:
    return owner.integration_id in busy.integrations or owner.vendor in busy.vendors
