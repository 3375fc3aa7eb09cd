"""Asking vendors what moved. A scan is a source of hints: each record that differs is looked at by itself."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.gateway.calls.lanes import in_lane
from services.gateway.channels import poll_seconds
from services.gateway.deliver.retry import Park, after_failure, backoff
from services.gateway.inspect_record import Inspector
from services.gateway.observe import is_wipe, moved
from services.gateway.ports import Ports
from services.gateway.records import NOBODY, Busy, Link, Shadow
from services.gateway.store.inbound import Arrival, Cause, Endpoint, InboundStore
from services.gateway.store.links import DueLink, LinkStore
from services.gateway.vendors.port import (
    BadRecord,
    CursorLost,
    NotCalled,
    OutOfScope,
    Scan,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorPort,
    VendorRecord,
    VendorRejected,
)
from wedsync.clock import Clock
from wedsync.model.changes import Priority
from wedsync.model.ids import new_id
from wedsync.runtime.telemetry import Telemetry

MAX_PAGES = 1_000
"""Pages of one scan; a vendor that never says the last one is broken."""


@dataclass(slots=True)
class _Found:
    """What the pages of one scan brought to light."""

    records: int = 0
    looks: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)
    cursor: Mapping[str, Any] = field(default_factory=dict)


class Poller:
    """Scans links whose time has come."""

    def __init__(
        self,
        *,
        links: LinkStore,
        inbound: InboundStore,
        ports: Ports,
        inspector: Inspector,
        telemetry: Telemetry,
        clock: Clock,
        on_change: Callable[[], None],
        report: Callable[[Link, VendorError | None], None],
        missed: Callable[[Link], None],
    ) -> None:
        self._links, self._inbound, self._ports = links, inbound, ports
        self._inspector, self._telemetry, self._clock = inspector, telemetry, clock
        self._on_change, self._report, self._missed = on_change, report, missed

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[DueLink]:
        """Claim links that are due for a look; none of those who are busy."""
        return await self._links.claim_polls(limit, busy)

    async def poll(self, due: DueLink) -> None:
        """Scan one link and look at everything that differs from what we know."""
        # The first scan of all brings in what has been there for long: that can wait for people's edits.
        with in_lane(Priority.BULK if due.cursor is None else Priority.NORMAL):
            await self._poll(due)

    async def _poll(self, due: DueLink) -> None:
        link, started = due.link, self._clock.now()
        try:
            port = await self._ports.open(link)
            found = await self._scan(port, link, due.cursor)
            if is_wipe(len(await self._links.present(link)), len(found.missing)):
                await self._brake(link, len(found.missing))
                return
            changed = await self._look(link, found, started)
        except VendorError as error:
            await self._failed(due, error, started)
            return
        self._report(link, None)
        if due.cursor is not None:  # the first scan of all finds everything
            for _ in range(changed):
                self._missed(link)
        if found.looks or found.missing or found.bad:
            looked = len(found.looks) + len(found.missing)
            await self._links.log_scan(link, started_at=started, records=found.records, looked_at=looked)
        await self._links.polled(link, cursor=found.cursor, seconds=self._interval(link), due_at=due.due_at)

    async def _scan(self, port: VendorPort, link: Link, cursor: Mapping[str, Any] | None) -> _Found:
        found = _Found(cursor=cursor or {})
        for _ in range(MAX_PAGES):
            page = await port.scan(cursor)
            await self._sort(link, page, found)
            cursor = found.cursor = page.cursor
            if not page.more:
                return found
        raise VendorGarbage(f"the scan has more than {MAX_PAGES} pages")

    async def _sort(self, link: Link, page: Scan, found: _Found) -> None:
        shadows = await self._links.shadows(link, [record.record_id for record in page.records])
        found.records += len(page.records)
        found.looks += [r.record_id for r in page.records if self._differs(link, r, shadows.get(r.record_id))]
        found.bad += page.bad
        known = await self._links.present(link) if page.missing or page.present is not None else frozenset()
        absent = set() if page.present is None else known - page.present - {bad.record_id for bad in page.bad}
        found.missing += sorted((set(page.missing) & known) | absent)

    def _differs(self, link: Link, record: VendorRecord, shadow: Shadow | None) -> bool:
        rules = self._ports.rules(link.vendor, record.kind)
        return rules is not None and (shadow is None or moved(shadow, record, rules.fields))

    async def _look(self, link: Link, found: _Found, detected_at: datetime) -> int:
        """Look at every record that differs; return how many had changed."""
        for bad in found.bad:
            await self._park(link, bad, detected_at)
        looks = dict.fromkeys([*found.looks, *found.missing])
        return sum([await self._look_at(link, record_id, detected_at) for record_id in looks])

    async def _look_at(self, link: Link, record_id: str, detected_at: datetime) -> bool:
        with self._telemetry.span("detected", new_trace=True, vendor=link.vendor) as span:
            cause = Cause(trace_parent=span.traceparent, detected_at=detected_at)
            try:
                seen = await self._inspector.look(link, record_id, cause)
            except OutOfScope:
                return False
            except (VendorGarbage, VendorRejected) as error:
                await self._park(link, BadRecord(record_id=record_id, reason=str(error)), detected_at)
                return False
        if seen.change_id is not None:
            self._on_change()
        return seen.change_id is not None

    async def _park(self, link: Link, bad: BadRecord, detected_at: datetime) -> None:
        """Keep a record that makes no sense for a human, once per content."""
        digest = hashlib.sha256(bad.raw + bad.reason.encode()).hexdigest()[:32]
        arrival = Arrival(
            webhook_id=new_id(),
            endpoint=Endpoint(
                organization_id=link.organization_id,
                integration_id=link.integration_id,
                vendor=link.vendor,
            ),
            body=bad.raw or bad.record_id.encode(),
            delivery_key=f"bad:{link.link_id}:{bad.record_id}:{digest}",
            trace_parent=self._telemetry.new_traceparent(),
            detected_at=detected_at,
            origin="poll",
            parked=f"{bad.record_id}: {bad.reason}. Correct it at the vendor; it is read again then.",
        )
        await self._inbound.accept([arrival])

    async def _brake(self, link: Link, missing: int) -> None:
        reason = (
            f"{missing} records are suddenly gone at the vendor. If they were deleted on purpose, unlink; "
            "if not, resume the link when the vendor shows them again."
        )
        await self._links.set_state(link, active=False, reason=reason)

    async def _failed(self, due: DueLink, error: VendorError, started: datetime) -> None:
        link = due.link
        self._report(link, error)
        await self._links.log_scan(link, started_at=started, records=0, looked_at=0, error=str(error))
        if isinstance(error, NotCalled):
            await self._links.poll_later(link, seconds=_pause(error, 1))
            return
        lost = isinstance(error, CursorLost)
        if isinstance(error, VendorAuthFailed):
            await self._links.set_state(link, active=False, reason=f"{error}. Connect the account again.")
        # A cursor lost on a scan from the start would be lost again at once.
        at_once = lost and due.cursor is not None
        seconds = 0.0 if at_once else _pause(error, due.failures + 1)
        await self._links.poll_failed(link, seconds=seconds, cursor_lost=lost)

    def _interval(self, link: Link) -> float:
        manifest = self._ports.manifest(link.vendor)
        seconds = manifest.poll.interval_seconds
        if manifest.push:
            longer = manifest.push.poll_interval_seconds
            seconds = poll_seconds(seconds, longer, until=link.pushed_until, now=self._clock.now())
        return seconds * (1 + manifest.poll.jitter * (2 * random.random() - 1))  # noqa: S311 - jitter


def _pause(error: VendorError, failures: int) -> float:
    """Return how long to leave the vendor alone; a link is never given up, only asked less often."""
    dice = random.random()  # noqa: S311 - jitter
    verdict = after_failure(error, attempts=1, dice=dice)
    if isinstance(verdict, Park):
        return backoff(failures, dice)
    return verdict.seconds if isinstance(error, NotCalled) else max(verdict.seconds, backoff(failures, dice))
