"""A small world for the demo: vendors that answer HTTP, and a WedSync that keeps them in step at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.unit.cli.fakes import journey
from wedsync.api.gateway.v1 import delivery_pb2, integration_pb2, link_pb2
from wedsync.api.sync.v1 import service_pb2, wedding_pb2
from wedsync.cli.demo.ical import text_of
from wedsync.cli.demo.sandbox import Sandbox
from wedsync.cli.http import Answer
from wedsync.convert import logged_change_to_message
from wedsync.errors import Unavailable, WedSyncError
from wedsync.model.changes import Change, ChangeKind, ChangeResult, FieldResult, Outcome, Source
from wedsync.model.ids import new_id
from wedsync.model.items import LIFE, FieldValue, ItemKind

SANDBOX = Sandbox(
    gateway_url="http://gateway",
    tave_url="http://tave/api/v2",
    caldav_url="http://cal/",
    username="couple",
    password="secret",
    stripe_url="http://stripe/v1",
    slack_url="http://slack",
)
ITEM = "0198c7a2-0000-7000-8000-00000000000a"
_EVENT_ID = "01m84na1gqg881g90x787q2t19"


@dataclass
class World:
    """One event, shown by two vendors, payments, a channel, and the log of what happened."""

    event: dict[str, FieldValue] | None = None
    log: list[service_pb2.WatchWeddingResponse] = field(default_factory=list)
    hooks: dict[str, str] = field(default_factory=dict)
    paused: list[str] = field(default_factory=list)
    payments: list[str] = field(default_factory=list)
    said: list[FieldValue] = field(default_factory=list)
    disputed: str | None = None
    """The calendar's title, while Slack asks about it."""
    told: dict[str, str] = field(default_factory=dict)
    """Who is told by Stripe and Slack."""
    deaf: bool = False
    """WedSync does not notice what the people at the vendors do."""
    watch_error: WedSyncError | None = None
    pause_error: Exception | None = None
    open_journeys: int = 1
    """How often a journey is found still under way."""
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, vendor: str | None, values: Mapping[str, FieldValue], kind: ItemKind) -> None:
        """Write a change down, unless WedSync is deaf to it."""
        if self.deaf and vendor and kind is ItemKind.TIMELINE_EVENT:
            return
        source = Source(organization_id="org", actor="demo", vendor=vendor)
        change = Change(
            change_id=new_id(), item_id=ITEM, item_kind=kind, kind=ChangeKind.UPDATE, source=source
        )
        sequence = len(self.log) + 1
        results = [
            FieldResult(path=path, outcome=Outcome.APPLIED, revision=sequence, proposed=value)
            for path, value in values.items()
        ]
        result = ChangeResult(
            change_id=change.change_id, outcome=Outcome.APPLIED, sequence=sequence, fields=tuple(results)
        )
        entry = logged_change_to_message(wedding_id="w", change=change, result=result)
        self.log.append(service_pb2.WatchWeddingResponse(change=entry, sequence=sequence))
        self.grown.set()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Answer for both vendors."""
        parts = urlsplit(url)
        if parts.netloc == "cal":
            return self._calendar(method, (body or b"").decode())
        if parts.netloc in {"stripe", "slack"}:
            answer = self._stripe if parts.netloc == "stripe" else self._slack
            return Answer(status=200, body=json.dumps(answer(parts.path, json.loads(body or b"{}"))).encode())
        said = self._tave(method, parts.path.removeprefix("/api/v2"), json.loads(body or b"{}"))
        return Answer(status=200, body=json.dumps(said).encode())

    def _stripe(self, path: str, body: dict[str, Any]) -> object:
        if path.endswith("/confirm"):
            self.payments.append(path)
            self.note("stripe", {"amount": "250000 USD"}, ItemKind.PAYMENT)
        if path.startswith("/_config"):
            self.told["stripe"] = body["url"]
        return {"id": "x1"}

    def _slack(self, path: str, body: dict[str, Any]) -> object:
        match path.rpartition("/")[2]:
            case "subscribe":
                self.told["slack"] = body["url"]
            case "click":
                assert (body["value"], body["choice"]) == ("c1", "current")
                self.disputed = None
        buttons = [{"type": "section"}, {"type": "actions", "elements": [{"value": "c1"}]}]
        asked = [{"text": "Which title?", "blocks": buttons}] if self.disputed else []
        return {"ok": True, "messages": [*({"text": text} for text in self.said), *asked]}

    def _tave(self, method: str, path: str, body: dict[str, Any]) -> object:
        match method, path.split("/")[1]:
            case "POST", "job":
                self.note("tave", {"title": body["name"]}, ItemKind.BOOKING)
                return {"id": "job"}
            case "POST", "rest-hook":
                self.hooks[body["event"]] = body["url"]
                return {"id": body["event"]}
            case "DELETE", "rest-hook":
                del self.hooks[path.rpartition("/")[2]]
                return {}
            case "POST", "event":
                self.event = {"title": body["name"], "start": body["startTime"], "end": body["endTime"]}
                self.note("tave", {"title": body["name"], "starts_at": None}, ItemKind.TIMELINE_EVENT)
                return {"id": _EVENT_ID}
            case "PUT", "event":
                self._write("tave", title=body["name"])
                return {}
        if path.endswith("/payment"):
            return {"items": self.payments}
        shown = self._tave_event()
        return {"items": [shown] if shown else []} if path == "/event" else shown

    def _tave_event(self) -> dict[str, Any] | None:
        if self.event is None:
            return None
        event = self.event
        return {
            "id": _EVENT_ID,
            "name": event["title"],
            "startTime": event["start"],
            "endTime": event["end"],
            "descriptionHtml": f"<p>{event['notes']}</p>" if event.get("notes") else None,
            "location": {"address": {"streetAddress": event["location"]}} if "location" in event else None,
        }

    def _calendar(self, method: str, body: str) -> Answer:
        match method:
            case "REPORT":
                return Answer(status=207, body=self._report().encode())
            case "GET":
                return Answer(status=200, headers={"etag": '"1"'}, body=self._ics().encode())
            case "PUT":
                self._edited(body)
            case "DELETE":
                self.event = None if not self.deaf else self.event
                self.note("apple_calendar", {LIFE: True}, ItemKind.TIMELINE_EVENT)
        return Answer(status=201)

    def _edited(self, text: str) -> None:
        assert self.event is not None
        start, notes = text_of(text, "DTSTART") or "", text_of(text, "DESCRIPTION")
        if text_of(text, "SUMMARY") != self.event["title"]:
            self.disputed = text_of(text, "SUMMARY")
        elif notes:
            self._write("apple_calendar", notes=notes)
        elif start[-6:] != str(self.event["start"]).replace(":", ""):
            self.event |= {"start": "16:30:00", "end": "17:00:00"}
            # The two ends of a move may come one by one.
            self.note("apple_calendar", {"starts_at": None}, ItemKind.TIMELINE_EVENT)
            self.note("apple_calendar", {"ends_at": None}, ItemKind.TIMELINE_EVENT)

    def _write(self, vendor: str | None, **values: FieldValue) -> None:
        assert self.event is not None
        self.event |= values
        self.note(vendor, values, ItemKind.TIMELINE_EVENT)

    def _ics(self) -> str:
        event = self.event or {}
        start = f"20270612T{str(event['start']).replace(':', '')}"
        lines = [
            f"DTSTART:{start}",
            f"DTEND:{start}",
            f"SUMMARY:{str(event['title']).replace(',', chr(92) + ',')}",
        ]
        lines += [f"LOCATION:{event['location']}"] if "location" in event else []
        lines += [f"DESCRIPTION:{event['notes']}"] if "notes" in event else []
        return "\r\n".join(["BEGIN:VCALENDAR", "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR"])

    def _report(self) -> str:
        found = (
            ""
            if self.event is None
            else f"<response><href>/e.ics</href><C:calendar-data>{self._ics()}</C:calendar-data></response>"
        )
        return f'<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">{found}</multistatus>'


class Sync:
    """What the demo asks of the sync service."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def create_wedding(self, wedding: wedding_pb2.Wedding) -> wedding_pb2.Wedding:
        """Return the wedding."""
        return wedding

    async def apply_changes(self, _: str, changes: Sequence[Change]) -> None:
        """Change the event."""
        for change in changes:
            if change.item_kind is ItemKind.MESSAGE:
                self._world.said.append(change.values["text"])
                self._world.note(None, change.values, ItemKind.MESSAGE)
            else:
                self._world._write(None, **change.values)

    async def watch_wedding(
        self, _: str, after: int
    ) -> AsyncGenerator[service_pb2.WatchWeddingResponse, None]:
        """Yield the log, then what comes; or fail after the first entry."""
        yield service_pb2.WatchWeddingResponse(sequence=after)
        seen = 0
        while True:
            while seen < len(self._world.log):
                yield self._world.log[seen]
                seen += 1
                if self._world.watch_error:
                    raise self._world.watch_error
            self._world.grown.clear()
            await self._world.grown.wait()


class Gateway:
    """What the demo asks of the gateway."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def connect_vendor(
        self, vendor: str, *, credentials: Mapping[str, str], base_url: str
    ) -> integration_pb2.ConnectVendorResponse:
        """Connect."""
        integration = integration_pb2.Integration(integration_id=vendor)
        return integration_pb2.ConnectVendorResponse(integration=integration, webhook_path=f"/hooks/{vendor}")

    async def link_wedding(self, _: str, integration_id: str, *, scope: Mapping[str, str]) -> link_pb2.Link:
        """Link."""
        return link_pb2.Link(link_id=integration_id)

    async def pause_link(self, link_id: str) -> None:
        """Pause."""
        if self._world.pause_error and self._world.said:
            raise self._world.pause_error
        self._world.paused.append(link_id)

    async def resume_link(self, link_id: str) -> None:
        """Resume."""
        self._world.paused.remove(link_id)

    async def get_journey(self, _: str) -> delivery_pb2.Journey:
        """Return a journey, at first one that is under way."""
        self._world.open_journeys -= 1
        stages = (("detected", 0.0, 0.02), ("tave: delivered", 0.02, 0.05))
        return journey(*stages, complete=self._world.open_journeys < 0)


NOBODY_ANSWERS = Unavailable("The sync service is gone")
