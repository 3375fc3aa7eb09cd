"""The people at the vendors: they work in Tave and in their calendar, and know nothing of WedSync."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin
from xml.etree import ElementTree as ET

from wedsync.cli.http import Answer, Send
from wedsync.errors import FailedPrecondition, StaleRevision

Json = dict[str, Any]

# What Tave serves and does not take back.
_READ_ONLY = frozenset({"links", "id", "created", "modified", "hidden", "startUtc", "endUtc", "readOnly"})
_TRIES = 5
_DAV, _CALDAV = "{DAV:}", "{urn:ietf:params:xml:ns:caldav}"
_EVERYTHING = (
    '<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">'
    "<D:prop><D:getetag/><C:calendar-data/></D:prop>"
    '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"/></C:comp-filter></C:filter>'
    "</C:calendar-query>"
)


class Photographer:
    """Works in Tave, through the same REST API that its apps use."""

    def __init__(self, base_url: str, api_key: str, send: Send) -> None:
        self._base_url, self._key, self._send = base_url.rstrip("/"), api_key, send

    async def open_job(self, name: str, day: str) -> str:
        """Open a job and return its id."""
        return str((await self._call("POST", "/job", {"name": name, "eventDate": day}))["id"])

    async def subscribe(self, event: str, url: str) -> str:
        """Have Tave call an address at such events; return the subscription's id."""
        return str((await self._call("POST", "/rest-hook", {"event": event, "url": url}))["id"])

    async def unsubscribe(self, hook_id: str) -> None:
        """End a subscription."""
        await self._call("DELETE", f"/rest-hook/{hook_id}")

    async def add_event(self, job_id: str, **fields: Any) -> str:
        """Put an event into a job and return its id."""
        return str((await self._call("POST", "/event", {"jobId": job_id, **fields}))["id"])

    async def events(self, job_id: str) -> list[Json]:
        """Return the events of a job."""
        return list((await self._call("GET", f"/event?{urlencode({'jobId': job_id})}"))["items"])

    async def payments(self, job_id: str) -> list[Json]:
        """Return the payments of a job."""
        return list((await self._call("GET", f"/job/{job_id}/payment"))["items"])

    async def change_event(self, event_id: str, **fields: Any) -> None:
        """Change an event: Tave takes whole objects only."""
        event = await self._call("GET", f"/event/{event_id}")
        kept = {name: value for name, value in event.items() if name not in _READ_ONLY}
        await self._call("PUT", f"/event/{event_id}", {**kept, **fields})

    async def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body).encode()
        answer = await self._send(method, self._base_url + path, headers, sent)
        require(answer, f"Tave, {method} {path}")
        return dict(json.loads(answer.body)) if answer.body else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of a calendar: its address, its version and its text."""

    url: str
    etag: str
    text: str


class Couple:
    """Looks at one calendar with a CalDAV app."""

    def __init__(self, calendar_url: str, username: str, password: str, send: Send) -> None:
        self._url, self._send = calendar_url, send
        self._authorization = "Basic " + b64encode(f"{username}:{password}".encode()).decode()

    async def make_calendar(self) -> None:
        """Make the calendar."""
        await self._call("MKCALENDAR", self._url)

    async def entries(self) -> list[Entry]:
        """Return the calendar's events."""
        headers = {"Depth": "1", "Content-Type": "application/xml; charset=utf-8"}
        answer = await self._call("REPORT", self._url, headers, _EVERYTHING.encode())
        # The text is that of the sandbox's own server on this machine.
        found = ET.fromstring(answer.body).iter(f"{_DAV}response")  # noqa: S314
        return [self._entry(response) for response in found]

    async def change_entry(self, url: str, change: Callable[[str], str]) -> None:
        """Change an event, looking again if somebody else was quicker."""
        for _ in range(_TRIES):
            before = await self._call("GET", url)
            headers = {"If-Match": before.headers["etag"], "Content-Type": "text/calendar; charset=utf-8"}
            sent = change(before.body.decode()).encode()
            answer = await self._send("PUT", url, {**headers, "Authorization": self._authorization}, sent)
            if answer.status != 412:
                require(answer, f"The calendar, PUT {url}")
                return
        raise StaleRevision(f"Somebody else changed {url} at each of {_TRIES} tries")

    async def delete_entry(self, url: str) -> None:
        """Delete an event."""
        await self._call("DELETE", url)

    def _entry(self, response: ET.Element) -> Entry:
        def text(name: str) -> str:
            return response.findtext(f".//{name}") or ""

        href = urljoin(self._url, text(f"{_DAV}href"))
        return Entry(url=href, etag=text(f"{_DAV}getetag"), text=text(f"{_CALDAV}calendar-data"))

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        known = {"Authorization": self._authorization, **(headers or {})}
        answer = await self._send(method, url, known, body)
        require(answer, f"The calendar, {method} {url}")
        return answer


def require(answer: Answer, what: str) -> None:
    """Raise `FailedPrecondition` with the vendor's own words if it refused."""
    if answer.status >= 300:
        said = answer.body[:300].decode("utf-8", "replace")
        raise FailedPrecondition(f"{what}: refused with {answer.status}: {said}")
