"""Tave: the simulator, and a photographer who works on one job."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from tests.certification.bench import Account, Hands, OpenAccount, VendorClock, an_event, without
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.tave import SANDBOX_KEY, Sandbox, TaveStudio, running
from wedsync.testing.tave.resources import HOOK_EVENTS, RESOURCES


@asynccontextmanager
async def system(_: Path) -> AsyncIterator[OpenAccount]:
    """Nothing is started once: an account is a simulator of its own."""
    yield _account


@asynccontextmanager
async def _account() -> AsyncIterator[TaveAccount]:
    clock = VendorClock()
    sandbox = Sandbox(TaveStudio(clock))
    async with running(sandbox) as url, aiohttp.ClientSession(headers={"X-API-KEY": SANDBOX_KEY}) as session:
        browser = Browser(url, session)
        job = await browser.call("POST", "/job", {"name": "Okafor-Lindqvist", "stage": "booked"})
        yield TaveAccount(url, sandbox, clock, browser, str(job["id"]))


class Browser:
    """Where the photographer works."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Do something in the studio."""
        async with self._session.request(method, f"{self._url}{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return {} if answer.status == 204 else dict(await answer.json())

    async def change(self, collection: str, record: str, **values: Any) -> None:
        """Change some fields of an object; the rest stays."""
        resource, before = RESOURCES[collection], await self.call("GET", f"/{collection}/{record}")
        served = {name for name, rule in resource.rules.items() if rule.read_only} | resource.create_only
        served |= {"name"} if before.get("kind") == "person" else set()
        kept = {name: value for name, value in before.items() if name not in served}
        await self.call("PUT", f"/{collection}/{record}", kept | values)


class TaveAccount(Account):
    """A studio with one job."""

    cannot: Mapping[str, str] = {
        "forget_cursors": "Tave keeps no cursor: a poll asks for what changed since what was seen"
    }

    def __init__(self, url: str, sandbox: Sandbox, clock: VendorClock, browser: Browser, job_id: str) -> None:
        self.base_url, self._clock, self._browser = url, clock, browser
        self.credentials, self.scope = {"api_key": SANDBOX_KEY}, {"job_id": job_id}
        studio = sandbox.studio
        self.hands: Mapping[ItemKind, Hands] = {
            ItemKind.TIMELINE_EVENT: Events(browser, studio, job_id),
            ItemKind.BOOKING: Job(browser, studio, job_id),
            ItemKind.CONTACT: Contacts(browser, studio, job_id),
            ItemKind.PAYMENT: Payments(browser, studio, job_id),
        }

    async def tell(self, address: str) -> None:
        """Make a rest hook of each kind."""
        for event in HOOK_EVENTS:
            hook = {"url": f"{address}?event={event}", "event": event}
            await self._browser.call("POST", "/rest-hook", hook)

    def set_clock(self, ahead: timedelta) -> None:
        """Set the simulator's clock."""
        self._clock.ahead = ahead

    def emptied(self, asked: Asked, answer: Answer) -> Answer:
        """A collection has `items`. The studio's own lists are not what is looked for."""
        meta = {"currentPage": 1, "totalPages": 1, "totalItems": 0, "rows": 100}
        if "job-role" in asked.path:
            return answer
        return without(answer, "items", meta=meta)


class Objects:
    """Works on the objects of one collection that belong to the job."""

    collection, name = "", ""
    cannot: Mapping[str, str] = {}

    def __init__(self, browser: Browser, studio: TaveStudio, job_id: str) -> None:
        self.browser, self.studio, self.job_id = browser, studio, job_id

    async def edit(self, record: str, text: str) -> None:
        """Change the text."""
        await self.browser.change(self.collection, record, **{self.name: text})

    async def remove(self, record: str) -> None:
        """Delete the object."""
        await self.browser.call("DELETE", f"/{self.collection}/{record}")

    async def texts(self) -> Mapping[str, str]:
        """Return the texts."""
        return {key: kept[self.name] or "" for key, kept in self.studio.objects[self.collection].items()}


class Events(Objects):
    """Plans the day."""

    collection, name, field = "event", "name", "title"

    async def make(self, text: str) -> str:
        """Add an event to the job."""
        body = {"jobId": self.job_id, "name": text, "startDate": "2027-06-12", "startTime": "15:00:00"}
        return str((await self.browser.call("POST", "/event", body))["id"])

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return an event at a time of its own."""
        return an_event(text)


class Job(Objects):
    """Keeps the job itself."""

    collection, name, field = "job", "name", "title"
    cannot = dict.fromkeys(("make", "remove"), "the job is what a link is made of")

    async def make(self, text: str) -> str:
        """See `cannot`."""
        raise NotImplementedError

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return a booking; none is made by us."""
        return {"title": text}


class Contacts(Objects):
    """Keeps the people of the job."""

    collection, name, field = "address-book", "companyName", "company"

    async def make(self, text: str) -> str:
        """Add a person who works for a company."""
        body = {"kind": "person", "firstName": "Ana", "lastName": "Okafor", "companyName": text}
        contact = str((await self.browser.call("POST", "/address-book", body))["id"])
        role = next(iter(self.studio.objects["job-role"]))
        member = {"contactId": contact, "jobId": self.job_id, "jobRoles": [role]}
        await self.browser.call("POST", "/job-contact", member)
        return contact

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return a contact; none is made by us."""
        return {"name": "Ana Okafor", "company": text}


class Payments(Objects):
    """Keeps the books."""

    collection, name, field = "payment", "memo", "memo"
    cannot: Mapping[str, str] = {"remove": "what was paid is undone by a refund"}

    async def make(self, text: str) -> str:
        """Enter a payment."""
        body = {"jobId": self.job_id, "amount": 125_00, "memo": text}
        return str((await self.browser.call("POST", "/payment", body))["id"])

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return a payment."""
        return {"amount": "12500 USD", "memo": text, "status": "paid", "paid_on": "2027-01-02"}
