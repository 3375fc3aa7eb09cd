"""Look at one vendor record: read it under its lease, compare, and commit what the vendor changed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from services.gateway import crash_points
from services.gateway.deliver.plan import Write, plan_delivery
from services.gateway.journey import Nothing
from services.gateway.observe import Observation, echoed, observe
from services.gateway.onward import Onward
from services.gateway.ports import Ports
from services.gateway.records import Link, RecordKey, Shadow
from services.gateway.shown import Word, weigh
from services.gateway.stops import deletes_doubted
from services.gateway.store.doubts import TooManyDeletes
from services.gateway.store.inbound import Activity, Cause, InboundStore
from services.gateway.store.leases import Held, RecordLeases
from services.gateway.store.links import LinkStore
from services.gateway.vendors.field_rules import FieldRule
from services.gateway.vendors.port import VendorPort, VendorRecord, VendorRejected, VendorUnavailable
from wedsync import errors
from wedsync.clock import Clock
from wedsync.model.changes import Change, ChangeKind, Source
from wedsync.model.ids import change_id, is_id, item_id
from wedsync.model.items import CATALOGUE, FieldValue, ItemKind
from wedsync.runtime.crash_points import reach
from wedsync.runtime.telemetry import Telemetry

# A record is leased for about one vendor call; who waits longer than this comes back later.
_TRIES, _WAIT_SECONDS = 40, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look at a record brought to light: the change it became, None for an echo or nothing new."""

    change_id: str | None = None
    echo: bool = False
    """A write of ours was recognised."""
    nothing: Nothing = Nothing.KNOWN
    """Why it became no change, where it is neither."""
    ended: bool = False
    """The webhook that caused it alone has ended with it."""

    @property
    def why_nothing(self) -> str:
        """Why it became no change; empty where it did."""
        return "" if self.change_id else Nothing.ECHO if self.echo else self.nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a look at a record would bring to light; nothing was written."""

    record_id: str
    item_id: str = ""
    kind: ItemKind = ItemKind.TIMELINE_EVENT
    change: ChangeKind | None = None
    fields: Mapping[str, tuple[FieldValue, FieldValue]] = field(default_factory=dict)
    """The wedding's value and the vendor's, of each field that would change."""
    note: str = ""
    """Why nothing would change, or nothing can be said."""


class RecordBusy(VendorUnavailable):
    """Somebody else is working on the record; look again in a moment."""


class Inspector:
    """The one way in for every vendor's edits, whether a webhook, a poll or a write of ours met them."""

    def __init__(
        self,
        *,
        ports: Ports,
        links: LinkStore,
        leases: RecordLeases,
        inbound: InboundStore,
        onward: Onward[Activity],
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._ports, self._links, self._leases = ports, links, leases
        self._inbound, self._onward, self._telemetry, self._clock = inbound, onward, telemetry, clock

    async def look(self, link: Link, record_id: str, cause: Cause, shown: VendorRecord | None = None) -> Seen:
        """Read the record and commit what is new. Raises `VendorError`, `LinkStopped` included.

        What a webhook has `shown` of it is taken instead of a reading where that is as sure.
        """
        port = await self._ports.open(link)
        known = await self._leases.take_known(link, record_id)
        if known is not None:
            held = known.held or await self._take(self._key(link, known.item_id), ItemKind.TIMELINE_EVENT)
        elif (first_sight := await port.read(record_id)) is None:
            return Seen(nothing=Nothing.NOT_THERE)
        else:
            await self._require_single(link, first_sight)
            own = await self._name(link, first_sight)
            held = await self._take(self._key(link, own), first_sight.kind)
        try:
            if held.shadow.present and held.shadow.record_id != record_id:
                raise RecordBusy("its item was made anew under another record meanwhile", retry_after=0.0)
            return await self._compare(held, link, port, record_id, cause, shown)
        finally:
            await self._leases.release(held)

    async def preview(self, link: Link, record_id: str) -> Preview:
        """Say what a look would bring to light. Raises `VendorError`."""
        port = await self._ports.open(link)
        record = await port.read(record_id)
        known = await self._links.item_of(link, record_id)
        if known is None and record is None:
            return Preview(record_id=record_id, note=Nothing.NOT_THERE)
        item = known or await self._name(link, record) if record else known
        kind = record.kind if record else ItemKind.TIMELINE_EVENT
        held = await self._leases.peek(self._key(link, item or ""), kind)
        if held.shadow.present and held.shadow.record_id != record_id:
            return Preview(
                record_id=record_id, item_id=item or "", note="its item lives in another record now"
            )
        return _previewed(held, record_id, self._observed(held, link, record))

    async def settle(
        self, held: Held, link: Link, record: VendorRecord | None, cause: Cause
    ) -> Observation | None:
        """Compare a record just read under its lease; commit if the vendor moved, else return what is known.

        Returns None where a change was committed: the record was released with it.
        """
        observation = self._observed(held, link, record)
        if not observation.learned:
            return observation
        # The vendor's edit is a journey of its own, although a delivery met it.
        with self._telemetry.span(
            "detected", new_trace=True, links=[cause.trace_parent], vendor=link.vendor
        ) as span:
            own = replace(cause, trace_parent=span.traceparent)
            await self._commit(held, link, observation, record, own)
        return None

    async def _compare(
        self,
        held: Held,
        link: Link,
        port: VendorPort,
        record_id: str,
        cause: Cause,
        shown: VendorRecord | None,
    ) -> Seen:
        versions, rules = self._ports.manifest(link.vendor).versions, self._rules(link, held, shown)
        word = weigh(held.shadow, shown, versions, rules)
        if word is Word.KNOWN:
            return Seen()
        record = shown if word is Word.NEWS else await port.read(record_id)
        return await self._commit(held, link, self._observed(held, link, record), record, cause)

    async def _commit(
        self, held: Held, link: Link, observation: Observation, record: VendorRecord | None, cause: Cause
    ) -> Seen:
        rules = self._rules(link, held, record)
        ours = echoed(held.shadow, held.intents, record, rules)
        if not observation.learned:
            again, seen = self._landed_late(held, link, observation), Seen(echo=bool(ours), ended=cause.alone)
            await self._inbound.commit_observation(
                held, observation, None, cause, ours, again=again, why_nothing=seen.why_nothing
            )
            return seen
        with self._telemetry.span("translate", cause.trace_parent, vendor=link.vendor) as span:
            category = self._ports.manifest(link.vendor).category
            change = _change(held, link, observation, record, category, cause.webhook_id, span.traceparent)
            # Back from the bin it is as it was then, and what it brings may be nothing that is logged.
            born_again = observation.change is ChangeKind.CREATE and held.item is not None
            again = born_again or self._landed_late(held, link, observation)
            # The next change of a record waits for the one before.
            taken = self._onward.room > 0 and not held.pending
            try:
                await self._inbound.commit_observation(
                    held, observation, change, cause, ours, again=again, taken=taken
                )
            except TooManyDeletes as doubt:
                raise await deletes_doubted(self._links, link, doubt.gone, doubt.known) from doubt
        reach(crash_points.CHANGE_STORED)
        self._onward.go_on([_activity(held.key, change, cause, observation.shadow) if taken else None])
        return Seen(change_id=change.change_id, echo=bool(ours), ended=cause.alone)

    def _observed(self, held: Held, link: Link, record: VendorRecord | None) -> Observation:
        rules = self._rules(link, held, record)
        observation = observe(held.shadow, held.intents, record, rules, held.item)
        if record is None or not observation.learned or held.item is not None or held.pending:
            return observation
        # The wedding refused it as it was: whatever its people have mended since, it is yet to be born.
        return observe(replace(held.shadow, gone=True, fields={}), held.intents, record, rules)

    def _landed_late(self, held: Held, link: Link, observation: Observation) -> bool:
        """Say whether an echo is of an older write of ours, over which the truth must be written again.

        Beside an edit only what is no part of the edit counts: that is judged by the wedding.
        """
        before, after = held.shadow, observation.shadow
        if held.item is None or (before.present == after.present and before.fields == after.fields):
            return False
        plan = plan_delivery(held.item, after, self._ports.rules(link.vendor, held.item.kind))
        if not isinstance(plan, Write):
            return False
        moved = {path for path, shown in after.fields.items() if before.fields.get(path) != shown}
        return not observation.learned or not plan.values.keys().isdisjoint(moved - observation.values.keys())

    async def _require_single(self, link: Link, record: VendorRecord) -> None:
        """Refuse a record that may be one more of ours: a create that landed after we had made another one.

        It may as well be a copy that people made, so it is for them to say. Raises `VendorRejected`.
        """
        marker = record.marker
        if marker is None or not is_id(marker) or not await self._links.awaits_create(link, marker):
            return
        taken = await self._links.record_of(link, marker)
        if taken is not None and taken.present and taken.record_id != record.record_id:
            raise VendorRejected(
                f"{record.record_id} carries our mark, like {taken.record_id}: it is a copy, or was made "
                "twice for want of an answer. If twice, delete it; if a copy, retry in ten minutes"
            )

    async def _name(self, link: Link, record: VendorRecord) -> str:
        """Return the item a record seen for the first time stands for.

        What people said when they linked comes first.

        Our marker in it counts only while that item has no other record here: people copy events, and
        the copy carries the marker too. Somebody else may have named it since we asked: then alike.
        """
        if (said := await self._links.item_expecting(link, record.record_id)) is not None:
            return said
        own = item_id(link.link_id, record.record_id)
        first = await self._links.record_of(link, own)
        if first is not None and first.present and first.record_id != record.record_id:
            # Its item was restored meanwhile and lives in another record: this one is back from the bin.
            own = item_id(link.link_id, f"{record.record_id} beside {first.record_id}")
        if record.marker is None or not is_id(record.marker):
            return own
        taken = await self._links.record_of(link, record.marker)
        if taken is None or (taken.present and taken.record_id != record.record_id):
            return own
        # Of an item that had a record before, only a create of ours that was never answered counts.
        ours = taken.record_id in (None, record.record_id) or await self._links.awaits_create(
            link, record.marker
        )
        return record.marker if ours else own

    async def _take(self, key: RecordKey, kind: ItemKind) -> Held:
        for _ in range(_TRIES):
            held = await self._leases.take(key, kind)
            if held is not None:
                return held
            await self._clock.sleep(_WAIT_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter
        raise RecordBusy("the record is being worked on", retry_after=1.0)

    def _key(self, link: Link, item: str) -> RecordKey:
        return RecordKey(
            organization_id=link.organization_id,
            wedding_id=link.wedding_id,
            link_id=link.link_id,
            item_id=item,
        )

    def _rules(self, link: Link, held: Held, record: VendorRecord | None) -> Mapping[str, FieldRule]:
        kind = record.kind if record else held.shadow.kind
        rules = self._ports.rules(link.vendor, kind)
        return rules.fields if rules else {}


def _activity(key: RecordKey, change: Change, cause: Cause, shadow: Shadow) -> Activity:
    return Activity(
        organization_id=key.organization_id,
        wedding_id=key.wedding_id,
        link_id=key.link_id,
        item_id=key.item_id,
        change=change,
        attempts=1,
        backfill=cause.backfill,
        shadow=shadow,
    )


def _needed(held: Held, observation: Observation) -> Mapping[str, FieldValue]:
    """Return what no item can be created without, as the wedding has it: back from the bin it is no news."""
    if observation.change is not ChangeKind.CREATE or held.item is None:
        return {}
    required = [path for path, spec in CATALOGUE[held.item.kind].items() if spec.required]
    silent = [path for path in required if observation.values.get(path) is None]
    return {path: held.item.value(path) for path in silent}


def _previewed(held: Held, record_id: str, observation: Observation) -> Preview:
    item = held.item
    fields = {path: (item.value(path) if item else None, value) for path, value in observation.values.items()}
    note = "" if observation.learned else Nothing.KNOWN
    return Preview(
        record_id=record_id,
        item_id=held.key.item_id,
        kind=observation.shadow.kind,
        change=observation.change,
        fields=fields,
        note="an edit of it is on its way" if held.pending else note,
    )


def _change(
    held: Held,
    link: Link,
    observation: Observation,
    record: VendorRecord | None,
    category: str,
    event_id: str | None,
    trace_parent: str,
) -> Change:
    if observation.change is None:  # pragma: no cover - callers ask `learned` first
        raise errors.FailedPrecondition("an echo is no change")
    record_id = observation.shadow.record_id or ""
    return Change(
        change_id=change_id(link.link_id, held.key.item_id, observation.shadow.generation),
        item_id=held.key.item_id,
        item_kind=record.kind if record else held.shadow.kind,
        kind=observation.change,
        source=Source(
            organization_id=link.organization_id,
            actor=f"integration:{link.integration_id}",
            link_id=link.link_id,
            vendor=link.vendor,
            record_id=record_id,
            category=category,
            event_id=event_id,
        ),
        values={**observation.values, **_needed(held, observation)},
        base=observation.base,
        base_values=observation.base_values,
        # A delete names the base of everything this vendor is told; what it never sees cannot collide.
        default_base=None if observation.change is ChangeKind.DELETE else 0,
        trace_parent=trace_parent,
    )
