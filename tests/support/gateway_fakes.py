"""The gateway's stores in memory: the same promises as the ones on PostgreSQL, chosen by argument.

`Memory` holds the tables; each store is a view of it. Nothing here waits, so a test decides who runs when.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from services.gateway.deliver.confirm import agrees, settled
from services.gateway.observe import Observation
from services.gateway.onward import Onward
from services.gateway.records import NOBODY, Busy, Intent, Link, RecordKey, Shadow
from services.gateway.store.activities import ActivityStore, Answer
from services.gateway.store.deliveries import Claimed, Commit, DeliveryStore
from services.gateway.store.inbound import (
    Accepted,
    Activity,
    Arrival,
    Cause,
    InboundStore,
    Received,
)
from services.gateway.store.leases import Held, Known, RecordLeases
from services.gateway.store.link_rows import InScope
from services.gateway.store.secrets import Door, SecretStore
from tests.support.gateway_memory import ActivityRow, DueRow, IntentRow, Memory, Place, place_of
from wedsync.errors import StaleRevision
from wedsync.model.changes import Change, ChangeResult, ItemState, Outcome
from wedsync.model.ids import delivery_id, new_id
from wedsync.model.items import ItemKind

Task = TypeVar("Task")


def by_table(claim: Callable[[int, Busy], Awaitable[Sequence[Task]]]) -> Onward[Task]:
    """Return a hand-over without room: everything goes by the table."""
    return Onward(claim=claim, wake=lambda: None, idle_seconds=0.0, most=0)


class MemoryLeases(RecordLeases):
    """Leases, shadows and intents."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def take(self, key: RecordKey, kind: ItemKind) -> Held | None:
        """Lease the record; None while somebody else has it."""
        memory, place = self._memory, place_of(key)
        if place in memory.leases:
            return None
        token = memory.leases[place] = new_id()
        fresh = Shadow(link_id=key.link_id, item_id=key.item_id, kind=kind)
        return self._held(key, token, memory.shadows.setdefault(place, fresh))

    async def take_known(self, link: Link, record_id: str) -> Known | None:
        """Lease a record by the vendor's name for it; None where it was never seen."""
        for (link_id, item_id), shadow in self._memory.shadows.items():
            if (link_id, shadow.record_id) == (link.link_id, record_id):
                key = RecordKey(
                    organization_id=link.organization_id,
                    wedding_id=link.wedding_id,
                    link_id=link_id,
                    item_id=item_id,
                )
                return Known(item_id=item_id, held=await self.take(key, shadow.kind))
        return None

    async def peek(self, key: RecordKey, kind: ItemKind) -> Held:
        """Return the same without the lease."""
        fresh = Shadow(link_id=key.link_id, item_id=key.item_id, kind=kind)
        return self._held(key, "", self._memory.shadows.get(place_of(key), fresh))

    def _held(self, key: RecordKey, token: str, shadow: Shadow) -> Held:
        memory, place = self._memory, place_of(key)
        sequence, item = memory.projection.get(key.item_id, (0, None))
        return Held(
            key=key,
            token=token,
            shadow=replace(shadow, expected=shadow.expected if shadow.record_id is None else None),
            intents=[r.intent for r in memory.intents if r.place == place and r.state != "confirmed"],
            pending=any(_in_flight(row, key, sequence) for row in memory.activities),
            item=item,
            sequence=sequence,
        )

    async def release(self, held: Held) -> None:
        """Give the record back."""
        self._memory.release(held)

    async def intend(self, held: Held, intent: Intent) -> None:
        """Commit what is about to be written."""
        if self._memory.leases.get(place_of(held.key)) != held.token:
            raise StaleRevision("The lease of the vendor record ran out.")
        for row in self._memory.intents:
            if row.place == place_of(held.key) and row.state == "open":
                row.state = "superseded"
        self._memory.intents.append(IntentRow(place=place_of(held.key), intent=intent))


def _in_flight(row: ActivityRow, key: RecordKey, sequence: int) -> bool:
    mine = (row.activity.link_id, row.activity.item_id) == place_of(key)
    committed = row.result.sequence if row.result else 0
    return mine and (row.state == "pending" or committed > sequence)


class MemoryInbound(InboundStore):
    """The webhook log."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.batches: list[int] = []
        self.failing: Exception | None = None

    async def accept(self, arrivals: Sequence[Arrival], *, room: int = 0) -> list[Accepted]:
        """Keep webhooks; none of them is claimed."""
        if self.failing is not None:
            raise self.failing
        self.batches.append(len(arrivals))
        return [Accepted(known_as=self._known_as(arrival)) for arrival in arrivals]

    def _known_as(self, arrival: Arrival) -> str:
        known = {w.delivery_key: w.webhook_id for w in self._memory.webhooks if w.delivery_key is not None}
        if first := known.get(arrival.delivery_key or ""):
            return first
        self._memory.webhooks.append(arrival)
        if arrival.ignored or arrival.parked:
            state = "processed" if arrival.ignored else "parked"
            self._memory.finished[arrival.webhook_id] = (state, arrival.ignored or arrival.parked)
        return arrival.webhook_id

    async def set_apart(
        self, arrivals: Sequence[Arrival], *, done: Received | None = None, reason: str = ""
    ) -> None:
        """Have records worked on by themselves, unless they are already."""
        for arrival in arrivals:
            if not any(self._same(arrival, known) for known in self._memory.webhooks):
                self._known_as(arrival)
        if done is not None:
            await self.finish(done, state="processed", reason=reason)

    def _same(self, arrival: Arrival, known: Arrival) -> bool:
        state, reason = self._memory.finished.get(known.webhook_id, ("received", ""))
        again = state == "received" or (state == "parked" and reason == arrival.parked)
        return again and (known.link_id, known.record_id) == (arrival.link_id, arrival.record_id)

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Received]:
        """Return webhooks that wait."""
        waiting = [w for w in self._memory.webhooks if w.webhook_id not in self._memory.finished]
        return [received(arrival) for arrival in waiting[:limit]]

    async def finish(self, webhook: Received, *, state: str, reason: str = "", cause: str = "") -> None:
        """Say what became of a webhook."""
        self._end(webhook.webhook_id, state, reason)

    async def postpone(
        self, webhook: Received, *, seconds: float, reason: str, cause: str = "", untried: bool = False
    ) -> None:
        """Work on it later."""
        self._memory.finished[webhook.webhook_id] = (f"again in {seconds:.1f}", reason)

    async def commit_observation(
        self,
        held: Held,
        observation: Observation,
        change: Change | None,
        cause: Cause,
        echoed: Sequence[str],
        *,
        again: bool = False,
        taken: bool = False,
        why_nothing: str = "",
    ) -> None:
        """Commit shadow and change together with the end of its webhook, and release the record."""
        self._memory.save(held, observation.shadow)
        self._memory.confirm(echoed)
        if change is not None:
            activity = Activity(
                organization_id=held.key.organization_id,
                wedding_id=held.key.wedding_id,
                link_id=held.key.link_id,
                item_id=held.key.item_id,
                change=change,
                attempts=1,
                backfill=cause.backfill,
            )
            if not cause.backfill:
                self._hurry(held.key)
            generation = observation.shadow.generation
            self._memory.activities.append(ActivityRow(activity=activity, generation=generation, cause=cause))
        if again:
            row = DueRow(
                delivery_id=new_id(), key=held.key, kind=observation.shadow.kind, sequence=0, change_id=None
            )
            self._memory.deliveries[row.delivery_id] = row
        if cause.alone and cause.webhook_id is not None:
            self._end(cause.webhook_id, "processed", why_nothing)
        self._memory.release(held)

    def _end(self, webhook_id: str, state: str, reason: str) -> None:
        self._memory.finished[webhook_id] = (state, reason)

    def _hurry(self, key: RecordKey) -> None:
        for row in self._memory.activities:
            if row.state == "pending" and (row.activity.link_id, row.activity.item_id) == place_of(key):
                row.activity = replace(row.activity, backfill=False)


class MemorySecrets(SecretStore):
    """Webhook secrets; a new one leaves the others valid unless it says otherwise."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.kept: dict[str, str] = {}

    async def door(self, key_hash: bytes, links: InScope | None = None) -> Door | None:
        """Return whose endpoint this is, with all secrets there are."""
        endpoint = self._memory.endpoints.get(key_hash)
        if endpoint is None:
            return None
        theirs = [
            link
            for link in self._memory.links.values()
            if links is not None and link.integration_id == endpoint.integration_id
            if links.key is None or link.scope.get(links.key) == links.value
        ]
        return Door(endpoint=endpoint, secrets=list(self.kept.values()), links=theirs)

    async def adopt(self, organization_id: str, integration_id: str, *, secret: str) -> bool:
        """Keep the first."""
        if not self.kept:
            self.kept = {"handed over": secret}
        return secret in self.kept.values()

    async def rotate(
        self, organization_id: str, integration_id: str, *, request_id: str, secret: str, overlap: int
    ) -> int:
        """Keep another."""
        self.kept = {**(self.kept if overlap else {}), request_id: secret}
        return len(self.kept)


def received(arrival: Arrival, *, attempts: int = 1) -> Received:
    """Return an arrival as the translator gets it."""
    return Received(
        webhook_id=arrival.webhook_id,
        accepted_at=arrival.detected_at,
        organization_id=arrival.endpoint.organization_id,
        integration_id=arrival.endpoint.integration_id,
        vendor=arrival.endpoint.vendor,
        body=arrival.body,
        attempts=attempts,
        trace_parent=arrival.trace_parent,
        wakes=arrival.wakes,
        link_id=arrival.link_id,
        record_id=arrival.record_id,
        parent_id=arrival.parent_id,
    )


class MemoryActivities(ActivityStore):
    """Changes on their way."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def claim(self, limit: int) -> list[Activity]:
        """Return changes that wait, of each record only the oldest."""
        oldest: dict[Place, ActivityRow] = {}
        for row in sorted(self._memory.activities, key=lambda row: row.generation):
            if row.state == "pending":
                oldest.setdefault((row.activity.link_id, row.activity.item_id), row)
        return sorted((row.activity for row in oldest.values()), key=lambda a: a.backfill)[:limit]

    async def resolve(self, *answers: Answer) -> None:
        """Record what became of changes, and what it teaches."""
        for answer in answers:
            row, result = self._row(answer.activity), answer.result
            if row.state != "pending":
                continue
            row.state = "rejected" if result.outcome is Outcome.REJECTED else "applied"
            row.result, row.reason = result, result.reason
            row.agreed = self._agrees(answer)
            self._advance(answer.activity, result)
            if answer.corrected:
                self._correct(answer.activity)

    async def retry(self, activities: Sequence[Activity], *, seconds: float, reason: str) -> None:
        """Send changes again later."""
        for activity in activities:
            row = self._row(activity)
            row.seconds, row.reason = seconds, reason

    def _row(self, activity: Activity) -> ActivityRow:
        wanted = activity.change.change_id
        return next(r for r in self._memory.activities if r.activity.change.change_id == wanted)

    def _agrees(self, answer: Answer) -> bool:
        activity, shadow = answer.activity, answer.activity.shadow
        now = self._memory.shadows[activity.link_id, activity.item_id]
        if shadow is None or not answer.is_plain or shadow.generation != now.generation:
            return False
        return agrees(settled(shadow.fields, answer.result), activity.change.kind, answer.result)

    def _advance(self, activity: Activity, result: ChangeResult) -> None:
        place = activity.link_id, activity.item_id
        shadow = self._memory.shadows[place]
        self._memory.shadows[place] = replace(shadow, fields=settled(shadow.fields, result))

    def _correct(self, activity: Activity) -> None:
        cause = activity.change.change_id
        row = DueRow(
            delivery_id=delivery_id(activity.link_id, cause),
            key=RecordKey(
                organization_id=activity.organization_id,
                wedding_id=activity.wedding_id,
                link_id=activity.link_id,
                item_id=activity.item_id,
            ),
            kind=activity.change.item_kind,
            sequence=0,
            change_id=cause,
        )
        self._memory.deliveries.setdefault(row.delivery_id + "#again", row)


class MemoryDeliveries(DeliveryStore):
    """The projection and what is due."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.commits: list[Commit] = []

    async def accept(self, commits: Sequence[Commit], *, room: int = 0) -> list[Claimed | None]:
        """Take over commits; none of what they make due is claimed."""
        before = len(self._memory.deliveries)
        for commit in commits:
            self.commits.append(commit)
            if self._memory.projection.get(commit.item.item_id, (0, None))[0] < commit.sequence:
                self._memory.projection[commit.item.item_id] = (commit.sequence, commit.item)
            for link in self._memory.links.values():
                row = _due(commit, link)
                if not self._memory.is_told(commit.change_id, row.key):
                    self._memory.deliveries.setdefault(row.delivery_id, row)
        return [None] * (len(self._memory.deliveries) - before)

    def due_again(self, link: Link, item: ItemState, sequence: int) -> None:
        """Make an item due for a link, though nothing was committed."""
        key = RecordKey(
            organization_id=link.organization_id,
            wedding_id=link.wedding_id,
            link_id=link.link_id,
            item_id=item.item_id,
        )
        name = delivery_id(link.link_id, item.item_id)
        self._memory.deliveries[name] = DueRow(
            delivery_id=name, key=key, kind=item.kind, sequence=sequence, change_id=None
        )

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[Claimed]:
        """Return records with due deliveries; that counts a try."""
        due = [row for row in self._memory.deliveries.values() if row.state == "due"]
        return self._claimed(due)[:limit]

    def waiting(self) -> list[Claimed]:
        """Return what a claim would; nothing is claimed."""
        due = [row for row in self._memory.deliveries.values() if row.state == "due"]
        claimed = self._claimed(due)
        for row in due:
            row.attempts -= 1
        return claimed

    def count(self, key: RecordKey) -> None:
        """Count a try of the record."""
        for row in self._memory.due(key):
            row.attempts += 1

    def _claimed(self, due: Sequence[DueRow]) -> list[Claimed]:
        tries: dict[tuple[RecordKey, ItemKind], int] = {}
        for row in due:
            row.attempts += 1
            tries[row.key, row.kind] = max(tries.get((row.key, row.kind), 0), row.attempts)
        return [Claimed(key=key, kind=kind, attempt=attempt) for (key, kind), attempt in tries.items()]

    async def close(
        self,
        held: Held,
        *,
        state: str,
        reason: str = "",
        shadow: Shadow | None = None,
        intent_id: str | None = None,
        echoed: Sequence[str] = (),
        called_at: datetime | None = None,
    ) -> None:
        """Record the outcome, and release the record."""
        if shadow is not None:
            self._memory.save(held, shadow)
        self._memory.confirm([*echoed, *([intent_id] if intent_id else [])])
        for row in self._memory.due(held.key):
            if row.sequence <= held.sequence:
                row.state, row.reason = state, reason
        self._memory.release(held)

    async def postpone(
        self, key: RecordKey, *, seconds: float, reason: str, cause: str = "", untried: bool = False
    ) -> None:
        """Try again later."""
        for row in self._memory.due(key):
            row.seconds, row.reason = seconds, reason
            row.attempts = max(0, row.attempts - untried)

    async def stop(
        self, key: RecordKey, *, state: str, reason: str, cause: str = "", upto: int | None = None
    ) -> None:
        """Stop trying."""
        for row in self._memory.due(key):
            if upto is None or row.sequence <= upto:
                row.state, row.reason = state, reason


def _due(commit: Commit, link: Link) -> DueRow:
    key = RecordKey(
        organization_id=link.organization_id,
        wedding_id=commit.wedding_id,
        link_id=link.link_id,
        item_id=commit.item.item_id,
    )
    return DueRow(
        delivery_id=delivery_id(link.link_id, commit.change_id),
        key=key,
        kind=commit.item.kind,
        sequence=commit.sequence,
        change_id=commit.change_id,
    )
