"""Graph's own requests: calendars, events, deltas and subscriptions."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from wedsync.testing.outlook import display, times
from wedsync.testing.outlook.display import Prefer
from wedsync.testing.outlook.mailbox import Kept, Key
from wedsync.testing.outlook.refusal import Refused, invalid, not_found
from wedsync.testing.outlook.sandbox import Sandbox
from wedsync.testing.outlook.shape import Json

_EXPAND = re.compile(r"singleValueExtendedProperties\(\$filter=(id eq '[^']+'(?: or id eq '[^']+')*)\)")
_IDS = re.compile(r"id eq '([^']+)'")
_FILTER = re.compile(
    r"singleValueExtendedProperties/Any\(ep: ep/id eq '([^']+)' and ep/value eq '((?:[^']|'')*)'\)"
)

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The requests, over one sandbox. Each raises `Refused` as Graph would."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox, self._mailbox = sandbox, sandbox.mailbox

    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Return verb, path and endpoint of each."""
        calendar, event, subscription = "/me/calendars/{calendar}", "/me/events/{event}", "/subscriptions"
        return [
            ("GET", "/me/calendars", self.calendars),
            ("GET", calendar, self.calendar),
            ("GET", f"{calendar}/events", self.listed),
            ("POST", f"{calendar}/events", self.create),
            ("GET", f"{calendar}/events/{{event}}", self.read),
            ("GET", f"{calendar}/calendarView/delta", self.delta),
            ("GET", event, self.read),
            ("PATCH", event, self.update),
            ("DELETE", event, self.delete),
            ("GET", f"{event}/calendar", self.calendar_of),
            ("GET", f"{event}/instances", self.instances),
            ("POST", subscription, self.subscribe),
            ("GET", f"{subscription}/{{id}}", self.subscription),
            ("PATCH", f"{subscription}/{{id}}", self.renew),
            ("DELETE", f"{subscription}/{{id}}", self.unsubscribe),
        ]

    async def calendars(self, _: web.Request) -> web.Response:
        """List the calendars."""
        return web.json_response({"value": [self._calendar(each) for each in self._mailbox.calendars]})

    async def calendar(self, request: web.Request) -> web.Response:
        """Show a calendar."""
        return web.json_response(self._calendar(request.match_info["calendar"]))

    async def calendar_of(self, request: web.Request) -> web.Response:
        """Show the calendar that holds an event."""
        return web.json_response(self._calendar(self._mailbox.get(self._key(request)).calendar))

    async def listed(self, request: web.Request) -> web.Response:
        """List events and series, a page at a time, those with a certain extended property only."""
        query, prefer = _query(request, "$expand", "$filter", "$top", "$skip"), _prefer(request)
        found = self._mailbox.in_calendar(request.match_info["calendar"])
        if "$filter" in query:
            found = _having(found, query["$filter"])
        top, skip = int(query.get("$top", prefer.page_size)), int(query.get("$skip", 0))
        expand = _expanded(query)
        rows = [
            display.event(self._mailbox, Key(kept.event_id), prefer, expand)
            for kept in found[skip : skip + top]
        ]
        further = {**query, "$skip": skip + top}
        link = {"@odata.nextLink": f"{_address(request)}?{urlencode(further)}"}
        return web.json_response({"value": rows, **(link if len(found) > skip + top else {})})

    async def create(self, request: web.Request) -> web.Response:
        """Create an event."""
        kept = self._mailbox.create(request.match_info["calendar"], await _json(request))
        return web.json_response(self._shown(request, Key(kept.event_id)), status=201)

    async def read(self, request: web.Request) -> web.Response:
        """Show an event, within a calendar if the path names one."""
        key = self._key(request)
        wanted = request.match_info.get("calendar")
        if wanted is not None and self._mailbox.get(key).calendar != self._mailbox.calendar(wanted):
            raise not_found()
        return web.json_response(self._shown(request, key))

    async def update(self, request: web.Request) -> web.Response:
        """Change an event, if it is as the client thinks."""
        key = self._unmoved(request)
        self._mailbox.update(key, await _json(request))
        return web.json_response(self._shown(request, key))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete an event, if it is as the client thinks."""
        self._mailbox.delete(self._unmoved(request))
        return web.Response(status=204)

    async def instances(self, request: web.Request) -> web.Response:
        """List the instances of a series in a window."""
        query = _query(request, "startDateTime", "endDateTime")
        start, end = (times.parameter(query.get(name), name) for name in ("startDateTime", "endDateTime"))
        found = self._mailbox.instances(self._key(request), start, end)
        rows = [display.event(self._mailbox, key, _prefer(request)) for key in found]
        return web.json_response({"value": rows})

    async def delta(self, request: web.Request) -> web.Response:
        """Answer a page of a delta round."""
        calendar, query = request.match_info["calendar"], dict(request.query)
        page = self._sandbox.rounds.page(calendar, query, _prefer(request), _address(request))
        return web.json_response(page)

    async def subscribe(self, request: web.Request) -> web.Response:
        """Subscribe an address that answers."""
        immutable = _prefer(request).immutable_ids
        made = await self._sandbox.subscriptions.create(await _json(request), immutable_ids=immutable)
        return web.json_response(made, status=201)

    async def subscription(self, request: web.Request) -> web.Response:
        """Show a subscription."""
        return web.json_response(self._sandbox.subscriptions.get(request.match_info["id"]).shown())

    async def renew(self, request: web.Request) -> web.Response:
        """Let a subscription last longer."""
        renewed = self._sandbox.subscriptions.renew(request.match_info["id"], await _json(request))
        return web.json_response(renewed)

    async def unsubscribe(self, request: web.Request) -> web.Response:
        """End a subscription."""
        self._sandbox.subscriptions.delete(request.match_info["id"])
        return web.Response(status=204)

    def _calendar(self, calendar_id: str) -> Json:
        name = self._mailbox.calendars[self._mailbox.calendar(calendar_id)]
        return {"id": calendar_id, "name": name, "canEdit": not self._sandbox.read_only}

    def _key(self, request: web.Request) -> Key:
        return display.locate(self._mailbox, request.match_info["event"])

    def _unmoved(self, request: web.Request) -> Key:
        key, wanted = self._key(request), request.headers.get("If-Match", "*")
        if wanted not in {"*", display.etag(self._mailbox.get(key))}:
            message = "The send or update operation could not be performed because the change key is stale."
            raise Refused(412, "ErrorIrresolvableConflict", message)
        return key

    def _shown(self, request: web.Request, key: Key) -> Json:
        expand = _expanded(_query(request, "$expand"))
        return display.event(self._mailbox, key, _prefer(request), expand)


def _prefer(request: web.Request) -> Prefer:
    return Prefer.read(request.headers.get("Prefer", ""))


def _address(request: web.Request) -> str:
    return str(request.url.with_query(None))


def _query(request: web.Request, *known: str) -> dict[str, str]:
    if unknown := set(request.query) - set(known):
        raise invalid(f"The query has parameters that are not supported here: {sorted(unknown)}")
    return dict(request.query)


def _expanded(query: dict[str, str]) -> list[str]:
    if "$expand" not in query:
        return []
    found = _EXPAND.fullmatch(query["$expand"])
    if found is None:
        raise invalid("$expand cannot be read")
    return _IDS.findall(found[1])


def _having(events: list[Kept], filter_: str) -> list[Kept]:
    found = _FILTER.fullmatch(filter_)
    if found is None:
        raise invalid("$filter cannot be read")
    name, value = found[1], found[2].replace("''", "'")
    return [kept for kept in events if kept.properties.get(name) == value]


async def _json(request: web.Request) -> Any:
    if request.content_type != "application/json":
        raise Refused(415, "RequestBodyRead", "The content type must be application/json.")
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise invalid("The body is no JSON.", "RequestBodyRead") from error
