"""One calendar in the Outlook simulator, seen by its people and by our adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.manifest import VENDORS, load_manifest
from services.gateway.vendors.outlook_calendar.adapter import OutlookCalendar
from services.gateway.vendors.port import Account, Scan, VendorRecord
from wedsync.clock import FakeClock
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.outlook import CALENDAR, TOKEN, Fault, Mailbox, Sandbox, running

ZONE = "America/Toronto"
EVENT = ItemKind.TIMELINE_EVENT
MANIFEST = load_manifest(VENDORS / "outlook_calendar")
TOAST: Mapping[str, FieldValue] = {
    "title": "Toast, with ' and ü",
    "starts_at": f"2027-06-12T19:00:00[{ZONE}]",
    "ends_at": f"2027-06-12T19:30:00[{ZONE}]",
    "all_day": False,
    "location": "Old Barn",
    "notes": "first line\n\nthird line",
    "status": "confirmed",
}
DINNER: dict[str, Any] = {
    "subject": "Dinner",
    "start": {"dateTime": "2027-06-12T18:00:00.0000000", "timeZone": "Central Standard Time"},
    "end": {"dateTime": "2027-06-12T20:00:00", "timeZone": "Central Standard Time"},
}
WEEKLY: dict[str, Any] = {
    "pattern": {"type": "weekly", "interval": 1, "daysOfWeek": ["saturday"]},
    "range": {"type": "numbered", "startDate": "2027-06-12", "numberOfOccurrences": 3},
}


@dataclass
class Bench:
    """A mailbox, its people, and our adapter."""

    url: str
    http: VendorHttp
    outlook: Sandbox
    clock: FakeClock
    cursor: Mapping[str, Any] | None = None

    def account(self, token: str = TOKEN, **settings: str) -> Account:
        """Our account; without a token it was never connected."""
        credentials = {"access_token": token} if token else {}
        return Account(integration_id="i", base_url=self.url, credentials=credentials, settings=settings)

    def adapter(
        self, *, token: str = TOKEN, calendar: str = CALENDAR, zone: str = ZONE, **settings: str
    ) -> OutlookCalendar:
        """An adapter for the calendar."""
        scope = {"calendar_id": calendar, "time_zone": zone}
        account = self.account(token, **settings)
        return OutlookCalendar(self.http, MANIFEST, account, scope, clock=self.clock)

    def fault(self, **fault: Any) -> None:
        """Let the next matching call fail."""
        self.outlook.traffic.faults.append(Fault(**fault))

    def writes(self) -> int:
        """How many creates, changes and deletes were asked for."""
        return sum(n for call, n in self.outlook.traffic.counts.items() if not call.startswith("GET"))

    async def read(self, record_id: str) -> VendorRecord:
        """The record as it is now."""
        record = await self.adapter().read(record_id)
        assert record is not None
        return record

    async def moved(self, **settings: str) -> Scan:
        """What a scan shows since the last one, its pages as one."""
        pages: list[Scan] = []
        while not pages or pages[-1].more:
            pages.append(await self.adapter(**settings).scan(self.cursor))
            self.cursor = pages[-1].cursor
        return replace(
            pages[-1],
            records=[record for page in pages for record in page.records],
            bad=[bad for page in pages for bad in page.bad],
            missing=[gone for page in pages for gone in page.missing],
        )


@asynccontextmanager
async def open_bench() -> AsyncIterator[Bench]:
    """An empty calendar, and a clock that stands."""
    clock = FakeClock()
    sandbox = Sandbox(mailbox=Mailbox(clock))
    async with running(sandbox) as url, VendorHttp(limits=Limits(allow_private=True)) as http:
        yield Bench(url, http, sandbox, clock)
