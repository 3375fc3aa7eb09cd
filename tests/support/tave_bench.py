"""One studio in the Tave simulator, seen by its owner and by our adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.manifest import load_manifest
from services.gateway.vendors.port import (
    Account,
    VendorPort,
    VendorRecord,
)
from services.gateway.vendors.tave.adapter import create_adapter
from wedsync.clock import FakeClock
from wedsync.model.items import ItemKind
from wedsync.testing.tave import SANDBOX_KEY, Sandbox, StudioSettings, TaveStudio, running
from wedsync.testing.tave.resources import RESOURCES

EVENT, BOOKING, CONTACT, PAYMENT = (
    ItemKind.TIMELINE_EVENT,
    ItemKind.BOOKING,
    ItemKind.CONTACT,
    ItemKind.PAYMENT,
)
MANIFEST = load_manifest(Path(__file__).parents[2] / "services/gateway/vendors/tave")
CEREMONY = {
    "title": "Ceremony",
    "starts_at": "2027-06-12T15:00:00[America/New_York]",
    "ends_at": "2027-06-12T15:45:00[America/New_York]",
    "location": "12 Garden Lane, Beacon",
    "notes": "Rings: Ana\n\n<both> families & friends",
}


@dataclass
class Bench:
    """A studio with one job, its owner's browser, and our adapter."""

    url: str
    http: VendorHttp
    browser: aiohttp.ClientSession
    clock: FakeClock
    studio: TaveStudio
    job_id: str = ""
    cursor: Mapping[str, Any] | None = None

    def adapter(self, *, key: str = SANDBOX_KEY, job_id: str = "", **settings: str) -> VendorPort:
        """An adapter for the job."""
        account = Account(
            integration_id="i", base_url=self.url, credentials={"api_key": key}, settings=settings
        )
        scope = {"job_id": job_id or self.job_id, "time_zone": "America/New_York"}
        return create_adapter(self.http, MANIFEST, account, scope)

    async def ui(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """What a person does in Tave; a second later than whatever was before."""
        self.clock.advance(1)
        return await self.now(method, path, body)

    async def now(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The same within the same second."""
        async with self.browser.request(method, f"{self.url}{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return {} if answer.status == 204 else dict(await answer.json())

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Steer the simulator."""
        url = self.url.replace("/api/v2", "/_sandbox")
        async with self.browser.request(method, f"{url}{path}", json=body) as answer:
            return {} if answer.status == 204 else await answer.json()

    async def fault(self, **fault: Any) -> None:
        """Let the next matching request fail."""
        await self.control("POST", "/faults", fault)

    async def writes(self) -> int:
        """How many writes the vendor saw since the requests were last forgotten."""
        return int((await self.control("GET", "/requests"))["writes"])

    async def edit(self, path: str, **values: Any) -> dict[str, Any]:
        """A person changes some fields of an object."""
        collection, object_id = path.split("/")
        native = self.studio.get(collection, object_id)
        resource = RESOURCES[collection]
        served = {n for n, rule in resource.rules.items() if rule.read_only} | resource.create_only
        served |= {"name"} if native.get("kind") == "person" else set()
        kept = {n: v for n, v in native.items() if n not in served}
        return await self.ui("PUT", f"/{path}", kept | values)

    async def moved(self, adapter: VendorPort | None = None) -> dict[str, VendorRecord]:
        """What a scan shows since the last one."""
        scan = await (adapter or self.adapter()).scan(self.cursor)
        self.cursor = scan.cursor
        return {record.record_id: record for record in scan.records}


@asynccontextmanager
async def open_bench() -> AsyncIterator[Bench]:
    """Start a studio with one job."""
    clock = FakeClock()
    studio = TaveStudio(clock, StudioSettings())
    limits = Limits(allow_private=True, timeout_seconds=3)
    headers = {"X-API-KEY": SANDBOX_KEY}
    async with (
        running(Sandbox(studio)) as url,
        VendorHttp(limits=limits) as http,
        aiohttp.ClientSession(headers=headers) as browser,
    ):
        bench = Bench(url, http, browser, clock, studio)
        bench.job_id = (await bench.ui("POST", "/job", {"name": "Okafor-Lindqvist", "stage": "booked"}))["id"]
        await bench.control("DELETE", "/requests")
        yield bench


async def a_person(bench: Bench, **values: Any) -> str:
    """Put a person into the job and return the contact's id."""
    body = {"kind": "person", "firstName": "Ana", "lastName": "Okafor", "email": "ana@example.com"} | values
    contact = await bench.ui("POST", "/address-book", body)
    role = next(r["id"] for r in bench.studio.objects["job-role"].values() if r["name"] == "Bride")
    membership = {"contactId": contact["id"], "jobId": bench.job_id, "jobRoles": [role]}
    await bench.ui("POST", "/job-contact", membership)
    return str(contact["id"])
