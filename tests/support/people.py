"""The people at the vendors: they use the vendor's own programs and know nothing of WedSync."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Self

import aiohttp
import caldav

from wedsync.testing.tave import SANDBOX_KEY

_READ_ONLY = frozenset(
    {"id", "created", "modified", "startUtc", "endUtc", "readOnly", "timezoneId", "hidden", "links"}
)


class Photographer:
    """Works in Tave: one job and its events, through the studio's own API key."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self._address, self._session = address, session
        self.base_url = f"{address}/api/v2"
        self.job_id = ""

    async def open_job(self, name: str) -> Self:
        """Make the job everything else belongs to."""
        job = await self.call("POST", "/job", {"name": name, "stage": "booked", "eventDate": "2027-06-12"})
        self.job_id = job["id"]
        return self

    async def plan(self, name: str, start: str, end: str, **more: Any) -> str:
        """Add an event on the day; return its id."""
        kinds = await self.call("GET", "/event-type")
        body = {
            "jobId": self.job_id,
            "typeId": kinds["items"][0]["id"],
            "name": name,
            "startDate": "2027-06-12",
            "startTime": f"{start}:00",
            "endDate": "2027-06-12",
            "endTime": f"{end}:00",
            "timezoneName": "America/New_York",
            "allDay": False,
            "channel": "InPerson",
            **more,
        }
        event = await self.call("POST", "/event", body)
        return str(event["id"])

    async def change(self, event_id: str, **fields: Any) -> None:
        """Change some fields; Tave takes the whole object."""
        event = await self.call("GET", f"/event/{event_id}")
        kept = {name: value for name, value in event.items() if name not in _READ_ONLY}
        await self.call("PUT", f"/event/{event_id}", {**kept, **fields})

    async def cancel(self, event_id: str) -> None:
        """Delete an event."""
        await self.call("DELETE", f"/event/{event_id}")

    async def events(self) -> dict[str, dict[str, Any]]:
        """Return the job's events by name."""
        found = await self.call("GET", f"/event?jobId={self.job_id}&pageSize=100")
        return {event["name"].strip(): event for event in found["items"]}

    async def writes(self) -> int:
        """Return how many writes the vendor has seen from anybody."""
        return int((await self.control("GET", "/requests"))["writes"])

    async def reads(self) -> int:
        """Return how many reads the vendor has seen from anybody."""
        return int((await self.control("GET", "/requests"))["reads"])

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call Tave's API."""
        return await self._request(method, self.base_url + path, body)

    async def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the simulator's own controls."""
        return await self._request(method, f"{self._address}/_sandbox{path}", body)

    async def _request(self, method: str, url: str, body: Mapping[str, Any] | None) -> Any:
        headers = {"X-API-KEY": SANDBOX_KEY}
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {url}: {answer.status} {text}"
            return json.loads(text) if text else None


class Couple:
    """Keeps an Apple calendar; reads and writes it with an independent CalDAV client."""

    def __init__(self, account: Mapping[str, str]) -> None:
        self.account = account
        self.calendar_url = ""

    async def open_calendar(self, name: str) -> Self:
        """Make the calendar."""
        self.calendar_url = await asyncio.to_thread(self._make, name)
        return self

    async def events(self) -> dict[str, Any]:
        """Return the calendar's VEVENTs by title."""
        return await asyncio.to_thread(self._events)

    async def plan(self, ics: str) -> None:
        """Add an event."""
        await asyncio.to_thread(self._with_calendar, lambda calendar: calendar.add_event(ics))

    async def change(self, title: str, **fields: Any) -> None:
        """Set properties of an event (`summary`, `dtstart`, `location`)."""
        await asyncio.to_thread(self._change, title, fields)

    async def cancel(self, title: str) -> None:
        """Delete an event."""
        await asyncio.to_thread(self._cancel, title)

    def _make(self, name: str) -> str:
        with self.client() as client:
            return str(client.principal().make_calendar(name=name).url)

    def _with_calendar(self, work: Any) -> Any:
        with self.client() as client:
            return work(client.calendar(url=self.calendar_url))

    def _events(self) -> dict[str, Any]:
        def read(calendar: Any) -> dict[str, Any]:
            components = [event.icalendar_component for event in calendar.events()]
            return {str(component.get("summary")): component for component in components}

        found: dict[str, Any] = self._with_calendar(read)
        return found

    def _find(self, calendar: Any, title: str) -> Any:
        return next(e for e in calendar.events() if str(e.icalendar_component.get("summary")) == title)

    def _change(self, title: str, fields: Mapping[str, Any]) -> None:
        def write(calendar: Any) -> None:
            event = self._find(calendar, title)
            with event.edit_icalendar_component() as component:
                for name, value in fields.items():
                    component.pop(name, None)
                    component.add(name, value)
            event.save()

        self._with_calendar(write)

    def _cancel(self, title: str) -> None:
        self._with_calendar(lambda calendar: self._find(calendar, title).delete())

    def client(self) -> Any:
        """Return a CalDAV client of the couple's account."""
        return caldav.DAVClient(
            url=self.account["url"], username=self.account["username"], password=self.account["password"]
        )
