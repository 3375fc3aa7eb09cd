"""The gateway's tables in memory, with time: what is claimed, leased and put off, as in PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.gateway.records import Intent, IntentKind, Link, RecordKey
from services.gateway.store.deliveries import Claimed
from services.gateway.store.inbound import Activity, Arrival, Received
from services.gateway.store.leases import INTENT_SECONDS, LEASE_SECONDS, Held
from services.gateway.store.links import DueLink
from services.gateway.store.sql import CLAIM_SECONDS
from tests.support.gateway_fakes import (
    MemoryActivities,
    MemoryDeliveries,
    MemoryInbound,
    MemoryLeases,
    MemoryLinks,
    received,
)
from tests.support.gateway_memory import Memory, Place, place_of
from wedsync.clock import Clock, FakeClock
from wedsync.errors import StaleRevision
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

    def later(self, row: str, seconds: float) -> None:
        """Let a row be claimed again after so many seconds."""
        turn = self.turns.setdefault(row, Turn())
        turn.not_before, turn.leased_until = self.clock.monotonic() + seconds, 0.0


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

    def _known_as(self, arrival: Arrival) -> str:
        known = super()._known_as(arrival)
        if known == arrival.webhook_id:
            if arrival.parked:
                self._tables.finished[known] = ("parked", arrival.parked)
            elif not arrival.ignored:
                self._tables.waiting[known] = arrival
        return known

    async def claim(self, limit: int) -> list[Received]:
        """Claim webhooks that wait."""
        free = [row for row in self._tables.waiting if self._tables.is_free(row)][:limit]
        return [received(self._tables.waiting[row], attempts=self._tables.claim(row)) for row in free]

    async def finish(self, webhook: Received, *, state: str, reason: str = "") -> None:
        """Say what became of a webhook."""
        self._tables.waiting.pop(webhook.webhook_id, None)
        await super().finish(webhook, state=state, reason=reason)

    async def postpone(self, webhook: Received, *, seconds: float, reason: str) -> None:
        """Work on it later."""
        self._tables.later(webhook.webhook_id, seconds)


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

    async def claim(self, limit: int) -> list[Claimed]:
        """Claim records with due deliveries."""
        due = {row.delivery_id: row for row in self._tables.deliveries.values() if row.state == "due"}
        free = [row for name, row in due.items() if self._tables.is_free(name)][:limit]
        for row in free:
            self._tables.claim(row.delivery_id)
        return [Claimed(key=key, kind=kind) for key, kind in {row.key: row.kind for row in free}.items()]

    async def close(self, held: Held, *, state: str, reason: str = "", **outcome: Any) -> None:
        """Record the outcome, and release the record."""
        await super().close(held, state=state, reason=reason, **outcome)
        self._tables.listed[place_of(held.key)] = reason

    async def postpone(self, key: RecordKey, *, seconds: float, reason: str) -> None:
        """Try again later."""
        for row in self._tables.due(key):
            row.reason = reason
            self._tables.later(row.delivery_id, seconds)

    async def park(self, key: RecordKey, *, reason: str) -> None:
        """Stop trying."""
        await super().park(key, reason=reason)
        self._tables.listed[place_of(key)] = reason


class TimedLinks(MemoryLinks):
    """Links are scanned by one at a time, when their time has come."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self._tables = tables

    async def claim_polls(self, limit: int) -> list[DueLink]:
        """Claim links to look at."""
        due = await super().claim_polls(len(self._tables.links))
        free = [one for one in due if self._tables.is_free(one.link.link_id)][:limit]
        return [replace(one, failures=self._tables.claim(one.link.link_id) - 1) for one in free]

    async def polled(self, link: Link, *, seconds: float, **scan: Any) -> None:
        """Keep where the scan ended."""
        await super().polled(link, seconds=seconds, **scan)
        self._tables.turns[link.link_id].attempts = 0
        self._tables.later(link.link_id, seconds)
        self._tables.scans[link.link_id] += 1

    async def poll_failed(self, link: Link, *, seconds: float, cursor_lost: bool) -> None:
        """Look again later."""
        await super().poll_failed(link, seconds=seconds, cursor_lost=cursor_lost)
        self._tables.later(link.link_id, seconds)

    async def set_state(self, link: Link, *, active: bool, reason: str = "") -> None:
        """Pause a link or let it go on, at once."""
        await super().set_state(link, active=active, reason=reason)
        self._tables.later(link.link_id, 0.0)

    async def awaits_create(self, link: Link, item_id: str) -> bool:
        """Say whether a create of ours for the item may still land."""
        now, place = self._tables.clock.monotonic(), (link.link_id, item_id)
        open_ones = [row for row in self._tables.intents if row.place == place and row.state != "confirmed"]
        return any(
            row.intent.kind is IntentKind.CREATE
            and self._tables.intended_at[row.intent.intent_id] > now - INTENT_SECONDS
            for row in open_ones
        )

    async def log_scan(
        self, link: Link, *, started_at: datetime, records: int, looked_at: int, error: str = ""
    ) -> None:
        """Nobody reads it."""
