"""The methods of Google's API, each from a request and its JSON to what is answered; None for nothing."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from wedsync.testing.google_calendar import listing
from wedsync.testing.google_calendar.calendars import Calendar
from wedsync.testing.google_calendar.refusal import Refused
from wedsync.testing.google_calendar.sandbox import Sandbox


class Api:
    """What one account may be asked."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def list(self, request: web.Request, _: Any) -> Any:
        """Return one page of a calendar's events."""
        sandbox = self._sandbox
        return listing.page(self._calendar(request), request.query, sandbox.epoch, sandbox.page_sizes)

    def instances(self, request: web.Request, _: Any) -> Any:
        """Return one page of the instances of a series."""
        return listing.instances(self._calendar(request), request.match_info["event"], request.query)

    def insert(self, request: web.Request, body: Any) -> Any:
        """Add an event."""
        return self._calendar(request).insert(body)

    def get(self, request: web.Request, _: Any) -> Any:
        """Return an event, unless the caller has it already."""
        event = self._calendar(request).get(request.match_info["event"])
        if request.headers.get("If-None-Match") == event["etag"]:
            raise Refused(304, "notModified")
        return event

    def patch(self, request: web.Request, body: Any) -> Any:
        """Write some fields of an event."""
        return self._calendar(request).patch(
            request.match_info["event"], body, request.headers.get("If-Match")
        )

    def update(self, request: web.Request, body: Any) -> Any:
        """Write an event as a whole."""
        return self._calendar(request).update(
            request.match_info["event"], body, request.headers.get("If-Match")
        )

    def delete(self, request: web.Request, _: Any) -> None:
        """Delete an event."""
        self._calendar(request).delete(request.match_info["event"], request.headers.get("If-Match"))

    def watch(self, request: web.Request, body: Any) -> Any:
        """Open a channel about a calendar's events."""
        uri = str(request.url).removesuffix("/watch") + "?alt=json"
        return self._sandbox.channels.watch(self._calendar(request).calendar_id, uri, body)

    def stop(self, _: web.Request, body: Any) -> None:
        """End a channel."""
        self._sandbox.channels.stop(body)

    def calendar(self, request: web.Request, _: Any) -> Any:
        """Describe a calendar."""
        return _described(self._calendar(request))

    def entry(self, request: web.Request, _: Any) -> Any:
        """Describe a calendar as it stands in the account's list."""
        return _listed(self._calendar(request))

    def entries(self, _: web.Request, __: Any) -> Any:
        """Return the account's list of calendars."""
        items = [_listed(calendar) for calendar in self._sandbox.calendars.values()]
        return {"kind": "calendar#calendarList", "items": items}

    def _calendar(self, request: web.Request) -> Calendar:
        return self._sandbox.calendar(request.match_info["calendar"])


def _described(calendar: Calendar) -> dict[str, Any]:
    return {
        "kind": "calendar#calendar",
        "id": calendar.calendar_id,
        "summary": calendar.summary,
        "timeZone": calendar.time_zone,
    }


def _listed(calendar: Calendar) -> dict[str, Any]:
    return {
        **_described(calendar),
        "kind": "calendar#calendarListEntry",
        "accessRole": calendar.access_role,
    }
