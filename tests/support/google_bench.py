"""One Google calendar in the simulator, seen by its people and by our adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.google_calendar.adapter import GoogleCalendar, create_adapter
from services.gateway.vendors.manifest import VENDORS, load_manifest
from services.gateway.vendors.port import Account, Scan, VendorRecord
from tests.support.guarded import guarded
from wedsync.clock import SystemClock
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.google_calendar import CALENDAR, TOKEN, Calendar, Fault, Sandbox, running

MANIFEST = load_manifest(VENDORS / "google_calendar")
EVENT = ItemKind.TIMELINE_EVENT
ZONE = "America/New_York"
TOAST: Mapping[str, FieldValue] = {
    "title": "Toast",
    "starts_at": f"2027-06-12T19:00:00[{ZONE}]",
    "ends_at": f"2027-06-12T19:30:00[{ZONE}]",
    "all_day": False,
    "location": "Old Barn",
    "notes": "first line\nsecond",
    "status": "confirmed",
}
DINNER: dict[str, Any] = {
    "summary": "Dinner",
    "start": {"dateTime": "2027-06-12T18:00:00-05:00", "timeZone": "America/Chicago"},
    "end": {"dateTime": "2027-06-12T20:00:00-05:00", "timeZone": "America/Chicago"},
    "attendees": [{"email": "ana@example.com"}],
    "reminders": {"useDefault": False},
}
WEEKLY = {**DINNER, "id": "lesson1", "summary": "Lesson", "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"]}
# By Google's names, and by ours.
THEIRS = [f"lesson1_2027{day}T230000Z" for day in ("0612", "0619", "0626", "0703")]
LESSONS = [f"lesson1@2027{day}" for day in ("0612", "0619", "0626", "0703")]


@dataclass
class World:
    """An account with a calendar, our adapter to it, and the people who use it."""

    url: str
    http: VendorHttp
    sandbox: Sandbox
    cursor: Mapping[str, Any] | None = None

    @property
    def calendar(self) -> Calendar:
        """What the people see and edit."""
        return self.sandbox.calendar(CALENDAR)

    def port(self, *, token: str = TOKEN, calendar: str = CALENDAR, **settings: str) -> GoogleCalendar:
        """Our adapter."""
        credentials = {"access_token": token}
        account = Account(integration_id="i", base_url=self.url, credentials=credentials, settings=settings)
        return create_adapter(self.http, MANIFEST, account, {"calendar_id": calendar, "time_zone": ZONE})

    def fault(self, **fault: Any) -> None:
        """Let the next matching call fail."""
        self.sandbox.traffic.faults.append(Fault(**fault))

    async def moved(self, **settings: str) -> Scan:
        """Return all pages of what moved since the last time, as one."""
        pages: list[Scan] = []
        while not pages or pages[-1].more:
            pages.append(await self.port(**settings).scan(self.cursor))
            self.cursor = pages[-1].cursor
        return Scan(
            records=[record for page in pages for record in page.records],
            bad=[bad for page in pages for bad in page.bad],
            missing=[missing for page in pages for missing in page.missing],
            present=pages[-1].present,
        )

    async def read(self, record_id: str) -> VendorRecord:
        """Return a record as it is now."""
        record = await self.port().read(record_id)
        assert record is not None
        return record


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    """An empty calendar, and everybody who uses it."""
    sandbox = Sandbox(SystemClock())
    async with running(sandbox) as url, VendorHttp(limits=Limits(allow_private=True)) as http:
        yield World(url, guarded(http, MANIFEST.with_rate(1000)), sandbox)
