"""Two vendors, the gateway's engine and the planner of the sync service, all in one process without waits.

Every step is one of the things the running system does, so a test can put them into any order and let
any of them fail.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from services.gateway.apart import Apart
from services.gateway.deliver.worker import Deliverer
from services.gateway.dispatch import Dispatcher
from services.gateway.inspect_record import Inspector
from services.gateway.poll import Poller
from services.gateway.records import Intent, Link
from services.gateway.store.deliveries import Claimed, Commit
from services.gateway.store.inbound import Cause
from services.gateway.store.integration_rows import Integration
from services.gateway.store.leases import Held
from services.gateway.vendors.field_rules import Direction, Equivalence
from services.gateway.vendors.manifest import KindRule
from services.gateway.vendors.port import Account, Decision, Scan, VendorError, VendorRecord
from services.sync.wedding import KnownChange, LoggedChange, Wedding
from tests.support.gateway_fakes import (
    MemoryActivities,
    MemoryDeliveries,
    MemoryInbound,
    MemoryLeases,
    by_table,
)
from tests.support.gateway_links import MemoryLinks
from tests.support.gateway_memory import Memory
from tests.support.gateway_polls import MemoryPolls
from tests.support.gateway_vendor import EVENT, FakePorts, FakeVendor, a_link, rule
from wedsync.client import SyncClient
from wedsync.clock import FakeClock
from wedsync.errors import Unavailable
from wedsync.model.changes import Change, ChangeKind, ChangeResult, ItemState, Source
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue
from wedsync.runtime.telemetry import Telemetry

NOW = datetime(2027, 1, 1, tzinfo=UTC)
Result = TypeVar("Result")

# Drops seconds and says so; keeps no notes; shows a status that nobody but its own people sets.
DESK = KindRule(
    create=True,
    update=True,
    delete=True,
    fields={
        "title": rule(),
        "starts_at": rule(Equivalence.MINUTE),
        "status": rule(direction=Direction.IN),
    },
)
# Keeps everything exactly as its manifest says, and trims titles without a word all the same.
DIARY = KindRule(
    create=True,
    update=True,
    delete=True,
    fields={"title": rule(), "starts_at": rule(), "notes": rule(Equivalence.TRIMMED), "status": rule()},
)


class Crash(Exception):
    """The gateway process died here."""


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Run what never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    work.close()
    raise AssertionError("it waited")


class Canon(SyncClient):
    """The sync service's planner, called directly.

    With `lose_answer` the next batch is applied, but nobody hears of it.
    """

    def __init__(self) -> None:
        self.wedding = Wedding(wedding_id=a_link().wedding_id, epoch=1, sequence=0)
        self.known: dict[str, KnownChange] = {}
        self.log: list[LoggedChange] = []
        self.outbox: list[Commit] = []
        self.backfilled: list[Change] = []
        self.lose_answer = False

    async def apply_changes(
        self, wedding_id: str, changes: Sequence[Change], **options: Any
    ) -> list[ChangeResult]:
        """Apply changes."""
        if options.get("backfill"):
            self.backfilled += changes
        planned = self.wedding.plan(changes, self.known)
        self.wedding = self.wedding.after(planned)
        self.known |= planned.remember
        self.log += planned.logged
        self.outbox += [_commit(wedding_id, entry) for entry in planned.logged]
        if self.lose_answer:
            self.lose_answer = False
            raise Unavailable("the answer was lost")
        return list(planned.results)


def _commit(wedding_id: str, entry: LoggedChange) -> Commit:
    return Commit(
        wedding_id=wedding_id,
        sequence=entry.result.sequence,
        change_id=entry.change.change_id,
        committed_at=NOW,
        item=entry.item,
        priority=entry.change.priority,
        trace_parent="",
    )


class MortalLeases(MemoryLeases):
    """May die after an intent is committed, before the vendor is called."""

    die = False

    async def intend(self, held: Held, intent: Intent) -> None:
        """Commit what is about to be written."""
        await super().intend(held, intent)
        if self.die:
            self.die = False
            raise Crash


class MortalDeliveries(MemoryDeliveries):
    """May die after the vendor was called, before what it showed is committed."""

    die = False

    async def close(self, held: Held, **outcome: Any) -> None:
        """Record the outcome."""
        if self.die and outcome.get("intent_id"):
            self.die = False
            raise Crash
        await super().close(held, **outcome)


class FakeDecisions:
    """Where conflicts are kept; `error` is what it answers next."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, str, str]] = []
        self.error: VendorError | None = None

    async def decide(self, link: Link, decision: Decision, webhook_id: str) -> str:
        """Take a decision."""
        if self.error is not None:
            raise self.error
        self.made.append((decision.conflict_id, decision.choice, decision.actor, webhook_id))
        return f"a decision of {decision.actor}"


class World:
    """Everything there is. Another desk may be handed in."""

    def __init__(self, desk: FakeVendor | None = None) -> None:
        self.memory, self.canon, clock, telemetry = Memory(), Canon(), FakeClock(), Telemetry()
        self.vendors = {
            "desk": desk or FakeVendor(rules=DESK, hold=_minutes),
            "diary": FakeVendor(DIARY, hold=_strip),
        }
        self.ports = FakePorts(self.memory, self.vendors)
        self.decisions, self.missed = FakeDecisions(), list[str]()
        self.links = [a_link(1, vendor="desk"), a_link(2, vendor="diary")]
        for link in self.links:
            self.memory.links[link.link_id] = link
            self.memory.integrations[link.integration_id] = _account(link)
        self.leases, self.deliveries = MortalLeases(self.memory), MortalDeliveries(self.memory)
        activities, links, inbound = (
            MemoryActivities(self.memory),
            MemoryLinks(self.memory),
            MemoryInbound(self.memory),
        )
        changes = by_table(lambda limit, _: activities.claim(limit))
        self.inspector = Inspector(
            ports=self.ports,
            links=links,
            leases=self.leases,
            inbound=inbound,
            onward=changes,
            telemetry=telemetry,
            clock=clock,
        )
        self.polls = MemoryPolls(self.memory)
        self._poller = Poller(
            polls=self.polls,
            links=links,
            apart=Apart(inbound),
            ports=self.ports,
            inspector=self.inspector,
            telemetry=telemetry,
            clock=clock,
            missed=lambda link: self.missed.append(link.vendor),
            report=lambda *_: None,
        )
        self._deliverer = Deliverer(
            store=self.deliveries,
            leases=self.leases,
            links=links,
            ports=self.ports,
            inspector=self.inspector,
            telemetry=telemetry,
            clock=clock,
            report=lambda *_: None,
        )
        self._dispatcher = Dispatcher(
            store=activities, changes=changes, sync=self.canon, on_corrected=lambda: None
        )

    def look(self, link: Link, record_id: str) -> None:
        """A webhook, or one more copy of it."""
        finish(self.inspector.look(link, record_id, Cause(trace_parent="", detected_at=NOW)))

    def poll(self, link: Link, stale: Sequence[VendorRecord] | None = None) -> None:
        """Scan; with `stale`, the list is an old one."""
        if stale is not None:
            listed = frozenset(record.record_id for record in stale)
            self.vendors[link.vendor].scans.append(Scan(records=stale, present=listed))
        finish(self._poller.poll(replace(self.polls.due(link), cursor=None)))

    def go_on(self, link: Link) -> None:
        """Scan from where the last scan ended."""
        finish(self._poller.poll(self.polls.due(link)))

    def dispatch(self) -> None:
        """Send translated changes."""
        for batch in finish(self._dispatcher.claim(100)):
            finish(self._dispatcher.send(batch))

    def hand_over(self, commits: Sequence[Commit] | None = None) -> None:
        """Tell the gateway what was committed; without arguments, all of it."""
        finish(self.deliveries.accept(self.canon.outbox if commits is None else commits))
        if commits is None:
            self.canon.outbox.clear()

    def due(self) -> list[Claimed]:
        """Return what is to be delivered."""
        return self.deliveries.waiting()

    def deliver(self, claimed: Claimed) -> None:
        """Bring one record up to date, or die in the middle."""
        self.deliveries.count(claimed.key)
        try:
            finish(self._deliverer.deliver(claimed))
        except Crash:
            self.memory.leases.clear()

    def edit(
        self,
        kind: ChangeKind,
        item_id: str,
        values: dict[str, FieldValue] | None = None,
        base: int | None = None,
    ) -> None:
        """Somebody calls the API."""
        change = Change(
            change_id=new_id(),
            item_id=item_id,
            item_kind=EVENT,
            kind=kind,
            source=Source(organization_id="studio", actor="ada"),
            values=values or {},
            default_base=base,
        )
        finish(self.canon.apply_changes(self.canon.wedding.wedding_id, [change]))

    def settle(self) -> None:
        """Let everything happen that is still to come."""
        for vendor in self.vendors.values():
            vendor.failures.clear()
            vendor.lost_answers, vendor.late = 0, False
            vendor.land()
        self.leases.die = self.deliveries.die = self.canon.lose_answer = False
        # A list that was empty when it was read may have paused a link; people look and let it go on.
        self.memory.links |= {link.link_id: link for link in self.links}
        for _ in range(20):
            if self.round():
                return
        raise AssertionError(f"it does not come to rest: {self.memory.reasons()}")

    def round(self) -> bool:
        """Do one round of everything; say whether there was nothing to do."""
        before = self.writes(), len(self.canon.log), len(self.memory.activities)
        for link in self.links:
            self.poll(link)
        self.dispatch()
        self.hand_over()
        for claimed in self.due():
            self.deliver(claimed)
        pending = any(row.state == "pending" for row in self.memory.activities)
        after = self.writes(), len(self.canon.log), len(self.memory.activities)
        return before == after and not pending and not self.due() and not self.canon.outbox

    def writes(self) -> dict[str, int]:
        """Return how often each vendor was written to."""
        return {name: len(vendor.writes) for name, vendor in self.vendors.items()}

    def differences(self) -> list[str]:
        """Return what a vendor shows otherwise than the canonical record, and is not held."""
        return [
            f"{link.vendor}: {difference}"
            for link in self.links
            for item in self.canon.wedding.items.values()
            for difference in self._differences(link, item)
        ]

    def _differences(self, link: Link, item: ItemState) -> list[str]:
        if item.life.collision and link.link_id in item.life.collision.held_links:
            return []
        vendor, shadow = self.vendors[link.vendor], self.memory.shadows.get((link.link_id, item.item_id))
        record = vendor.records.get((shadow.record_id if shadow else None) or "")
        if item.deleted or record is None:
            return [] if item.deleted and record is None else [f"{item.item_id}: {item.life.value} {record}"]
        return [
            f"{item.item_id}.{path}: {record.fields[path]!r}, not {state.value!r}"
            for path, state in item.fields.items()
            if path in vendor.rules.fields
            and vendor.rules.fields[path].writable
            and not (state.collision and link.link_id in state.collision.held_links)
            and not vendor.rules.fields[path].equivalent(vendor.hold(state.value), record.fields[path])
        ]


def _account(link: Link) -> tuple[Integration, Account]:
    integration = Integration(
        integration_id=link.integration_id,
        organization_id=link.organization_id,
        vendor=link.vendor,
        base_url="https://desk.invalid",
        created_at=NOW,
        sealed=b"",
    )
    return integration, Account(integration_id=link.integration_id, base_url=integration.base_url)


def _minutes(value: FieldValue) -> FieldValue:
    return rule(Equivalence.MINUTE).holds(value)


def _strip(value: FieldValue) -> FieldValue:
    return value.strip() or None if isinstance(value, str) else value


def restored(record: VendorRecord) -> VendorRecord:
    """Return a record as it looks once people took it out of the bin again."""
    return replace(record, version=f"{record.version}+")
