"""Asking vendors what moved. A scan is a source of hints: each record that differs is looked at by itself.

The place between two pages is kept, so that a look that is interrupted goes on there. A look at everything,
the first one of a link or one after its vendor forgot where we were, gives way to other links every few
pages, and what it finds travels behind what people do now.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.gateway.apart import Apart
from services.gateway.calls.lanes import in_lane
from services.gateway.deliver.retry import RECONNECT, Park, after_failure, backoff
from services.gateway.inspect_record import Inspector, RecordBusy
from services.gateway.observe import is_wipe, moved
from services.gateway.pace import is_lost, next_pause, spread, while_told
from services.gateway.poison import contained
from services.gateway.ports import Ports
from services.gateway.records import NOBODY, Busy, Link, Shadow
from services.gateway.shown import Word, weigh
from services.gateway.stops import deletes_doubted
from services.gateway.store.inbound import Cause
from services.gateway.store.links import LinkStore
from services.gateway.store.polls import DueLink, LinkTaken, PollStore, Progress
from services.gateway.vendors.port import (
    CursorLost,
    NotCalled,
    OutOfScope,
    Scan,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorPort,
    VendorRecord,
    VendorUnavailable,
)
from wedsync.clock import Clock
from wedsync.model.changes import Priority
from wedsync.runtime.telemetry import Telemetry

MAX_PAGES = 1_000
"""Pages of one scan; a vendor that never says the last one is broken."""
PAGES_A_TURN = 10
"""Pages of a look at everything before other links have their turn."""

_EXTEND_AFTER = timedelta(seconds=15)
# So many records in a row that cannot be read are no bad records: the vendor is away.
_AWAY = 2


@dataclass(slots=True)
class _Look:
    """One turn at a link, and what it brought to light."""

    due: DueLink
    started: datetime
    extended: datetime
    cursor: Mapping[str, Any] | None
    known: frozenset[str] = frozenset()
    """What the vendor has as far as we knew at the start; asked for only where it is needed."""
    total: int | None = None
    pages: int = 0
    records: int = 0
    kept: tuple[int, int] = (0, 0)
    """How many records and pages were counted when the place was last kept."""
    looked: int = 0
    changed: int = 0
    missing: int = 0
    unread: int = 0
    """Records in a row that could not be read."""

    @property
    def link(self) -> Link:
        return self.due.link

    def progress(self) -> Progress:
        """Return what is new since the place was last kept."""
        records, pages = self.kept
        self.kept = self.records, self.pages
        return Progress(
            cursor=self.cursor or {},
            started_at=self.started,
            records=self.records - records,
            pages=self.pages - pages,
            total=self.total,
        )


class Poller:
    """Looks at links whose time has come."""

    def __init__(
        self,
        *,
        polls: PollStore,
        links: LinkStore,
        apart: Apart,
        ports: Ports,
        inspector: Inspector,
        telemetry: Telemetry,
        clock: Clock,
        report: Callable[[Link, VendorError | None], None],
        missed: Callable[[Link], None],
    ) -> None:
        self._polls, self._links, self._apart = polls, links, apart
        self._ports, self._inspector = ports, inspector
        self._telemetry, self._clock = telemetry, clock
        self._report, self._missed = report, missed

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[DueLink]:
        """Claim links that are due for a look; none of those who are busy."""
        return await self._polls.claim(limit, busy)

    async def poll(self, due: DueLink) -> None:
        """Scan one link and look at everything that differs from what we know."""
        # What has been there for long can wait for people's edits.
        with contextlib.suppress(LinkTaken), in_lane(Priority.BULK if due.backfilling else Priority.NORMAL):
            await self._turn(due)

    async def _turn(self, due: DueLink) -> None:
        now = self._clock.now()
        look = _Look(due=due, started=now, extended=now, cursor=due.cursor)
        try:
            with contained():
                port = await self._ports.open(due.link)
                more = await self._pages(port, look)
        except VendorError as error:
            await self._failed(look, error)
            return
        if more is not None:
            await self._finished(look, more=more)

    async def _pages(self, port: VendorPort, look: _Look) -> bool | None:
        """Work page by page; return whether there are more for another turn, None for a brake."""
        while True:
            page = await port.scan(look.cursor)
            if not await self._page(look, page):
                return None
            look.cursor, look.pages = page.cursor, look.pages + 1
            look.total = page.total if page.total is not None else look.total
            if not page.more:
                return False
            if look.due.link.backfill.pages + look.pages >= MAX_PAGES:
                raise VendorGarbage(f"the scan has more than {MAX_PAGES} pages")
            # Absences are weighed over a whole scan, so one that has met some is not cut in two.
            if not look.missing:
                if look.due.backfilling and look.pages >= PAGES_A_TURN:
                    return True
                await self._polls.keep(look.due, look.progress())

    async def _page(self, look: _Look, page: Scan) -> bool:
        link = look.link
        shadows = await self._links.shadows(link, [record.record_id for record in page.records])
        differing = [r.record_id for r in page.records if self._differs(link, r, shadows.get(r.record_id))]
        missing = await self._suspicions(look, page)
        look.records, look.missing = look.records + len(page.records), look.missing + len(missing)
        if is_wipe(len(look.known), look.missing) and not self._believes(link):
            await deletes_doubted(self._links, link, look.missing, len(look.known))
            return False
        for bad in page.bad:
            await self._apart.from_list(link, bad, self._new_cause(look))
        for record_id in dict.fromkeys([*differing, *missing]):
            await self._look_at(look, record_id)
        return True

    async def _suspicions(self, look: _Look, page: Scan) -> list[str]:
        if not page.missing and page.present is None:
            return []
        known = await self._links.present(look.link)
        look.known = look.known or known
        bad = {bad.record_id for bad in page.bad}
        absent = set() if page.present is None else known - page.present - bad
        return sorted((set(page.missing) & known) | absent)

    def _differs(self, link: Link, record: VendorRecord, shadow: Shadow | None) -> bool:
        rules = self._ports.rules(link.vendor, record.kind)
        if rules is None or shadow is None:
            return rules is not None
        # Though it shows the same again: a webhook that is late may show what was between.
        versions = self._ports.manifest(link.vendor).versions
        newer = weigh(shadow, record, versions, rules.fields) is Word.NEWS
        return newer or moved(shadow, record, rules.fields)

    async def _look_at(self, look: _Look, record_id: str) -> None:
        """Look at one record; what cannot be read is set apart, so that it holds up no other."""
        await self._stay(look)
        look.looked += 1
        with self._telemetry.span("detected", new_trace=True, vendor=look.link.vendor) as span:
            cause = Cause(
                trace_parent=span.traceparent, detected_at=look.started, backfill=look.due.backfilling
            )
            try:
                with contained():
                    seen = await self._inspector.look(look.link, record_id, cause)
            except OutOfScope:
                return
            except (VendorAuthFailed, NotCalled):
                raise
            except VendorError as error:
                look.unread += isinstance(error, VendorUnavailable) and not isinstance(error, RecordBusy)
                if look.unread >= _AWAY:
                    raise
                await self._apart.from_poll(look.link, record_id, cause, error)
                return
        look.unread = 0
        if seen.change_id is not None:
            look.changed += 1

    async def _stay(self, look: _Look) -> None:
        """Go on being the link's only poller, however long its records take."""
        if self._clock.now() - look.extended >= _EXTEND_AFTER:
            await self._polls.extend(look.due)
            look.extended = self._clock.now()

    def _new_cause(self, look: _Look) -> Cause:
        return Cause(trace_parent=self._telemetry.new_traceparent(), detected_at=look.started)

    def _believes(self, link: Link) -> bool:
        until = link.deletes_believed_until
        return until is not None and until > self._clock.now()

    async def _finished(self, look: _Look, *, more: bool) -> None:
        link, due = look.link, look.due
        self._report(link, None)
        if not due.backfilling:
            for _ in range(look.changed):
                self._missed(link)
        if look.looked:
            await self._polls.log(link, started_at=look.started, records=look.records, looked_at=look.looked)
        if more:
            await self._polls.keep(due, look.progress(), rest=True)
            return
        pause = self._next_pause(look)
        seconds = spread(pause, self._ports.manifest(link.vendor).poll.jitter, random.random())  # noqa: S311
        await self._polls.finish(due, look.progress(), pause=pause, seconds=seconds)

    def _next_pause(self, look: _Look) -> float:
        """Return the pause until the next look: by how much happens, and longer while a channel works."""
        manifest = self._ports.manifest(look.link.vendor)
        pause = next_pause(
            look.link.poll_seconds or manifest.poll.interval_seconds,
            changed=look.changed > 0 and not look.due.backfilling,
            fastest=manifest.poll.fastest,
            slowest=manifest.poll.slowest,
        )
        if manifest.push is None:
            return pause
        rarely = manifest.push.poll_interval_seconds
        return while_told(pause, rarely, until=look.link.pushed_until, now=self._clock.now())

    async def _failed(self, look: _Look, error: VendorError) -> None:
        link, due = look.link, look.due
        self._report(link, error)
        await self._polls.log(
            link, started_at=look.started, records=look.records, looked_at=look.looked, error=str(error)
        )
        if isinstance(error, NotCalled):
            await self._polls.later(due, seconds=_pause(error, 1))
            return
        lost = is_lost(error, midway=due.midway, failures=due.failures)
        # A cursor lost on a scan from the start would be lost again at once.
        at_once = isinstance(error, CursorLost) and due.cursor is not None
        seconds = 0.0 if at_once else _pause(error, due.failures + 1)
        await self._polls.fail(due, seconds=seconds, lost=lost)
        if isinstance(error, VendorAuthFailed):
            await self._links.refuse_account(link, f"{error}. {RECONNECT}.")


def _pause(error: VendorError, failures: int) -> float:
    """Return how long to leave the vendor alone; a link is never given up, only asked less often."""
    dice = random.random()  # noqa: S311 - jitter
    verdict = after_failure(error, attempts=1, dice=dice)
    if isinstance(verdict, Park):
        return backoff(failures, dice)
    return verdict.seconds if isinstance(error, NotCalled) else max(verdict.seconds, backoff(failures, dice))
