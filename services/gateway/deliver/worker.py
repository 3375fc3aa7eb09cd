"""Bringing one vendor record to the canonical state: lease, look, intend, write, confirm."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.gateway import crash_points
from services.gateway.calls.lanes import in_lane
from services.gateway.deliver.confirm import written
from services.gateway.deliver.plan import (
    DELIVERED,
    NOTHING_TO_DO,
    PARKED,
    Rest,
    Write,
    confirmed,
    plan_delivery,
)
from services.gateway.deliver.retry import Park, after_failure, cause_of
from services.gateway.deliver.shortfall import shortfall
from services.gateway.deliver.unread import last_seen
from services.gateway.inspect_record import Inspector
from services.gateway.observe import echoed
from services.gateway.poison import contained
from services.gateway.ports import Ports
from services.gateway.records import Intent, IntentKind, Link, RecordKey, Shadow
from services.gateway.stops import account_refused
from services.gateway.store.deliveries import Claimed, DeliveryStore
from services.gateway.store.inbound import Cause
from services.gateway.store.leases import Held, RecordLeases
from services.gateway.store.links import LinkStore
from services.gateway.vendors.field_rules import KindRule
from services.gateway.vendors.port import (
    NotCalled,
    RecordGone,
    VendorError,
    VendorPort,
    VendorRecord,
    VersionMismatch,
)
from wedsync.clock import Clock
from wedsync.model.changes import ItemState
from wedsync.model.ids import new_id
from wedsync.runtime.crash_points import reach
from wedsync.runtime.metrics import timed_stage
from wedsync.runtime.telemetry import Telemetry

# A record that somebody else holds, or whose own edit is on its way, is tried again this soon.
_BUSY_SECONDS = 0.1
# A paused link is asked this often whether it goes on.
_PAUSED_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One record to be written, with what is needed for it."""

    held: Held
    item: ItemState
    port: VendorPort
    rules: KindRule | None
    echoed: Sequence[str]
    """Earlier intents that the vendor shows as carried out."""


class Deliverer:
    """Works through due deliveries. Which commit made one due is of no interest: only the difference is."""

    def __init__(
        self,
        *,
        store: DeliveryStore,
        leases: RecordLeases,
        links: LinkStore,
        ports: Ports,
        inspector: Inspector,
        telemetry: Telemetry,
        clock: Clock,
        report: Callable[[Link, VendorError | None], None],
    ) -> None:
        self._store, self._leases, self._links, self._ports = store, leases, links, ports
        self._inspector, self._telemetry, self._clock = inspector, telemetry, clock
        self._report = report

    async def deliver(self, claimed: Claimed) -> None:
        """Do what the record needs, or say when to try again."""
        with in_lane(claimed.lane):
            await self._deliver(claimed)

    async def _deliver(self, claimed: Claimed) -> None:
        link = claimed.link or await self._links.find_link([claimed.key.organization_id], claimed.key.link_id)
        if link is not None and link.ended:
            await self._store.stop(claimed.key, state=NOTHING_TO_DO, reason=link.reason)
            return
        if link is None or not link.active:
            reason = f"the link is paused: {link.reason}" if link else "the link is gone"
            await self._store.postpone(claimed.key, seconds=_PAUSED_SECONDS, reason=reason, untried=True)
            return
        if (rest := self._ports.rest(link)) is not None:
            self._report(link, rest)
            await self._put_off(claimed.key, rest, untried=True)
            return
        held = await self._leases.take(claimed.key, claimed.kind)
        if held is None:
            await self._later(claimed.key, "the record is being worked on")
            return
        try:
            await self._under_lease(claimed, held, link)
        finally:
            await self._leases.release(held)

    async def _under_lease(self, claimed: Claimed, held: Held, link: Link) -> None:
        if held.pending:
            await self._later(held.key, "an edit of the vendor's is on its way")
            return
        if held.item is None and (held.shadow.fields or not held.shadow.present):
            await self._unknown(held)
            return
        if held.item is not None:
            plan = plan_delivery(held.item, held.shadow, self._ports.rules(link.vendor, held.item.kind))
            if isinstance(plan, Rest) and not _create_unheard_of(held) and held.shadow.expected is None:
                await self._rest(held, link, held.item, plan)
                return
        with (
            self._telemetry.span("deliver", claimed.trace_parent, vendor=link.vendor) as span,
            timed_stage("gateway", "deliver", vendor=link.vendor, traceparent=span.traceparent),
        ):
            try:
                with contained():
                    await self._write(held, link, held.item, span.traceparent)
            except VendorError as error:
                span.fail(type(error).__name__)
                await self._failed(held, link, claimed.attempt, error)
            else:
                self._report(link, None)

    async def _unknown(self, held: Held) -> None:
        await self._store.close(held, state=NOTHING_TO_DO, reason="nothing is known of the item")

    async def _rest(self, held: Held, link: Link, item: ItemState, rest: Rest) -> None:
        shadow = confirmed(item, held.shadow, self._ports.rules(link.vendor, item.kind))
        after = _newer(shadow, held) if shadow.fields != held.shadow.fields else None
        await self._store.close(held, state=rest.state, reason=rest.reason, shadow=after)

    async def _write(self, held: Held, link: Link, item: ItemState | None, trace_parent: str) -> None:
        """Read, compare, write: never over a record that moved since its shadow."""
        port = await self._ports.open(link)
        if await self._written_unread(held, link, item, port):
            return
        record = await self._read(held, link, port)
        rules = self._ports.rules(link.vendor, item.kind if item else held.shadow.kind)
        shadow, seen = held.shadow, list[str]()
        if record is not None or shadow.present:
            cause = Cause(trace_parent=trace_parent, detected_at=self._clock.now())
            settled = await self._inspector.settle(held, link, record, cause)
            if settled is None:
                await self._later(held.key, "the vendor's record moved; its edit goes first")
                return
            fields = rules.fields if rules else {}
            shadow, seen = settled.shadow, echoed(held.shadow, held.intents, record, fields)
        if item is None:
            await self._unknown(held)
            return
        plan = plan_delivery(item, shadow, rules)
        if isinstance(plan, Rest):
            arrived = shadow.present != held.shadow.present or held.intents
            state = DELIVERED if arrived and plan.state == NOTHING_TO_DO else plan.state
            after = _newer(confirmed(item, shadow, rules), held)
            await self._store.close(held, state=state, reason=plan.reason, shadow=after, echoed=seen)
        elif record is not None and not record.writable:
            reason = "the vendor allows no changes of this record"
            await self._store.close(
                held, state=NOTHING_TO_DO, reason=reason, shadow=_newer(shadow, held), echoed=seen
            )
        else:
            job = _Job(held=held, item=item, port=port, rules=rules, echoed=seen)
            await self._carry_out(job, plan, record, shadow)

    async def _written_unread(self, held: Held, link: Link, item: ItemState | None, port: VendorPort) -> bool:
        """Write without a reading where the vendor itself refuses to write over what moved."""
        rules = self._ports.rules(link.vendor, item.kind) if item else None
        if item is None or rules is None:
            return False
        write = plan_delivery(item, held.shadow, rules)
        versions = self._ports.manifest(link.vendor).versions
        record = last_seen(held.shadow, held.intents, write, versions)
        if record is None or isinstance(write, Rest):
            return False
        job = _Job(held=held, item=item, port=port, rules=rules, echoed=())
        await self._carry_out(job, write, record, held.shadow)
        return True

    async def _read(self, held: Held, link: Link, port: VendorPort) -> VendorRecord | None:
        if held.shadow.present and held.shadow.record_id is not None:
            return await port.read(held.shadow.record_id)
        if held.shadow.expected is not None:
            return await port.read(held.shadow.expected)
        found = await port.find(held.shadow.kind, held.key.item_id) if _create_unheard_of(held) else None
        if found is None:
            return None
        # People copy events, marker and all: what is known as an item of its own is not what we look for.
        stands_for = await self._links.item_of(link, found.record_id)
        return found if stands_for in (None, held.key.item_id) else None

    async def _carry_out(self, job: _Job, write: Write, record: VendorRecord | None, shadow: Shadow) -> None:
        intent = Intent(intent_id=new_id(), kind=write.kind, values=write.values)
        await self._leases.intend(job.held, intent)
        reach(crash_points.INTENT_STORED)
        called_at = self._clock.now()
        shown = await _call(job, write, record)
        reach(crash_points.VENDOR_ANSWERED)
        taken = written(shadow, write, shown, job.rules.fields if job.rules else {})
        after = confirmed(job.item, taken, job.rules)
        await self._store.close(
            job.held,
            state=DELIVERED,
            reason=shortfall(job.item, after, job.rules),
            shadow=after,
            intent_id=intent.intent_id,
            echoed=job.echoed,
            called_at=called_at,
        )

    async def _failed(self, held: Held, link: Link, attempt: int, error: VendorError) -> None:
        self._report(link, error)
        error = await account_refused(self._ports, self._links, link, error)
        untried = isinstance(error, NotCalled)
        await self._put_off(held.key, error, untried=untried, attempts=attempt, upto=held.sequence)

    async def _put_off(
        self, key: RecordKey, error: VendorError, *, untried: bool, attempts: int = 1, upto: int | None = None
    ) -> None:
        """Try again later, or park what is due; what was committed meanwhile may mend what is wrong."""
        verdict = after_failure(error, attempts=attempts, dice=random.random())  # noqa: S311 - jitter
        if isinstance(verdict, Park):
            why = {"reason": verdict.reason, "cause": verdict.cause}
            await self._store.stop(key, state=PARKED, upto=upto, **why)
        else:
            await self._store.postpone(
                key, seconds=verdict.seconds, reason=str(error), cause=cause_of(error), untried=untried
            )

    async def _later(self, key: RecordKey, reason: str) -> None:
        await self._store.postpone(key, seconds=_BUSY_SECONDS, reason=reason, untried=True)


def _create_unheard_of(held: Held) -> bool:
    """Say whether an earlier create may have been carried out although we never heard so."""
    return not held.shadow.present and any(intent.kind is IntentKind.CREATE for intent in held.intents)


def _newer(shadow: Shadow, held: Held) -> Shadow:
    """Return the shadow with a generation above the stored one."""
    return replace(shadow, generation=max(shadow.generation, held.shadow.generation + 1))


async def _call(job: _Job, write: Write, record: VendorRecord | None) -> VendorRecord | None:
    if record is None:
        if write.kind is IntentKind.CREATE:
            made = await job.port.create(job.item.kind, job.item.item_id, write.plain)
            if made.existed:
                raise VersionMismatch("an earlier attempt had made it: what became of it is looked at first")
            return made
        raise RecordGone("the record is no more")
    if write.kind is IntentKind.DELETE:
        await job.port.delete(record)
        return None
    return await job.port.update(record, write.plain)
